package enrol

import (
	"time"

	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// leave takes the receipt of a printer that left its owner: it is gone from then on. The
// receipt says by itself which printer it is of, and only that one can have signed it.
func (s *Service) leave(text []byte) ([]byte, error) {
	id, r, err := verify.Receipt(text)
	if err != nil {
		return nil, err
	}
	if !s.cfg.Verifier.Known(id) {
		return nil, &verify.Refusal{Reason: verify.UnknownPrinter}
	}
	if r.Kept { // it is the same printer as before
		return nil, nil
	}
	if err := s.cfg.Store.Leave(id, store.Departure{At: time.Now().UTC().Truncate(time.Second), Gone: true}); err != nil {
		return nil, err
	}
	s.cfg.Logger.Info("a printer left its owner", "printer", id.String())
	return nil, nil
}
