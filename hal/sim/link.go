package sim

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// grace is how long, in real time, the fastest clock waits for a host that could
	// still fill the planner before it lets the planner run on.
	grace = 50 * time.Millisecond
	// slack is how far, in real time, simulated time may run ahead before the
	// firmware sleeps: shorter sleeps cost more than they are worth.
	slack = 500 * time.Microsecond
	// lag is how far simulated time may fall behind before it gives up catching up.
	lag = time.Second
)

// message is what the reader of a link passes on: bytes, or that the host opened
// the port.
type message struct {
	data   []byte
	opened bool
}

// link is a real line: one goroutine reads it, the firmware's goroutine does the
// rest.
type link struct {
	rw   io.ReadWriter
	ctl  <-chan control
	done <-chan struct{}
	in   chan message // bound: four reads of host output, then the host has to wait
	free chan []byte  // buffers that come back
	wg   sync.WaitGroup
	stop func() bool
	over atomic.Bool // the reader has ended, or is to
	away atomic.Bool // no host has the pty open

	speed    int
	reset    bool // a host that opens the port restarts the controller
	ended    bool
	timer    *time.Timer
	granted  bool // the host has had its grace
	haste    int  // mcu.haste of the anchor
	anchored bool
	realAt   time.Time // simAt was then
	simAt    time.Duration
}

type deadliner interface{ SetDeadline(time.Time) error }

func dial(ctx context.Context, rw io.ReadWriter, p *Printer) (*link, error) {
	_, canDeadline := rw.(deadliner)
	_, canClose := rw.(io.Closer)
	if !canDeadline && !canClose {
		return nil, errors.New("simulated printer: the line has neither SetDeadline nor Close, so reading it could not be ended")
	}
	l := &link{
		rw: rw, ctl: p.ctl, done: ctx.Done(), speed: p.cfg.Speed, reset: p.cfg.ResetOnOpen,
		in: make(chan message, 4), free: make(chan []byte, 6), timer: time.NewTimer(time.Hour),
	}
	l.timer.Stop()
	for range cap(l.free) {
		l.free <- make([]byte, 4096)
	}
	l.stop = context.AfterFunc(ctx, l.interrupt)
	// Asked before the firmware says its first word: a host that comes after that has
	// missed it, and must be seen to come.
	l.away.Store(absent(rw))
	l.wg.Go(func() { l.read(ctx) })
	return l, nil
}

// interrupt makes reads and writes of the line return.
func (l *link) interrupt() {
	l.over.Store(true)
	if d, ok := l.rw.(deadliner); ok && d.SetDeadline(time.Unix(1, 0)) == nil {
		return
	}
	l.unplug()
}

func (l *link) unplug() {
	if c, ok := l.rw.(io.Closer); ok {
		c.Close() // the line is gone either way
	}
}

// wait waits for the reader; the context of dial has to have ended.
func (l *link) wait() {
	if l.stop() { // not interrupted yet
		l.interrupt()
	}
	l.wg.Wait()
	if d, ok := l.rw.(deadliner); ok {
		d.SetDeadline(time.Time{}) // fails on a closed line, which has no use for it
	}
}

// read passes on what comes in, and that a host has come.
func (l *link) read(ctx context.Context) {
	defer close(l.in)
	defer l.over.Store(true)
	if l.away.Load() && !l.greet(ctx, syscall.EIO) {
		return
	}
	for {
		var buf []byte
		select {
		case buf = <-l.free:
		case <-ctx.Done():
			return
		}
		n, err := l.rw.Read(buf[:cap(buf)])
		if n > 0 && !l.send(ctx, message{data: buf[:n]}) {
			return
		}
		if n == 0 {
			l.free <- buf // has room: the buffer came from there
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil || !l.greet(ctx, err) {
			return
		}
	}
}

// greet waits for a host after reading has failed with err. What the firmware says
// meanwhile is lost, as on a line that nobody listens to: a host that found it when it
// comes would talk to a controller that restarts because it came.
func (l *link) greet(ctx context.Context, err error) bool {
	l.away.Store(true)
	if !awaitHost(ctx, l.rw, err) {
		return false
	}
	l.away.Store(false)
	return l.send(ctx, message{opened: true})
}

func (l *link) send(ctx context.Context, msg message) bool {
	select {
	case l.in <- msg:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *link) write(m *mcu, b []byte) {
	if l.ended || l.away.Load() {
		return
	}
	if _, err := l.rw.Write(b); err != nil && !hostGone(err) {
		l.end(m)
	}
}

func (l *link) end(m *mcu) {
	l.ended = true
	m.halt(poweredOff)
}

// take acts on a message.
func (l *link) take(m *mcu, msg message, ok bool) {
	switch {
	case !ok:
		l.end(m)
	case msg.opened:
		if l.reset {
			m.restartBy(causeExternal)
		}
	default:
		m.receive(msg.data)
		l.free <- msg.data // has room: the buffer came from there
	}
	l.granted = false
}

// poll acts on what has come in, without waiting.
func (l *link) poll(m *mcu) bool {
	if len(l.in) == 0 && len(l.ctl) == 0 && !l.over.Load() {
		return false // the usual, and cheaper than asking three channels
	}
	select {
	case msg, ok := <-l.in:
		l.take(m, msg, ok)
		return true
	case c := <-l.ctl:
		l.obey(m, c)
		return true
	case <-l.done:
		l.end(m)
		return true
	default:
		return false
	}
}

// await waits at most d for something to come in; set then sets the clock.
func (l *link) await(m *mcu, d time.Duration, set func()) bool {
	l.timer.Reset(d)
	defer l.timer.Stop()
	select {
	case msg, ok := <-l.in:
		set()
		l.take(m, msg, ok)
	case c := <-l.ctl:
		set()
		l.obey(m, c)
	case <-l.done:
		l.end(m)
	case <-l.timer.C:
		return false
	}
	return true
}

func (l *link) obey(m *mcu, c control) {
	if c == ctlUnplug {
		l.end(m)
		l.unplug()
		return
	}
	m.restartBy(causeExternal)
}

// pace implements port.
func (l *link) pace(m *mcu, t time.Duration) bool {
	if l.ended {
		return true
	}
	if l.poll(m) {
		return false
	}
	speed := l.speed
	if speed == Fastest {
		speed = max(1, m.haste)
		if speed != l.haste {
			l.haste, l.anchored = speed, false
		}
		switch {
		case !m.hungry || len(m.wire.buf) > 0 || l.granted && m.plan.active():
			l.anchored = false
			return true
		case m.plan.active():
			m.flush()
			l.anchored = false
			d := grace
			if m.midLine {
				d = 6 * grace // the other half has been written and is on its way
			}
			l.granted = !l.await(m, d, func() {})
			return l.granted
		}
	}
	return l.hold(m, t, speed)
}

// hold keeps simulated time at speed times real time.
func (l *link) hold(m *mcu, t time.Duration, speed int) bool {
	now := time.Now()
	if !l.anchored || now.Sub(l.realAt)-l.real(m.now, speed) > lag {
		l.anchored, l.realAt, l.simAt = true, now, m.now
	}
	d := l.real(t, speed) - now.Sub(l.realAt)
	if d <= slack {
		return true
	}
	m.flush()
	return !l.await(m, d, func() {
		passed := time.Since(l.realAt)
		m.now = min(t, max(m.now, l.simAt+passed*time.Duration(speed)))
	})
}

// real is the real time from the anchor to simulated time t.
func (l *link) real(t time.Duration, speed int) time.Duration {
	return (t - l.simAt) / time.Duration(speed)
}
