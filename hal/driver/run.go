package driver

import (
	"context"
	"fmt"

	"platen/hal"
	"platen/hal/motion"
)

// Run pulls prog and runs it; see hal.Motion. When ctx ends, a wait for heat is
// broken off, the moves that the controller has are finished, and Run returns
// ctx.Err(). An error of prog, or an operation that the encoder refuses, switches
// heaters off and the fan on first.
func (m *Machine) Run(ctx context.Context, prog motion.Program) error {
	if !m.running.TryLock() {
		return ErrRunning
	}
	defer m.running.Unlock()
	m.publish(hal.PhaseRunning)
	defer m.publish(hal.PhaseIdle)
	m.box.clear()
	r := runner{Machine: m, ctx: ctx, enc: m.profile.Encoder}
	err := r.program(prog)
	return r.finish(err)
}

// runner is one Run.
type runner struct {
	*Machine
	ctx context.Context
	enc Encoder
	buf [256]byte
	own bool // the error is the program's own
}

// program sends all of prog.
func (r *runner) program(prog motion.Program) error {
	r.encoding.Lock()
	start := r.enc.AppendStart(r.buf[:0])
	r.encoding.Unlock()
	if err := r.send(start, false); err != nil {
		return err
	}
	for op, err := range prog {
		if err != nil {
			r.own = true
			return err
		}
		r.encoding.Lock()
		cmds, err := r.enc.Append(r.buf[:0], op)
		r.encoding.Unlock()
		if err != nil {
			r.own = true
			return err
		}
		if err := r.send(cmds, op.Kind == motion.WaitHeater); err != nil {
			return err
		}
	}
	return r.drain()
}

// send leaves commands, each ended by a line feed, in the ring one by one, as the
// controller takes them.
func (r *runner) send(cmds []byte, wait bool) error {
	for len(cmds) > 0 {
		var cmd []byte
		cmd, cmds = cutCommand(cmds)
		for !r.push(cmd, wait) {
			if err := r.await(); err != nil {
				return err
			}
		}
	}
	return r.over()
}

// over is why no more is to be sent, or nil. It is asked for every operation: a select
// of one case takes no lock.
func (r *runner) over() error {
	select {
	case <-r.dead:
		return r.cause()
	default:
	}
	select {
	case <-r.closing:
		return errClosing
	default:
	}
	return r.ctx.Err()
}

var errClosing = &hal.FaultError{Fault: hal.FaultHost}

// await waits until the owner has taken commands from the ring.
func (r *runner) await() error {
	select {
	case <-r.box.room:
		return nil
	case <-r.dead:
		return r.cause()
	case <-r.closing:
		return errClosing
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// drain waits until the owner has taken the last command of the ring, so that what is
// sent after it comes after it.
func (r *runner) drain() error {
	for r.left() > 0 {
		if err := r.await(); err != nil {
			return err
		}
	}
	return nil
}

// left is how many commands the ring holds; it has the owner say when it is empty.
func (r *runner) left() int {
	b := &r.box
	b.mu.Lock()
	defer b.mu.Unlock()
	b.draining = b.n > 0
	return b.n
}

// finish brings the machine to rest after the last line or after err, and returns
// what Run returns.
func (r *runner) finish(err error) error {
	r.box.clear() // after err commands are left that nobody wants any more
	select {
	case <-r.dead:
		return r.cause()
	case <-r.closing:
		return errClosing
	default:
	}
	if err == nil {
		err = r.do(r.ctx, &request{cmds: r.enc.AppendEnd(nil)})
		if err == nil || r.ctx.Err() == nil {
			return err
		}
	}
	if r.ctx.Err() != nil {
		if err := r.do(context.Background(), &request{cmds: r.enc.AppendEnd(nil), abort: true}); err != nil {
			return err
		}
		return r.ctx.Err()
	}
	if !r.own {
		return err
	}
	return r.makeSafe(err)
}

// makeSafe switches heaters off and the fan on, or stops the controller if that is
// not confirmed in time, and returns the error of the program.
func (r *runner) makeSafe(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.opt.Closing)
	defer cancel()
	cmds := []byte(r.profile.Cool + r.profile.Safe)
	if safe := r.do(ctx, &request{cmds: cmds, abort: true}); safe != nil {
		if ctx.Err() != nil {
			safe = r.Halt("safe state was not confirmed")
		}
		if safe != nil {
			return fmt.Errorf("run program: %w (%w)", err, safe)
		}
	}
	return fmt.Errorf("run program: %w", err)
}
