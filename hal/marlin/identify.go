package marlin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"platen/hal"
	"platen/hal/gcode"
)

// resetAfter is the question before which a silent controller is reset.
const resetAfter = 3

// maxCaps bounds the capabilities kept; Marlin 2.1 names fewer than 50.
const maxCaps = 64

// identify asks the controller who it is until it has answered in full, and waits
// until it has nothing more to say. Opening the port may have reset it, so that it
// may take seconds to listen, and may talk before.
func (o *owner) identify(ctx context.Context) error {
	timeout := time.NewTimer(o.opt.Connect)
	defer timeout.Stop()
	ask := time.NewTimer(o.opt.Settle)
	defer ask.Stop()
	known := answer{m: o.Machine}
	asked, questions := time.Now(), 0
	for {
		select {
		case chunk := <-o.rx:
			known.read(&o.split, chunk)
			o.rxFree <- chunk[:rxSize]
			// One that never falls silent, because it reports or waits aloud, is
			// asked all the same.
			if time.Since(asked) < o.opt.Retry {
				ask.Reset(o.opt.Settle)
			}
		case <-ask.C:
			if known.complete {
				return known.check()
			}
			if questions++; questions == resetAfter && known.lines == 0 {
				o.reset()
			}
			o.ask()
			asked = time.Now()
			ask.Reset(o.opt.Retry)
		case err := <-o.broken:
			return err
		case <-timeout.C:
			return known.giveUp(o.opt.Connect)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reset resets a controller that says nothing at all, if the port can: after an
// emergency stop it hears nothing else.
func (m *Machine) reset() {
	if r, ok := m.port.(interface{ Reset() error }); ok {
		if err := r.Reset(); err != nil {
			m.log.Debug("the controller cannot be reset", "error", err)
		}
	}
}

// ask sends M115 without a number, since numbering has not begun. If the writer has
// not got rid of the last question there is no use in another.
func (o *owner) ask() {
	select {
	case buf := <-o.txFree:
		o.tx <- append(buf, "\nM115\n"...)
	default:
	}
}

// answer gathers what the controller says of itself.
type answer struct {
	m        *Machine
	named    bool
	complete bool
	fault    hal.Fault
	garbage  int
	lines    int
}

func (a *answer) read(split *gcode.Splitter, chunk []byte) {
	for in := chunk; len(in) > 0; {
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
	gcode.Parse(text, &r)
	a.lines++
	switch r.Kind {
	case gcode.Firmware:
		name, tools, glued := gcode.ParseFirmware(text)
		a.m.info = hal.Info{Dialect: "marlin", Firmware: name, Tools: tools}
		a.named, a.complete = true, false
		a.cap([]byte(glued))
	case gcode.Cap:
		if !a.complete {
			a.cap(text)
		}
	case gcode.OK:
		a.complete = a.named
	case gcode.Start:
		a.named, a.complete, a.fault = false, false, hal.FaultNone // what it said before, it said in another life
	case gcode.Fault:
		a.fault = r.Fault
	case gcode.Garbage:
		a.garbage++
	}
}

func (a *answer) cap(text []byte) {
	if name, has := gcode.ParseCap(text); has && len(a.m.info.Caps) < maxCaps {
		a.m.info.Caps = append(a.m.info.Caps, name)
	}
}

// check says whether the controller is one to work with.
func (a *answer) check() error {
	if a.fault != hal.FaultNone {
		return &hal.FaultError{Fault: a.fault}
	}
	if !strings.Contains(a.m.info.Firmware, "Marlin") {
		return fmt.Errorf("%q is not Marlin: choose a board with another dialect", a.m.info.Firmware)
	}
	return nil
}

var (
	errNoAnswer = errors.New("no answer: check that the printer is on, its cable, and the device; after an emergency stop, reset it")
	errGarbled  = errors.New("what it says cannot be read: the baud rate in the board file is wrong, or the cable is bad")
)

func (a *answer) giveUp(after time.Duration) error {
	switch {
	case a.fault != hal.FaultNone:
		return &hal.FaultError{Fault: a.fault}
	case a.garbage > 0 && a.garbage*2 > a.lines:
		return fmt.Errorf("%w (waited %v)", errGarbled, after)
	}
	return fmt.Errorf("%w (waited %v)", errNoAnswer, after)
}
