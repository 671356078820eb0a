package sim

import "time"

// suffer plans the faults that come at a time.
func (m *mcu) suffer() {
	for _, k := range FaultKinds() {
		if e := &faultTable[k]; e.at != nil && k != FaultReplug {
			m.schedule(*e.at(&m.cfg.Faults), func(m *mcu) {
				m.strike(k)
				m.injected(k)
			})
		}
	}
}

// strike lets a fault happen whose time has come.
func (m *mcu) strike(k Fault) {
	hot := m.therm.hotend()
	switch k {
	case FaultReset:
		m.restartBy(causeExternal)
	case FaultBrownOut:
		m.restartBy(causeBrownOut)
	case FaultSilent:
		m.halt(hung)
	case FaultWrongBaud:
		m.scrambled = true
	case FaultAction:
		m.interject("//action:" + m.cfg.Faults.Action + "\n")
	case FaultUnplug:
		m.halt(poweredOff)
		m.port.unplug()
	case FaultThermistorOpen:
		hot.broken = sensorOpen
	case FaultThermistorShort:
		hot.broken = sensorShort
	case FaultThermistorStuck:
		hot.lie, hot.broken = hot.reading(), sensorStuck
	case FaultThermistorDrift:
		hot.lie, hot.broken = 0, sensorDrift
	case FaultHeaterDead:
		hot.dead = true
	case FaultHeaterOn:
		hot.stuckOn = true
	case FaultFanDead:
		m.therm.fanDead = true
	case FaultSlip:
		m.slips = true
	}
}

// injected counts a fault that has happened.
func (m *mcu) injected(k Fault) {
	m.stats.Injected++
	m.stats.InjectedBy[k]++
}

func (m *mcu) happens(c Chance) bool { return c > 0 && Chance(m.rng.Uint32N(uint32(Always))) < c }

// span draws a time.
func (m *mcu) span(from, to time.Duration) time.Duration {
	return from + time.Duration(m.rng.Int64N(int64(to-from)))
}

// noise draws bytes that a line without a signal may bring, no line end among them.
func (m *mcu) noise(dst []byte, n int) []byte {
	for range n {
		c := byte(m.rng.Uint32N(256))
		if c == '\n' || c == '\r' {
			c = 0xff
		}
		dst = append(dst, c)
	}
	return dst
}

// spoil is what happens to the line that is being transmitted. Places are bytes from
// its start, -1 for none; one that lies beyond the end is the end.
type spoil struct {
	flip, drop, pause, burst int
	bit                      byte
	burstLeft                int
	garbage                  bool
}

// meanFlip is how far into a line a fault may be: shorter than most lines.
const meanFlip = 24

// draw decides what happens to a line. one is the chance of a single flipped bit in
// this direction, and its kind.
func (m *mcu) draw(one Chance, kind Fault) spoil {
	f := &m.cfg.Faults
	s := spoil{flip: -1, drop: -1, pause: -1, burst: -1}
	place := func(c Chance, k Fault, at *int) {
		if m.happens(c) {
			*at = m.rng.IntN(meanFlip)
			m.injected(k)
		}
	}
	place(one, kind, &s.flip)
	place(f.DropByte, FaultDropByte, &s.drop)
	place(f.HalfLine, FaultHalfLine, &s.pause)
	place(f.Burst, FaultBurst, &s.burst)
	if s.flip >= 0 {
		s.bit = 1 << m.rng.IntN(8)
	}
	if m.happens(f.Garbage) {
		s.garbage = true
		m.injected(FaultGarbage)
	}
	return s
}

// at says what becomes of byte c at a place of the line, the end of which is last.
func (m *mcu) at(s *spoil, place int, last bool, c byte) (out byte, drop, pause bool) {
	here := func(p *int) bool {
		if *p < 0 || (*p != place && !last) {
			return false
		}
		*p = -1
		return true
	}
	if here(&s.flip) {
		c ^= s.bit
	}
	if here(&s.burst) {
		s.burstLeft = 2 + m.rng.IntN(19)
	}
	if s.burstLeft > 0 {
		s.burstLeft--
		c ^= byte(1 + m.rng.Uint32N(255))
	}
	return c, here(&s.drop), here(&s.pause)
}

// spoilIn is receive with the faults of the line.
func (m *mcu) spoilIn(b []byte) {
	w := &m.wire
	f := &m.cfg.Faults
	for _, c := range b {
		end := m.ended(c)
		if !w.midLine {
			w.midLine, w.place = true, 0
			w.spoil = m.draw(f.Corrupt, FaultCorrupt)
			if m.happens(f.ResendStorm) {
				w.storm = 20
				m.injected(FaultResendStorm)
			}
			if w.storm > 0 {
				w.storm--
				w.spoil.flip, w.spoil.bit = m.rng.IntN(meanFlip), 1<<m.rng.IntN(8)
			}
			if w.spoil.garbage {
				w.buf = m.noise(w.buf, 1+m.rng.IntN(8))
			}
		}
		c, drop, pause := m.at(&w.spoil, w.place, end, c)
		if pause && w.gap == 0 {
			w.gapAt, w.gap = len(w.buf), m.span(50*time.Millisecond, 500*time.Millisecond)
		}
		if !drop {
			w.buf = append(w.buf, c)
		}
		w.place++
		w.midLine = !end
	}
}

// ended reports whether c, sent by the host, ends a line, or whatever the firmware
// has instead of lines.
func (m *mcu) ended(c byte) bool {
	if f, ok := m.fw.(interface{ endsLine(c byte) bool }); ok {
		return f.endsLine(c)
	}
	return c == '\n'
}

// gate holds back what the firmware says from a place in mcu.out on.
type gate struct {
	at    int
	until time.Duration
}

// spoilOut applies the faults of the line to the lines of the host that are
// complete.
func (m *mcu) spoilOut() {
	f := &m.cfg.Faults
	for {
		n := lineEnd(m.out[m.clean:])
		if n < 0 {
			return
		}
		line := append(m.scratch[:0], m.out[m.clean:m.clean+n]...)
		rest := append([]byte(nil), m.out[m.clean+n:]...)
		m.scratch = line
		m.out = m.out[:m.clean]
		s := m.draw(f.CorruptReply, FaultCorruptReply)
		if s.garbage {
			m.out = m.noise(m.out, 1+m.rng.IntN(8))
		}
		for i, c := range line {
			c, drop, pause := m.at(&s, i, i == len(line)-1, c)
			if pause {
				m.gate(m.span(50*time.Millisecond, 500*time.Millisecond))
			}
			if !drop {
				m.out = append(m.out, c)
			}
		}
		if m.happens(f.Delay) {
			m.gate(m.span(100*time.Millisecond, 2*time.Second))
			m.injected(FaultDelay)
		}
		m.clean = len(m.out)
		m.out = append(m.out, rest...)
	}
}

func lineEnd(b []byte) int {
	for i, c := range b {
		if c == '\n' {
			return i + 1
		}
	}
	return -1
}

// gate closes the way to the host behind what is in out.
func (m *mcu) gate(d time.Duration) {
	until := m.now + d
	if n := len(m.gates); n > 0 {
		until = max(until, m.gates[n-1].until)
	}
	m.gates = append(m.gates, gate{len(m.out), until})
}

// free is how much of out may go to the host by now.
func (m *mcu) free() int {
	for len(m.gates) > 0 && m.gates[0].until <= m.now {
		m.gates = append(m.gates[:0], m.gates[1:]...)
	}
	if len(m.gates) > 0 {
		return m.gates[0].at
	}
	return len(m.out)
}

// interject puts a line between those that the firmware says.
func (m *mcu) interject(line string) {
	if m.stop != running {
		return
	}
	at := m.clean
	if i := lastLineEnd(m.out); i >= 0 {
		at = max(at, i)
	}
	m.out = append(m.out, line...)
	copy(m.out[at+len(line):], m.out[at:])
	copy(m.out[at:], line)
	for i := range m.gates {
		if m.gates[i].at > at {
			m.gates[i].at += len(line)
		}
	}
	m.clean = at + len(line)
}

func lastLineEnd(b []byte) int {
	for i := len(b); i > 0; i-- {
		if b[i-1] == '\n' {
			return i
		}
	}
	return -1
}

// reply sends a line that begins with ok, with the faults of the line.
func (m *mcu) reply(s string) {
	f := &m.cfg.Faults
	if m.happens(f.DropOK) {
		m.injected(FaultDropOK)
		return
	}
	m.print(s)
	if m.happens(f.DupOK) {
		m.injected(FaultDupOK)
		m.print(s)
	}
	if m.happens(f.FakeOK) {
		m.schedule(m.now+m.span(1, time.Second), func(m *mcu) {
			m.interject("ok\n")
			m.injected(FaultFakeOK)
		})
	}
}
