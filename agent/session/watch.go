package session

import (
	"cmp"
	"os"
	"sync"
	"time"

	"platen/agent/seam"
	"platen/hal"
	"platen/hal/watch"
	"platen/hal/watchdog"
)

// sys and dev are where sysfs and the devices are.
func (c Config) sys() string { return cmp.Or(c.Sys, "/sys") }
func (c Config) dev() string { return cmp.Or(c.Dev, "/dev") }

// supervise puts the supervision that the board asks for over its machine.
func (s *session) supervise(m hal.Machine) {
	cfg := s.cfg.Board.Watch
	cfg.Box, cfg.Fans, cfg.Acted, cfg.Logger = s.sensed, s.box.fans(), s.acted, s.log
	s.watch = watch.Over(m, cfg)
	s.machine = s.watch
}

// tests reports whether a self-test moves the machine.
func (s *session) tests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == seam.PhaseTesting
}

// sensed is what the supervision is told. A self-test needs no filament.
func (s *session) sensed() watch.Box {
	w := s.box.read()
	if s.tests() {
		w.Filament = watch.Unknown
	}
	return w
}

// acted is told what the supervision did. It is called from the supervision, which does
// not wait for an agent that is slow: the next status says it. A self-test is not paused: its
// moves are long, and the controller has some of them already.
func (s *session) acted(r watch.Reason, a watch.Action) {
	s.tripped.Store(uint32(r))
	if a == watch.Pause && s.tests() {
		if err := s.machine.Halt(r.String()); err != nil {
			s.log.Error("the machine did not take the halt: switch it off", "reason", r.String())
		}
		a = watch.Halt
	}
	switch {
	case a == watch.Halt:
		s.box.cut()
	case a == watch.Pause && s.pause.set(true):
		s.watch.Hold(true)
		s.mu.Lock()
		s.phase = seam.PhasePaused
		s.mu.Unlock()
	}
}

// hold pauses the program that runs, or lets it go on; it reports whether that changed
// anything.
func (s *session) hold(on bool) bool {
	if !s.pause.set(on) {
		return false
	}
	if s.watch != nil {
		s.watch.Hold(on)
	}
	if !on {
		s.tripped.Store(uint32(watch.None))
	}
	return true
}

// held notes that the program has paused by itself.
func (s *session) held() {
	if s.watch != nil {
		s.watch.Hold(true)
	}
	s.setPhase(seam.PhasePaused)
}

// supervised adds what the supervision knows to a status.
func (s *session) supervised(st *seam.Status) {
	st.Trip = uint8(s.tripped.Load())
	if s.watch != nil {
		st.Beat = uint8(s.watch.Beat())
		if r := s.watch.Tripped(); r != watch.None { // known before the machine stops
			st.Trip = uint8(r)
		}
	}
	if s.box != nil {
		st.Missing = s.box.missing()
		s.box.tell(st)
	}
}

// orphan pets the watchdog of the board in place of an agent that is gone, for as long as
// the supervision goes round.
type orphan struct {
	dog  *watchdog.Dog
	quit chan struct{}
	wg   sync.WaitGroup
}

// newOrphan takes the descriptor of the watchdog over; it may be nil.
func newOrphan(f *os.File) (*orphan, error) {
	if f == nil {
		return nil, nil
	}
	d, err := watchdog.FromFile(f)
	if err != nil {
		return nil, err
	}
	return &orphan{dog: d, quit: make(chan struct{})}, nil
}

// petPeriod is how often an orphan pets: the shortest timeout is a multiple.
const petPeriod = watchdog.MinTimeout / 4

// take begins to pet. beat is the supervision's.
func (o *orphan) take(beat func() uint32) {
	if o == nil {
		return
	}
	o.wg.Go(func() {
		tick := time.NewTicker(petPeriod)
		defer tick.Stop()
		for last := beat() - 1; ; {
			if b := beat(); b != last {
				last = b
				_ = o.dog.Pet() // if that fails the board restarts, which is what is left
			}
			select {
			case <-o.quit:
				return
			case <-tick.C:
			}
		}
	})
}

// end lets go of the watchdog. It is disarmed if this session had taken it and leaves a
// machine that is safe: nobody else pets it until there is an agent again.
func (o *orphan) end(taken, safe bool) {
	if o == nil {
		return
	}
	close(o.quit)
	o.wg.Wait()
	if taken && safe {
		_ = o.dog.Disarm()
		return
	}
	_ = o.dog.Close()
}
