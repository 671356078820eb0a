package boot

import (
	"log/slog"

	"platen/updater/slot"
)

// Choice is what the launcher starts next. Slot None is the factory binary.
type Choice struct {
	Slot  slot.Name
	Trial bool
	Entry slot.Slot // of the record; zero for the factory binary

	file slot.File // the open file that was hashed; nil for the factory binary
}

// Close lets go of the chosen file.
func (c Choice) Close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// Pick decides what starts next, reads it back, and enters in the record what has
// to be there before it starts: a try fewer for a release on trial, or the end of a
// trial whose tries ran out or whose contents are damaged. It always finds
// something: what it cannot read or write is logged and passed over, down to the
// factory binary. skip names slots that could not be started before.
func Pick(fsys slot.FS, logger *slog.Logger, skip ...slot.Name) Choice {
	log := slot.NewLog(fsys)
	rec, err := log.Load()
	if err != nil {
		logger.Error("slot record cannot be read, factory binary runs", "reason", err.Error())
		return Choice{}
	}
	if rec.Trying != slot.None {
		if c, ok := pickTrial(fsys, log, rec, logger); ok {
			return c
		}
	}
next:
	for _, n := range [...]slot.Name{rec.Active, rec.Active.Other()} {
		if n == slot.None || n == rec.Trying || !rec.Slot(n).Confirmed {
			continue
		}
		for _, s := range skip {
			if s == n {
				continue next
			}
		}
		f, err := verify(fsys, n, *rec.Slot(n))
		if err != nil {
			logger.Error("slot refused", "slot", n.String(), "reason", err.Error())
			continue
		}
		return Choice{Slot: n, Entry: *rec.Slot(n), file: f}
	}
	return Choice{}
}

// pickTrial spends a try of the slot on trial, or ends the trial. A try that cannot
// be entered in the record is not spent: then what is confirmed starts.
func pickTrial(fsys slot.FS, log *slot.Log, rec slot.Record, logger *slog.Logger) (Choice, bool) {
	n := rec.Trying
	f, bad := verify(fsys, n, *rec.Slot(n))
	if bad != nil {
		logger.Error("slot on trial refused", "slot", n.String(), "reason", bad.Error())
	}
	now, err := log.Update(func(r *slot.Record) error {
		switch {
		case bad != nil:
			r.FallBack(slot.Damaged)
			return nil
		case r.Tries == 0:
			r.FallBack(slot.Restarted)
			return nil
		}
		r.Tries--
		return nil
	})
	if err == nil && now.Trying == n {
		return Choice{Slot: n, Trial: true, Entry: *now.Slot(n), file: f}, true
	}
	if f != nil {
		f.Close() // only read
	}
	if err != nil {
		logger.Error("slot record cannot be written, trial waits", "reason", err.Error())
	} else {
		logger.Warn("fell back from trial", "slot", n.String(), "release", rec.Slot(n).Release)
	}
	return Choice{}, false
}
