package ingest

import (
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
	w := &write{}
	in.commit.gate.RLock()
	in.silent(now, after, w)
	in.commit.add(w)
	in.commit.gate.RUnlock()
	return in.commit.wait(w)
}

func (in *Ingest) silent(now time.Time, after time.Duration, w *write) {
	var told []*watched
	for _, id := range in.verifier.Printers() {
		spoke := in.verifier.Spoke(id) && in.Known(id)
		in.mu.Lock()
		if !spoke {
			delete(in.watched, id)
			in.mu.Unlock()
			continue
		}
		s := in.watch(id)
		if s.last.IsZero() {
			s.last = now
		}
		if !s.silent && now.Sub(s.last) >= after {
			s.silent = true
			told = append(told, s)
			in.log.Warn("a printer is silent", "printer", id.String(), "since", s.last)
			w.events = append(w.events, stamped(store.Event{Event: store.Silent, Printer: id.String(), Since: s.last.UTC()}, time.Now()))
		}
		in.mu.Unlock()
	}
	w.undo = func() error {
		in.mu.Lock()
		defer in.mu.Unlock()
		for _, s := range told {
			s.silent = false
		}
		return nil
	}
}

// heard notes that a printer was believed, and adds what changed with that. undo takes it back.
func (in *Ingest) heard(id evidence.PrinterID, values map[string]int64, late bool, now time.Time, add func(store.Event)) (undo func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dirty[id] = true
	w := in.watch(id)
	before := *w
	w.last = now
	if w.silent {
		w.silent = false
		add(store.Event{Event: store.Heard})
	}
	item, _ := catalog.Lookup(catalog.SensorsMissing)
	if mask, said := values[item.Name]; said && !late && mask != w.missing {
		w.missing = mask
		if mask != 0 {
			in.log.Warn("a printer misses sensors", "printer", id.String(), "mask", mask)
		}
		add(store.Event{Event: store.Sensors, Mask: uint64(mask)})
	}
	return func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		*w = before
	}
}
