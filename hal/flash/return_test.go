package flash

import (
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
	"platen/hal/serial"
	"platen/hal/sim"
	"platen/hal/sim/bootloader"
)

// TestDeviceGoes unplugs a device between two openings.
func TestDeviceGoes(t *testing.T) {
	t.Parallel()
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	link := filepath.Join(t.TempDir(), "controller")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	l := SerialLink{Find: func() (string, error) { return link, nil }, Restart: Reopen{}, Wait: 200 * time.Millisecond}
	p, err := l.Open(t.Context(), loader.Mode{Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := l.Reset(t.Context(), p, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is gone: %v", err)
	}
	if _, err := p.Write([]byte("x")); err == nil {
		t.Error("something was written to it")
	}
	if err := p.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closing it: %v", err)
	}
}

// TestDeviceSettles: what looks at every new device, or has to set it up, is waited for.
func TestDeviceSettles(t *testing.T) {
	t.Parallel()
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	other, err := serial.Open(serial.Config{Device: path, Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	l := SerialLink{Find: func() (string, error) { return path, nil }, Restart: Reopen{}, Wait: 200 * time.Millisecond}
	if _, err := l.Open(t.Context(), loader.Mode{Baud: 115200}); !errors.Is(err, serial.ErrBusy) {
		t.Errorf("control: while another has it: %v", err)
	}
	l.Wait = time.Minute
	time.AfterFunc(2*lookAgain, func() { other.Close() })
	p, err := l.Open(t.Context(), loader.Mode{Baud: 115200})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	for err, want := range map[error]time.Duration{
		fs.ErrNotExist: time.Minute, fs.ErrPermission: settle, serial.ErrBusy: settle, fs.ErrInvalid: 0,
	} {
		if got := l.patience(err); got != want {
			t.Errorf("%v: waits for %v, want %v", err, got, want)
		}
	}
}

// answers is a link to what answers a line by the next of its replies.
type answers struct{ replies []string }

func (a *answers) Open(context.Context, loader.Mode) (loader.Port, error) {
	host, chip := bootloader.Pipe()
	return &answering{End: host, far: chip, a: a}, nil
}

func (a *answers) Reset(context.Context, loader.Port, bool) error { return nil }

type answering struct {
	*bootloader.End
	far *bootloader.End
	a   *answers
}

func (p *answering) Write(b []byte) (int, error) {
	if len(p.a.replies) > 0 {
		if _, err := p.far.Write([]byte(p.a.replies[0])); err != nil {
			return 0, err
		}
		p.a.replies = p.a.replies[1:]
	}
	return len(b), nil
}

// TestAskTwice: an answer that was damaged on the line is nobody's name.
func TestAskTwice(t *testing.T) {
	good, bad := "ok\nFIRMWARE_NAME:Marlin 2.1\nok\n", "FIRMWARE_NAME:Merlin 2.1\nok\n"
	for _, c := range []struct {
		replies, want string
	}{
		{good + "|" + good, "FIRMWARE_NAME:Marlin 2.1"},
		{bad + "|" + good + "|" + good, "FIRMWARE_NAME:Marlin 2.1"},
		{good + "|" + bad + "|" + good + "|" + good, "FIRMWARE_NAME:Marlin 2.1"},
		{good + "||start\n|" + good, "FIRMWARE_NAME:Marlin 2.1"},
		{good + "|" + bad + "|" + good + "|" + bad + "|" + good + "|" + bad, ""},
		{good, ""},
		{"", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			ask := Ask(&answers{strings.Split(c.replies, "|")}, 115200, "M115", "FIRMWARE_NAME:")
			got, err := ask(t.Context())
			if got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%q: %q, %v", c.replies, got, err)
			}
		})
	}
}

// TestLeft: who only looks leaves no controller in its bootloader, whatever ends the
// looking; and starts none that is not confirmed.
func TestLeft(t *testing.T) {
	each(t, func(t *testing.T, c bootloader.Config) {
		image := firmware(c, c.Size, 1)
		r := newRig(t, c, image)
		defer r.off()
		f := r.flasher()
		ctx, cancel := context.WithCancel(t.Context())
		f.open = func() (loader.Loader, error) {
			l, err := f.cfg.Board.loader(r)()
			return cancelled{l, cancel}, err
		}
		if _, err := f.Identify(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("identify: %v", err)
		}
		if _, err := r.ask(t.Context()); err != nil {
			t.Errorf("its application does not answer: %v", err)
		}
		if err := (record{state: writing, release: 1}).save(r.disk); err != nil {
			t.Fatal(err)
		}
		n := len(r.chip.Starts())
		if mcu, err := r.flasher().Identify(t.Context()); mcu != c.MCU || err != nil {
			t.Errorf("%q, %v", mcu, err)
		}
		if len(r.chip.Starts()) != n {
			t.Error("an application that is not confirmed was started")
		}
	})
}

// cancelled is a loader whose user goes once the bootloader was entered.
type cancelled struct {
	loader.Loader
	cancel context.CancelFunc
}

func (l cancelled) Enter(ctx context.Context) (loader.Traits, error) {
	t, err := l.Loader.Enter(ctx)
	l.cancel()
	if err == nil {
		err = ctx.Err()
	}
	return t, err
}
