package sim

import "time"

// wire holds the bytes that the host has written and the line has not carried yet.
type wire struct {
	buf     []byte
	start   time.Duration // when the first byte in buf began to be sent
	fuse    int           // bytes until the corrupted one of this line, -1 for none
	bit     byte
	midLine bool
}

func (w *wire) clear() { w.buf = w.buf[:0]; w.midLine = false }

// wireNext is when the next byte that could matter has arrived: the end of a line,
// another byte that the firmware waits for, or half a buffer full.
func (m *mcu) wireNext() time.Duration {
	w := &m.wire
	if len(w.buf) == 0 {
		return never
	}
	n := min(len(w.buf), max(1, m.rx.room()/2))
	for i, c := range w.buf[:n] {
		if m.urgent[c] {
			n = i + 1
			break
		}
	}
	return w.start + time.Duration(n)*m.byteTime
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
		m.fw.receive(c)
	}
	w.start += time.Duration(n) * m.byteTime
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
}

// store puts a byte into the receive buffer, or loses it.
func (m *mcu) store(c byte) {
	if !m.rx.put(c) {
		m.stats.Overruns++
	}
}

// ring is a receive buffer; one byte of it is never used.
type ring struct {
	buf     []byte
	head, n int
}

func (r *ring) resize(n int) {
	if len(r.buf) != n {
		r.buf = make([]byte, n)
	}
	r.clear()
}

func (r *ring) clear() { r.head, r.n = 0, 0 }

func (r *ring) room() int { return len(r.buf) - 1 - r.n }

func (r *ring) put(c byte) bool {
	if r.room() == 0 {
		return false
	}
	r.buf[(r.head+r.n)%len(r.buf)] = c
	r.n++
	return true
}

func (r *ring) get() byte {
	c := r.buf[r.head]
	r.head = (r.head + 1) % len(r.buf)
	r.n--
	return c
}

// reply sends a line that begins with ok, with the faults of the line.
func (m *mcu) reply(s string) {
	if m.happens(m.cfg.Faults.DropOK) {
		m.stats.Injected++
		return
	}
	m.print(s)
	if m.happens(m.cfg.Faults.DupOK) {
		m.stats.Injected++
		m.print(s)
	}
}
