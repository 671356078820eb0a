package sim

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// execute is process_commands: it runs the command at the head of the queue and
// acknowledges it.
func (m *mk3) execute() {
	c := m.queue[0]
	l := oldLine{text: c.text}
	m.busy, m.notice.state = true, mk3Working
	m.stats.Lines++
	kind := byte(0)
	if c.text != "" {
		kind = c.text[0]
	}
	m.spend(m.cost(kind == 'G'))
	said := m.dispatch(kind, c, &l)
	m.busy = false
	if !m.up() || m.refusing && len(m.queue) == 0 { // what was queued has been thrown away
		return
	}
	m.notice.state = mk3Idle
	if m.refusing {
		m.notice.state = mk3Paused
	}
	if !said {
		m.reply("ok\n")
	}
	m.queue = m.queue[:copy(m.queue, m.queue[1:])]
}

func (m *mk3) dispatch(kind byte, c mk3Command, l *oldLine) (acked bool) {
	num := int(leadingFloat(c.text[min(1, len(c.text)):], false))
	switch {
	case strings.HasPrefix(c.text, "PRUSA"):
		m.prusa(strings.TrimSpace(c.text[len("PRUSA"):]))
	case kind == 'G':
		if !m.commandG(num, c, l) {
			m.unknown("Unknown G code: " + c.text + "\n")
		}
	case kind == 'M':
		if rest := strings.TrimLeft(c.text[1:], " \t"); rest == "" || rest[0] < '0' || rest[0] > '9' {
			m.unknown("Invalid M code: " + c.text + "\n")
			break
		}
		known, said := m.commandM(num, l)
		if !known {
			m.unknown("Unknown M code: " + c.text + "\n")
		}
		return said
	case kind == 'T':
		if num != 0 {
			m.print("Invalid T code.\n")
		}
	default:
		m.unknown("echo:Unknown command: \"" + c.text + "\"(2)\n")
	}
	return false
}

func (m *mk3) unknown(text string) {
	m.stats.Unknown++
	m.print(text)
}

func (m *mk3) commandG(num int, c mk3Command, l *oldLine) bool {
	switch num {
	case 0, 1, 2, 3:
		m.move(num, c, l)
	case 4:
		ms, _ := l.value('P')
		if s, ok := l.value('S'); ok {
			ms = s * 1000
		}
		if ms != 0 {
			m.print("LCD status changed\n")
		}
		m.synchronize()
		m.pause(time.Duration(max(0, min(ms, 1e9)) * float64(time.Millisecond)))
	case 21, 10, 11:
	case 28:
		m.home(l)
	case 80:
		m.level()
	case 90, 91:
		m.pose.relative, m.pose.relE = num == 91, num == 91
	case 92:
		m.setPosition(l)
	default:
		return false
	}
	return true
}

func (m *mk3) move(num int, c mk3Command, l *oldLine) {
	p := &m.pose
	to, e := p.at, p.e
	for i, w := range []byte("XYZ") {
		if v, ok := l.value(w); ok {
			to[i] = v
			if p.relative {
				to[i] += p.at[i]
			}
		}
	}
	if v, ok := l.value('E'); ok {
		e = v
		if p.relE {
			e += p.e
		}
	}
	if f, ok := l.value('F'); ok && f > 0 {
		p.feed = f / 60
	}
	feed := p.feed * p.percent / 100
	if num < 2 {
		m.extrude(to, e, feed, c.n)
		return
	}
	dx, _ := l.value('I')
	dy, _ := l.value('J')
	a := arcPath{from: p.at, to: to, e0: p.e, e: e, dx: dx, dy: dy, clockwise: num == 2}
	a.pieces(func(to [3]float64, e float64) bool {
		m.extrude(to, e, feed, c.n)
		return m.waits()
	})
}

// extrude drives a move within the reach of the axes; filament is held back where
// the firmware does that.
func (m *mk3) extrude(to [3]float64, e, feed float64, line int64) {
	low := [3]float64{0, -4, mk3BedZ} // X_MIN_POS and so on
	clamped := false
	for i := range to {
		if high := m.cfg.Volume[i].MM(); to[i] < low[i] || to[i] > high {
			to[i], clamped = max(low[i], min(to[i], high)), true
		}
	}
	if clamped {
		m.stats.Clamped++
	}
	if e != m.pose.e {
		switch {
		case m.therm.hotend().reading() < m.therm.minExt:
			m.plan.setE(e)
			m.stats.Cold++
			m.print("echo: cold extrusion prevented\n")
		case math.Abs(e-m.pose.e) > 450: // EXTRUDE_MAXLENGTH
			m.plan.setE(e)
			m.print("echo: too long extrusion prevented\n")
		}
	}
	m.drive(to, e, feed, line)
}

// commandM runs an M code; acked is whether its answer was an ok.
func (m *mk3) commandM(num int, l *oldLine) (known, acked bool) {
	switch num {
	case 0, 1:
		m.stopForUser(l)
	case 105:
		m.reply("ok " + m.temperatures() + "\n")
		return true, true
	case 104, 109, 140, 190, 302, 310:
		m.commandHeat(num, l)
	case 106:
		duty := 255.0
		if v, ok := l.value('S'); ok {
			duty = v
		}
		m.setDuty(duty)
	case 107:
		m.setDuty(0)
	case 110:
		if v, ok := l.value('N'); ok {
			m.lastN = int64(v)
		}
	case 112:
		m.halted("M112 called. Emergency Stop.")
	case 18, 84, 400:
		m.synchronize()
	case 17, 21, 22, 23, 24, 25, 26, 28, 29, 30, 42, 72, 74, 75, 76, 77, 78, 79, 80, 81, 85, 86, 108, 120, 121, 150, 200, 202, 204,
		205, 206, 207, 208, 209, 214, 240, 250, 300, 301, 304, 350, 355, 360, 420, 569, 600, 601, 602, 603, 701, 702, 850,
		900, 907, 908, 910, 914, 915, 916, 917, 918, 919:
		m.setLimit(num, l)
	case 82, 83:
		m.pose.relE = num == 83
	case 92, 201, 203:
		m.setLimit(num, l)
	case 113, 155, 220, 221:
		m.setting(num, l)
	default:
		return m.report(num, l), false
	}
	return true, false
}

// stopForUser is M0 and M1: until the time is over, or somebody turns the knob.
func (m *mk3) stopForUser(l *oldLine) {
	ms, _ := l.value('P')
	if s, ok := l.value('S'); ok {
		ms = s * 1000
	}
	m.print("LCD status changed\n")
	m.synchronize()
	end := never
	if ms > 0 {
		end = m.now + time.Duration(min(ms, 1e9)*float64(time.Millisecond))
	}
	m.notice.state = mk3Paused
	for m.waits() && m.now < end {
		m.hold(end)
	}
	m.notice.state = mk3Working
	m.print("LCD status changed\n")
}

func (m *mk3) commandHeat(num int, l *oldLine) {
	h, b := m.therm.hotend(), m.therm.bed()
	s, set := l.value('S')
	r, cool := l.value('R')
	switch num {
	case 104:
		if set {
			h.set(s, m.now)
		}
	case 140:
		if set {
			b.set(s, m.now)
		}
	case 109:
		m.print("LCD status changed\n")
		if set || cool {
			h.set(s+r, m.now)
		}
		m.awaitHotend(h)
		m.doneHeating()
	case 190:
		m.print("LCD status changed\n")
		if set || cool {
			b.set(s+r, m.now)
		}
		m.awaitBed(b, !set)
		m.doneHeating()
	case 302:
		m.therm.minExt = s
	case 310:
		if set {
			m.heat.model, m.heat.err = s != 0, 0
		}
	}
}

func (m *mk3) doneHeating() {
	if m.waits() {
		m.print("LCD status changed\n")
	}
}

// setLimit runs the commands that set what the planner does, as far as it matters
// here; others change what this printer has not got.
func (m *mk3) setLimit(num int, l *oldLine) {
	lim := &m.plan.lim
	one := func(w byte, dst *float64) {
		if v, ok := l.value(w); ok {
			*dst = v
		}
	}
	each := func(dst *[axes]float64) {
		for i, w := range []byte("XYZE") {
			one(w, &dst[i])
		}
	}
	switch num {
	case 92:
		each(&lim.stepsPerMM)
	case 201:
		each(&lim.maxAccel)
	case 203:
		each(&lim.maxFeed)
	case 204:
		one('S', &lim.accel)
		one('P', &lim.accel)
		one('R', &lim.retract)
		one('T', &lim.travel)
	case 205:
		for i, w := range []byte("XYZE") {
			one(w, &lim.jerk[i])
		}
	}
	lim.sane()
}

func (m *mk3) setting(num int, l *oldLine) {
	s, set := l.value('S')
	switch {
	case num == 113 && set:
		m.notice.busyEvery = time.Duration(max(0, min(s, 60))) * time.Second
	case num == 113:
		m.print("echo:M113 S" + strconv.Itoa(int(m.notice.busyEvery/time.Second)) + "\n")
	case num == 155:
		if set {
			m.notice.every = time.Duration(max(0, min(s, 255))) * time.Second
			m.notice.at = m.now + m.notice.every
		}
		m.notice.mask = reportTemp
		if c, ok := l.value('C'); ok {
			m.notice.mask = int(c)
		}
	case num == 220 && set:
		m.pose.percent = max(1, min(s, 999))
	case num == 220:
		m.print(strconv.Itoa(int(m.pose.percent)) + "%\n")
	case num == 221 && set:
		m.plan.flow = max(0.01, min(s/100, 9.99))
	case num == 221:
		m.print(strconv.Itoa(int(m.plan.flow*100+0.5)) + "%\n")
	}
}
