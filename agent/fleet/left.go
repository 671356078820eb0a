package fleet

import (
	"context"
	"errors"
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
	known, list := map[evidence.PrinterID]bool{}, crl{}
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
			if err := list.follow(now, time.Now(), func() error { return WriteCRL(s.cfg.Dir, s.ca) }); err != nil {
				s.cfg.Logger.Error("the list of revoked certificates is not complete", "error", err)
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

// crl is of whom the list of revoked certificates was written, and when.
type crl struct {
	of     map[evidence.PrinterID]bool
	at     time.Time
	failed string // why it could not be, the last time
}

// follow writes the list if others have left than those it is of, or if it is old. What fails is
// tried again the next time, and told once.
func (l *crl) follow(left map[evidence.PrinterID]bool, now time.Time, write func() error) error {
	if now.Sub(l.at) <= crlEvery && maps.Equal(l.of, left) {
		return nil
	}
	err := write()
	if err == nil || errors.Is(err, store.ErrUnread) { // all the others are on it
		*l = crl{of: left, at: now}
		return err
	}
	if l.failed == err.Error() {
		return nil
	}
	l.failed = err.Error()
	return err
}

// WriteCRL writes the list of the certificates that printers which left the fleet in dir could still
// show: brokers that are not the fleet's read it. With store.ErrUnread it was written, but for those
// of some printers.
func WriteCRL(dir string, authority *ca.CA) error {
	now := time.Now()
	revoked, err := store.Revoked(dir, now)
	if err != nil && !errors.Is(err, store.ErrUnread) {
		return err
	}
	if failed := authority.Revoke(revoked, now); failed != nil {
		return failed
	}
	return err
}
