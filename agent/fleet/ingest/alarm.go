package ingest

import (
	"slices"
	"time"

	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// SilentAfter is three slots of the usual grid on which every printer sends, whether or not it has
// news: a printer that nothing was believed of for so long is silent. One whose grid is wider, by
// the times that its messages bear, is so after three of its own slots.
const SilentAfter = 3 * time.Minute

// unheard is how long a printer may take until it is first heard after a start of the fleet's
// side, which does not know its grid yet.
const unheard = time.Hour

// watched is what is noticed of a printer over several batches.
type watched struct {
	last    time.Time // something was believed; at first, when it was first looked for
	heard   bool      // something was
	silent  bool      // and that was told
	missing int64     // sensors that it said it cannot read

	said  time.Time        // what its last message bears: the time of a slot
	steps [4]time.Duration // between the last of them: a slot may be brought forward
	step  int              // the next of these
}

// grid takes in the times of messages that follow the one before, or nothing that is known.
func (w *watched) grid(times []time.Time, follow bool) {
	if !follow {
		w.said = time.Time{}
	}
	for _, at := range times {
		if d := at.Sub(w.said); !w.said.IsZero() && d > 0 {
			w.steps[w.step] = d
			w.step = (w.step + 1) % len(w.steps)
		}
		w.said = at
	}
}

// patience is for how long a printer may be silent.
func (w *watched) patience(after time.Duration) time.Duration {
	if !w.heard {
		return max(after, unheard)
	}
	return max(after, 3*slices.Max(w.steps[:]))
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
// of for as long as after, or as long as its own grid demands: once, until it is heard again. Time
// before the fleet's side was up does not count.
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
		if !s.silent && now.Sub(s.last) >= s.patience(after) {
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
func (in *Ingest) heard(v verify.Verdict, values map[string]int64, times []time.Time, now time.Time, add func(store.Event)) (undo func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	id := v.Printer
	in.dirty[id] = true
	w := in.watch(id)
	before := *w
	w.last, w.heard = now, true
	if !v.Late {
		w.grid(times, !v.NewChain && len(v.Missing) == 0 && v.Header.Dropped == 0)
	}
	if w.silent {
		w.silent = false
		add(store.Event{Event: store.Heard})
	}
	item, _ := catalog.Lookup(catalog.SensorsMissing)
	if mask, said := values[item.Name]; said && !v.Late && mask != w.missing {
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
