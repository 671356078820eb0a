package marlin

import (
	"errors"
	"fmt"
	"time"

	"platen/hal"
	"platen/hal/gcode"
)

// owner is the goroutine that has the line engine. Its fields belong to it alone.
type owner struct {
	*Machine
	link  *gcode.Link
	split gcode.Splitter
	reply gcode.Reply

	buf     []byte // to be written; nil while both buffers are with the writer
	queue   []*request
	waits   []waiter
	waitSeq uint64 // the newest line that waits for heat

	heard    time.Time // when anything was last read
	asked    time.Time // when temperatures were last asked for
	breaking time.Time // when a wait for heat is to be broken off next; zero is never

	isDead    bool
	confirmed bool // the controller has confirmed the stop
	stops     int  // stops written since
	nextStop  time.Time
}

// waiter is told when the line with number seq is proven.
type waiter struct {
	seq  uint64
	done chan<- error
}

// Bounds of the owner.
const (
	maxQueue    = 8                      // requests at once; more wait in reqs
	pollEvery   = 2 * time.Second        // of temperatures, without automatic reports
	breakEvery  = time.Second            // between two M108
	stopEvery   = 300 * time.Millisecond // between two M112
	maxStops    = 10
	silentTimes = 8 // how much more silence is taken from a controller that does not report by itself
)

func (o *owner) loop() {
	now := time.Now()
	o.heard, o.asked = now, now
	o.link.Restart(now)
	timer := time.NewTimer(0)
	defer timer.Stop()
	o.publish(hal.PhaseIdle)
	for {
		now = time.Now()
		o.pump(now)
		o.settle()
		if d := o.deadline(now); d.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(d.Sub(now))
		}
		if !o.wait(timer) {
			return
		}
	}
}

// wait waits for the next event and deals with it. It returns false at the end.
func (o *owner) wait(timer *time.Timer) bool {
	var lines chan line
	var reqs chan *request
	if !o.isDead && len(o.queue) == 0 && o.link.Ready() && o.buf != nil && !o.held() {
		lines = o.lines
	}
	if len(o.queue) < maxQueue {
		reqs = o.reqs
	}
	select {
	case fault := <-o.stop:
		o.fail(fault, nil)
	case chunk := <-o.rx:
		o.read(chunk, time.Now())
		o.rxFree <- chunk[:rxSize]
	case l := <-lines:
		seq := o.link.Add(l.text[:l.n])
		if l.wait {
			o.waitSeq = seq
		}
	case r := <-reqs:
		o.request(r, time.Now())
	case buf := <-o.txFree:
		o.buf = buf
	case err := <-o.broken:
		o.fail(hal.FaultPort, err)
	case <-timer.C:
		o.tick(time.Now())
	case <-o.quit:
		return false
	}
	return true
}

// pump moves requests into the line engine and what it has to say to the writer.
func (o *owner) pump(now time.Time) {
	if o.isDead {
		return
	}
	if o.buf == nil {
		select {
		case o.buf = <-o.txFree:
		default:
			return
		}
	}
	if !o.held() {
		o.breaking = time.Time{} // or it would break off the next wait
	}
	o.buf = o.link.AppendWire(o.buf, now)
	for len(o.queue) > 0 && o.link.Ready() && !o.held() {
		r := o.queue[0]
		cmd, rest := cutCommand(r.cmds)
		r.cmds = rest
		seq := o.link.Add(cmd)
		if len(rest) == 0 {
			o.queue = append(o.queue[:0], o.queue[1:]...)
			o.waits = append(o.waits, waiter{seq, r.done})
		}
		o.buf = o.link.AppendWire(o.buf, now)
	}
	if len(o.waits) > 0 && len(o.queue) == 0 && !o.held() {
		o.link.RequestSync()
		o.buf = o.link.AppendWire(o.buf, now)
	}
	o.send()
}

// held reports whether the controller waits for heat. Nothing is sent behind that,
// so that its command queue has room for M108 however often it must be repeated.
func (o *owner) held() bool { return o.waitSeq > o.link.Accepted() }

// send hands the buffer to the writer if there is anything in it.
func (o *owner) send() {
	if len(o.buf) > 0 {
		o.tx <- o.buf // has room for every buffer there is
		o.buf = nil
	}
}

func cutCommand(cmds []byte) (cmd, rest []byte) {
	for i, b := range cmds {
		if b == '\n' {
			return cmds[:i], cmds[i+1:]
		}
	}
	return cmds, nil
}

// settle tells those who wait for lines that are now proven.
func (o *owner) settle() {
	proven := o.link.Proven()
	left := o.waits[:0]
	for _, w := range o.waits {
		if w.seq <= proven {
			w.done <- nil
			continue
		}
		left = append(left, w)
	}
	o.waits = left
}

func (o *owner) request(r *request, now time.Time) {
	if o.isDead {
		r.done <- o.cause()
		return
	}
	if r.abort {
		o.breaking = now
		o.breakWait(now)
	}
	o.queue = append(o.queue, r)
}

// breakWait sends M108, beside the numbered lines, while a wait for heat is under
// way: firmware acts on it as soon as it reads it.
func (o *owner) breakWait(now time.Time) {
	if o.breaking.IsZero() || now.Before(o.breaking) {
		return
	}
	if !o.held() {
		o.breaking = time.Time{}
		return
	}
	o.breaking = now.Add(breakEvery)
	if o.buf != nil {
		o.buf = append(o.buf, "M108\n"...)
		o.link.Bare()
		o.send()
	}
}

// deadline is when tick has something to do.
func (o *owner) deadline(now time.Time) time.Time {
	if o.isDead {
		if o.confirmed || o.stops > maxStops {
			return time.Time{}
		}
		return o.nextStop
	}
	d := o.heard.Add(o.silence())
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(d) {
			d = t
		}
	}
	if o.buf != nil { // else the writer's answer wakes the owner
		earlier(o.link.Deadline())
	}
	earlier(o.breaking)
	if !o.info.Has(capAutoReport) && !o.held() {
		earlier(o.asked.Add(pollEvery))
	}
	if d.Before(now) {
		return now
	}
	return d
}

// silence is how long the controller may say nothing at all. One that neither
// reports by itself nor says that it is busy is silent through a long move.
func (o *owner) silence() time.Duration {
	if o.info.Has(capAutoReport) {
		return o.opt.Silence
	}
	return silentTimes * o.opt.Silence
}

func (o *owner) tick(now time.Time) {
	if o.isDead {
		o.stopAgain(now)
		return
	}
	if now.Sub(o.heard) >= o.silence() {
		o.fail(hal.FaultTimeout, nil)
		return
	}
	o.breakWait(now)
	if !o.info.Has(capAutoReport) && now.Sub(o.asked) >= pollEvery && !o.held() {
		o.asked = now
		o.link.Ask()
	}
	if err := o.link.Tick(now); err != nil {
		o.fail(faultOf(err), err)
	}
}

// faultOf says what the end of the line engine means.
func faultOf(err error) hal.Fault {
	if errors.Is(err, gcode.ErrReset) {
		return hal.FaultReset
	}
	return hal.FaultProtocol
}

// fail makes the machine dead, once; see the package comment.
func (o *owner) fail(fault hal.Fault, cause error) {
	if o.isDead {
		return
	}
	o.isDead = true
	if o.halted.Load() {
		fault = hal.FaultHost
	}
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
	for _, r := range o.queue {
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
	o.buf = append(o.buf, o.coolCommands()...)
	o.send()
}

// stopAgain writes a stop and sets the time for the next one. When many stay
// unconfirmed it resets the controller if the port can.
func (o *owner) stopAgain(now time.Time) {
	if o.confirmed {
		return
	}
	o.nextStop = now.Add(stopEvery)
	if o.stops++; o.stops <= maxStops {
		select {
		case o.urgent <- make(chan error, 1):
		default: // one is being written
		}
		return
	}
	o.log.Warn("the controller does not confirm the stop: switch the printer off")
	o.reset()
}
