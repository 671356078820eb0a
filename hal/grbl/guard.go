package grbl

import (
	"bytes"
	"errors"
	"time"

	"platen/hal/driver"
	"platen/hal/gcode"
)

// Errors that end a machine; see the package comment.
var (
	errOffPath = errors.New("the controller is not where its lines lead: the link loses or damages bytes")
	errAnswers = errors.New("the controller answers more or fewer lines than were sent: the link loses or damages bytes")
	errOffset  = errors.New("the controller's work offset has changed")
	errFeed    = errors.New("the controller moves faster than it was told: the link loses or damages bytes")
)

// Bounds of the guard.
const (
	ringLegs  = 256             // moves that are sent and not surely driven
	silence   = 4 * time.Second // without a report
	lostAfter = time.Second     // idle elsewhere than the lines lead
	fastShare = 20              // a rate may be a twentieth above what was sent, for rounding
)

// leg is one move that was sent.
type leg struct {
	from, to point
	feed     int32 // mm/min
	seq      uint64
	block    bool // long enough to be a block of the planner for sure
}

// guard is a line engine that watches what becomes of its lines: gcode.Counter, with
// every status report held against the moves sent. All of it is design data.
type guard struct {
	*gcode.Counter
	fw *firmware
	m  machine

	ring     [ringLegs]leg
	head, n  int
	end      point // where the last line leads
	feed     int32
	relative bool
	placed   bool // end is known
	sent     uint64
	proven   uint64
	homing   uint64 // the line that homes and is not done yet; 0 is none
	heard    time.Time
	astray   time.Time // since when it is idle elsewhere; zero if it is not
}

func newGuard(f *firmware, m machine, buffer int) *guard {
	return &guard{Counter: gcode.NewCounter(gcode.CounterConfig{Bytes: buffer - 1}), fw: f, m: m}
}

// String hides the lines.
func (g *guard) String() string { return "grbl guard" }

// Restart forgets what was in flight.
func (g *guard) Restart(now time.Time) {
	g.Counter.Restart(now)
	g.n, g.placed, g.homing, g.heard, g.astray = 0, false, 0, now, time.Time{}
}

// Ready reports whether a line may be added: not while it homes, not before it is
// known where it is, and not while there is no room to watch the line.
func (g *guard) Ready() bool {
	return g.Counter.Ready() && g.homing == 0 && g.placed && g.n < ringLegs
}

// Add takes a line.
func (g *guard) Add(cmd []byte) uint64 {
	seq := g.Counter.Add(cmd)
	g.sent = seq
	if rest, ok := bytes.CutPrefix(cmd, []byte("G91")); ok {
		g.relative, cmd = true, rest
	} else if rest, ok := bytes.CutPrefix(bytes.TrimPrefix(cmd, []byte("G21")), []byte("G90")); ok {
		g.relative, cmd = false, rest
	}
	switch {
	case bytes.HasPrefix(cmd, []byte("G1")):
		g.add(cmd[2:], seq)
	case bytes.HasPrefix(cmd, []byte("$H")):
		g.homing = seq
	}
	return seq
}

// add notes where a move leads. The encoder wrote it, so that it can be read.
func (g *guard) add(words []byte, seq uint64) {
	l := leg{from: g.end, to: g.end, seq: seq}
	words = bytes.TrimRight(words, "\n")
	for len(words) > 0 {
		letter := words[0]
		end := bytes.IndexAny(words[1:], "XYZF") + 1
		if end == 0 {
			end = len(words)
		}
		v, _ := micro(words[1:end])
		if words = words[end:]; letter == 'F' {
			g.feed = v / 1000
			continue
		}
		if i := letter - 'X'; g.relative {
			l.to[i] += v
		} else {
			l.to[i] = v + g.m.work[i]
		}
	}
	l.feed = g.feed
	for i := range l.to {
		l.block = l.block || distance(l.to[i], l.from[i]) >= g.m.near
	}
	g.end = l.to
	g.ring[(g.head+g.n)%ringLegs] = l
	g.n++
}

func distance(a, b int32) int32 { return max(a-b, b-a) }

// Handle takes one reply.
func (g *guard) Handle(r *gcode.Reply, now time.Time) error {
	if err := g.Counter.Handle(r, now); err != nil {
		return err
	}
	if s := g.Stats(); r.Kind == gcode.OK && s.Spurious > 0 || s.Stalls > 0 {
		return errAnswers
	}
	if r.Kind == gcode.Report {
		g.heard = now
		return g.report(&g.fw.status, now)
	}
	return nil
}

// report holds a status report against the lines.
func (g *guard) report(s *status, now time.Time) error {
	if s.hasW && s.wco != g.m.work {
		if g.proven == 0 {
			return nil // offsets of before are not gone yet
		}
		return errOffset
	}
	at := s.at
	if s.isW {
		for i := range at {
			at[i] += g.m.work[i]
		}
	}
	idle := s.state == stateIdle && g.Accepted() == g.sent && g.Counter.Ready()
	switch {
	case !g.placed:
		if s.state == stateIdle {
			g.place(at)
		}
	case g.homing != 0:
		if idle {
			g.homing = 0
			g.place(at)
			g.m.homed.Store(true)
		}
	case idle && g.near(at, g.end):
		g.n, g.astray = 0, time.Time{}
		g.proven = g.sent
	case idle:
		if g.astray.IsZero() {
			g.astray = now
		} else if now.Sub(g.astray) >= lostAfter {
			return errOffPath
		}
	default:
		g.astray = time.Time{}
		return g.follow(at, s.rate)
	}
	return nil
}

// place begins a path.
func (g *guard) place(at point) {
	g.end, g.placed, g.n, g.astray = at, true, 0, time.Time{}
	g.proven = g.Accepted()
}

func (g *guard) near(a, b point) bool {
	for i := range a {
		if distance(a[i], b[i]) > g.m.near {
			return false
		}
	}
	return true
}

// follow finds the first leg on which the machine can be, and forgets those before.
func (g *guard) follow(at point, rate int32) error {
	g.forget()
	fastest := int32(0)
	for i := range g.n {
		fastest = max(fastest, g.leg(i).feed)
	}
	if g.n > 0 && rate > fastest+fastest/fastShare+1 {
		return errFeed
	}
	for i := range g.n {
		if l := g.leg(i); l.passes(at, g.m.near) {
			g.head, g.n = (g.head+i)%ringLegs, g.n-i
			return nil
		}
	}
	if g.n == 0 && g.near(at, g.end) {
		return nil
	}
	return errOffPath
}

func (g *guard) leg(i int) *leg { return &g.ring[(g.head+i)%ringLegs] }

// forget drops the legs that have surely been driven: more are answered behind them
// than the planner holds.
func (g *guard) forget() {
	behind := 0
	for i := g.n - 1; i >= 0; i-- {
		l := g.leg(i)
		if l.seq > g.Accepted() {
			continue
		}
		if behind > g.m.blocks {
			g.head, g.n = (g.head+i+1)%ringLegs, g.n-i-1
			return
		}
		if l.block {
			behind++
		}
	}
}

// passes reports whether the leg comes as near to a place as near, in each axis.
func (l *leg) passes(at point, near int32) bool {
	longest, d := int64(0), point{}
	for i := range d {
		d[i] = l.to[i] - l.from[i]
		longest += int64(d[i]) * int64(d[i])
	}
	along := int64(0)
	for i := range d {
		along += int64(at[i]-l.from[i]) * int64(d[i])
	}
	along = max(0, min(along, longest))
	for i := range d {
		foot := int64(l.from[i])
		if longest > 0 {
			foot += int64(float64(d[i]) * (float64(along) / float64(longest)))
		}
		if off := int64(at[i]) - foot; off > int64(near) || -off > int64(near) {
			return false
		}
	}
	return true
}

// Proven returns the sequence number up to which the machine has surely done what
// lines say.
func (g *guard) Proven() uint64 { return g.proven }

// Deadline is when a report has to have come.
func (g *guard) Deadline() time.Time {
	if g.homing != 0 {
		return time.Time{} // grbl says nothing while it homes
	}
	return g.heard.Add(silence)
}

// Tick ends the machine if no report has come.
func (g *guard) Tick(now time.Time) error {
	if g.homing == 0 && now.Sub(g.heard) >= silence {
		return driver.ErrSilent
	}
	return nil
}
