package fleet

import (
	"context"
	"maps"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
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
	var listed time.Time
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
			if time.Since(listed) > crlEvery || !maps.Equal(known, now) {
				listed = time.Now()
				if err := WriteCRL(s.cfg.Dir, s.ca); err != nil {
					s.cfg.Logger.Error("the list of revoked certificates is an old one", "error", err)
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

// crlEvery is how often the list of revoked certificates is written anew, though nobody left.
const crlEvery = 24 * time.Hour

// WriteCRL writes the list of the certificates that printers which left the fleet in dir could still
// show: brokers that are not the fleet's read it.
func WriteCRL(dir string, authority *ca.CA) error {
	now := time.Now()
	revoked, err := store.Revoked(dir, now)
	if err != nil {
		return err
	}
	return authority.Revoke(revoked, now)
}
