package repetier

import (
	"bytes"
	"time"

	"platen/hal/gcode"
)

// Bounds of the line engine.
const (
	ringLines = 64   // lines kept for repeating
	firstLine = 1000 // number of M110: a controller that asks for a smaller one has been reset
	lastLine  = 9_900
	query     = 60_000 // a number that is never due, nor taken for a repetition

	// windowBytes may be unanswered. With a stop and a few questions they fit into either of
	// the firmware's two receive buffers of 128 bytes, so that M112 is always seen at once.
	windowBytes = 64

	defaultStall = 2500 * time.Millisecond // it says that it is busy every 2 s
	maxProbes    = 6                       // unanswered questions before ErrLost
	maxFutile    = 64                      // Resends in a row for the same line before ErrLost
	futileEvery  = 50 * time.Millisecond   // those that come in a bunch count once
	maxAbsurd    = 4                       // Resends in a row that cannot be before ErrLost or ErrReset
)

// sent is a line in the ring.
type sent struct {
	n     uint8
	slow  bool // it waits for heat
	frame [maxFrame]byte
}

// lines is the line engine: numbered binary commands, each acknowledged by its number.
//
// The firmware executes the line that is due and no other, so that what is sent can
// only be late, never wrong: after whatever happened the engine sends again from the
// line that is asked for. That the ok of a line comes when it is taken has two
// consequences: a line counts as executed once the one behind it is taken, and behind
// one that waits for heat the engine sends a question of its own.
//
// A damaged ok may claim a line that is still on its way. It moves the window a little
// too early; when the line is asked for after all it is still in the ring.
type lines struct {
	stall time.Duration
	ring  [ringLines]sent
	base  uint64 // sequence number of line firstLine
	next  int32  // the line that is added next
	send  int32  // the line that is sent next
	acked int32  // the newest line that was taken

	fresh    bool // the controller has not confirmed that numbers begin anew
	greet    bool // M110 has to be sent
	wrapping bool // numbers have run out
	gap      bool // zeros have to come before the next line
	asked    bool // a question is out; nothing follows it
	askDue   bool
	syncDue  bool
	forced   bool  // the question may go beyond the window
	lastSync int32 // the newest line that is a question of the engine's own

	last    time.Time // when the controller last moved on
	wrote   time.Time
	want    int32 // the line asked for last
	futile  int
	counted time.Time // when futile was last counted
	absurd  int
	probes  int
	restart int // Resends in a row for a line from before the beginning
	stats   gcode.Stats
}

func newLines(c gcode.Config) *lines {
	l := &lines{stall: c.Stall, next: firstLine, base: 1}
	if l.stall <= 0 {
		l.stall = defaultStall
	}
	return l
}

// String hides the lines.
func (l *lines) String() string { return "repetier lines" }

// Restart begins numbers anew; what was in flight is forgotten.
func (l *lines) Restart(now time.Time) {
	l.base += uint64(l.next - firstLine)
	l.next, l.send, l.acked, l.lastSync = firstLine+1, firstLine+1, firstLine, firstLine
	l.fresh, l.greet, l.syncDue = true, true, true
	l.wrapping, l.gap, l.asked, l.askDue = false, true, false, false
	l.futile, l.absurd, l.probes, l.restart = 0, 0, 0, 0
	l.last = now
}

// Ready reports whether Add may be called.
func (l *lines) Ready() bool {
	return !l.fresh && !l.wrapping && !l.asked && !l.askDue && l.send == l.next
}

// Add takes one command and returns its sequence number. One that the protocol has no
// place for is replaced by a question, and with that left out: encoders emit none.
func (l *lines) Add(cmd []byte) uint64 {
	l.add(cmd)
	return l.base + uint64(l.next-1-firstLine)
}

func (l *lines) add(cmd []byte) {
	s := &l.ring[l.next%ringLines]
	frame, ok := appendFrame(s.frame[:0], l.next, cmd)
	if !ok {
		frame, _ = appendFrame(s.frame[:0], l.next, question)
	}
	s.n = uint8(len(frame))
	s.slow = bytes.HasPrefix(cmd, []byte("M109")) || bytes.HasPrefix(cmd, []byte("M190"))
	if l.next++; l.next > lastLine {
		l.wrapping = true
	}
}

var question = []byte("M105")

// sync adds a question of the engine's own.
func (l *lines) sync() {
	l.syncDue = false
	l.lastSync = l.next
	l.add(question)
}

// wantsSync reports whether such a question has to be added: because somebody waits
// for the line before it, or because that waits for heat.
func (l *lines) wantsSync() bool {
	return l.next > firstLine+1 && l.ring[(l.next-1)%ringLines].slow ||
		l.syncDue && l.lastSync <= l.acked || l.wrapping && l.lastSync != l.next-1
}

// AppendWire appends what may be sent now.
func (l *lines) AppendWire(dst []byte, now time.Time) []byte {
	before := len(dst)
	if l.greet {
		l.greet = false
		dst, _ = appendFrame(l.appendGap(dst), firstLine, []byte("M110"))
		l.send = l.acked + 1
	}
	if l.askDue {
		l.askDue, l.asked = false, true
		dst, _ = appendFrame(dst, query, question)
	}
	for !l.asked {
		if l.send == l.next {
			if !l.wantsSync() {
				break
			}
			l.sync()
		}
		s := &l.ring[l.send%ringLines]
		if !l.room(s) {
			break
		}
		if l.send-1 == l.acked {
			l.last = now // the wait for an answer begins
		}
		dst = append(l.appendGap(dst), s.frame[:s.n]...)
		l.forced = false
		l.send++
	}
	if len(dst) > before {
		l.wrote = now
	}
	return dst
}

func (l *lines) appendGap(dst []byte) []byte {
	if l.gap {
		l.gap = false
		for range zeros {
			dst = append(dst, 0)
		}
	}
	return dst
}

// room reports whether line s fits into the window.
func (l *lines) room(s *sent) bool {
	return l.send == l.acked+1 || l.inFlight()+int(s.n) <= windowBytes || l.forced && l.send == l.lastSync
}

// inFlight is how many bytes of lines are not acknowledged.
func (l *lines) inFlight() (n int) {
	for i := l.acked + 1; i < l.send; i++ {
		n += int(l.ring[i%ringLines].n)
	}
	return n
}

// AppendBare appends commands past those that wait to be added. They get numbers like
// all others, since this firmware answers commands without one by the wrong name.
func (l *lines) AppendBare(dst, text []byte, _ int) ([]byte, bool) {
	if !l.Ready() || l.inFlight() > windowBytes/2 {
		return dst, false
	}
	for cmd := range bytes.Lines(text) {
		l.add(cmd)
		s := &l.ring[l.send%ringLines]
		dst = append(l.appendGap(dst), s.frame[:s.n]...)
		l.send++
	}
	return dst, true
}

// Handle takes one reply.
func (l *lines) Handle(r *gcode.Reply, now time.Time) error {
	switch r.Kind {
	case gcode.OK:
		l.ok(r.Line, now)
	case gcode.Resend:
		return l.resend(r.Line, now)
	case gcode.Busy:
		l.last, l.probes = now, 0
	case gcode.Wait:
		// It has had nothing to do for a second: what is in flight is lost.
		if l.outstanding() && !l.asked && now.Sub(l.wrote) >= l.stall/5 {
			l.askAgain()
		}
	case gcode.Start:
		return gcode.ErrReset
	case gcode.Garbage:
		l.stats.Spurious++
	}
	return nil
}

// ok takes line n as taken, and with it every line before.
func (l *lines) ok(n int32, now time.Time) {
	switch {
	case n <= l.acked && n > firstLine: // said twice
		return
	case n <= l.acked || n >= l.send || l.fresh && n != firstLine+1:
		l.stats.Spurious++
		return
	}
	l.fresh = false
	l.acked = n
	l.last, l.asked, l.askDue = now, false, false
	l.probes, l.futile, l.absurd, l.restart = 0, 0, 0, 0
	if l.wrapping && n == l.next-1 {
		l.Restart(now)
	}
}

// resend sends again from line n, which is due. Everything before it was taken.
func (l *lines) resend(n int32, now time.Time) error {
	l.stats.Resends++
	l.last, l.probes, l.asked, l.askDue = now, 0, false, false
	switch {
	case n != l.want:
		l.want, l.futile, l.counted = n, 0, now
	case now.Sub(l.counted) >= futileEvery:
		if l.futile++; l.futile > maxFutile {
			return gcode.ErrLost
		}
		l.counted = now
	}
	switch {
	case l.fresh: // the number is of the past, or M110 was lost
		l.greet, l.gap = true, true
		return nil
	case n <= firstLine || n > l.next || n <= l.next-ringLines:
		return l.impossible(n)
	case n-1 < l.acked:
		l.stats.Spurious++
	}
	l.absurd, l.restart = 0, 0
	l.acked, l.send, l.gap = n-1, n, true
	if n == l.next {
		l.syncDue = true // it asks until something comes
		l.lastSync = min(l.lastSync, l.acked)
	}
	return nil
}

// impossible deals with a Resend for a line that cannot be due: a damaged digit, or a
// controller that has begun anew unnoticed. Asking again tells which.
func (l *lines) impossible(n int32) error {
	l.stats.Spurious++
	if n > firstLine {
		l.restart = 0
	} else if l.restart++; l.restart >= maxAbsurd/2 {
		return gcode.ErrReset
	}
	if l.absurd++; l.absurd >= maxAbsurd {
		return gcode.ErrLost
	}
	l.askAgain()
	return nil
}

// askAgain asks which line is due. If the controller is skipping it does not answer,
// but says so by itself five times a second.
func (l *lines) askAgain() { l.askDue, l.asked = true, false }

func (l *lines) outstanding() bool { return l.fresh || l.asked || l.send-1 > l.acked }

// Tick asks the controller what is due if nothing has moved for too long.
func (l *lines) Tick(now time.Time) error {
	if !l.outstanding() || now.Sub(l.last) < l.stall {
		return nil
	}
	l.last = now
	l.stats.Stalls++
	if l.probes++; l.probes > maxProbes {
		return gcode.ErrLost
	}
	switch {
	case l.fresh:
		l.greet, l.gap, l.asked = true, true, false
	case l.probes == 1:
		// It may only be slow. If nothing was lost another line tells as much as a question
		// that has to be refused.
		l.syncDue = l.lastSync <= l.acked
		l.forced = l.syncDue
	default:
		l.askAgain()
	}
	return nil
}

// Deadline returns when Tick has something to do, or the zero time.
func (l *lines) Deadline() time.Time {
	if !l.outstanding() {
		return time.Time{}
	}
	return l.last.Add(l.stall)
}

// Accepted returns the sequence number up to which lines were executed.
func (l *lines) Accepted() uint64 { return l.base + uint64(l.acked-firstLine) - 1 }

// Proven is Accepted.
func (l *lines) Proven() uint64 { return l.Accepted() }

// RequestSync asks for proof of all lines added so far.
func (l *lines) RequestSync() {
	if l.lastSync != l.next-1 {
		l.syncDue = true
	}
}

// Ask has the next line be a question, whose answer is a report of temperatures.
func (l *lines) Ask() { l.syncDue = true }

// Stats returns the counters.
func (l *lines) Stats() gcode.Stats { return l.stats }
