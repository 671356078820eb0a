package serial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// awaitEvery is how often Await looks: udev takes longer to make a link.
const awaitEvery = 100 * time.Millisecond

// Await opens the port of c like [Open], but waits until ctx ends for a device that is
// not there yet, is not set up yet, or that another process still holds: one that was
// unplugged comes back, after a reset by USB within a second or two. c.Device may be a
// pattern for one device (path/filepath.Match), best a link of udev that names it by its
// serial number, such as /dev/serial/by-id/usb-*-if00: a device that returns may have
// another /dev/ttyACM. What it names is resolved once, so that all steps of Open are on
// the same device. Any other error ends the wait, and so do two devices that match.
func Await(ctx context.Context, c Config) (*Port, error) {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		p, err := openMatch(c)
		switch {
		case err == nil:
			return p, nil
		case !passing(err):
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("no controller yet: connect it, or name its device in the configuration: %w (%w)", err, ctx.Err())
		}
	}
}

// openMatch opens the one device that c.Device names.
func openMatch(c Config) (*Port, error) {
	found, err := filepath.Glob(c.Device)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look for a serial port at %s: %w", c.Device, err)
	case len(found) == 0:
		return nil, fmt.Errorf("no serial port at %s: %w", c.Device, fs.ErrNotExist)
	case len(found) > 1:
		return nil, fmt.Errorf("%d devices match %s: name the right one in the configuration", len(found), c.Device)
	}
	if c.Device, err = filepath.EvalSymlinks(found[0]); err != nil {
		return nil, fmt.Errorf("open serial port: %w", err)
	}
	return Open(c)
}

// passing reports whether an error goes away once a device has settled: udev sets owner
// and mode after the node is there.
func passing(err error) bool {
	for _, e := range [...]error{fs.ErrNotExist, fs.ErrPermission, ErrBusy, unix.EIO, unix.ENXIO, unix.ENODEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
