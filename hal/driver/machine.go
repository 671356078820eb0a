package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"platen/hal"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Machine is a controller behind a dialect. It implements hal.Machine.
type Machine struct {
	opt     Options
	log     *slog.Logger
	port    Port
	now     nower // port, if it can write without waiting
	fw      Firmware
	profile Profile  // fixed once Open has returned
	info    hal.Info // the same

	mu    sync.Mutex
	state hal.State // but for Lines, which is accepted
	err   error     // why the machine is dead

	accepted atomic.Uint64

	running  sync.Mutex // held by Run
	encoding sync.Mutex // held while the encoder works
	box      inbox
	dead     chan struct{} // closed once err is set
	closing  chan struct{} // closed when Close begins
	quit     chan struct{} // closed when the goroutines must end
	ending   sync.Once
	closed   error

	tx     chan []byte     // owner to hand
	txFree chan []byte     // hand to owner
	urgent chan chan error // a stop for the hand

	wg sync.WaitGroup
}

type nower interface {
	WriteNow(b []byte) (int, error)
}

type owned interface {
	Own()
}

func newMachine(port Port, fw Firmware, opt Options) *Machine {
	m := &Machine{
		opt: opt, log: opt.Logger, port: port, fw: fw,
		dead: make(chan struct{}), closing: make(chan struct{}), quit: make(chan struct{}),
		tx: make(chan []byte, txBuffers), txFree: make(chan []byte, txBuffers),
		urgent: make(chan chan error, 1),
	}
	m.now, _ = port.(nower)
	m.box.room = make(chan struct{}, 1)
	for range txBuffers {
		m.txFree <- make([]byte, 0, txSize)
	}
	return m
}

// request asks the owner to send commands, each ended by a line feed, ahead of the
// program, and to tell when the controller has surely executed them.
type request struct {
	cmds  []byte
	abort bool       // first break off a wait for heat
	done  chan error // has room for one
}

// Info says what the controller said of itself when it was opened.
func (m *Machine) Info() hal.Info { return m.info }

// State is a snapshot of the last report.
func (m *Machine) State() hal.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.Lines = m.accepted.Load()
	return s
}

// SetHeater sets a target and returns once the controller has surely executed the
// command. A heater that the profile does not name is hal.ErrEnvelope.
func (m *Machine) SetHeater(ctx context.Context, id hal.HeaterID, t unit.Celsius) error {
	if t < 0 || !slices.Contains(m.profile.Heaters, id) {
		return fmt.Errorf("set heater %d: %w", id, hal.ErrEnvelope)
	}
	m.encoding.Lock()
	cmds, err := m.profile.Encoder.Append(nil, motion.Op{Kind: motion.SetHeater, Heater: id, Temp: t})
	m.encoding.Unlock()
	if err == nil {
		err = m.do(ctx, &request{cmds: cmds})
	}
	if err != nil {
		return fmt.Errorf("set heater: %w", err)
	}
	return nil
}

// do hands r to the owner and waits until its commands are executed.
func (m *Machine) do(ctx context.Context, r *request) error {
	if len(r.cmds) == 0 {
		return nil
	}
	r.done = make(chan error, 1)
	if err := m.post(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-m.dead:
		return m.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cause is why the machine is dead.
func (m *Machine) cause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Halt stops motion and heaters at once. It returns when the stop has been written.
func (m *Machine) Halt(reason string) error {
	m.box.halt() // first: the controller's answer may overtake everything else
	err := m.writeStop()
	m.wake()
	m.log.Warn("machine halted", "reason", reason)
	return err
}

var errStuck = fmt.Errorf("halt: %w: the port takes nothing; switch the printer off", hal.ErrDisconnected)

// writeStop writes the stop past the owner, or has the hand write it if the port
// does not take it at once, and waits until that is done.
func (m *Machine) writeStop() error {
	select {
	case <-m.quit:
		return fmt.Errorf("halt: %w: open the machine first", hal.ErrDisconnected)
	default:
	}
	stop := m.profile.Stop
	if m.now != nil {
		if n, err := m.now.WriteNow([]byte(stop)); err == nil && n == len(stop) {
			return nil
		}
	}
	timeout := time.NewTimer(m.opt.Halting)
	defer timeout.Stop()
	written := make(chan error, 1)
	select {
	case m.urgent <- written:
	case <-m.quit:
		return fmt.Errorf("halt: %w: open the machine first", hal.ErrDisconnected)
	case <-timeout.C:
		return errStuck
	}
	select {
	case err := <-written:
		return err
	case <-m.quit:
		return fmt.Errorf("halt: %w: the machine is being closed", hal.ErrDisconnected)
	case <-timeout.C:
		return errStuck
	}
}

// Close switches heaters, fan and motors off, within Options.Closing, and lets go of
// the port. A program that runs ends with hal.ErrHalted. If switching off is not
// confirmed in time the controller is stopped, and Close says so.
func (m *Machine) Close() error {
	m.ending.Do(func() {
		close(m.closing)
		m.closed = m.switchOff()
		m.end()
	})
	return m.closed
}

func (m *Machine) switchOff() error {
	ctx, cancel := context.WithTimeout(context.Background(), m.opt.Closing)
	defer cancel()
	err := m.do(ctx, &request{cmds: []byte(m.profile.Cool + m.profile.Rest), abort: true})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("close: switching off was not confirmed within %v, so the controller was stopped: reset it", m.opt.Closing)
		return errors.Join(err, m.Halt("closing was not confirmed"))
	}
	return nil // done, or dead before, in which case all that can be done was done
}

// end ends the goroutines and closes the port.
func (m *Machine) end() {
	close(m.quit)
	m.wake()
	if err := m.port.Close(); err != nil {
		m.log.Debug("port did not close cleanly", "error", err)
	}
	m.wg.Wait()
}

// canReset reports whether the port has a line that may reset the controller.
func (m *Machine) canReset() bool {
	_, ok := m.port.(interface{ Reset() error })
	return ok
}

// reset resets the controller if the port can, and reports whether it has.
func (m *Machine) reset() bool {
	r, ok := m.port.(interface{ Reset() error })
	if !ok {
		return false
	}
	if err := r.Reset(); err != nil {
		m.log.Debug("the controller cannot be reset", "error", err)
		return false
	}
	return true
}

// publish sets the phase unless the machine is dead.
func (m *Machine) publish(p hal.Phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.state.Phase = p
	}
}

// temperatures takes a report over into the state. What a report leaves out stays.
func (m *Machine) temperatures(r *gcode.Reply, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.state
	s.Reported = now
	for _, t := range r.Temps[:r.NTemps] {
		h := heater(s, t.ID)
		if h == nil {
			continue
		}
		h.Actual = t.Actual
		if t.HasTarget {
			h.Target = t.Target
		}
		if t.HasPower {
			h.Power = t.Power
		}
	}
}

// heater finds the entry of a heater, making one if there is room.
func heater(s *hal.State, id hal.HeaterID) *hal.HeaterState {
	for i := range s.Heaters[:s.NHeaters] {
		if s.Heaters[i].ID == id {
			return &s.Heaters[i]
		}
	}
	if s.NHeaters == len(s.Heaters) {
		return nil
	}
	s.NHeaters++
	h := &s.Heaters[s.NHeaters-1]
	*h = hal.HeaterState{ID: id}
	return h
}
