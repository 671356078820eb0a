// Package session is one printer's life in its own process: it owns the port, the
// machine, the locked memory and, while a job runs, the model.
//
// [Run] opens the controller and the vault, gives up everything it does not need
// (package confine), reports that it is ready, waits for one job, prints it and
// ends; with the process end the port and every byte of the model. The agent
// starts the next session then. All that goes up is in package seam: codes,
// temperatures, quarters of progress. If the agent dies, the print goes on.
//
// A job's bytes arrive as a descriptor. They are decrypted, checked and indexed
// into the vault; slices are made layer by layer while the machine prints.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/confine"
	"platen/agent/seam"
	"platen/agent/seam/link"
	"platen/boards"
	"platen/hal"
	"platen/hal/watch"
	"platen/slicer/secure"
	"platen/slicer/vault"
)

// Config is what a session is started with.
type Config struct {
	Seam   *os.File // the inherited end of the pair
	Board  *boards.Board
	Device string // serial device, instead of the board's
	Vault  int64  // bytes of locked memory
	Sys    string // where sysfs is, "" for /sys
	Proc   string // where procfs is, "" for /proc
	Dev    string // where the devices of pins are, "" for /dev
	Logger *slog.Logger

	// AllowSwap takes jobs although swap other than zram is on.
	AllowSwap bool

	// Record is a file that takes what is said at the serial port, with all design data
	// replaced (see hal/trace); "" is none. It is opened before the session gives up
	// what it does not need.
	Record string

	// Door is an inherited socket at which an agent that comes later gets hold of the
	// session; nil for none.
	Door *os.File

	// Watchdog is an inherited descriptor of the board's watchdog, which the session pets
	// once its agent is gone; nil if there is none.
	Watchdog *os.File
}

// Run is a session from start to end. It returns an error if it could not get
// ready; how a job ended is in its receipt.
func Run(ctx context.Context, cfg Config) error {
	// Who reads the log may go with the agent. Go ends a process that writes to a
	// standard stream which nobody reads any more; a print does not end for that.
	signal.Ignore(unix.SIGPIPE)
	// Two of Go's processors stay free of slicing, for the owner of the port and for what
	// feeds it: they would else come to their turn up to 10 ms late, half of what a
	// controller's planner holds. Which thread runs is then for the kernel to say.
	runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	conn, err := link.FromFile(cfg.Seam)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &session{cfg: cfg, log: cfg.Logger, phase: seam.PhaseConnecting}
	s.conn.Store(conn)
	if cfg.Door != nil {
		if s.door, err = link.OpenDoor(cfg.Door); err != nil {
			return err
		}
		defer s.door.Close()
	}
	s.report()
	if s.vault, err = vault.New(cfg.Vault); err != nil {
		return fmt.Errorf("making the vault: %w", err)
	}
	defer func() { s.vault.Close() }()
	if s.box, err = openBox(cfg); err != nil {
		return fmt.Errorf("opening the sensors of board %s: %w", cfg.Board.ID, err)
	}
	defer s.box.close()
	if s.dog, err = newOrphan(cfg.Watchdog); err != nil {
		return err
	}
	defer func() { s.dog.end(s.alone, s.safe) }()
	m, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	s.supervise(m)
	defer func() {
		lost := s.machine.State().Phase == hal.PhaseLost
		s.safe = s.machine.Close() == nil && !lost
	}()
	s.unfit = confine.Fit(os.DirFS(cmp.Or(cfg.Proc, "/proc")), 0, cfg.AllowSwap)
	if err := trim(); err != nil {
		s.log.Debug("memory of the start not given back", "error", err.Error())
	}
	held, err := confine.Session()
	held |= confine.MemoryLocked
	if err != nil {
		return fmt.Errorf("confining the session: %w", err)
	}
	s.setPhase(seam.PhaseIdle)
	s.ready = seam.Ready{Dialect: dialects[cfg.Board.Controller.Dialect].number, Tools: uint8(s.machine.Info().Tools), Confined: uint16(held), VaultBytes: uint64(cfg.Vault),
		Firmware: firmware(s.machine.Info())}
	if err := conn.Send(&s.ready, nil); err != nil {
		return err
	}
	s.log.Info("session ready", "confined", held.String())
	return s.serve(ctx)
}

type session struct {
	cfg     Config
	conn    atomic.Pointer[link.Conn] // to the agent there is, or was last
	door    *link.Door                // nil for none
	log     *slog.Logger
	machine hal.Machine
	vault   *vault.Vault

	box     *box
	watch   *watch.Machine // the machine, as its supervision
	tripped atomic.Uint32  // watch.Reason
	dog     *orphan        // nil if the board has no watchdog
	alone   bool           // the agent that started this session is gone
	safe    bool           // the machine was closed in order

	mu    sync.Mutex
	phase seam.Phase
	skip  func(object int) bool // of the running job; nil if it does not know its objects

	pause    pause
	progress progress
	fed      fed
	duty     duty
	testing  bool // what runs is a self-test: set before it begins
	marks    marks
	news     chan seam.Layer // the newest of marks that is not sent yet
	keys     secure.Keys     // of the job that comes or is read
	profile  []byte          // of the job that comes or is read; nil is none
	ready    seam.Ready      // as the agent was told it
	unfit    error           // why the system may not hold a model
}

// input is one message from the agent.
type input struct {
	msg  seam.Message
	file *os.File
}

// serve waits for commands and for the job it starts, and ends with the job. When
// the agent is gone it waits for the job alone, and for the next agent.
func (s *session) serve(ctx context.Context) error {
	s.news, s.marks.tell = make(chan seam.Layer, 1), s.mark
	inputs := make(chan input)
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() { s.conn.Load().Close() }()
	defer s.shut()
	defer close(done)
	wg.Go(func() { s.listen(s.conn.Load(), inputs, done) })
	wg.Go(func() { s.sendMarks(done) })
	agents := make(chan *link.Conn)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := make(chan error, 1)
	running := false
	ended := ctx.Done()
	tick := time.NewTicker(statusPeriod)
	defer tick.Stop()
	for {
		select {
		case in, ok := <-inputs:
			if !ok {
				inputs = nil
				if !running {
					return nil
				}
				if s.testing {
					s.log.Warn("agent is gone, and the figures of the self-test are for nobody")
					cancel()
					continue
				}
				s.log.Warn("agent is gone; the print goes on")
				if !s.alone {
					s.alone = true
					s.dog.take(s.watch.Beat)
				}
				wg.Go(func() { s.letIn(agents, done) })
				continue
			}
			if k, ok := in.msg.(*seam.Key); ok && !running {
				s.learn(k)
			}
			if p, ok := in.msg.(*seam.Profile); ok && !running {
				s.note(p)
			}
			if st, ok := in.msg.(*seam.Start); ok && !running {
				running = true
				s.ready.Job = st.Job
				s.box.supply(true)
				wg.Go(func() { jobs <- s.job(ctx, st, in.file) })
			} else if t, ok := in.msg.(*seam.Test); ok && !running && in.file == nil {
				running, s.testing = true, true
				wg.Go(func() { jobs <- s.selfTest(ctx, t) })
			} else if s.command(in, cancel, running) {
				return nil
			}
		case c := <-agents:
			s.conn.Swap(c).Close()
			inputs = make(chan input)
			wg.Go(func() { s.listen(c, inputs, done) })
			s.log.Info("another agent is here")
			if err := c.Send(&s.ready, nil); err == nil {
				s.report()
				s.marks.repeat()
			}
		case <-tick.C:
			s.report()
			if running && !s.testing {
				st := s.machine.State()
				s.duty.note(&st)
			}
			if !running && s.stopped() {
				return errStopped
			}
		case err := <-jobs:
			s.report()
			return err
		case <-ended:
			if !running {
				return nil
			}
			ended = nil // the job cools the machine down, and the owner can still halt it
		}
	}
}

// listen passes on what the agent says until it is gone.
func (s *session) listen(conn *link.Conn, inputs chan<- input, done <-chan struct{}) {
	defer close(inputs)
	for {
		m, f, err := conn.Receive()
		if errors.Is(err, seam.ErrMessage) {
			s.log.Warn("agent sent what is no message")
			continue
		}
		if err != nil {
			if err != io.EOF {
				s.log.Warn("seam failed")
			}
			return
		}
		select {
		case inputs <- input{m, f}:
		case <-done:
			if f != nil {
				f.Close()
			}
			return
		}
	}
}

// letIn waits for the next agent.
func (s *session) letIn(agents chan<- *link.Conn, done <-chan struct{}) {
	if s.door == nil {
		return
	}
	c, err := s.door.Accept()
	if err != nil {
		if err != io.EOF {
			s.log.Warn("no other agent can come", "error", err.Error())
		}
		return
	}
	select {
	case agents <- c:
	case <-done:
		c.Close()
	}
}

// shut closes the door, so that nobody waits at it any more.
func (s *session) shut() {
	if s.door != nil {
		s.door.Close()
	}
}

// command obeys anything but the start of a job; it reports whether the session
// ends by it.
func (s *session) command(in input, cancel func(), running bool) bool {
	if in.file != nil {
		in.file.Close()
	}
	if skip, ok := in.msg.(*seam.Skip); ok {
		s.leaveOut(skip)
		return false
	}
	c, ok := in.msg.(*seam.Command)
	if !ok {
		return false
	}
	switch c.Kind {
	case seam.KindPause:
		if running && !s.testing && s.hold(true) {
			s.setPhase(seam.PhasePaused)
		}
	case seam.KindResume:
		if running && !s.testing && s.hold(false) {
			s.setPhase(seam.PhasePrinting)
		}
	case seam.KindCancel:
		if running {
			cancel()
		}
	case seam.KindHalt:
		if err := s.machine.Halt("owner"); err != nil {
			s.log.Error("halt failed")
		}
		s.report()
		return !running
	case seam.KindQuit:
		return !running
	}
	return false
}

// leaveOut prints an object of the running job no further. A job that does not know its
// objects, and one that has no such object, goes on as it is.
func (s *session) leaveOut(skip *seam.Skip) {
	s.mu.Lock()
	of := s.skip
	s.mu.Unlock()
	if of == nil || !of(int(skip.Object)) {
		s.log.Warn("no such object to leave out")
	}
}

func (s *session) setPhase(p seam.Phase) {
	s.mu.Lock()
	s.phase = p
	s.mu.Unlock()
	s.report()
}

// report sends the state of the machine to the agent. An agent that is gone or
// slow costs a report, nothing else.
func (s *session) report() {
	s.mu.Lock()
	st := seam.Status{Phase: s.phase, Progress: s.progress.percent(), Ambient: seam.NoAmbient}
	s.mu.Unlock()
	if s.machine != nil {
		m := s.machine.State()
		st.Fault = uint8(m.Fault)
		if s.stopped() {
			st.Phase = seam.PhaseFault
		}
		st.NHeaters = uint8(m.NHeaters)
		for i, h := range m.Heaters[:m.NHeaters] {
			st.Heaters[i] = seam.Heater{ID: uint8(h.ID), Actual: int32(h.Actual), Target: int32(h.Target)}
		}
		if s.idle() { // counts of lines sent again follow the print: they stay here while one runs
			st.Resends, st.LinkErrs = uint32(m.Resends), uint32(m.LinkError)
		}
	}
	s.supervised(&st)
	if err := s.conn.Load().Send(&st, nil); err != nil {
		s.log.Debug("status not sent")
	}
}

// errStopped ends a session whose machine can do no more: the next one opens the
// port anew, once it is there, and takes the controller up again.
var errStopped = errors.New("the controller stopped or is gone")

// stopped reports whether the machine can do no more.
func (s *session) stopped() bool {
	p := s.machine.State().Phase
	return p == hal.PhaseHalted || p == hal.PhaseLost
}

func (s *session) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == seam.PhaseIdle
}
