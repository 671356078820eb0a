package flash

import (
	"bytes"
	"context"
	"testing"

	"platen/hal/flash/loader"
	"platen/hal/sim/bootloader"
	"platen/updater/updatertest"
)

// counted is a link that counts the bytes on it, both ways, and how often the line turns
// round.
type counted struct {
	*rig
	bytes, turns int
}

func (c *counted) Open(context.Context, loader.Mode) (loader.Port, error) {
	return &countedPort{port{c.wire}, c}, nil
}

func (c *counted) Reset(ctx context.Context, p loader.Port, boot bool) error {
	return c.rig.Reset(ctx, p, boot)
}

type countedPort struct {
	port
	c *counted
}

func (p *countedPort) Write(b []byte) (int, error) {
	p.c.bytes += len(b)
	p.c.turns++
	return p.port.Write(b)
}

func (p *countedPort) Read(b []byte) (int, error) {
	n, err := p.port.Read(b)
	p.c.bytes += n
	return n, err
}

// BenchmarkInstall installs 8 KiB, over and over. An installation writes every byte once
// and reads it back twice, so that 3072 bytes for a KiB are the least there can be on the
// wire; s/KiB is what that takes at 115200 baud (AN3155: with a parity bit) without the
// flash's own time.
func BenchmarkInstall(b *testing.B) {
	for _, name := range []string{"stk500v2", "stm32", "katapult"} {
		b.Run(name, func(b *testing.B) {
			c := kinds()[name]
			c.Size = 8 << 10
			image := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 1<<10)
			copy(image, firmware(c, 256, 1)[:8])
			copy(image[4:], []byte{byte(c.Start>>0) | 9, byte(c.Start >> 8), byte(c.Start >> 16), byte(c.Start >> 24)})
			chip, err := bootloader.New(c)
			if err != nil {
				b.Fatal(err)
			}
			r := &rig{cfg: c}
			r.on(chip)
			defer r.off()
			link := &counted{rig: r}
			f, err := New(Config{Board: board(b, c), Link: link, Store: updatertest.NewDisk()})
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				f.cfg.Store = updatertest.NewDisk()
				if err := f.Install(b.Context(), 1, bytes.NewReader(image)); err != nil {
					b.Fatal(err)
				}
				n++
			}
			bits := 10
			if c.Kind == bootloader.STM32 {
				bits = 11
			}
			kib := float64(8 * n)
			b.ReportMetric(float64(link.bytes)/kib, "wire-B/KiB")
			b.ReportMetric(float64(link.bytes*bits)/115200/kib, "s/KiB")
			b.ReportMetric(float64(link.turns)/kib, "turns/KiB")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/kib, "elapsed-us/KiB")
		})
	}
}
