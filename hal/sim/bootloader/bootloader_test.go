package bootloader

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// desk is a host at the other end of a chip's line.
type desk struct {
	t     *testing.T
	chip  *Chip
	host  *End
	ended chan error
	stop  context.CancelFunc
}

func switchOn(t *testing.T, cfg Config, app []byte) *desk {
	t.Helper()
	chip, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	chip.Load(app)
	host, end := Pipe()
	ctx, stop := context.WithCancel(context.Background())
	d := &desk{t: t, chip: chip, host: host, ended: make(chan error, 1), stop: stop}
	go func() { d.ended <- chip.Serve(ctx, end) }()
	t.Cleanup(func() {
		stop()
		<-d.ended
	})
	return d
}

// ask sends bytes in hexadecimal and returns what comes within a second.
func (d *desk) ask(request string) string {
	d.t.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(request, " ", ""))
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.host.Write(p); err != nil {
		d.t.Fatal(err)
	}
	return d.hear(time.Second)
}

func (d *desk) hear(for_ time.Duration) string {
	d.t.Helper()
	d.host.SetReadDeadline(time.Now().Add(for_))
	var got []byte
	for {
		buf := make([]byte, 600)
		n, err := d.host.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return hex.EncodeToString(got)
		}
	}
}

func (d *desk) expect(request, want string) {
	d.t.Helper()
	if got := d.ask(request); got != strings.ReplaceAll(want, " ", "") {
		d.t.Errorf("%s is answered by %s, want %s", request, got, want)
	}
}

// stkSum completes a message of STK500v2.
func stkSum(s string) string {
	p, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	var x byte
	for _, b := range p {
		x ^= b
	}
	return hex.EncodeToString(append(p, x))
}

// TestSTK holds the answers against what stk500boot.c sends, worked out by hand.
func TestSTK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := switchOn(t, Defaults(STK500v2), bytes.Repeat([]byte{0xaa}, 700))
		d.expect("1b0100010e0114", "1b01000b0e0100084156524953505f3274")
		d.expect(stkSum("1b0200060e1b0430000000"), stkSum("1b0200040e1b001e00"))
		d.expect(stkSum("1b0200060e1b0430000200"), stkSum("1b0200040e1b000100"))
		d.expect(stkSum("1b0300050e0680000080"), stkSum("1b0300020e0600")) // word 0x80: byte 256
		d.expect(stkSum("1b0400040e14000220"), stkSum("1b0400050e1400aaaa00"))
		d.expect(stkSum("1b0500020e2200"), stkSum("1b0500020e22c0")) // a command it does not know
		if got := d.ask("1b0600010e0114"); got != "" {
			t.Errorf("a wrong checksum is answered by %s", got)
		}
		// It erases page 0, whatever is written: page 1 here, on top of what is there.
		d.expect(stkSum("1b0700050e0680000080"), stkSum("1b0700020e0600"))
		page := strings.Repeat("5b", 256)
		d.expect(stkSum("1b08010a0e130100c10a404c200000"+page), stkSum("1b0800020e1300"))
		app := d.chip.App()
		if app[0] != 0xff || app[255] != 0xff || app[256] != 0xaa&0x5b || app[512] != 0xaa {
			t.Errorf("the flash holds %x %x %x", app[0], app[256], app[512])
		}
		if s := d.chip.Stats(); s.Erases != 1 || s.Programs != 1 || s.Unerased != 1 || s.Outside != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestWhatStarts: each bootloader starts an application when it finds one, and stays when
// it does not.
func TestWhatStarts(t *testing.T) {
	for _, k := range []Kind{STK500v2, STM32, Katapult} {
		for _, c := range []struct {
			name  string
			app   []byte
			start bool
		}{
			{"an application", bytes.Repeat([]byte{0x11}, 100), true},
			{"nothing", nil, false},
			{"all but the first page", append(bytes.Repeat([]byte{0xff}, 1024), 1, 2, 3), false},
		} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := switchOn(t, Defaults(k), c.app)
					d.hear(10 * time.Second)
					if got := len(d.chip.Starts()) > 0; got != c.start {
						t.Errorf("kind %d starts it: %v", k, got)
					}
					if got := d.ask(hex.EncodeToString([]byte("M115\n"))); strings.HasSuffix(got, hex.EncodeToString([]byte("ok\n"))) != c.start {
						t.Errorf("kind %d says %s", k, got)
					}
				})
			})
		}
	}
}

// TestROM goes through AN3155's flow charts.
func TestROM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := switchOn(t, Defaults(STM32), bytes.Repeat([]byte{0x22}, 3000))
		d.hear(time.Second)
		if err := d.chip.Reset(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		d.expect("00ff", "") // not in sync
		d.expect("7f", "79")
		d.expect("7f80", "1f")
		d.expect("00ff", "79 0b 31 00 01 02 11 21 31 44 63 73 82 92 79")
		d.expect("01fe", "79 31 00 00 79")
		d.expect("02fd", "79 01 04 10 79")
		d.expect("02fc", "1f")
		d.expect("11ee", "79")
		d.expect("08002000 28", "79")
		d.expect("03fc", "79 22222222")
		d.expect("11ee", "79")
		d.expect("20000000 20", "1f") // RAM is not simulated
		d.expect("44bb", "79")
		d.expect("0000 0009 09", "79") // page 9 is the second of the application
		d.expect("31ce", "79")
		d.expect("08002400 2c", "79")
		d.expect("03 01020304 07", "79")
		d.expect("31ce", "79")
		d.expect("08002404 28", "79")
		d.expect("03 01020304 06", "1f")
		app := d.chip.App()
		if !bytes.Equal(app[1020:1032], []byte{0x22, 0x22, 0x22, 0x22, 1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff}) {
			t.Errorf("the flash holds %x", app[1020:1032])
		}
		d.expect("44bb", "79")
		d.expect("ffff 00", "79") // all of it
		if s := d.chip.Stats(); s.Mass != 1 || s.Outside != 9 {
			t.Errorf("%+v", s)
		}
	})
}

// TestProtected refuses to be read, written and erased, and says who it is.
func TestProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Defaults(STM32)
		cfg.Faults.Protected = true
		d := switchOn(t, cfg, nil)
		if err := d.chip.Reset(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		d.expect("7f", "79")
		d.expect("02fd", "79 01 04 10 79")
		for _, cmd := range []string{"11ee", "31ce", "44bb"} {
			d.expect(cmd, "1f")
		}
	})
}

// TestKatapultPages holds the rules of flash_write_block.
func TestKatapultPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := switchOn(t, Defaults(Katapult), nil)
		send := func(at uint32, fill byte) bool {
			t.Helper()
			p := append(katWords(at), bytes.Repeat([]byte{fill}, 64)...)
			m := append([]byte{0x12, byte(len(p) / 4)}, p...)
			crc := katCRC(m)
			got := d.ask("0188" + hex.EncodeToString(m) + hex.EncodeToString([]byte{byte(crc), byte(crc >> 8), 0x99, 0x03}))
			switch {
			case strings.HasPrefix(got, "0188a0"):
				return true
			case !strings.HasPrefix(got, "0188f2"):
				t.Errorf("answered by %q", got)
			}
			return false
		}
		for _, c := range []struct {
			at   uint32
			fill byte
			ok   bool
		}{
			{0x08002000, 1, true}, {0x08002000, 1, true}, // sent again
			{0x08002040, 2, true}, {0x08002040, 2, true},
			{0x08002040, 3, false},   // there is something already
			{0x08002000, 4, true},    // the first block erases all
			{0x08002040, 3, true},    // so that now it may
			{0x08001fc0, 1, false},   // the bootloader itself
			{0x08002020, 1, false},   // within a block
			{0x08010000, 1, false},   // behind the flash
			{0x08006000, 0xff, true}, // the first one behind the application
		} {
			if got := send(c.at, c.fill); got != c.ok {
				t.Errorf("%d at %#x: %v", c.fill, c.at, got)
			}
		}
		if app := d.chip.App(); app[0] != 4 || app[64] != 3 || app[128] != 0xff {
			t.Errorf("the flash holds %x", app[:130])
		}
		if got := d.ask("018899" + "0000"); got != "" && !strings.HasPrefix(got, "0188f1") {
			t.Errorf("garbage is answered by %s", got)
		}
	})
}

// TestDoubleReset is how Katapult is entered although there is an application.
func TestDoubleReset(t *testing.T) {
	for apart, in := range map[time.Duration]bool{100 * time.Millisecond: true, 2 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			d := switchOn(t, Defaults(Katapult), bytes.Repeat([]byte{0x11}, 100))
			d.hear(5 * time.Second)
			for range 2 {
				if err := d.chip.Reset(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				d.hear(apart)
			}
			if got := d.ask("0188" + "1100" + "22c1" + "9903"); strings.HasPrefix(got, "0188") != in {
				t.Errorf("two resets %v apart: %q", apart, got)
			}
		})
	}
}

// TestCut ends in the middle of the operation that was named.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Defaults(STM32)
		cfg.Faults.CutAt, cfg.Seed = 1, 5
		d := switchOn(t, cfg, bytes.Repeat([]byte{0x22}, 3000))
		d.hear(time.Second)
		if err := d.chip.Reset(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		d.expect("7f", "79")
		d.expect("44bb", "79")
		d.expect("0000 0009 09", "")
		err := <-d.ended
		d.ended <- err
		if !errors.Is(err, ErrCut) {
			t.Errorf("ended with %v", err)
		}
		page := d.chip.App()[1024:2048]
		if n := bytes.Count(page, []byte{0xff}); n < 100 || n > 900 {
			t.Errorf("%d of 1024 bytes are erased", n)
		}
		if _, err := d.host.Write([]byte{1}); err == nil {
			t.Error("the line is still there")
		}
	})
}

func TestLineFaults(t *testing.T) {
	for name, c := range map[string]struct {
		f    Faults
		seen func(s Stats) int
	}{
		"corrupt":    {Faults{Corrupt: 0.2}, func(s Stats) int { return s.Corrupted }},
		"drop":       {Faults{Drop: 0.2}, func(s Stats) int { return s.Dropped }},
		"garbage":    {Faults{Garbage: 0.2}, func(s Stats) int { return s.Garbage }},
		"nack":       {Faults{Nack: 0.5}, func(s Stats) int { return s.Nacked }},
		"late":       {Faults{Late: 0.5}, func(s Stats) int { return s.Late }},
		"wrong baud": {Faults{WrongBaud: true}, func(s Stats) int { return s.Corrupted }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := Defaults(STK500v2)
				cfg.Faults, cfg.Seed = c.f, 9
				d := switchOn(t, cfg, nil)
				good := 0
				for range 40 {
					if d.ask("1b0100010e0114") == "1b01000b0e0100084156524953505f3274" {
						good++
					}
				}
				if n := c.seen(d.chip.Stats()); n == 0 || good == 40 {
					t.Errorf("%d faults, %d answers as they should be", n, good)
				}
			})
		})
	}
}

func TestParseFaults(t *testing.T) {
	got, err := ParseFaults(" corrupt:0.001, drop:1/500,nack:0.5,late:0,garbage:1,stuck,wrong-baud,protected,cut@12,worn@3")
	want := Faults{Corrupt: 0.001, Drop: 0.002, Nack: 0.5, Garbage: 1, Stuck: true, WrongBaud: true, Protected: true, CutAt: 12, Worn: 3}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"fire", "corrupt", "corrupt:2", "corrupt:-1", "corrupt:NaN", "corrupt:1/0", "cut@0", "cut@x", "worn@-1", "dive@3", "stuck:1"} {
		if _, err := ParseFaults(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestBadChips(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no signature":       func(c *Config) { c.MCU = "x" },
		"outside":            func(c *Config) { c.Size = 1 << 20 },
		"nothing":            func(c *Config) { c.Size = 0 },
		"unknown":            func(c *Config) { c.Kind = 9 },
		"Katapult's block":   func(c *Config) { c.Kind, c.Block = Katapult, 8 },
		"an id of five":      func(c *Config) { c.Kind, c.MCU = STM32, "12345" },
		"before the flash":   func(c *Config) { c.Base = 0x100 },
		"no pages are there": func(c *Config) { c.Pages = nil },
	} {
		cfg := Defaults(STK500v2)
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// FuzzChip lets a host say anything to each bootloader, which must not panic, and never
// touch what is outside of the application unless it was told to by a valid request.
func FuzzChip(f *testing.F) {
	f.Add(uint8(0), []byte("\x1b\x01\x00\x01\x0e\x01\x14"))
	f.Add(uint8(1), []byte("\x7f\x00\xff\x44\xbb\x00\x00\x00\x09\x09\x31\xce"))
	f.Add(uint8(2), []byte("\x01\x88\x11\x00\x22\xc1\x99\x03"))
	f.Fuzz(func(t *testing.T, kind uint8, said []byte) {
		if len(said) > 4096 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			d := switchOn(t, Defaults(Kind(kind%3)), nil)
			if err := d.chip.Reset(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			d.host.Write(said)
			d.hear(time.Second)
			if s := d.chip.Stats(); kind%3 == 0 && s.Outside > 0 {
				t.Errorf("%+v", s)
			}
		})
	})
}
