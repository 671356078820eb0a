package session

import (
	"sync"
	"time"

	"platen/agent/seam"
	"platen/hal/motion"
)

// inFlight is how many moves that were pulled may not have begun: what a driver encodes
// ahead (64 commands) and the deepest queue of moves of a controller (60, RepRapFirmware on
// a Duet 3). A layer is told when so many moves of it have been pulled: one that is told too
// late is printed a second time where it stands; one too early would be missing.
const inFlight = 128

// parkTime is how long a print that pauses may take until its nozzle is parked: all that
// is in flight has to be printed. Until then it counts as being in its layer, below.
const parkTime = 5 * time.Minute

// marks tells the agent where a print would go on if the power were lost.
type marks struct {
	tell func(seam.Layer) // never waits

	mu   sync.Mutex
	last seam.Layer // as it was told; no Mark is nothing yet
	park *time.Timer
}

// say tells it if it is news.
func (m *marks) say(l seam.Layer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l == m.last || l.Layer >= seam.MostLayers {
		return
	}
	m.last = l
	m.tell(l)
}

// repeat tells it once more, to another agent.
func (m *marks) repeat() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.Mark != 0 {
		m.tell(m.last)
	}
}

// parked takes down that the nozzle was sent to where it is parked, or back.
func (m *marks) parked(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.park != nil {
		m.park.Stop()
		m.park = nil
	}
	if on {
		var own *time.Timer
		own = time.AfterFunc(parkTime, func() { m.stands(&own) })
		m.park = own
		return
	}
	if m.last.Mark == seam.MarkParked {
		m.last.Mark = seam.MarkLayer
		m.tell(m.last)
	}
}

// stands tells that the nozzle is parked by now, unless that has been taken back: own, which
// is read under the lock, is the timer of that pause, and no longer the one that counts if the
// print went on, or went on and paused again, as it ran out.
func (m *marks) stands(own **time.Timer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.park == *own && m.last.Mark == seam.MarkLayer {
		m.last.Mark = seam.MarkParked
		m.tell(m.last)
	}
}

// end forgets the timer.
func (m *marks) end() { m.parked(false) }

// watch passes on prog, of which a machine pulls each operation, and tells the layers that
// it has begun.
func (m *marks) watch(prog motion.Program) motion.Program {
	type due struct {
		layer uint32
		at    int64
	}
	return func(yield func(motion.Op, error) bool) {
		var ahead []due // fewer than inFlight but for layers without a move
		moves := int64(0)
		for op, err := range prog {
			switch {
			case err != nil:
			case op.Kind == motion.BeginLayer && op.Layer >= 0:
				if n := len(ahead); n > 0 && ahead[n-1].at == moves+inFlight {
					ahead = ahead[:n-1]
				}
				ahead = append(ahead, due{uint32(op.Layer), moves + inFlight})
			case op.Moves():
				moves++
				for len(ahead) > 0 && ahead[0].at <= moves {
					m.say(seam.Layer{Layer: ahead[0].layer, Mark: seam.MarkLayer})
					ahead = append(ahead[:0], ahead[1:]...)
				}
			}
			if !yield(op, err) {
				return
			}
		}
	}
}

// mark has the newest layer sent. Who prints does not wait for the agent.
func (s *session) mark(l seam.Layer) {
	select {
	case <-s.news: // of no interest any more
	default:
	}
	s.news <- l // one at a time comes here
}

// sendMarks tells the agent where the print would go on without power.
func (s *session) sendMarks(done <-chan struct{}) {
	for {
		select {
		case l := <-s.news:
			if err := s.conn.Load().Send(&l, nil); err != nil {
				s.log.Debug("layer not sent")
			}
		case <-done:
			return
		}
	}
}
