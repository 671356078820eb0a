package boot

import (
	"errors"
	"fmt"

	"platen/updater"
	"platen/updater/slot"
)

// Env is what a board's bootloader keeps between starts: which of the two root file
// systems starts. Packages uboot, grub and rpi have one each. Every change is one write
// that a power cut leaves done or undone, and is read back.
type Env interface {
	// Load returns the root file system that starts from now on, and the one on trial
	// that starts before it; None if there is none.
	Load() (active, trying slot.Name, err error)
	// Try has n start next, a bounded number of times, and then again what is active. arg
	// is what the restart has to be told, "" for nothing.
	Try(n slot.Name) (arg string, err error)
	// Confirm has n start from now on. It writes nothing if that is so already.
	Confirm(n slot.Name) error
}

// Counter is an Env of a bootloader that counts the starts of a trial itself.
type Counter interface {
	// Spent reports whether n is on trial and has had all its starts: it never starts again without
	// another Try.
	Spent(n slot.Name) (bool, error)
}

// RootConfig is what a Root works with. All of it is needed.
type RootConfig struct {
	Log     *slot.Log // holds what the partitions hold
	Env     Env
	Running slot.Name // the partition that is the root file system now; None: neither
	// Open opens the partition n; see slot.OpenDevice.
	Open func(n slot.Name, mode slot.Mode) (slot.File, error)
}

// Root is the bootloader of the root file system's two partitions. It implements
// updater.Bootloader. The launcher ([Run]) puts a root file system on trial, and goes back
// to the one that belongs to the slot it starts; see [Root.Align].
type Root struct{ cfg RootConfig }

// NewRoot returns a Root.
func NewRoot(cfg RootConfig) (*Root, error) {
	if cfg.Log == nil || cfg.Env == nil || cfg.Open == nil {
		return nil, errors.New("partitions of a root file system need a record, a bootloader's environment and devices")
	}
	return &Root{cfg}, nil
}

// Current is the partition that runs.
func (r *Root) Current() (slot.Name, error) { return r.cfg.Running, nil }

// Read opens what is in partition n, for deltas and for reading it back.
func (r *Root) Read(n slot.Name) (slot.File, error) { return r.cfg.Open(n, slot.Read) }

// Try puts a partition on trial after reading it back.
func (r *Root) Try(n slot.Name) error {
	_, err := r.arm(n)
	return err
}

func (r *Root) arm(n slot.Name) (arg string, err error) {
	if n != slot.A && n != slot.B || n == r.cfg.Running {
		return "", fmt.Errorf("root file system %s cannot be tried", n)
	}
	rec, err := r.cfg.Log.Load()
	if err != nil {
		return "", err
	}
	want := *rec.Root(n)
	if want.Empty() {
		return "", fmt.Errorf("root file system %s is empty: %w", n, updater.ErrSlot)
	}
	f, err := r.cfg.Open(n, slot.Read)
	if err != nil {
		return "", fmt.Errorf("open root file system %s: %w", n, errors.Join(updater.ErrSlot, err))
	}
	sum, err := slot.Sum(f, int64(want.Size))
	if err = errors.Join(err, f.Close()); err == nil && sum != want.Digest {
		err = updater.ErrSlot
	}
	if err != nil {
		return "", fmt.Errorf("root file system %s: %w", n, err)
	}
	if arg, err = r.cfg.Env.Try(n); err != nil {
		return "", fmt.Errorf("try root file system %s: %w", n, err)
	}
	return arg, nil
}

// Confirm makes n, which runs, the one that starts from now on.
func (r *Root) Confirm(n slot.Name) error {
	if n == slot.None || n != r.cfg.Running {
		return fmt.Errorf("root file system %s does not run: %w", n, updater.ErrSlot)
	}
	if err := r.cfg.Env.Confirm(n); err != nil {
		return fmt.Errorf("confirm root file system %s: %w", n, err)
	}
	active, trying, err := r.cfg.Env.Load()
	if err == nil && (active != n || trying != slot.None && trying != n) {
		err = updater.ErrSlot
	}
	if err != nil {
		return fmt.Errorf("root file system %s, confirmed, reads back otherwise: %w", n, err)
	}
	return nil
}

// Open empties partition n and returns the writer of its new contents. It refuses the one
// that runs, and the one that a confirmed slot or the bootloader goes back to.
func (r *Root) Open(n slot.Name) (updater.Writer, error) {
	if n != slot.A && n != slot.B || n == r.cfg.Running || r.cfg.Running == slot.None {
		return nil, fmt.Errorf("root file system %s cannot be written: %w", n, updater.ErrSlot)
	}
	active, trying, err := r.cfg.Env.Load()
	if err != nil {
		return nil, fmt.Errorf("ask the bootloader what starts: %w", err)
	}
	if active == n {
		return nil, fmt.Errorf("root file system %s is what the bootloader falls back to: %w", n, updater.ErrSlot)
	}
	if trying == n {
		if err := r.cfg.Env.Confirm(r.cfg.Running); err != nil {
			return nil, fmt.Errorf("end the trial of root file system %s: %w", n, err)
		}
	}
	_, err = r.cfg.Log.Update(func(rec *slot.Record) error {
		for _, x := range [...]slot.Name{slot.A, slot.B} {
			switch s := rec.Slot(x); {
			case s.Root != n:
			case x == rec.Active:
				return fmt.Errorf("the confirmed slot runs on root file system %s: %w", n, updater.ErrSlot)
			default:
				rec.EndTrial(x)
				*s = slot.Slot{}
			}
		}
		*rec.Root(n) = slot.Part{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	head, err := r.cfg.Log.Planned(slot.Root, n)
	if err != nil {
		return nil, err
	}
	f, err := r.cfg.Open(n, slot.Edit)
	if err != nil {
		return nil, fmt.Errorf("open root file system %s: %w", n, err)
	}
	return &rootWriter{Fill: r.cfg.Log.Begin(f, slot.Root, n, head), log: r.cfg.Log, n: n}, nil
}

// rootWriter fills a partition.
type rootWriter struct {
	*slot.Fill
	log *slot.Log
	n   slot.Name
}

// Close makes the contents durable, reads them back and enters their hash in the record.
func (w *rootWriter) Close() error {
	got, err := w.Finish()
	if err == nil {
		_, err = w.log.Update(func(r *slot.Record) error {
			*r.Root(w.n) = got
			r.Filling = slot.Filling{}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("close root file system %s: %w", w.n, err)
	}
	return nil
}

// maxTurns bounds how often in a row the board is restarted to get to the root file
// system that belongs to the slot that starts.
const maxTurns = 3

// Turn is what has to happen before a slot can start.
type Turn uint8

// The turns.
const (
	Go        Turn = iota // nothing: start it
	Reboot                // restart the board
	PickAgain             // its trial has failed: pick what starts
)

// Align makes sure that the slot about to start gets the root file system that belongs to
// it. boot names this start of the board: it is another one after each. With Reboot, arg
// is what the restart has to be told. What cannot be had after a few restarts is done
// without: a printer that runs can be helped.
//
// A slot on trial has its root file system put on trial. If the board comes back with the
// other one, the bootloader has fallen back: because the new one does not come up, or
// because the power failed in its first start, which with bootloaders of one try is the
// same. So with these it is tried a few times before the trial has failed; one that counts
// starts itself ([Counter]) has given it as many already.
func (r *Root) Align(c Choice, boot [16]byte) (t Turn, arg string, err error) {
	want := c.Entry.Root
	if want == slot.None || c.Slot == slot.None {
		return Go, "", nil
	}
	if want == r.cfg.Running {
		if c.Trial {
			return Go, "", nil // who confirms the slot confirms it
		}
		return Go, "", r.settled(want)
	}
	if c.Trial {
		return r.alignTrial(want, boot)
	}
	rec, err := r.cfg.Log.Update(func(rec *slot.Record) error {
		if rec.Turns <= maxTurns {
			rec.Turns++
		}
		return nil
	})
	if err != nil || rec.Turns > maxTurns {
		return Go, "", errors.Join(err, fmt.Errorf("root file system %s does not start: %w", want, updater.ErrSlot))
	}
	if err := r.cfg.Env.Confirm(want); err != nil {
		return Go, "", fmt.Errorf("go back to root file system %s: %w", want, err)
	}
	return Reboot, "", nil
}

func (r *Root) alignTrial(want slot.Name, boot [16]byte) (t Turn, arg string, err error) {
	rec, err := r.cfg.Log.Update(func(rec *slot.Record) error {
		if rec.Armed != boot { // else the restart that was ordered has not happened yet
			rec.Armed = boot
			rec.Turns++
			rec.Tries++ // it was picked, but does not start here: Turns bounds these
		}
		return nil
	})
	if err != nil {
		return PickAgain, "", err
	}
	if rec.Turns > maxTurns || rec.Turns > 1 && r.spent(want) {
		return PickAgain, "", r.fail(slot.RootFailed, slot.None)
	}
	if arg, err = r.arm(want); err != nil {
		lost := slot.None
		if errors.Is(err, updater.ErrSlot) {
			lost = want // so that the next release does not count on it
		}
		return PickAgain, "", errors.Join(err, r.fail(slot.Damaged, lost))
	}
	return Reboot, arg, nil
}

// spent reports whether the bootloader has tried n as often as it was to. What cannot be read has not:
// the number of turns ends that trial, too.
func (r *Root) spent(n slot.Name) bool {
	c, ok := r.cfg.Env.(Counter)
	if !ok {
		return false
	}
	spent, err := c.Spent(n)
	return err == nil && spent
}

// fail ends the trial. lost is the partition that did not read back, if one did not.
func (r *Root) fail(why slot.Why, lost slot.Name) error {
	_, err := r.cfg.Log.Update(func(rec *slot.Record) error {
		rec.FallBack(why)
		if lost != slot.None {
			*rec.Root(lost) = slot.Part{}
		}
		return nil
	})
	return err
}

// settled tells the bootloader, if it thinks otherwise, that the running root file system
// is the right one.
func (r *Root) settled(n slot.Name) error {
	if err := r.cfg.Env.Confirm(n); err != nil {
		return fmt.Errorf("keep root file system %s: %w", n, err)
	}
	_, err := r.cfg.Log.Update(func(rec *slot.Record) error {
		rec.Turns = 0
		return nil
	})
	return err
}
