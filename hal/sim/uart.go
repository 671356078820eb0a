package sim

import (
	"bytes"
	"time"
)

// rxSize is RX_BUFFER_SIZE; one byte of the ring is never used.
const rxSize = 128

// wire holds the bytes that the host has written and the line has not carried yet.
type wire struct {
	buf     []byte
	start   time.Duration // when the first byte in buf began to be sent
	fuse    int           // bytes until the corrupted one of this line, -1 for none
	bit     byte
	midLine bool
}

func (w *wire) clear() { w.buf = w.buf[:0]; w.midLine = false }

// next is when the next byte that could matter has arrived: the end of a line, or
// half a buffer full.
func (w *wire) next(byteTime time.Duration) time.Duration {
	if len(w.buf) == 0 {
		return never
	}
	n := min(len(w.buf), rxSize/2)
	if i := bytes.IndexByte(w.buf[:n], '\n'); i >= 0 {
		n = i + 1
	}
	return w.start + time.Duration(n)*byteTime
}

// receive puts bytes of the host on the wire, with the faults of the line.
func (m *mcu) receive(b []byte) {
	w := &m.wire
	if len(w.buf) == 0 {
		w.start = m.now
	}
	if m.cfg.Faults.Corrupt == 0 {
		w.buf = append(w.buf, b...)
		return
	}
	for _, c := range b {
		if !w.midLine {
			w.midLine, w.fuse = true, -1
			if m.happens(m.cfg.Faults.Corrupt) {
				w.fuse, w.bit = m.rng.IntN(24), 1<<m.rng.IntN(8)
			}
		}
		end := c == '\n'
		if w.fuse == 0 || (end && w.fuse > 0) {
			c ^= w.bit
			m.stats.Injected++
		}
		w.fuse--
		w.midLine = !end
		w.buf = append(w.buf, c)
	}
}

func (m *mcu) happens(c Chance) bool { return c > 0 && Chance(m.rng.Uint32N(uint32(Always))) < c }

// receiveWire is the receive interrupt: it moves what has arrived by now into the
// receive buffer and loses what does not fit.
func (m *mcu) receiveWire() {
	w := &m.wire
	if len(w.buf) == 0 {
		return
	}
	n := min(len(w.buf), int((m.now-w.start)/m.byteTime))
	for _, c := range w.buf[:n] {
		if !m.rx.put(c) {
			m.stats.Overruns++
		}
		if m.cfg.EmergencyParser {
			m.parser.update(c)
		}
	}
	w.start += time.Duration(n) * m.byteTime
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
}

// ring is the receive buffer.
type ring struct {
	buf     [rxSize]byte
	head, n int
}

func (r *ring) clear() { r.n = 0 }

func (r *ring) put(c byte) bool {
	if r.n == rxSize-1 {
		return false
	}
	r.buf[(r.head+r.n)%rxSize] = c
	r.n++
	return true
}

func (r *ring) get() byte {
	c := r.buf[r.head]
	r.head = (r.head + 1) % rxSize
	r.n--
	return c
}

// emergency looks for commands that cannot wait while they are still being
// received, as EMERGENCY_PARSER does. A line number before them is allowed.
type emergency struct {
	word   [3]byte
	n      int
	state  uint8
	killed bool // M112 came
	cancel bool // M108 came
	quick  bool // M410 came
}

const (
	emStart uint8 = iota
	emNumber
	emWord
	emIgnore
)

func (e *emergency) update(c byte) {
	if c == '\n' || c == '\r' {
		if e.state == emWord {
			e.match()
		}
		e.state = emStart
		return
	}
	switch e.state {
	case emStart, emNumber:
		switch {
		case c == 'M':
			e.state, e.n = emWord, 0
		case c == ' ':
		case c == 'N' && e.state == emStart:
			e.state = emNumber
		case e.state == emNumber && (c == '-' || c >= '0' && c <= '9'):
		default:
			e.state = emIgnore
		}
	case emWord: // whatever follows three digits does not matter
		if e.n < len(e.word) {
			e.word[e.n] = c
			e.n++
		}
	}
}

func (e *emergency) match() {
	switch string(e.word[:e.n]) {
	case "112":
		e.killed = true
	case "108":
		e.cancel = true
	case "410":
		e.quick = true
	}
}
