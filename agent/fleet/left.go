package fleet

import (
	"context"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

// leftEvery is how often the fleet looks for printers that were taken out. Nothing of them
// is believed from the moment they are; only their connections last until then.
const leftEvery = time.Second

// watchLeft drops the connections of printers that leave, until ctx ends.
func (s *side) watchLeft(ctx context.Context) {
	tick := time.NewTicker(leftEvery)
	defer tick.Stop()
	known := map[evidence.PrinterID]bool{}
	for first := true; ; first = false {
		now, err := s.store.AllLeft()
		if err != nil {
			s.cfg.Logger.Error("who was taken out is not known", "error", err)
		} else {
			for id := range now {
				if known[id] {
					continue
				}
				if s.drop != nil {
					s.drop(id)
				}
				if !first { // at the start it is no news
					d, _, _ := store.Left(s.cfg.Dir, id)
					s.record(store.Event{Event: store.Leaves, Printer: id.String(), Reason: d.String()})
				}
			}
			known = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
