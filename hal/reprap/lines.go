package reprap

import (
	"bytes"
	"strconv"
	"time"

	"platen/hal/driver"
	"platen/hal/gcode"
)

// Bounds of the line engine.
const (
	ringLines = 8
	piece     = 500 // ms of one dwell: M112 comes behind it

	pollEvery   = 500 * time.Millisecond // of temperatures while heat is waited for
	statusEvery = 100 * time.Millisecond // of the state while motion is
	near        = 2500                   // 1/1000 °C from the target that count as reached, as for M116

	firstPatience = 250 * time.Millisecond  // before a line is sent again, at first
	mostPatience  = time.Second             // and at last
	slowPatience  = 5 * time.Second         // of one that may take long, which is not sent again sooner
	usbSilence    = 4500 * time.Millisecond // while a line waits, temperatures come every two seconds
	mostSilence   = 30 * time.Second        // of other links, where nothing comes: one long move
	slowSilence   = 3 * time.Minute         // homing, levelling, a change of tool
)

const (
	statusKey = "state.status"
	homedKey  = "move.axes[].homed"
)

// operation is what the engine does by itself.
type operation uint8

const (
	opNone operation = iota
	opHeat
	opRest  // until the last move has ended
	opPause // for a time, in pieces
)

// entry is a line in the ring: text is what is sent, from again on what is sent when no
// answer comes.
type entry struct {
	n, again uint8
	slow     bool
	homes    bool // the answer has to say that every axis is homed
	seq      uint64
	tag      int32
	text     [2 * gcode.MaxLine]byte
}

// lines is the line engine; see the package comment. One line is on its way at a time,
// so that M112 never waits behind more. On USB its ok is waited for; on other links a
// question stands behind it whose answer repeats a number, and both go out again until
// that comes back.
type lines struct {
	usb   bool
	first time.Duration // firstPatience

	ring               [ringLines]entry
	added, sent, acked uint64 // counts of lines
	seq, done          uint64 // sequence numbers given out, and finished
	tags               int32

	op      operation
	opSeq   uint64
	opNext  time.Time // of its next question, or its end
	heater  int
	target  int
	warm    bool // only from below
	streak  int  // answers in a row that said what is waited for
	verdict int8

	askDue bool
	resend bool
	tries  int
	wrote  time.Time // when the line on its way was last sent
	begun  time.Time // when it was first sent
	heard  time.Time
	stats  gcode.Stats
}

func newLines(usb bool, c gcode.Config) *lines {
	l := &lines{usb: usb, first: firstPatience}
	if c.Stall > 0 {
		l.first = min(l.first, c.Stall)
	}
	return l
}

// String hides the lines.
func (l *lines) String() string { return "reprap lines" }

// Restart forgets what was in flight.
func (l *lines) Restart(now time.Time) {
	l.added, l.sent, l.done = l.acked, l.acked, l.seq
	l.op, l.askDue, l.resend, l.heard = opNone, false, false, now
}

// Ready reports whether Add may be called.
func (l *lines) Ready() bool {
	return l.op == opNone && l.added == l.acked
}

// Add takes one command, or an operation of the engine's own.
func (l *lines) Add(cmd []byte) uint64 {
	l.seq++
	if len(cmd) > 0 && cmd[0] == '@' {
		l.begin(cmd)
	} else {
		l.add(cmd, l.seq)
	}
	return l.seq
}

// add puts a line into the ring.
func (l *lines) add(cmd []byte, seq uint64) {
	e := &l.ring[l.added%ringLines]
	l.added++
	l.tags++
	*e = entry{seq: seq, tag: l.tags * 40_503 & 0xffff, text: e.text} // neighbours differ in most digits
	cmd = bytes.TrimRight(cmd, "\n")
	e.slow = isSlow(cmd)
	dst := e.text[:0]
	switch {
	case l.usb:
		dst = appendLine(dst, e.tag, cmd)
	case calls(cmd):
		// A macro takes the place of what stands behind its command, so that the question
		// is a line of its own.
		e.homes = string(cmd) == "G28"
		dst = appendLine(dst, e.tag, cmd)
		e.again = uint8(len(dst))
		dst = appendQuestion(dst, e.tag, []byte(`M409 K"`+homedKey+`"`))
	default:
		dst = appendQuestion(dst, e.tag, cmd)
	}
	e.n = uint8(len(dst))
}

// appendQuestion appends a line of cmd and a question for the number tag.
func appendQuestion(dst []byte, tag int32, cmd []byte) []byte {
	start := len(dst)
	dst = append(appendDigits(append(dst, 'N'), tag), ' ')
	dst = append(append(dst, cmd...), ` M409 K"`...)
	dst = append(appendDigits(dst, tag), '"')
	return appendCRC(dst, start)
}

// calls reports whether a command runs a macro of the controller's.
func calls(cmd []byte) bool {
	return len(cmd) > 2 && cmd[0] == 'G' && cmd[1] >= '2' && cmd[1] <= '3' && cmd[2] >= '0' && cmd[2] <= '9' &&
		!bytes.HasPrefix(cmd, []byte("G20")) && !bytes.HasPrefix(cmd, []byte("G21"))
}

// isSlow reports whether a command may take long.
func isSlow(cmd []byte) bool {
	return calls(cmd) || bytes.HasPrefix(cmd, []byte("M400")) || bytes.HasPrefix(cmd, []byte("M84")) || bytes.HasPrefix(cmd, []byte("G4")) || len(cmd) > 0 && cmd[0] == 'T'
}

// begin starts an operation of the engine's own.
func (l *lines) begin(cmd []byte) {
	l.opSeq, l.opNext, l.streak = l.seq, time.Time{}, 0
	switch name, rest, _ := bytes.Cut(cmd, []byte(" ")); string(name) {
	case "@wait", "@warm":
		heater, target, _ := bytes.Cut(rest, []byte(" "))
		l.op, l.heater, l.target, l.warm = opHeat, digits(heater), digits(target), string(name) == "@warm"
	case "@dwell":
		l.op, l.target = opPause, digits(rest)
	default:
		l.op = opRest
	}
}

func digits(b []byte) (n int) {
	for _, c := range b {
		if c >= '0' && c <= '9' && n < 1e8 {
			n = n*10 + int(c-'0')
		}
	}
	return n
}

// AppendWire appends what may be sent now.
func (l *lines) AppendWire(dst []byte, now time.Time) []byte {
	if l.resend && l.acked < l.sent {
		l.resend = false
		e := &l.ring[l.acked%ringLines]
		l.wrote = now
		return append(dst, e.text[e.again:e.n]...)
	}
	if l.added == l.acked {
		l.step(now)
	}
	if l.sent < l.added {
		l.begun, l.wrote, l.tries, l.verdict, l.heard = now, now, 0, 0, now
		e := &l.ring[l.sent%ringLines]
		dst = append(dst, e.text[:e.n]...)
		l.sent++
	}
	return dst
}

// ask adds a question for temperatures.
func (l *lines) ask() {
	l.askDue = false
	l.add([]byte("M105"), 0)
}

// step goes on with the engine's operation; no line is on its way.
func (l *lines) step(now time.Time) {
	switch {
	case l.askDue && l.op != opHeat:
		l.ask()
	case l.op == opPause && l.target <= 0:
		l.finish()
	case l.op == opPause:
		ms := min(l.target, piece)
		l.target -= ms
		l.add(strconv.AppendInt([]byte("G4 P"), int64(ms), 10), 0)
	case now.Before(l.opNext):
	case l.op == opHeat:
		l.opNext = now.Add(pollEvery)
		l.ask()
	case l.op == opRest:
		l.opNext = now.Add(statusEvery)
		l.add([]byte(`M409 K"`+statusKey+`"`), 0)
	}
}

// finish ends the engine's operation. After M409 the firmware reports nothing while a
// line waits; after M105 it does again.
func (l *lines) finish() { l.op, l.done, l.askDue = opNone, l.opSeq, true }

// AppendBare ends a wait for heat; nothing has to be sent for that. Nothing else is
// sent beside the lines.
func (l *lines) AppendBare(dst, text []byte, _ int) ([]byte, bool) {
	if string(text) != opBreak {
		return dst, false
	}
	if l.op == opHeat {
		l.finish()
	}
	return dst, true
}

// Handle takes one reply.
func (l *lines) Handle(r *gcode.Reply, now time.Time) error {
	if r.Kind == gcode.Garbage {
		l.stats.Spurious++
		return nil
	}
	l.heard = now
	if r.NTemps > 0 {
		l.warmth(r)
	}
	switch r.Kind {
	case gcode.Start:
		return gcode.ErrReset
	case gcode.Report:
		if r.NTemps == 0 {
			l.state(r.Idle)
		}
	case gcode.OK:
		l.ok(r)
	}
	return nil
}

// ok takes the oldest line as done, if this is its answer.
func (l *lines) ok(r *gcode.Reply) {
	if l.usb != (r.Line < 0) {
		return // oks on USB have no number, and others count only with theirs
	}
	if l.acked == l.sent {
		l.stats.Spurious++
		return
	}
	e := &l.ring[l.acked%ringLines]
	if !l.usb {
		switch {
		case r.Line != e.tag:
			return // of a line that was sent twice
		case e.homes && l.verdict <= 0:
			if l.verdict < 0 {
				e.again = 0 // it was lost: home again
			}
			l.verdict, l.resend = 0, true
			l.stats.Resends++
			return
		}
	}
	l.acked++
	l.resend, l.tries = false, 0
	if e.seq > 0 {
		l.done = e.seq
	}
}

// state takes an answer about the state, or about which axes are homed.
func (l *lines) state(yes bool) {
	l.verdict = -1
	if yes {
		l.verdict = 1
	}
	if l.op != opRest {
		return
	}
	// Twice, since a move may be between the two halves of the firmware.
	if l.streak++; !yes {
		l.streak = 0
	}
	if l.streak >= 2 {
		l.finish()
	}
}

// warmth takes a report of temperatures.
func (l *lines) warmth(r *gcode.Reply) {
	if l.op != opHeat {
		return
	}
	for _, t := range r.Temps[:r.NTemps] {
		if int(t.ID) != l.heater {
			continue
		}
		if off := int(t.Actual) - l.target; off < -near || off > near && !l.warm {
			l.streak = 0
		} else if l.streak++; l.streak >= 2 {
			l.finish()
		}
	}
}

// patience is how long the line on its way may stay unanswered before it is sent again,
// and how long in all.
func (l *lines) patience() (again, all time.Duration) {
	if l.ring[l.acked%ringLines].slow {
		return slowPatience, slowSilence
	}
	return min(l.first<<min(l.tries, 8), mostPatience), mostSilence
}

// Tick sends the line on its way again, if that is due.
func (l *lines) Tick(now time.Time) error {
	if l.acked == l.sent {
		return nil
	}
	if l.usb {
		if now.Sub(l.heard) >= usbSilence {
			return driver.ErrSilent
		}
		return nil
	}
	again, all := l.patience()
	if now.Sub(l.begun) >= all {
		return driver.ErrSilent
	}
	if now.Sub(l.wrote) >= again {
		l.resend, l.wrote = true, now
		l.tries++
		l.stats.Stalls++
		l.stats.Resends++
	}
	return nil
}

// Deadline returns when there is something to do, or the zero time.
func (l *lines) Deadline() time.Time {
	switch {
	case l.acked == l.sent && l.op != opNone:
		return l.opNext
	case l.acked == l.sent:
		return time.Time{}
	case l.usb:
		return l.heard.Add(usbSilence)
	}
	again, _ := l.patience()
	return l.wrote.Add(again)
}

// Accepted returns the sequence number up to which lines are done.
func (l *lines) Accepted() uint64 { return l.done }

// Proven is Accepted.
func (l *lines) Proven() uint64 { return l.done }

// RequestSync has nothing to do: every line is answered.
func (l *lines) RequestSync() {}

// Ask has temperatures asked for.
func (l *lines) Ask() { l.askDue = true }

// Stats returns the counters.
func (l *lines) Stats() gcode.Stats { return l.stats }
