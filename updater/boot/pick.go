package boot

import (
	"errors"
	"log/slog"

	"platen/updater/slot"
)

// Choice is what the launcher starts next. Slot None is the factory binary.
type Choice struct {
	Slot  slot.Name
	Trial bool
	Entry slot.Slot // of the record; zero for the factory binary
}

// Pick decides what starts next, reads it back, and enters in the record what has
// to be there before it starts: a try fewer for a release on trial, or the end of a
// trial whose tries ran out or whose contents are damaged.
func Pick(fsys slot.FS, logger *slog.Logger) (Choice, error) {
	log := slot.NewLog(fsys)
	rec, err := log.Load()
	if errors.Is(err, slot.ErrRecord) {
		logger.Error("slot record damaged, factory binary runs")
		return Choice{}, nil
	}
	if err != nil {
		return Choice{}, err
	}
	if rec.Trying != slot.None {
		c, ok, err := pickTrial(fsys, log, rec, logger)
		if ok || err != nil {
			return c, err
		}
	}
	for _, n := range [...]slot.Name{rec.Active, rec.Active.Other()} {
		if n == slot.None || n == rec.Trying || !rec.Slot(n).Confirmed {
			continue
		}
		if err := verify(fsys, n, *rec.Slot(n)); err != nil {
			logger.Error("slot refused", "slot", n.String(), "reason", err.Error())
			continue
		}
		return Choice{Slot: n, Entry: *rec.Slot(n)}, nil
	}
	return Choice{}, nil
}

// pickTrial spends a try of the slot on trial, or ends the trial.
func pickTrial(fsys slot.FS, log *slot.Log, rec slot.Record, logger *slog.Logger) (Choice, bool, error) {
	n := rec.Trying
	bad := verify(fsys, n, *rec.Slot(n))
	if bad != nil {
		logger.Error("slot on trial refused", "slot", n.String(), "reason", bad.Error())
	}
	now, err := log.Update(func(r *slot.Record) error {
		if bad != nil || r.Tries == 0 {
			r.FallBack()
			return nil
		}
		r.Tries--
		return nil
	})
	if err != nil {
		return Choice{}, false, err
	}
	if now.Trying != n {
		logger.Warn("fell back from trial", "slot", n.String(), "release", rec.Slot(n).Release)
		return Choice{}, false, nil
	}
	return Choice{Slot: n, Trial: true, Entry: *now.Slot(n)}, true, nil
}
