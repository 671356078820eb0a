package driver

import (
	"bytes"
	"runtime"
	"time"

	"platen/hal"
	"platen/hal/gcode"
)

// owner is the goroutine that has the port, the line engine and the state. Its fields
// belong to it alone.
type owner struct {
	*Machine
	lines Lines
	split gcode.Splitter
	reply gcode.Reply
	rx    [rxSize]byte
	empty int       // reads in a row that brought neither bytes nor an error
	armed time.Time // the port's deadline; zero is one that has passed, or none

	buf  []byte // to be written; nil while both buffers are with the hand
	slow bool   // the hand has something to write yet
	cmd  command

	counted gcode.Stats // as the state has them
	queue   []*request
	waits   []waiter
	waitSeq uint64 // the newest line that waits for heat

	heard    time.Time // when anything was last read
	asked    time.Time // when temperatures were last asked for
	breaking time.Time // when a wait for heat is to be broken off next; zero is never

	isDead    bool
	confirmed bool // the controller has confirmed the stop
	lost      bool // the controller had fallen silent
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
	pollEvery   = 2 * time.Second        // of temperatures, without automatic reports
	breakEvery  = time.Second            // between two attempts to break off a wait
	stopEvery   = 300 * time.Millisecond // between two stops
	maxStops    = 10
	lostStops   = 3
	silentTimes = 8   // how much more silence is taken from a controller that does not report by itself
	maxEmpty    = 100 // reads without bytes and without an error before the port counts as broken
	restUntil   = time.Hour
)

func (o *owner) loop() {
	runtime.LockOSThread() // which ends with this goroutine
	if p, ok := o.port.(owned); ok {
		p.Own()
	}
	if o.opt.Urgent {
		o.hurry()
	}
	now := time.Now()
	o.heard, o.asked = now, now
	o.lines = o.profile.Lines
	if o.profile.PollEvery <= 0 {
		o.profile.PollEvery = pollEvery
	}
	o.lines.Restart(now)
	o.publish(hal.PhaseIdle)
	for {
		o.collect(now)
		o.pump(now)
		o.settle()
		due := o.deadline(now)
		in, err := o.listen(due)
		select {
		case <-o.quit:
			return
		default:
		}
		now = time.Now()
		o.read(in, err, now)
		if !now.Before(due) {
			if due = o.due(now); !due.IsZero() && !now.Before(due) { // reading may have moved it
				o.tick(now)
			}
		}
	}
}

// collect takes what others have left in the inbox.
func (o *owner) collect(now time.Time) {
	b := &o.box
	if !b.news.Load() {
		return
	}
	b.mu.Lock()
	halted, broken := b.halted, b.broken
	b.broken = nil
	var reqs []*request
	if len(o.queue) < maxQueue {
		reqs, b.reqs = b.reqs, nil
	}
	b.news.Store(len(b.reqs) > 0)
	b.mu.Unlock()
	switch {
	case halted:
		o.fail(hal.FaultHost, nil)
	case broken != nil:
		o.fail(hal.FaultPort, broken)
	}
	for _, r := range reqs {
		o.request(r, now)
	}
}

func (o *owner) request(r *request, now time.Time) {
	if o.isDead {
		r.done <- o.cause()
		return
	}
	if r.abort && o.profile.Break != "" {
		o.breaking = now
		o.breakWait(now)
	}
	o.queue = append(o.queue, r)
}

// read deals with what the port said.
func (o *owner) read(in []byte, err error, now time.Time) {
	if err != nil {
		if !o.isDead {
			o.fail(hal.FaultPort, portError(err))
		}
		o.idle()
		return
	}
	if len(in) == 0 {
		return
	}
	for len(in) > 0 {
		text, rest, more := o.split.Next(in)
		in = rest
		if !more {
			break
		}
		o.fw.Parse(text, &o.reply)
		if o.reply.Kind != gcode.Garbage && o.reply.Kind != gcode.Empty {
			o.heard = now // noise is not life
		}
		o.understand(&o.reply, now)
	}
	o.count()
}

// idle waits for the end once the port is broken: there is nothing to read any more.
func (o *owner) idle() { <-o.quit }

func (o *owner) understand(r *gcode.Reply, now time.Time) {
	if r.NTemps > 0 {
		o.temperatures(r, now)
	}
	switch {
	case o.isDead:
		if r.Kind == gcode.Fault || r.Kind == gcode.Start {
			o.confirmed = true
		}
	case r.Kind == gcode.Fault:
		o.fail(r.Fault, nil)
	default:
		if err := o.lines.Handle(r, now); err != nil {
			o.fail(faultOf(err), err)
		}
	}
}

// count takes the counters of the line engine over into the state.
func (o *owner) count() {
	stats := o.lines.Stats()
	o.accepted.Store(o.lines.Accepted())
	if stats != o.counted {
		o.counted = stats
		o.mu.Lock()
		o.state.Resends, o.state.LinkError = stats.Resends, stats.Spurious
		o.mu.Unlock()
	}
}

// pump moves requests and commands into the line engine, and what that has to say
// onto the wire.
func (o *owner) pump(now time.Time) {
	if o.isDead || !o.borrow() {
		return
	}
	if !o.held() {
		o.breaking = time.Time{} // or it would break off the next wait
	}
	for {
		o.buf = o.lines.AppendWire(o.buf, now)
		if len(o.buf) > txSize-2*gcode.MaxLine || !o.lines.Ready() || o.held() || !o.next() {
			break
		}
	}
	if len(o.waits) > 0 && len(o.queue) == 0 && !o.held() {
		o.lines.RequestSync()
		o.buf = o.lines.AppendWire(o.buf, now)
	}
	o.send()
}

// next gives the line engine the next command: of a request if there is one, else of
// the program.
func (o *owner) next() bool {
	if len(o.queue) > 0 {
		r := o.queue[0]
		cmd, rest := cutCommand(r.cmds)
		r.cmds = rest
		seq := o.lines.Add(cmd)
		if len(rest) == 0 {
			o.queue = append(o.queue[:0], o.queue[1:]...)
			o.waits = append(o.waits, waiter{seq, r.done})
		}
		return true
	}
	if !o.box.pop(&o.cmd) {
		return false
	}
	seq := o.lines.Add(o.cmd.text[:o.cmd.n])
	if o.cmd.wait {
		o.waitSeq = seq
	}
	return true
}

// held reports whether the controller waits for heat. Nothing is sent behind that,
// so that its command queue has room to break off however often that must be tried.
func (o *owner) held() bool { return o.waitSeq > o.lines.Accepted() }

func cutCommand(cmds []byte) (cmd, rest []byte) {
	if i := bytes.IndexByte(cmds, '\n'); i >= 0 {
		return cmds[:i], cmds[i+1:]
	}
	return cmds, nil
}

// settle tells those who wait for lines that are now proven.
func (o *owner) settle() {
	if len(o.waits) == 0 {
		return
	}
	proven := o.lines.Proven()
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

// breakWait ends a wait for heat that is under way, beside the numbered lines:
// firmware acts on it as soon as it reads it.
func (o *owner) breakWait(now time.Time) {
	if o.breaking.IsZero() || now.Before(o.breaking) {
		return
	}
	if !o.held() {
		o.breaking = time.Time{}
		return
	}
	o.breaking = now.Add(breakEvery)
	o.beside(o.profile.Break, 1)
}

// beside writes text beside the lines, if that can be now.
func (o *owner) beside(text string, oks int) {
	if !o.borrow() {
		return
	}
	if buf, ok := o.lines.AppendBare(o.buf, []byte(text), oks); ok {
		o.buf = buf
		o.send()
	}
}

// deadline is when the owner has to be up again at the latest.
func (o *owner) deadline(now time.Time) time.Time {
	if d := o.due(now); !d.IsZero() {
		return d
	}
	return now.Add(restUntil)
}

// due is when tick has something to do.
func (o *owner) due(now time.Time) time.Time {
	if o.isDead {
		if o.confirmed || o.stops > o.enough() {
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
	if o.buf != nil { // else the hand wakes the owner
		earlier(o.lines.Deadline())
	}
	earlier(o.breaking)
	if o.polls() {
		earlier(o.asked.Add(o.profile.PollEvery))
	}
	return d
}

// polls reports whether temperatures have to be asked for now and then.
func (o *owner) polls() bool {
	return o.profile.Poll != "" || !o.profile.Reports && !o.held()
}

// silence is how long the controller may say nothing at all. One that neither
// reports by itself nor says that it is busy is silent through a long move.
func (o *owner) silence() time.Duration {
	if o.profile.Reports {
		return max(o.opt.Silence, o.profile.Quiet)
	}
	return max(silentTimes*o.opt.Silence, o.profile.Quiet)
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
	if o.polls() && now.Sub(o.asked) >= o.profile.PollEvery {
		o.asked = now
		if o.profile.Poll != "" {
			o.beside(o.profile.Poll, 0)
		} else {
			o.lines.Ask()
		}
	}
	if err := o.lines.Tick(now); err != nil {
		o.fail(faultOf(err), err)
	}
}
