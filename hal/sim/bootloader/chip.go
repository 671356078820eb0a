// Package bootloader is the controller that is being flashed, as a simulation: a flash
// with erase pages that can only clear bits, a bootloader that speaks STK500v2, AN3155
// or Katapult as the real ones do, an application that starts when the bootloader finds
// it valid, a line that damages bytes, and a power supply that fails at a chosen flash
// operation.
//
// Start at [New]; [Chip.Serve] runs it on one end of a [Pipe], [Chip.ServePTY] on a pseudo
// terminal. What it answers follows these sources: stk500boot.c of ArduinoCore-avr,
// application note AN3155 of ST, src/command.c, src/flashcmd.c and src/stm32/flash.c of
// Katapult.
//
// It judges as well: [Chip.Starts] says what was started as an application, whole or not,
// and [Chip.Outside] counts what was written or erased outside of the application area.
package bootloader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Kind is which bootloader it is.
type Kind uint8

// The bootloaders.
const (
	STK500v2 Kind = iota // an AVR
	STM32                // the ROM of an STM32
	Katapult
)

// Config is what a chip is. The zero values of Base, Pages, Start and Size are those of
// the kind's [Defaults].
type Config struct {
	Kind  Kind
	MCU   string // signature, product id or name
	Base  uint32 // address of the first byte of flash
	Pages []int  // sizes of the erasable pages in bytes, in order
	Start uint32 // address of the application
	Size  int    // bytes of the application area
	Block int    // Katapult: bytes in a block

	// Addressed makes an AVR bootloader erase the page it writes, and not the next
	// in its own order.
	Addressed bool
	// EraseEnd is how many bytes of the application area an AVR bootloader erases; 0 is
	// all of them.
	EraseEnd int
	// OldSequence makes an AVR bootloader listen only to the sequence number it expects,
	// or to 1, as those before 2012 did.
	OldSequence bool
	// ShortErase gives an STM32 the old erase command only.
	ShortErase bool
	// Firmware judges the application area at a start: what the application answers to
	// M115, and whether it is whole. An application that is not whole answers nothing.
	// Nil takes everything as whole.
	Firmware func(app []byte) (name string, whole bool)

	Faults Faults
	Seed   uint64
}

// Defaults returns a small chip of a kind: an ATmega2560 with 32 pages of 256 bytes, an
// STM32F103 or a Katapult with 8 KiB of bootloader and 16 pages of 1 KiB.
func Defaults(k Kind) Config {
	c := Config{Kind: k, Base: 0x08000000, Start: 0x08002000, Size: 16 << 10, Block: 64}
	for range 8 + 16 + 1 {
		c.Pages = append(c.Pages, 1024)
	}
	switch k {
	case STK500v2:
		c.MCU, c.Base, c.Start, c.Size = "1e9801", 0, 0, 32*256
		c.Pages = slices.Repeat([]int{256}, 32+32)
	case STM32:
		c.MCU = "410"
	case Katapult:
		c.MCU = "stm32f103xe"
	}
	return c
}

// Start is one start of an application.
type Start struct{ Whole bool }

// ErrCut is what Serve ends with when the power failed.
var ErrCut = errors.New("the simulated power failed")

// Chip is a simulated controller. Its methods may be called from any goroutine.
type Chip struct {
	cfg   Config
	proto protocol

	mu     sync.Mutex // guards what follows
	flash  flash
	rng    *rand.Rand
	starts []Start
	stats  Stats

	resets chan bool

	// Owned by the goroutine of Serve.
	out      []byte
	app      bool // the application runs
	name     string
	heard    []byte // of the present line of the application
	deadline time.Time
	expire   func()
	lastBoot time.Time
	request  bool // the application asked for the bootloader
	rom      bool // BOOT0 was high at the last reset

	romAtStart bool // BOOT0 is high when Serve begins
}

// protocol is a bootloader's state.
type protocol interface {
	// boot runs after each reset.
	boot(c *Chip)
	// feed takes one byte from the line.
	feed(c *Chip, b byte)
}

// Stats counts what happened to the line and the flash.
type Stats struct {
	Corrupted, Dropped, Garbage, Nacked, Late int // faults, by kind
	Erases, Programs                          int
	Outside                                   int // operations outside of the application area
	Mass                                      int // mass erases
	Unerased                                  int // writes that would have set bits
}

// New returns a chip whose flash is blank but for what is outside of the application
// area, which holds a pattern.
func New(cfg Config) (*Chip, error) {
	total := 0
	for _, n := range cfg.Pages {
		total += n
	}
	first, end := int(cfg.Start)-int(cfg.Base), int(cfg.Start)-int(cfg.Base)+cfg.Size
	if first < 0 || end > total || cfg.Size <= 0 {
		return nil, fmt.Errorf("an application of %d bytes at %#x lies outside of the flash", cfg.Size, cfg.Start)
	}
	c := &Chip{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), resets: make(chan bool)}
	c.flash = flash{mem: make([]byte, total), pages: cfg.Pages, first: first, end: end, cutAt: cfg.Faults.CutAt, chip: c}
	for i := range c.flash.mem {
		c.flash.mem[i] = 0xff
		if i < first || i >= end {
			c.flash.mem[i] = byte(i*7 + 3)
		}
	}
	switch cfg.Kind {
	case STK500v2:
		sig, err := strconv.ParseUint(cfg.MCU, 16, 24)
		if err != nil {
			return nil, fmt.Errorf("signature %q: use six hexadecimal digits", cfg.MCU)
		}
		c.proto = &stk{signature: uint32(sig)}
	case STM32:
		id, err := strconv.ParseUint(cfg.MCU, 16, 12)
		if err != nil {
			return nil, fmt.Errorf("product id %q: use three hexadecimal digits", cfg.MCU)
		}
		c.proto = &rom{product: uint16(id)}
	case Katapult:
		if cfg.Block < 64 || cfg.Block > 512 {
			return nil, fmt.Errorf("blocks of %d bytes: use 64 to 512", cfg.Block)
		}
		c.proto = &kat{}
	default:
		return nil, errors.New("unknown kind of bootloader")
	}
	return c, nil
}

// Load puts bytes into the application area, as if they had been there ever since.
func (c *Chip) Load(app []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	area := c.flash.mem[c.flash.first:c.flash.end]
	for i := copy(area, app); i < len(area); i++ {
		area[i] = 0xff
	}
}

// App returns a copy of the application area.
func (c *Chip) App() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.flash.mem[c.flash.first:c.flash.end])
}

// Memory returns a copy of the whole flash.
func (c *Chip) Memory() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.flash.mem)
}

// SetMemory puts back what Memory returned, on a chip of the same size.
func (c *Chip) SetMemory(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	copy(c.flash.mem, p)
}

// Starts lists the starts of an application since New.
func (c *Chip) Starts() []Start {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.starts)
}

// Stats returns what was counted since New.
func (c *Chip) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Ops is the number of flash operations since New: page erases and writes.
func (c *Chip) Ops() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flash.ops
}

// Reset restarts the chip, with BOOT0 high if boot. It waits until Serve has seen it,
// or ctx ends.
func (c *Chip) Reset(ctx context.Context, boot bool) error {
	select {
	case c.resets <- boot:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Serve switches the chip on and runs it until ctx ends, rw ends, or the power fails
// (ErrCut). It closes rw.
func (c *Chip) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	bytes := make(chan []byte)
	ended := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			p := make([]byte, 512)
			n, err := rw.Read(p)
			if n > 0 {
				select {
				case bytes <- p[:n]:
				case <-stop:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	err := c.loop(ctx, rw, bytes, ended)
	close(stop)
	rw.Close() // ends the read
	<-ended
	return err
}

func (c *Chip) loop(ctx context.Context, w io.Writer, bytes <-chan []byte, ended <-chan struct{}) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errCutNow {
				panic(r)
			}
			err = ErrCut
		}
	}()
	c.boot(c.romAtStart)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := c.flush(ctx, w); err != nil {
			return nil // nobody listens any more
		}
		wait := time.Hour
		if c.expire != nil {
			wait = max(time.Until(c.deadline), 0)
		}
		timer.Reset(wait)
		select {
		case p := <-bytes:
			for _, b := range c.onTheWay(p) {
				c.feed(b)
			}
		case boot := <-c.resets:
			c.boot(boot)
		case <-timer.C:
			if do := c.expire; do != nil {
				c.expire = nil
				do()
			}
		case <-ended:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// boot is a reset.
func (c *Chip) boot(rom bool) {
	c.app, c.heard, c.out, c.expire, c.rom = false, nil, nil, nil, rom
	c.proto.boot(c)
}

// after has do run in a while, unless it is called again before.
func (c *Chip) after(d time.Duration, do func()) {
	c.deadline, c.expire = time.Now().Add(d), do
}

func (c *Chip) feed(b byte) {
	switch {
	case c.cfg.Faults.Stuck:
	case c.app:
		c.hear(b)
	default:
		c.proto.feed(c, b)
	}
}

// send queues bytes for the host.
func (c *Chip) send(p ...byte) { c.out = append(c.out, p...) }

// valid reports whether some bytes of the application are not all FF.
func (c *Chip) valid(from, to int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.flash.mem[c.flash.first+from:c.flash.first+to], func(b byte) bool { return b != 0xff })
}

// start starts the application, which the bootloader has found valid.
func (c *Chip) start() {
	app := c.App()
	name, whole := "simulated firmware", true
	if c.cfg.Firmware != nil {
		name, whole = c.cfg.Firmware(app)
	}
	c.mu.Lock()
	c.starts = append(c.starts, Start{Whole: whole})
	c.mu.Unlock()
	c.app, c.name, c.heard, c.expire = true, "", nil, nil
	if whole {
		c.name = name
		c.send([]byte("start\n")...)
	}
}

// request is what Katapult's entry in an application listens for.
const request = "~ \x1c Request Serial Bootloader!! ~"

// hear is the application: it answers lines, if it is whole.
func (c *Chip) hear(b byte) {
	if c.name == "" {
		return
	}
	c.heard = append(c.heard, b)
	if len(c.heard) > 256 {
		c.heard = c.heard[1:]
	}
	if c.cfg.Kind == Katapult && b == '~' && len(c.heard) >= len(request) && string(c.heard[len(c.heard)-len(request):]) == request {
		c.request = true
		c.boot(false)
		return
	}
	if b != '\n' {
		return
	}
	line := string(c.heard)
	c.heard = c.heard[:0]
	if line == "M115\n" {
		c.send([]byte("FIRMWARE_NAME:" + c.name + "\n")...)
	}
	c.send([]byte("ok\n")...)
}
