package marlin

import (
	"context"
	"fmt"

	"platen/hal"
	"platen/hal/gcode"
	"platen/hal/motion"
)

// Run pulls prog and runs it; see hal.Motion. When ctx ends, a wait for heat is
// broken off, the moves that the controller has are finished, and Run returns
// ctx.Err(). An error of prog switches heaters off and the fan on first.
func (m *Machine) Run(ctx context.Context, prog motion.Program) error {
	if !m.running.TryLock() {
		return ErrRunning
	}
	defer m.running.Unlock()
	m.publish(hal.PhaseRunning)
	defer m.publish(hal.PhaseIdle)
	r := runner{Machine: m, ctx: ctx}
	if err := r.program(prog); err != nil {
		return r.finish(err)
	}
	return r.finish(nil)
}

// runner is one Run.
type runner struct {
	*Machine
	ctx context.Context
	enc gcode.Encoder
	buf [256]byte
	own bool // the error is the program's own
}

// program sends all of prog.
func (r *runner) program(prog motion.Program) error {
	if err := r.send(r.enc.AppendStart(r.buf[:0]), false); err != nil {
		return err
	}
	for op, err := range prog {
		if err != nil {
			r.own = true
			return err
		}
		if err := r.send(r.enc.Append(r.buf[:0], op), op.Kind == motion.WaitHeater); err != nil {
			return err
		}
	}
	return nil
}

// send hands commands, each ended by a line feed, to the owner one by one, as the
// controller takes them.
func (r *runner) send(cmds []byte, wait bool) error {
	for len(cmds) > 0 {
		var cmd []byte
		cmd, cmds = cutCommand(cmds)
		l := line{n: uint8(len(cmd)), wait: wait}
		copy(l.text[:], cmd)
		select {
		case r.lines <- l:
		case <-r.dead:
			return r.cause()
		case <-r.closing:
			return &hal.FaultError{Fault: hal.FaultHost}
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	return r.ctx.Err()
}

// finish brings the machine to rest after the last line or after err, and returns
// what Run returns.
func (r *runner) finish(err error) error {
	select {
	case <-r.dead:
		return r.cause()
	case <-r.closing:
		return &hal.FaultError{Fault: hal.FaultHost}
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
	cmds := append(r.coolCommands(), "M106 S255\n"...)
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
