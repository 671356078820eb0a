package flash

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal/flash/loader"
	"platen/hal/sensor/gpio"
	"platen/hal/serial"
	"platen/hal/sim"
	"platen/hal/sim/bootloader"
	"platen/updater/slot"
)

// onPTY runs a chip on a pseudo terminal and returns a link to it.
func onPTY(t *testing.T, c bootloader.Config, whole []byte) (SerialLink, *bootloader.Chip) {
	t.Helper()
	c.Firmware = func(app []byte) (string, bool) { return "firmware", bytes.HasPrefix(app, whole) }
	chip, err := bootloader.New(c)
	if err != nil {
		t.Fatal(err)
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "controller")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- chip.ServePTY(ctx, master, c.Kind == bootloader.STM32) }()
	t.Cleanup(func() {
		stop()
		<-ended
		master.Close()
	})
	return SerialLink{Find: func() (string, error) { return link, nil }, Restart: Reopen{}}, chip
}

// TestOnPTY flashes over real serial ports, a folder as the store.
func TestOnPTY(t *testing.T) {
	for name, c := range kinds() {
		if name != "stk500v2" && name != "stm32" && name != "katapult" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			c, size := small(c)
			image := firmware(c, size, 2)
			link, chip := onPTY(t, c, image)
			folder := filepath.Join(t.TempDir(), "controller")
			if err := Ready(folder); err != nil {
				t.Errorf("before anything was flashed: %v", err)
			}
			dir, err := slot.OpenDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			b := board(t, c)
			b.Entry.AppBaud = 0
			ask := Ask(link, 115200, "M115", "FIRMWARE_NAME:")
			if c.Kind == bootloader.STM32 {
				ask = nil // opening its line enters the ROM again, which answers no M115
			}
			f, err := New(Config{Board: b, Link: link, Store: dir, Probe: ask})
			if err != nil {
				t.Fatal(err)
			}
			if mcu, err := f.Identify(t.Context()); err != nil || mcu != c.MCU {
				t.Fatalf("%q, %v", mcu, err)
			}
			f.cfg.Progress = func(Stage, int, int) {
				if err := Ready(folder); !errors.Is(err, ErrPending) {
					t.Errorf("while it is flashed: %v", err)
				}
			}
			if err := f.Install(t.Context(), 4, bytes.NewReader(image)); err != nil {
				t.Fatal(err)
			}
			if err := Ready(folder); err != nil {
				t.Errorf("after it: %v", err)
			}
			if got := chip.App(); !bytes.HasPrefix(got, image) {
				t.Error("the flash does not hold the image")
			}
			if n, err := f.Installed(t.Context()); n != 4 || err != nil {
				t.Errorf("release %d, %v", n, err)
			}
		})
	}
}

func TestDeviceIsMissing(t *testing.T) {
	t.Parallel()
	l := SerialLink{Find: func() (string, error) { return filepath.Join(t.TempDir(), "none"), nil }, Restart: DTR{}, Wait: 200 * time.Millisecond}
	if _, err := l.Open(t.Context(), loader.Mode{Baud: 115200}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	l.Wait = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Open(ctx, loader.Mode{Baud: 115200}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// pin is a line that tells what is done to it.
type pin struct {
	gpio.Line
	name string
	log  *[]string
}

func (p pin) Set(active bool) error {
	state := " inactive"
	if active {
		state = " active"
	}
	*p.log = append(*p.log, p.name+state)
	return nil
}

func (p pin) Close() error {
	*p.log = append(*p.log, p.name+" released")
	return nil
}

func TestPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		broken := errors.New("no such pin")
		p := Pins{Reset: gpio.Config{Chip: "c", Offset: 1}, Boot: gpio.Config{Chip: "c", Offset: 2}}
		p.Request = func(c gpio.Config) (gpio.Line, error) {
			name := map[uint32]string{1: "reset", 2: "boot"}[c.Offset]
			if name == "" {
				return nil, broken
			}
			return pin{name: name, log: &log}, nil
		}
		check := func(boot bool, want ...string) {
			t.Helper()
			log = nil
			if err := p.Restart(t.Context(), nil, boot); err != nil {
				t.Error(err)
			}
			if len(log) != len(want) {
				t.Fatalf("got %v, want %v", log, want)
			}
			for i := range want {
				if log[i] != want[i] {
					t.Errorf("got %v, want %v", log, want)
				}
			}
		}
		reset := []string{"reset active", "reset inactive", "reset released"}
		check(true, append(append([]string{"boot active"}, reset...), "boot inactive", "boot released")...)
		check(false, reset...)
		p.Boot.Chip = ""
		check(true, reset...)
		p.Boot = gpio.Config{Chip: "c", Offset: 2}
		p.Reset.Offset = 9
		log = nil
		if err := p.Restart(t.Context(), nil, true); !errors.Is(err, broken) || len(log) != 3 || log[2] != "boot released" {
			t.Errorf("%v, %v", err, log)
		}
	})
}

func TestForeignPort(t *testing.T) {
	if err := (SerialLink{Restart: DTR{}}).Reset(t.Context(), port{}, false); err == nil {
		t.Error("a port of another link was reset")
	}
	var _ loader.Port = (*serial.Port)(nil)
}

func TestLineWith(t *testing.T) {
	for _, c := range []struct {
		buf, prefix string
		skip, size  int
	}{
		{"", "X:", 0, 0}, {"X:1", "X:", 0, 0}, {"X:1\n", "X:", 0, 4}, {"start\nX:1\nok\n", "X:", 6, 4}, {"a\nb\nX", "X:", 4, 0},
		{"\n\na\n", "", 2, 2}, {strings.Repeat("x", 600), "X:", 600, 0},
	} {
		if skip, size := lineWith(c.prefix)([]byte(c.buf)); skip != c.skip || size != c.size {
			t.Errorf("%.20q: skip %d, size %d, want %d, %d", c.buf, skip, size, c.skip, c.size)
		}
	}
}
