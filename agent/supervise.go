package agent

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"platen/agent/config"
	"platen/agent/seam"
	"platen/agent/seam/link"
	"platen/boards"
)

// Errors of a supervisor that its callers tell apart.
var (
	errNotReady = &refusal{"not-ready", "the printer is not ready: see platen status"}
	errBusy     = &refusal{"busy", "the printer is busy with another job: wait, or platen cancel"}
	errGoing    = &refusal{"restarting", "the agent is about to restart: try again in a minute"}
	errNoJob    = &refusal{"no-job", "no job runs"}
	errSession  = &refusal{"session-lost", "the session ended in the middle of the job: the next one switches the heaters off; see the agent's log"}
)

// How long a supervisor waits between two sessions: not at all after one that was
// ready, unless it was shorter than firstRetry and told of no end of a job, and longer
// each time one fails to get ready.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// readyTime is how long a job waits for a session to get ready: longer than the
// time from the end of one to the next.
const readyTime = 20 * time.Second

// sessionMemory is the soft bound in bytes of what the Go runtime of a session takes,
// given to it as GOMEMLIMIT. The vault is not part of it. Near the bound the collector
// works harder, so that garbage alone cannot push a board with little memory into
// killing processes; a session that needs more still gets it. GOGC is low besides: a
// session makes layers in the memory of those before, and leaves little garbage.
const sessionMemory = 128 << 20

// sessionDebug has the Go runtime of a session overwrite what its collector frees, so
// that nothing of a model stays where a buffer was before it grew (see package runtime,
// clobberfree).
const sessionDebug = "clobberfree=1"

// supervisor keeps one session process alive and is the only one that talks to it.
type supervisor struct {
	onStart func(job [16]byte) // told of each job that is handed to the session; may be nil

	log      *slog.Logger
	args     []string          // of the session process, after its name
	onStatus func(seam.Status) // told of every status

	onReceipt func(seam.Receipt)          // told of the last receipt of each job; may be nil
	onTest    func(seam.Receipt)          // told of the receipt of each self-test, one without a code if it was lost; may be nil
	onData    func(seam.Message)          // told of a *seam.Tested, and of a *seam.Duty; may be nil
	onReady   func(seam.Ready) bool       // told of a session that is ready for a job, and whether it is to end; may be nil
	recovery  *recovery                   // told where prints have got to; nil for nobody
	none      bool                        // the printer has no session: its own software drives it
	before    func(context.Context) error // what has to succeed before a session is started; nil: nothing
	bounds    bounds
	dog       func() *os.File // the board's watchdog, to hand to a session; nil, and nil from it, for none
	door      *os.File        // where later agents find a session of this one; nil for none
	found     *link.Conn      // to a session that an earlier agent left; nil for none

	mu      sync.Mutex
	conn    *link.Conn
	ready   *seam.Ready
	status  seam.Status
	job     [16]byte
	told    seam.Code         // of the job's last receipt
	spent   bool              // the last session ended because its job had
	done    chan seam.Receipt // of the running job; nil if there is none
	going   bool              // the agent goes: no further job is taken
	trial   bool              // the release is not confirmed yet: no job is taken
	clear   bool              // somebody has said that the bed is clear since the last job began
	foreign bool              // the controller was flashed by somebody else: no job is taken
	testing bool              // what runs is a self-test, and no job
	tested  *seam.Tested      // what the last one has measured
	moved   time.Time         // when a session last showed life, or one was started or had ended
	beat    uint8             // of the last status that showed it
}

// sessionArgs are the arguments of the hidden session command.
func sessionArgs(cfg *config.Config, board *boards.Board, device string) []string {
	args := []string{"session", "--board", cfg.Board, "--board-sum", hex.EncodeToString(board.Sum[:]), "--device", device, "--vault", strconv.FormatInt(int64(cfg.Vault), 10), "--sys", cfg.Sys, "--dev", cfg.Dev,
		"--controller", journal(cfg)}
	args = append(args, "--proc", cfg.Proc)
	if cfg.AllowSwap {
		args = append(args, "--allow-swap")
	}
	if cfg.Record != "" {
		args = append(args, "--record", cfg.Record)
	}
	return args
}

// run starts sessions until ctx ends. A session that prints then goes on by
// itself; an idle one is told to quit.
func (s *supervisor) run(ctx context.Context) {
	wait := firstRetry
	for ctx.Err() == nil {
		s.move()
		begun := time.Now()
		one := s.one
		if s.found != nil {
			one = s.adopt
		}
		wasReady, err := false, s.prepare(ctx)
		if err == nil {
			wasReady, err = one(ctx)
		}
		if wasReady {
			wait = firstRetry - time.Since(begun)
		}
		if s.spent {
			s.spent, wait = false, 0
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("session ended", "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(max(2*wait, firstRetry), lastRetry)
	}
}

// prepare does what has to be done before a session is started. One that goes on from an
// earlier agent is only taken over.
func (s *supervisor) prepare(ctx context.Context) error {
	if s.before == nil || s.found != nil {
		return nil
	}
	return s.before(ctx)
}

// one is one session from start to end.
func (s *supervisor) one(ctx context.Context) (wasReady bool, err error) {
	conn, end, err := link.Pair()
	if err != nil {
		return false, err
	}
	cmd := exec.Command("/proc/self/exe", s.args...)
	cmd.Args[0] = "platen"
	cmd.ExtraFiles = []*os.File{end}
	if s.door != nil {
		cmd.Args = append(cmd.Args, "--door")
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.door)
	}
	if s.dog != nil {
		if f := s.dog(); f != nil {
			cmd.Args = append(cmd.Args, "--watchdog")
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
	}
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOTRACEBACK=none", "GOMEMLIMIT="+strconv.Itoa(sessionMemory), "GOGC=20", "GODEBUG="+sessionDebug)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // signals to the agent are not for the session
	err = cmd.Start()
	end.Close()
	if err != nil {
		conn.Close()
		return false, fmt.Errorf("starting a session: %w", err)
	}
	return s.attend(ctx, conn, child{cmd}, false)
}

// attend looks after a session until it has ended or the agent goes.
func (s *supervisor) attend(ctx context.Context, conn *link.Conn, p process, ready bool) (wasReady bool, err error) {
	s.mu.Lock()
	s.conn, s.status = conn, seam.Status{Phase: seam.PhaseConnecting, Fault: s.status.Fault, Trip: s.status.Trip}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { s.leave(conn) })
	defer stop()
	wasReady = s.watch(conn, p, ready)
	err = s.reap(ctx, p)
	s.ended(ctx.Err() != nil)
	conn.Close()
	return wasReady, err
}

// leave tells an idle session to quit when the agent goes; one that prints is left
// alone and loses its agent.
func (s *supervisor) leave(conn *link.Conn) {
	s.mu.Lock()
	busy := s.done != nil
	s.going = true // a job sent behind the command to quit would be lost
	s.mu.Unlock()
	if !busy {
		conn.Send(&seam.Command{Kind: seam.KindQuit}, nil)
		time.Sleep(100 * time.Millisecond)
	}
	conn.Close()
}

// reap waits for the process, unless the agent goes and the process prints on. One
// that stays without its seam is killed: it would keep the port.
func (s *supervisor) reap(ctx context.Context, p process) error {
	exited := make(chan error, 1)
	go func() { exited <- p.Wait() }()
	select {
	case err := <-exited:
		if err != nil {
			return fmt.Errorf("session process: %w", err)
		}
		return nil
	case <-time.After(s.bounds.exit):
		s.log.Error("session does not end with its seam: killed")
		p.Kill()
		return <-exited
	case <-ctx.Done():
		select {
		case err := <-exited:
			return err
		case <-time.After(2 * time.Second):
			return nil // the process prints; init adopts it
		}
	}
}

// receipt notes what became of the job, whether anybody waits for it or not. The
// lock is held.
func (s *supervisor) receipt(r seam.Receipt) {
	if s.done == nil || r.Job != s.job || s.told > seam.CodeLoaded || s.told == r.Code {
		return // a job has one receipt when it is loaded and one at its end
	}
	if s.told = r.Code; s.testing {
		s.log.Info("self-test ended", "code", r.Code.String(), "reason", int(r.Reason))
		if s.onTest != nil {
			s.onTest(r)
		}
	} else if r.Code != seam.CodeLoaded {
		s.log.Info("job ended", "code", r.Code.String(), "reason", int(r.Reason))
		s.recovery.end(r.Job)
		if s.onReceipt != nil {
			s.onReceipt(r)
		}
	}
	s.done <- r // it has room for both
}

// ended forgets the session and closes the receipts of its job. alone says that the
// agent is going, and that a session with a job goes on without it.
func (s *supervisor) ended(alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.ready, s.moved = nil, nil, time.Now()
	s.status = seam.Status{Phase: seam.PhaseConnecting, Fault: s.status.Fault, Trip: s.status.Trip}
	s.spent = s.done != nil && s.told > seam.CodeLoaded
	if s.done != nil {
		switch {
		case s.spent:
		case s.testing:
			s.log.Warn("session ended in its self-test")
			if s.onTest != nil {
				s.onTest(seam.Receipt{Job: s.job})
			}
		case alone:
			s.log.Info("the print goes on without its agent")
		default:
			s.log.Warn("session ended without a receipt")
			s.recovery.end(s.job)
		}
		close(s.done)
		s.done, s.testing = nil, false
	}
}

// retire keeps jobs from being taken from now on. It reports false, and keeps
// nothing, while one runs or a heater is on.
func (s *supervisor) retire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working() {
		return false
	}
	s.going = true
	return true
}

// hot reports whether a job is loaded or a heater is on: nothing is replaced then.
func (s *supervisor) hot() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.working()
}

// working is hot while the lock is held.
func (s *supervisor) working() bool {
	hot := s.done != nil
	for _, h := range s.status.Heaters[:s.status.NHeaters] {
		hot = hot || h.Target > 0
	}
	return hot
}

// snapshot is the last status, what the session gave up, and whether a job runs.
func (s *supervisor) snapshot() (seam.Status, seam.Ready, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var r seam.Ready
	if s.ready != nil {
		r = *s.ready
	}
	return s.status, r, s.done != nil
}
