package flash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"platen/hal/flash/loader"
	"platen/updater/slot"
)

// Why a controller cannot be had now.
var (
	// ErrPending reports a controller that is not confirmed.
	ErrPending = errors.New("the controller's firmware is not confirmed, so that nothing may heat or move: run platen controller resume")
	// ErrDriven reports a controller that a session drives.
	ErrDriven = errors.New("a session of the agent drives the controller: stop the agent, let a print that goes on by itself end, and try again")
	// ErrFlashing reports a controller that is being flashed.
	ErrFlashing = errors.New("the controller is being flashed: wait for its end")
)

// A session that finds it may not drive has the lock for a moment.
const (
	claimWithin = 2 * time.Second
	claimAgain  = 20 * time.Millisecond
)

// Drive lets a session heat and move the controller whose journal is in a folder, until
// it closes what is returned; ErrPending if that controller is not confirmed, and
// ErrJournal as well if that is because the journal is damaged; ErrFlashing while
// somebody has claimed it. Sessions do not exclude each other: the port does that. A
// folder that is not there is made: its controller was never flashed by us.
//
// The lock, and not the port alone, keeps the two apart: a port is closed and opened
// again while a controller is flashed, and a controller can have two.
func Drive(folder string) (io.Closer, error) {
	f, err := lock(folder, unix.LOCK_SH)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrFlashing
	}
	if err != nil {
		return nil, fmt.Errorf("look whether the controller is confirmed: %w", err)
	}
	if err := Ready(folder); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Claim keeps every session from driving the controller whose journal is in a folder,
// until what is returned is closed; ErrDriven if one does, ErrFlashing is the same for
// somebody else who flashes it.
func Claim(ctx context.Context, folder string) (io.Closer, error) {
	for end := time.Now().Add(claimWithin); ; {
		f, err := lock(folder, unix.LOCK_EX)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, fmt.Errorf("claim the controller: %w", err)
		case time.Now().After(end):
			return nil, holder(folder)
		}
		if err := loader.Pause(ctx, claimAgain); err != nil {
			return nil, err
		}
	}
}

// holder says who has a controller that could not be claimed.
func holder(folder string) error {
	f, err := lock(folder, unix.LOCK_SH)
	if err != nil {
		return ErrFlashing
	}
	return errors.Join(ErrDriven, f.Close())
}

// lock opens a folder with an advisory lock that ends with its descriptor.
func lock(folder string, how int) (*os.File, error) {
	if folder == "" {
		return nil, errors.New("the folder of the journal of controller updates is not given")
	}
	store, err := slot.OpenDir(folder)
	if err != nil {
		return nil, err
	}
	defer store.Close() // only made
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Ready fails like Drive if the controller with its journal in a folder is not confirmed.
// It changes nothing, and what it says holds for the moment.
func Ready(folder string) error {
	if folder == "" {
		return errors.New("the folder of the journal of controller updates is not given")
	}
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	store, err := slot.OpenDir(folder)
	if err != nil {
		return fmt.Errorf("look whether the controller is confirmed: %w", err)
	}
	defer store.Close() // only read
	pending, err := Pending(store)
	if pending {
		return errors.Join(ErrPending, err)
	}
	return err
}
