package sim

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// The command queue of Marlin 2.0.9 (Marlin/src/gcode/queue.cpp).
const (
	queueSize = 4  // BUFSIZE; the command that is being executed keeps its place
	lineSize  = 96 // MAX_CMD_SIZE
)

type queue struct {
	cmds    [queueSize]string
	head, n int
	last    time.Duration // when a command came last, for "wait"
}

func (q *queue) push(cmd string) {
	q.cmds[(q.head+q.n)%queueSize] = cmd
	q.n++
}

func (q *queue) pop() {
	q.head = (q.head + 1) % queueSize
	q.n--
}

// lineBuffer collects the characters of a line.
type lineBuffer struct {
	buf  [lineSize]byte
	n    int
	skip bool // comment or overflow: ignore the rest of the line
}

func (l *lineBuffer) clear() { l.n, l.skip = 0, false }

func (l *lineBuffer) put(c byte) {
	switch {
	case l.skip:
	case c == ';':
		l.skip = true
	case c == '\b':
		l.n = max(0, l.n-1)
	default:
		l.buf[l.n] = c
		l.n++
		l.skip = l.n >= lineSize-1
	}
}

// take returns the line as a C string and starts the next one.
func (l *lineBuffer) take() string {
	b := l.buf[:l.n]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	l.clear()
	return string(b)
}

// readSerial moves what has been received into the command queue, as far as there
// is room.
func (m *marlin2) readSerial() {
	for m.stop == running && m.rx.n > 0 && m.queue.n < queueSize {
		c := m.rx.get()
		if c != '\n' && c != '\r' {
			m.line.put(c)
			continue
		}
		empty := m.line.n == 0
		line := strings.TrimLeft(m.line.take(), " ")
		if empty {
			continue
		}
		if m.accept(line) && m.stop == running {
			m.queue.push(line)
			m.queue.last = m.now
		}
	}
}

// accept checks number and checksum of a line. A bad one is asked for again, and
// everything behind it in the receive buffer is thrown away.
func (m *marlin2) accept(line string) bool {
	if strings.HasPrefix(line, "N") {
		n, fault := m.numbered(line)
		if fault != "" {
			m.print("Error:" + fault + ", Last Line: " + strconv.FormatInt(m.lastN, 10) + "\n")
			m.requestResend()
			return false
		}
		m.lastN = n
	}
	if !m.cfg.EmergencyParser {
		m.critical(line)
	}
	return true
}

// requestResend is flush_and_request_resend.
func (m *marlin2) requestResend() {
	m.rx.clear()
	m.print("Resend: " + strconv.FormatInt(m.lastN+1, 10) + "\n")
	m.reply("ok\n")
	m.line.clear()
	m.stats.Resends++
}

func (m *marlin2) numbered(line string) (n int64, fault string) {
	at := line[1:]
	m110 := strings.Contains(line, "M110")
	if m110 && len(line) > 4 {
		if i := strings.IndexByte(line[4:], 'N'); i >= 0 {
			at = line[4+i+1:]
		}
	}
	n = leadingInt(at)
	if n != m.lastN+1 && !m110 {
		return 0, "Line Number is not Last Line Number+1"
	}
	star := strings.LastIndexByte(line, '*')
	if star < 0 {
		return 0, "No Checksum with line number"
	}
	var sum byte
	for i := range star {
		sum ^= line[i]
	}
	if leadingInt(line[star+1:]) != int64(sum) {
		return 0, "checksum mismatch"
	}
	return n, ""
}

// critical acts on commands that cannot wait for their turn, once they have been
// read: only unnumbered ones are seen here, and only while the queue has room.
func (m *marlin2) critical(line string) {
	switch {
	case strings.HasPrefix(line, "M108"):
		m.therm.waiting = false
	case strings.HasPrefix(line, "M112"):
		m.kill("M112 Shutdown")
	case strings.HasPrefix(line, "M410"):
		m.quickStop()
	}
}

// leadingInt reads as strtol does: spaces, a sign, digits; 0 if there are none.
func leadingInt(s string) int64 {
	s = strings.TrimLeft(s, " \t")
	neg := strings.HasPrefix(s, "-")
	if neg || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	var n int64
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < 1<<40; i++ {
		n = n*10 + int64(s[i]-'0')
	}
	if neg {
		return -n
	}
	return n
}

// ok acknowledges the command that has been executed.
func (m *marlin2) ok(cmd string) {
	if !m.cfg.AdvancedOK {
		m.reply("ok\n")
		return
	}
	b := append(make([]byte, 0, 32), "ok"...)
	if strings.HasPrefix(cmd, "N") {
		b = append(b, " N"...)
		b = strconv.AppendInt(b, leadingInt(cmd[1:]), 10)
	}
	b = append(b, " P"...)
	b = strconv.AppendInt(b, int64(m.plan.free()), 10)
	b = append(b, " B"...)
	b = strconv.AppendInt(b, int64(queueSize-m.queue.n), 10)
	m.reply(string(append(b, '\n')))
}

// notices are the lines that come unasked.
type notices struct {
	busyEvery time.Duration // M113; 0 is never
	busyAt    time.Duration
	paused    bool          // for the user
	poseEvery time.Duration // M154; 0 is never
	poseAt    time.Duration
	tempEvery time.Duration // M155; 0 is never
	tempAt    time.Duration
}

// next is when the next notice is due.
func (n *notices) next(m *marlin2) time.Duration {
	t := never
	if m.busy && n.busyEvery > 0 {
		t = n.busyAt
	}
	if n.tempEvery > 0 {
		t = min(t, n.tempAt)
	}
	if n.poseEvery > 0 {
		t = min(t, n.poseAt)
	}
	if m.cfg.Wait > 0 && m.queue.n == 0 {
		t = min(t, m.queue.last+m.cfg.Wait)
	}
	return t
}

// tick sends the notices that are due.
func (n *notices) tick(m *marlin2) {
	switch {
	case !m.busy || n.busyEvery == 0:
		n.busyAt = m.now + n.busyEvery
	case m.now >= n.busyAt:
		n.busyAt = m.now + n.busyEvery
		if n.paused {
			m.print("echo:busy: paused for user\n")
		} else {
			m.print("echo:busy: processing\n")
		}
	}
	if n.poseEvery > 0 && m.now >= n.poseAt {
		n.poseAt = m.now + n.poseEvery
		m.reportPosition()
	}
	if n.tempEvery > 0 && m.now >= n.tempAt {
		n.tempAt = m.now + n.tempEvery
		m.print(m.temperatures() + "\n")
	}
	if m.cfg.Wait > 0 && m.queue.n == 0 && m.rx.n == 0 && m.now >= m.queue.last+m.cfg.Wait {
		m.print("wait\n")
		m.queue.last = m.now
	}
}
