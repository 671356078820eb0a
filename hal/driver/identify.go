package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"platen/hal"
	"platen/hal/gcode"
)

// reviveAfter is the question before which a controller is brought back that is silent, or
// says nothing but that it is busy: with what the host before had it do, or with waiting
// for somebody to press its knob because it was halted (Prusa-Firmware).
const reviveAfter = 3

// identify asks the controller who it is until it has answered in full, and waits
// until it has nothing more to say. Opening the port may have reset it, so that it
// may take seconds to listen, and may talk before. One that has stopped is brought
// back, once. First of all it is told to be cold, twice: whoever had it before may have
// died with its heaters on and in the middle of a line, which takes with it what follows
// at once.
func (o *owner) identify(ctx context.Context) error {
	stop := context.AfterFunc(ctx, o.wake)
	defer stop()
	known := answer{fw: o.fw}
	begin := time.Now()
	end, ask, asked, questions, revived := begin.Add(o.opt.Connect), begin.Add(o.opt.Settle), begin, 0, false
	cold := o.fw.Greeting().Cold
	o.say(cold)
	for {
		in, err := o.listen(earliest(ask, end))
		if err != nil {
			return portError(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		now := time.Now()
		if len(in) > 0 {
			known.read(&o.split, in)
			// One that never falls silent, because it reports or waits aloud, is asked
			// all the same.
			if now.Sub(asked) < o.opt.Retry {
				ask = now.Add(o.opt.Settle)
			}
		}
		switch {
		case !now.Before(end):
			return known.giveUp(o.opt.Connect)
		case now.Before(ask):
			continue
		case known.complete && known.fault == hal.FaultNone:
			return nil
		}
		questions++
		if !revived && (known.fault != hal.FaultNone || questions == reviveAfter && known.lines == known.busy) {
			// What it says from now on is what counts.
			revived, known = true, answer{fw: o.fw, before: known.fault}
			o.revive(o.fw.Greeting())
		} else if known.complete {
			return &hal.FaultError{Fault: known.fault}
		}
		o.say(cold + o.fw.Greeting().Question) // which may depend on what is known so far
		cold = ""
		asked, ask = now, now.Add(o.opt.Retry)
	}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// revive brings a controller back that has stopped or says nothing at all.
func (o *owner) revive(g Greeting) {
	if !o.reset() && g.Revive != "" {
		o.say(g.Revive)
	}
}

// say writes text of the greeting. If the port has not got rid of the last there is no
// use in more.
func (o *owner) say(text string) {
	if o.borrow() {
		o.buf = append(o.buf[:0], text...)
		o.send()
	}
}

// answer gathers what the controller says of itself.
type answer struct {
	fw       Firmware
	complete bool
	fault    hal.Fault
	before   hal.Fault // what it said before it was brought back
	garbage  int
	lines    int
	busy     int // lines that say no more than that
}

func (a *answer) read(split *gcode.Splitter, in []byte) {
	for len(in) > 0 {
		text, rest, more := split.Next(in)
		in = rest
		if !more {
			return
		}
		a.line(text)
	}
}

func (a *answer) line(text []byte) {
	var r gcode.Reply
	a.fw.Parse(text, &r)
	a.lines++
	switch r.Kind {
	case gcode.Start:
		a.complete, a.fault, a.before = false, hal.FaultNone, hal.FaultNone // what it said before, it said in another life
	case gcode.Fault:
		a.fault = r.Fault
	case gcode.Garbage:
		a.garbage++
	case gcode.Busy:
		a.busy++
	}
	if a.fw.Identify(text, &r) {
		a.complete = true
	}
}

var (
	errNoAnswer = errors.New("no answer: check that the printer is on, its cable, and the device; after an emergency stop, reset it")
	errGarbled  = errors.New("what it says cannot be read: the baud rate in the board file is wrong, or the cable is bad")
)

func (a *answer) giveUp(after time.Duration) error {
	switch {
	case a.fault != hal.FaultNone:
		return &hal.FaultError{Fault: a.fault}
	case a.before != hal.FaultNone:
		return &hal.FaultError{Fault: a.before}
	case a.garbage > 0 && a.garbage*2 > a.lines:
		return fmt.Errorf("%w (waited %v)", errGarbled, after)
	}
	return fmt.Errorf("%w (waited %v)", errNoAnswer, after)
}
