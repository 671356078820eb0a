package ingest

import (
	"errors"
	"time"

	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

// SilentAfter is three slots of the grid on which every printer sends, whether or not it has
// news: a printer that nothing was believed of for so long is silent.
const SilentAfter = 3 * time.Minute

// watched is what is noticed of a printer over several batches.
type watched struct {
	last    time.Time // something was believed; at first, when it was first looked for
	silent  bool      // and that was told
	missing int64     // sensors that it said it cannot read
}

func (in *Ingest) watch(id evidence.PrinterID) *watched {
	w := in.watched[id]
	if w == nil {
		w = &watched{}
		in.watched[id] = w
	}
	return w
}

// Silent tells of each enrolled printer that has spoken once and that nothing was believed
// of for as long as after: once, until it is heard again. Time before the fleet's side was
// up does not count.
func (in *Ingest) Silent(now time.Time, after time.Duration) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	var errs []error
	for _, id := range in.verifier.Printers() {
		if !in.verifier.Spoke(id) || !in.Known(id) {
			delete(in.watched, id)
			continue
		}
		w := in.watch(id)
		if w.last.IsZero() {
			w.last = now
		}
		if w.silent || now.Sub(w.last) < after {
			continue
		}
		w.silent = true
		in.log.Warn("a printer is silent", "printer", id.String(), "since", w.last)
		errs = append(errs, in.record(store.Event{Event: store.Silent, Printer: id.String(), Since: w.last.UTC()}))
	}
	return errors.Join(errs...)
}

// heard notes that a printer was believed, and tells what changed with that.
func (in *Ingest) heard(id evidence.PrinterID, values map[string]int64, late bool, now time.Time) error {
	w := in.watch(id)
	w.last = now
	var errs []error
	if w.silent {
		w.silent = false
		errs = append(errs, in.record(store.Event{Event: store.Heard, Printer: id.String()}))
	}
	item, _ := catalog.Lookup(catalog.SensorsMissing)
	if mask, said := values[item.Name]; said && !late && mask != w.missing {
		w.missing = mask
		if mask != 0 {
			in.log.Warn("a printer misses sensors", "printer", id.String(), "mask", mask)
		}
		errs = append(errs, in.record(store.Event{Event: store.Sensors, Printer: id.String(), Mask: uint64(mask)}))
	}
	return errors.Join(errs...)
}
