package sim

import "time"

// wire holds the bytes that the host has written and the line has not carried yet.
type wire struct {
	buf     []byte
	start   time.Duration // when the first byte in buf began to be sent
	midLine bool
	place   int   // in the line
	spoil   spoil // of the line
	storm   int   // lines that are still to be damaged
	gapAt   int   // the byte in buf before which the line pauses for gap
	gap     time.Duration
}

func (w *wire) clear() { w.buf, w.midLine, w.gap = w.buf[:0], false, 0 }

// arrival is when n bytes have arrived.
func (w *wire) arrival(n int, byteTime time.Duration) time.Duration {
	t := w.start + time.Duration(n)*byteTime
	if n > w.gapAt {
		t += w.gap
	}
	return t
}

// arrived is how many bytes have.
func (w *wire) arrived(now, byteTime time.Duration) int {
	n := int((now - w.start) / byteTime)
	if w.gap > 0 && n > w.gapAt {
		n = max(w.gapAt, int((now-w.start-w.gap)/byteTime))
	}
	return min(n, len(w.buf))
}

// take removes n bytes that have arrived.
func (w *wire) take(n int, byteTime time.Duration) {
	w.start = w.arrival(n, byteTime)
	if n > w.gapAt {
		w.gap = 0
	}
	w.gapAt -= n
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
}

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
	return w.arrival(n, m.byteTime)
}

// receive puts bytes of the host on the wire, with the faults of the line.
func (m *mcu) receive(b []byte) {
	w := &m.wire
	if len(w.buf) == 0 {
		w.start = m.now
	}
	first := len(w.buf)
	if m.faultsIn {
		m.spoilIn(b)
	} else {
		w.buf = append(w.buf, b...)
	}
	if m.scrambled {
		m.scramble(w.buf[first:])
	}
}

// scramble is what bytes look like to a receiver of another bit rate.
func (m *mcu) scramble(b []byte) {
	for i, c := range b {
		b[i] = c<<3 ^ c>>2 ^ byte(m.rng.Uint32N(256))
	}
}

// receiveWire is the receive interrupt: it moves what has arrived by now into the
// receive buffer and loses what does not fit.
func (m *mcu) receiveWire() {
	w := &m.wire
	if len(w.buf) == 0 {
		return
	}
	n := w.arrived(m.now, m.byteTime)
	for _, c := range w.buf[:n] {
		m.fw.receive(c)
	}
	w.take(n, m.byteTime)
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
