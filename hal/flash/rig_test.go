package flash

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"platen/hal/flash/image"
	"platen/hal/flash/katapult"
	"platen/hal/flash/loader"
	"platen/hal/sim/bootloader"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// errOff is what the line says when the printer has no power.
var errOff = errors.New("no power")

// rig is a printer: a disk, a controller, and the line between them. Switching it on
// takes both as a power cut left them.
type rig struct {
	t     *testing.T
	cfg   bootloader.Config
	chip  *bootloader.Chip
	disk  *updatertest.Disk
	wire  *bootloader.End
	stop  context.CancelFunc
	ended chan error
}

// newRig returns a printer that is on. Every image in whole counts as an application
// that is whole.
func newRig(t *testing.T, cfg bootloader.Config, whole ...[]byte) *rig {
	t.Helper()
	cfg.Firmware = func(app []byte) (string, bool) {
		for i, w := range whole {
			if bytes.HasPrefix(app, w) {
				return fmt.Sprintf("firmware %d", i), true
			}
		}
		return "", false
	}
	r := &rig{t: t, cfg: cfg, disk: updatertest.NewDisk()}
	chip, err := bootloader.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole) > 0 {
		chip.Load(whole[0])
	}
	r.on(chip)
	return r
}

func (r *rig) on(chip *bootloader.Chip) {
	host, end := bootloader.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	r.chip, r.wire, r.stop, r.ended = chip, host, stop, make(chan error, 1)
	go func() { r.ended <- chip.Serve(ctx, end) }()
}

// off switches the controller off.
func (r *rig) off() error {
	r.stop()
	return <-r.ended
}

// again switches off and on with other faults; the flash stays as it is.
func (r *rig) again(f bootloader.Faults) {
	r.t.Helper()
	r.off()
	cfg := r.cfg
	cfg.Faults, cfg.Seed = f, cfg.Seed+1
	chip, err := bootloader.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	chip.SetMemory(r.chip.Memory())
	r.on(chip)
}

// Open returns the line, whatever its rate.
func (r *rig) Open(context.Context, loader.Mode) (loader.Port, error) { return port{r.wire}, nil }

// Reset pulls the controller's reset pin.
func (r *rig) Reset(ctx context.Context, _ loader.Port, boot bool) error {
	reset, done := context.WithCancel(ctx)
	defer done()
	over := make(chan error, 1)
	go func() { over <- r.chip.Reset(reset, boot) }()
	select {
	case err := <-over:
		return err
	case err := <-r.ended:
		r.ended <- err
		done()
		<-over
		return errOff
	}
}

// port is the line without its end: the host closes and opens it as it likes.
type port struct{ *bootloader.End }

func (port) Close() error { return nil }

// board is what fits a simulated chip.
func board(t testing.TB, c bootloader.Config) Board {
	t.Helper()
	var runs []loader.Run
	for _, size := range c.Pages {
		runs = append(runs, loader.Run{Count: 1, Size: size})
	}
	l, err := loader.NewLayout(loader.Address(c.Base), runs, loader.Address(c.Start), c.Size)
	if err != nil {
		t.Fatal(err)
	}
	b := Board{MCU: c.MCU, Layout: l, Baud: 115200, Format: image.Binary}
	switch c.Kind {
	case bootloader.STK500v2:
		b.Method = STK500v2
	case bootloader.STM32:
		b.Method = STM32
	case bootloader.Katapult:
		b.Method, b.Entry = Katapult, katapult.Entry{AppBaud: 250000, DoubleReset: true}
	}
	return b
}

func (r *rig) flasher() *Flasher { return r.flasherOn(r.disk) }

func (r *rig) flasherOn(store slot.FS) *Flasher {
	r.t.Helper()
	f, err := New(Config{Board: board(r.t, r.cfg), Link: r, Store: store})
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// firmware returns an image of a size that a chip takes: with a vector table that
// suits it, some pages blank, some alike.
func firmware(c bootloader.Config, size int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 2))
	p := make([]byte, size)
	for at := 0; at < size; at += 64 {
		b := p[at:min(at+64, size)]
		switch rng.IntN(8) {
		case 0:
			copy(b, bytes.Repeat([]byte{0xff}, 64))
		case 1: // as it is
		default:
			for i := range b {
				b[i] = byte(rng.UintN(256))
			}
		}
	}
	binary.LittleEndian.PutUint32(p, 0x20005000)
	binary.LittleEndian.PutUint32(p[4:], c.Start+uint32(8+rng.IntN(size/2-8)*2)|1)
	binary.LittleEndian.PutUint64(p[size-8:], seed|1<<63)
	return p
}

// kinds are the chips that every test runs on.
func kinds() map[string]bootloader.Config {
	stk, addressed := bootloader.Defaults(bootloader.STK500v2), bootloader.Defaults(bootloader.STK500v2)
	addressed.Addressed, addressed.OldSequence = true, true
	short := bootloader.Defaults(bootloader.STM32)
	short.ShortErase = true
	return map[string]bootloader.Config{
		"stk500v2": stk, "stk500v2-addressed": addressed,
		"stm32": bootloader.Defaults(bootloader.STM32), "stm32-short": short,
		"katapult": bootloader.Defaults(bootloader.Katapult),
	}
}

// holds fails unless the controller holds exactly an image and nothing outside of
// its area was touched.
func (r *rig) holds(want []byte) {
	r.t.Helper()
	if got := r.chip.App(); !bytes.HasPrefix(got, want) {
		at := 0
		for at < len(want) && got[at] == want[at] {
			at++
		}
		r.t.Errorf("the flash differs from the image at byte %d of %d", at, len(want))
	}
	if s := r.chip.Stats(); s.Outside+s.Mass > 0 {
		r.t.Errorf("%d operations outside of the application, %d mass erases", s.Outside, s.Mass)
	}
}

// ask asks the application for its name, as often as it takes to start.
func (r *rig) ask(ctx context.Context) (string, error) {
	l := loader.NewLine(port{r.wire})
	var err error
	for range 4 {
		if err = l.Send([]byte("M115\n")); err != nil {
			return "", err
		}
		var m []byte
		m, err = l.Message(ctx, time.Second, func(buf []byte) (skip, size int) {
			i := bytes.Index(buf, []byte("FIRMWARE_NAME:"))
			if i < 0 {
				return 0, 0
			}
			return i, bytes.IndexByte(buf[i:], '\n') + 1
		})
		if err == nil {
			return string(m), nil
		}
	}
	return "", err
}
