package gcode

import (
	"errors"
	"time"
)

// ErrRefused reports that the controller did not take a line. Lines without numbers
// cannot be repeated, because those behind it are executed already.
var ErrRefused = errors.New("controller refused a line")

// CounterConfig holds the bounds of a Counter. Zero fields take the defaults named.
type CounterConfig struct {
	Bytes int           // what the receive buffer of the firmware holds: 127, as GRBL's ring of 128 does
	Lines int           // most lines in flight: 64
	Stall time.Duration // how long the controller may be idle with lines unanswered before their answers count as lost: 1 s
}

const counterRing = 64

// Counter is the line engine for firmware without line numbers that answers each line
// by one ok or one error, in order, once it has taken it out of its receive buffer
// (GRBL). It keeps the buffer full by counting the bytes of lines that are not
// answered yet.
//
// Nothing protects these lines: a damaged one is executed as it arrives, and a lost
// one is not missed. Where the link can lose or damage bytes, the dialect has to
// verify what came of them by other means. An answer that is lost shows when the
// controller says that it is idle with an empty buffer ([Reply].Idle) though lines are
// unanswered, for Stall: then they were all taken.
//
// Its methods must be called by one goroutine. Lines are design data: a Counter prints
// nothing of them.
type Counter struct {
	cfg   CounterConfig
	lens  [counterRing]uint8
	next  uint64 // sequence number of the line that Add takes next, less one
	sent  uint64 // lines up to here are on the wire
	acked uint64 // lines up to here are answered
	bytes int    // of lines in flight

	text [MaxCommand + 1]byte // the line that waits to be sent
	n    int
	bare int

	idle  time.Time // since when the controller says that it is idle; zero if it is not
	stats Stats
}

// NewCounter makes a Counter.
func NewCounter(c CounterConfig) *Counter {
	if c.Bytes <= 0 {
		c.Bytes = 127
	}
	if c.Lines <= 0 || c.Lines > counterRing {
		c.Lines = counterRing
	}
	if c.Stall <= 0 {
		c.Stall = time.Second
	}
	return &Counter{cfg: c}
}

// String hides the lines.
func (c *Counter) String() string { return "gcode counter" }

// Restart forgets what was in flight.
func (c *Counter) Restart(time.Time) {
	c.sent, c.acked = c.next, c.next
	c.bytes, c.n, c.bare, c.idle = 0, 0, 0, time.Time{}
}

// Ready reports whether Add may be called: no line waits to be sent.
func (c *Counter) Ready() bool { return c.n == 0 }

// Add takes the command of one line, with or without its line feed, at most MaxCommand
// bytes long, and returns its sequence number, which rises from line to line.
func (c *Counter) Add(cmd []byte) uint64 {
	if n := len(cmd); n > 0 && cmd[n-1] == '\n' {
		cmd = cmd[:n-1]
	}
	c.n = copy(c.text[:MaxCommand], cmd)
	c.text[c.n] = '\n'
	c.n++
	c.next++
	return c.next
}

// AppendWire appends the line that waits, if the buffer of the firmware has room.
func (c *Counter) AppendWire(dst []byte, _ time.Time) []byte {
	if c.n == 0 || c.sent > c.acked && (c.bytes+c.n > c.cfg.Bytes || int(c.sent-c.acked) >= c.cfg.Lines) {
		return dst
	}
	c.sent++
	c.lens[c.sent%counterRing] = uint8(c.n)
	c.bytes += c.n
	dst = append(dst, c.text[:c.n]...)
	c.n = 0
	return dst
}

// AppendBare appends text beside the lines: real-time bytes, which have no answer, or
// whole lines, whose oks are to come.
func (c *Counter) AppendBare(dst, text []byte, oks int) ([]byte, bool) {
	c.bare += oks
	return append(dst, text...), true
}

// Handle takes one reply: OK answers the oldest line, a Refusal is ErrRefused, a Start
// is ErrReset. A Report may say that the controller is idle.
func (c *Counter) Handle(r *Reply, now time.Time) error {
	switch r.Kind {
	case OK:
		c.answered()
	case Refusal:
		c.answered()
		return ErrRefused
	case Start:
		return ErrReset
	case Report:
		c.report(r, now)
	case Garbage:
		c.stats.Spurious++
	}
	return nil
}

func (c *Counter) answered() {
	c.idle = time.Time{}
	switch {
	case c.acked < c.sent:
		c.acked++
		c.bytes -= int(c.lens[c.acked%counterRing])
	case c.bare > 0:
		c.bare--
	default:
		c.stats.Spurious++
	}
}

func (c *Counter) report(r *Reply, now time.Time) {
	switch {
	case !r.Idle || c.acked == c.sent:
		c.idle = time.Time{}
	case c.idle.IsZero():
		c.idle = now
	case now.Sub(c.idle) >= c.cfg.Stall:
		c.stats.Stalls++
		c.idle, c.acked, c.bytes = time.Time{}, c.sent, 0
	}
}

// Tick has nothing to do: reports tell what time would.
func (c *Counter) Tick(time.Time) error { return nil }

// Deadline is never.
func (c *Counter) Deadline() time.Time { return time.Time{} }

// Accepted returns the sequence number up to which lines are answered.
func (c *Counter) Accepted() uint64 { return c.acked }

// Proven is Accepted: an answer is all the proof there is.
func (c *Counter) Proven() uint64 { return c.acked }

// RequestSync has nothing to do: every line is answered.
func (c *Counter) RequestSync() {}

// Ask has nothing to do: such firmware is asked beside the lines.
func (c *Counter) Ask() {}

// Stats returns the counters.
func (c *Counter) Stats() Stats { return c.stats }
