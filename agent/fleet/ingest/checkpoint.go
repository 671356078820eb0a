package ingest

import (
	"errors"

	"platen/agent/evidence"
)

// Save writes one printer's state, with nothing in it that the log does not have.
func (in *Ingest) Save(id evidence.PrinterID) error {
	in.disk.Lock()
	defer in.disk.Unlock()
	lane := in.lane(id)
	lane.Lock()
	defer lane.Unlock()
	in.commit.flush()
	return in.store.SavePrinter(in.verifier, id)
}

// Checkpoint writes the states of the printers that were heard since the last one, so that a
// start has less of the log to read. Frames are judged meanwhile, but for those of the lane whose
// states are being read.
func (in *Ingest) Checkpoint() error {
	in.saving.Lock() // a later place must not be noted before an earlier one's states
	defer in.saving.Unlock()
	at, err := in.store.Position()
	if err != nil {
		return err
	}
	in.mu.Lock()
	dirty := in.dirty
	in.dirty = map[evidence.PrinterID]bool{}
	in.mu.Unlock()
	if len(dirty) == 0 {
		return nil
	}
	var byLane [lanes][]evidence.PrinterID
	for id := range dirty {
		byLane[id[0]%lanes] = append(byLane[id[0]%lanes], id)
	}
	for i, ids := range byLane {
		if len(ids) > 0 {
			err = errors.Join(err, in.saveLane(i, ids))
		}
	}
	if err == nil {
		err = in.store.Checkpoint(at)
	}
	if err != nil { // all of it again the next time
		in.mu.Lock()
		defer in.mu.Unlock()
		for id := range dirty {
			in.dirty[id] = true
		}
	}
	return err
}

func (in *Ingest) saveLane(lane int, ids []evidence.PrinterID) error {
	in.disk.Lock()
	defer in.disk.Unlock()
	states, err := in.states(lane, ids)
	if err != nil {
		return err
	}
	return in.store.SavePrinters(states)
}

// states are those of printers of one lane, with nothing in them that is not durable.
func (in *Ingest) states(lane int, ids []evidence.PrinterID) (map[evidence.PrinterID][]byte, error) {
	in.lanes[lane].Lock()
	defer in.lanes[lane].Unlock()
	in.commit.flush()
	states := make(map[evidence.PrinterID][]byte, len(ids))
	for _, id := range ids {
		if !in.verifier.Known(id) {
			continue // forgotten since
		}
		b, err := in.verifier.PrinterState(id)
		if err != nil {
			return nil, err
		}
		states[id] = b
	}
	return states, nil
}
