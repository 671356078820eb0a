// Package marlin drives controllers with Marlin firmware and its relatives (Marlin 1
// and 2, Prusa-Firmware, Ultimaker's) over any port.
//
// Start at [Open], which finds out what is at the other end, puts it into a known
// state and returns a [Machine]. What a program becomes on the wire, and how lines
// get through, is the business of package gcode; here are the conversation around it,
// the state, and what happens when something stops.
//
// # Goroutines
//
// One goroutine, the owner, has the line engine and the state, and decides
// everything. It has two hands: a reader, which hands it what the port says in
// buffers that it gets back, and a writer, which writes what it is handed. So a port
// that does not take bytes never keeps the owner from hearing, and Halt reaches the
// writer without the owner. Close waits for all three.
//
// # Stops
//
// Whatever ends the work (Halt, a fault the controller reports, a controller that
// restarts, falls silent or does not follow, a port that fails) makes the machine
// dead: Run and SetHeater return the error, nothing is sent any more but M112,
// repeated until the controller confirms it (after a restart M104 S0 and M140 S0
// instead, since M112 would keep a healthy controller from being opened again). If
// M112 is never confirmed and the port can reset the controller, it does.
package marlin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"platen/hal"
	"platen/hal/gcode"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Options are the timeouts of a Machine. Zero fields take the defaults named.
type Options struct {
	Logger  *slog.Logger  // nil logs nothing
	Link    gcode.Config  // bounds of the line engine
	Connect time.Duration // most time until the controller is identified: 30 s
	Settle  time.Duration // how long the port is silent before a question is asked: 300 ms
	Retry   time.Duration // time between two questions when opening: 2 s
	Silence time.Duration // most silence of a controller that reports: 8 s
	Closing time.Duration // most time for switching off when closing: 5 s
	Halting time.Duration // most time for writing a stop: 1 s
}

func (o *Options) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Connect, 30*time.Second)
	def(&o.Settle, 300*time.Millisecond)
	def(&o.Retry, 2*time.Second)
	def(&o.Silence, 8*time.Second)
	def(&o.Closing, 5*time.Second)
	def(&o.Halting, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// ErrRunning reports that a program is running already.
var ErrRunning = errors.New("a program is already running on this machine")

// Machine is a Marlin controller. It implements hal.Machine.
type Machine struct {
	opt  Options
	log  *slog.Logger
	port io.ReadWriteCloser
	info hal.Info // fixed once Open has returned

	mu    sync.Mutex
	state hal.State
	err   error // why the machine is dead

	running sync.Mutex     // held by Run
	lines   chan line      // from Run to the owner
	reqs    chan *request  // from everybody to the owner
	stop    chan hal.Fault // from Halt to the owner
	halted  atomic.Bool    // Halt was called: whatever ends the machine now is its doing
	dead    chan struct{}  // closed once err is set
	closing chan struct{}  // closed when Close begins
	quit    chan struct{}  // closed when the goroutines must end
	ending  sync.Once
	closed  error

	rx     chan []byte     // reader to owner
	rxFree chan []byte     // owner to reader
	tx     chan []byte     // owner to writer
	txFree chan []byte     // writer to owner
	urgent chan chan error // a stop for the writer
	broken chan error      // the port has failed

	wg sync.WaitGroup
}

// line is one command on its way from Run to the owner.
type line struct {
	n    uint8
	wait bool // it waits for heat
	text [gcode.MaxCommand]byte
}

// request asks the owner to send commands, each ended by a line feed, ahead of the
// program, and to tell when the controller has surely executed them.
type request struct {
	cmds  []byte
	abort bool       // first break off a wait for heat
	done  chan error // has room for one
}

// Open identifies the controller at port, switches its heaters off, and takes the
// port over. It fails if ctx ends first, if nothing that is Marlin answers in time,
// or if the controller reports a fault; the port is closed then.
func Open(ctx context.Context, port io.ReadWriteCloser, opt Options) (*Machine, error) {
	opt.defaults()
	m := &Machine{
		opt: opt, log: opt.Logger, port: port,
		lines: make(chan line), reqs: make(chan *request), stop: make(chan hal.Fault, 1),
		dead: make(chan struct{}), closing: make(chan struct{}), quit: make(chan struct{}),
		rx: make(chan []byte), rxFree: make(chan []byte, rxBuffers),
		tx: make(chan []byte, txBuffers), txFree: make(chan []byte, txBuffers),
		urgent: make(chan chan error, 1), broken: make(chan error, 2),
	}
	m.start()
	o := &owner{Machine: m, link: gcode.NewLink(opt.Link)}
	if err := o.identify(ctx); err != nil {
		m.end()
		return nil, fmt.Errorf("open Marlin controller: %w", err)
	}
	m.wg.Go(o.loop)
	setup, cancel := context.WithTimeout(ctx, opt.Connect)
	defer cancel()
	if err := m.do(setup, &request{cmds: m.setupCommands()}); err != nil {
		m.end()
		return nil, fmt.Errorf("set up Marlin controller %s: %w", m.info.Firmware, err)
	}
	m.log.Info("controller open", "firmware", m.info.Firmware, "tools", m.info.Tools, "capabilities", len(m.info.Caps))
	return m, nil
}

// setupCommands puts the controller into a known state: cold, fans off, telling
// that it is busy every 2 s and its temperatures every second.
func (m *Machine) setupCommands() []byte {
	cmds := m.coolCommands()
	cmds = append(cmds, "M107\nM113 S2\n"...)
	if m.info.Has(capAutoReport) {
		cmds = append(cmds, "M155 S1\n"...)
	}
	return append(cmds, "G21\nG90\nM82\n"...)
}

const (
	capAutoReport = "AUTOREPORT_TEMP"
	capChamber    = "CHAMBER_TEMPERATURE"
)

// coolCommands switches every heater off.
func (m *Machine) coolCommands() []byte {
	var cmds []byte
	for t := range m.info.Tools {
		cmds = gcode.AppendHeater(cmds, motion.HotEnd+hal.HeaterID(t), 0, false)
	}
	cmds = gcode.AppendHeater(cmds, motion.Bed, 0, false)
	if m.info.Has(capChamber) {
		cmds = gcode.AppendHeater(cmds, motion.Chamber, 0, false)
	}
	return cmds
}

// Info says what the controller said of itself when it was opened.
func (m *Machine) Info() hal.Info { return m.info }

// State is a snapshot of the last report.
func (m *Machine) State() hal.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// SetHeater sets a target and returns once the controller has surely executed the
// command.
func (m *Machine) SetHeater(ctx context.Context, id hal.HeaterID, t unit.Celsius) error {
	known := id == motion.Bed || id == motion.Chamber && m.info.Has(capChamber) ||
		id >= motion.HotEnd && int(id-motion.HotEnd) < m.info.Tools
	if !known || t < 0 {
		return fmt.Errorf("set heater %d: %w", id, hal.ErrEnvelope)
	}
	if err := m.do(ctx, &request{cmds: gcode.AppendHeater(nil, id, t, false)}); err != nil {
		return fmt.Errorf("set heater: %w", err)
	}
	return nil
}

// do hands r to the owner and waits until its commands are executed.
func (m *Machine) do(ctx context.Context, r *request) error {
	r.done = make(chan error, 1)
	select {
	case m.reqs <- r:
	case <-m.dead:
		return m.cause()
	case <-ctx.Done():
		return ctx.Err()
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
	m.log.Warn("machine halted", "reason", reason)
	m.halted.Store(true) // before the stop is written: its answer may overtake m.stop
	select {
	case m.stop <- hal.FaultHost:
	default: // a stop is under way
	}
	return m.writeStop()
}

// writeStop has the writer write M112 and waits until it has.
func (m *Machine) writeStop() error {
	timeout := time.NewTimer(m.opt.Halting)
	defer timeout.Stop()
	written := make(chan error, 1)
	select {
	case m.urgent <- written:
	case <-m.quit:
		return fmt.Errorf("halt: %w: open the machine first", hal.ErrDisconnected)
	case <-timeout.C:
		return fmt.Errorf("halt: %w: the port takes nothing; switch the printer off", hal.ErrDisconnected)
	}
	select {
	case err := <-written:
		return err
	case <-m.quit:
		return fmt.Errorf("halt: %w: the machine is being closed", hal.ErrDisconnected)
	case <-timeout.C:
		return fmt.Errorf("halt: %w: the port takes nothing; switch the printer off", hal.ErrDisconnected)
	}
}

// Close switches heaters, fan and motors off, within Options.Closing, and lets go of
// the port. A program that runs ends with hal.ErrHalted. If switching off is not
// confirmed in time the controller is stopped by M112, and Close says so.
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
	err := m.do(ctx, &request{cmds: append(m.coolCommands(), "M107\nM84\nM155 S0\n"...), abort: true})
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("close: switching off was not confirmed within %v, so the controller was stopped: reset it", m.opt.Closing)
		return errors.Join(err, m.Halt("closing was not confirmed"))
	}
	return nil // done, or dead before, in which case all that can be done was done
}

// end ends the goroutines and closes the port.
func (m *Machine) end() {
	close(m.quit)
	if err := m.port.Close(); err != nil {
		m.log.Debug("port did not close cleanly", "error", err)
	}
	m.wg.Wait()
}
