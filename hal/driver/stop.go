package driver

import (
	"errors"
	"fmt"
	"time"

	"platen/hal"
	"platen/hal/gcode"
)

// faultOf says what the end of the line engine means.
func faultOf(err error) hal.Fault {
	switch {
	case errors.Is(err, gcode.ErrReset):
		return hal.FaultReset
	case errors.Is(err, ErrSilent):
		return hal.FaultTimeout
	}
	return hal.FaultProtocol
}

// fail makes the machine dead, once; see the package comment.
func (o *owner) fail(fault hal.Fault, cause error) {
	if o.isDead {
		return
	}
	o.isDead, o.lost = true, fault == hal.FaultTimeout
	o.box.mu.Lock()
	if o.box.halted {
		fault, cause = hal.FaultHost, nil
	}
	reqs := o.box.reqs
	o.box.reqs = nil
	o.box.mu.Unlock()
	err := error(&hal.FaultError{Fault: fault})
	if fault == hal.FaultPort && cause != nil {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	phase := hal.PhaseHalted
	if fault == hal.FaultPort || fault == hal.FaultTimeout {
		phase = hal.PhaseLost
	}
	o.mu.Lock()
	o.err, o.state.Phase, o.state.Fault = err, phase, fault
	o.mu.Unlock()
	for _, r := range append(o.queue, reqs...) {
		r.done <- err
	}
	for _, w := range o.waits {
		w.done <- err
	}
	o.queue, o.waits = nil, nil
	close(o.dead)
	o.log.Warn("machine stopped", "fault", fault.String())
	switch fault {
	case hal.FaultPort:
		o.confirmed = true // nobody is there to confirm
	case hal.FaultReset:
		o.confirmed = true
		o.coolBare()
	default:
		o.stopAgain(time.Now())
	}
}

// coolBare switches the heaters off by commands without numbers, which a controller
// that has just started takes.
func (o *owner) coolBare() {
	if o.buf == nil {
		select {
		case o.buf = <-o.txFree:
		case <-o.quit:
			return
		}
	}
	o.buf = append(o.buf[:0], '\n')
	o.buf = append(o.buf, o.profile.Cool...)
	o.send()
}

// enough is how many stops are written before the controller is reset. One that had
// fallen silent has been given its time already.
func (o *owner) enough() int {
	switch {
	case o.profile.Deaf && o.canReset():
		return 0
	case o.lost:
		return lostStops
	}
	return maxStops
}

// stopAgain writes a stop and sets the time for the next one. When many stay
// unconfirmed it resets the controller if the port can.
func (o *owner) stopAgain(now time.Time) {
	if o.confirmed {
		return
	}
	o.nextStop = now.Add(stopEvery)
	if o.stops++; o.stops <= o.enough() {
		if o.now != nil && !o.slow {
			if n, err := o.now.WriteNow([]byte(o.profile.Stop)); err == nil && n == len(o.profile.Stop) {
				return
			}
		}
		select {
		case o.urgent <- make(chan error, 1):
		default: // one is being written
		}
		return
	}
	o.log.Warn("the controller does not confirm the stop: switch the printer off")
	o.reset()
}
