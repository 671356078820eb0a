package agent

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"platen/agent/seam"
	"platen/agent/seam/link"
)

// bounds are how much patience the agent has with a session that hangs.
type bounds struct {
	open   time.Duration // for the first word of one that opens its controller
	silent time.Duration // for the next word of one that is ready
	exit   time.Duration // for the end of one whose seam has ended
}

// patience is beyond what a session needs on a slow board: it opens its controller
// within 30 s, reports every second, and closes within 10 s. A session that is ready may
// have heaters on: what is silent is to add to the time until they are off.
var patience = bounds{open: 2 * time.Minute, silent: 10 * time.Second, exit: 20 * time.Second}

// What a session may say. One that works sends a status a second.
const (
	maxGarbage = 16 // packets that are no messages, before it is killed
	maxRate    = 50 // messages a second; more are left waiting in the seam
)

// watch listens to a session until it is gone. It kills one that says nothing any
// more, or nothing that makes sense: the next one switches the heaters off. It
// reports whether the session ever got ready, as it may have been before.
func (s *supervisor) watch(conn *link.Conn, p process, wasReady bool) bool {
	var ready, heard atomic.Bool
	ready.Store(wasReady)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if s.silent(&ready, &heard, done) {
			s.log.Error("session says nothing any more: killed")
			p.Kill()
		}
	})
	defer wg.Wait()
	defer close(done)
	garbage := 0
	for rate := (pace{}); ; rate.wait() {
		m, f, err := conn.Receive()
		if f != nil {
			f.Close() // nothing is taken from a session
		}
		switch {
		case errors.Is(err, seam.ErrMessage):
			if garbage++; garbage == 1 {
				s.log.Warn("session sent what is no message")
			}
			if garbage == maxGarbage {
				s.log.Error("session sends what are no messages: killed")
				p.Kill()
				return ready.Load()
			}
			continue
		case err != nil:
			return ready.Load()
		}
		if s.life(m) {
			heard.Store(true)
		}
		if s.take(m) {
			ready.Store(true)
		}
	}
}

// life reports whether a message shows that the session lives: a status does not if the
// supervision of the machine has not gone round since the one before.
func (s *supervisor) life(m seam.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := m.(*seam.Layer); ok { // what prints is not what supervises
		return false
	}
	if st, ok := m.(*seam.Status); ok && s.ready != nil && st.Phase != seam.PhaseDone && st.Phase != seam.PhaseFault {
		if st.Beat == s.beat {
			return false
		}
		s.beat = st.Beat
	}
	s.moved = time.Now()
	return true
}

// move notes that the supervisor itself goes on.
func (s *supervisor) move() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = time.Now()
}

// keepMoving notes that the supervisor goes on while it does something long, until stop.
func (s *supervisor) keepMoving() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(s.bounds.silent)
		defer tick.Stop()
		for {
			s.move()
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// onTrial says whether the release is on trial.
func (s *supervisor) onTrial(trial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trial = trial
}

// alive reports whether sessions are under control: the one there is shows life or is
// within its bounds, or none is there and the next comes in time. It is not if a session
// neither lives nor can be killed, or if this agent does not go on.
func (s *supervisor) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.bounds.open + s.bounds.exit
	if s.ready != nil {
		most = s.bounds.silent + s.bounds.exit
	}
	return time.Since(s.moved) < most
}

// silent waits until done, or until a session has said nothing for too long; it
// reports which. It counts ticks and not time, so that an agent that was stopped
// itself does not blame the session.
func (s *supervisor) silent(ready, heard *atomic.Bool, done <-chan struct{}) bool {
	const parts = 4
	tick := time.NewTicker(s.bounds.silent / parts)
	defer tick.Stop()
	opening := int(s.bounds.open / (s.bounds.silent / parts))
	for n := 1; ; n++ {
		select {
		case <-done:
			return false
		case <-tick.C:
		}
		switch {
		case heard.Swap(false):
			n = 0
		case n >= opening, ready.Load() && n >= parts:
			return true
		}
	}
}

// take takes in one message and reports whether it was the one that says that the
// session is ready.
func (s *supervisor) take(m seam.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m := m.(type) {
	case *seam.Ready:
		s.recovery.ready(m.Job)
		if s.onReady != nil && m.Job == [16]byte{} && s.onReady(*m) {
			s.quit()
			return true
		}
		s.ready = m
		if s.done == nil && m.Job != [16]byte{} { // begun under an earlier agent
			s.job, s.told, s.done = m.Job, 0, make(chan seam.Receipt, 2)
		}
		return true
	case *seam.Status:
		if m.Phase == seam.PhaseIdle && s.ready == nil { // it takes no job yet, or it is to end
			m.Phase = seam.PhaseConnecting
		}
		if m.Phase == seam.PhaseConnecting {
			m.Fault = s.status.Fault // why the session before ended, until the machine is back
		}
		if m.Trip == 0 && (m.Phase == seam.PhaseConnecting || m.Phase == seam.PhaseIdle) {
			m.Trip = s.status.Trip // until the next job
		}
		s.status = *m
		s.onStatus(*m)
		s.recovery.status(*m)
	case *seam.Layer:
		s.recovery.layer(*m)
	case *seam.Receipt:
		s.receipt(*m)
	case *seam.Tested:
		if s.testing && m.Job == s.job {
			s.tested = m
			s.data(m)
		}
	case *seam.Duty:
		if s.done != nil && !s.testing {
			s.data(m)
		}
	}
	return false
}

// quit ends an idle session. The lock is held.
func (s *supervisor) quit() {
	if err := s.conn.Send(&seam.Command{Kind: seam.KindQuit}, nil); err != nil {
		s.log.Warn("the session cannot be told to end", "error", err.Error())
	}
}

// data passes on what goes to telemetry as it is. The lock is held.
func (s *supervisor) data(m seam.Message) {
	if s.onData != nil {
		s.onData(m)
	}
}

// pace bounds how many messages are taken in a second.
type pace struct {
	since time.Time
	n     int
}

// wait waits if this second had its messages.
func (p *pace) wait() {
	if time.Since(p.since) >= time.Second {
		p.since, p.n = time.Now(), 0
	}
	if p.n++; p.n >= maxRate {
		time.Sleep(time.Until(p.since.Add(time.Second)))
	}
}
