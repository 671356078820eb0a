package serial

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/sim"
)

// device is a pty behind a link of a folder, as udev makes them.
func device(t *testing.T, link string) (master *os.File, path string) {
	t.Helper()
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() }) // some tests have closed it
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	return master, path
}

// TestAwait unplugs a device and plugs it in again: what it is called by its serial
// number stays, the device behind it is another.
func TestAwait(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "usb-Platen_Test_0001-if00")
	c := Config{Device: filepath.Join(dir, "usb-*-if00"), Baud: 250000}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	master, first := device(t, link)
	p, err := Await(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	master.Close()
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, hal.ErrDisconnected) {
		t.Errorf("reading from an unplugged device: %v", err)
	}
	if _, err := p.WriteNow([]byte("x")); !errors.Is(err, hal.ErrDisconnected) {
		t.Errorf("writing to an unplugged device: %v", err)
	}
	os.Remove(link)

	again := make(chan *Port)
	go func() {
		p, err := Await(ctx, c)
		if err != nil {
			t.Error(err)
		}
		again <- p
	}()
	select {
	case <-again:
		t.Fatal("control: the device came back before it was plugged in")
	case <-time.After(3 * awaitEvery):
	}
	master2, second := device(t, link) // the first port is open still, so that the number is another
	q := <-again
	if q == nil {
		t.FailNow()
	}
	defer q.Close()
	if first == second {
		t.Errorf("control: both devices are %s", first)
	}
	if n, err := q.WriteNow([]byte("M115\n")); n != 5 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	buf := make([]byte, 16)
	if n, err := master2.Read(buf); err != nil || string(buf[:n]) != "M115\n" {
		t.Errorf("the device that came back read %q, %v", buf[:n], err)
	}
	p.Close()
}

// TestAwaitWaitsForTheOwner has somebody else hold the port for a while.
func TestAwaitWaitsForTheOwner(t *testing.T) {
	link := filepath.Join(t.TempDir(), "tty")
	device(t, link)
	c := Config{Device: link, Baud: 115200}
	owner, err := Await(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 3*awaitEvery)
	defer cancel()
	if _, err := Await(short, c); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it was held: %v", err)
	}
	time.AfterFunc(2*awaitEvery, func() { owner.Close() })
	p, err := Await(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

func TestAwaitGivesUp(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*awaitEvery)
	defer cancel()
	if _, err := Await(ctx, Config{Device: filepath.Join(dir, "none"), Baud: 115200}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	for _, name := range []string{"usb-a", "usb-b"} {
		device(t, filepath.Join(dir, name))
	}
	if _, err := Await(t.Context(), Config{Device: filepath.Join(dir, "usb-*"), Baud: 115200}); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("two devices: %v", err)
	}
}
