package sim

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// execute is process_command: it runs the command at the head of the queue. A move
// has been acknowledged before.
func (m *marlin1) execute() {
	m.flush() // a move has been acknowledged already
	l := oldLine{m.queue[m.head], true}
	m.busy = true
	m.stats.Lines++
	m.spend(m.cost(l.seen('G')))
	said := false
	switch {
	case l.seen('G'):
		v, _ := l.value('G')
		said = m.commandG(int(v), &l)
	case l.seen('M'):
		v, _ := l.value('M')
		said = m.commandM(int(v), &l)
	case l.seen('T'):
		m.selectTool(&l)
	default:
		m.stats.Unknown++
		m.print("echo:Unknown command: \"" + l.text + "\"\n")
	}
	m.busy = false
	if !m.up() {
		return
	}
	if !said {
		m.reply("ok\n")
	}
	m.head = (m.head + 1) % marlin1Queue
	m.n--
}

// commandG runs a G code; acked is whether it needs no ok any more.
func (m *marlin1) commandG(num int, l *oldLine) (acked bool) {
	if num >= 0 && num <= 3 && !m.refusing {
		m.move(num, l)
		return true
	}
	switch num {
	case 0, 1, 2, 3, 4: // a move that is refused falls through to a dwell
		ms, _ := l.value('P')
		if s, ok := l.value('S'); ok {
			ms = s * 1000
		}
		m.synchronize()
		m.pause(time.Duration(max(0, min(ms, 1e9)) * float64(time.Millisecond)))
	case 28:
		m.home(l)
	case 90, 91:
		m.pose.relative = num == 91
	case 92:
		m.setPosition(l)
	case 10, 11, 29, 30:
	default:
		m.stats.Unknown++ // and no word about it
	}
	return false
}

func (m *marlin1) move(num int, l *oldLine) {
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
		if p.relE || p.relative {
			e += p.e
		}
	}
	if f, ok := l.value('F'); ok && f > 0 {
		p.feed = f / 60
	}
	feed := p.feed * p.percent / 100
	drive := func(to [3]float64, e float64) {
		m.clampAlways(&to)
		m.extrude(to, e, feed, m.lineOf(l))
	}
	if num < 2 {
		drive(to, e)
		return
	}
	dx, _ := l.value('I')
	dy, _ := l.value('J')
	a := arcPath{from: p.at, to: to, e0: p.e, e: e, dx: dx, dy: dy, clockwise: num == 2}
	a.pieces(func(to [3]float64, e float64) bool {
		drive(to, e)
		return m.up()
	})
}

func (m *marlin1) lineOf(l *oldLine) int64 {
	i := strings.IndexByte(l.text, 'N')
	if i < 0 {
		return -1
	}
	return leadingInt(l.text[i+1:])
}

// extrude drives a move; filament is held back where the firmware does that.
func (m *marlin1) extrude(to [3]float64, e, feed float64, line int64) {
	for m.plan.full() && m.up() {
		m.hold(never) // plan_buffer_line waits first and looks then
	}
	if e != m.pose.e {
		switch {
		case m.therm.tool(m.active).reading() < m.therm.minExt && !m.therm.cold:
			m.plan.setE(e)
			m.stats.Cold++
			m.print("echo: cold extrusion prevented\n")
		case math.Abs(e-m.pose.e) > extrudeLong:
			m.plan.setE(e)
			m.print("echo: too long extrusion prevented\n")
		}
	}
	m.drive(to, e, feed, line)
}

// home is G28: X to its lower end stop, Y and Z to their upper ones.
func (m *marlin1) home(l *oldLine) {
	h := homing{feed: [3]float64{100, 100, 40}, bump: [3]float64{7, 7, 7}, slow: [3]float64{50, 50, 20}}
	m.synchronize()
	all := !l.seen('X') && !l.seen('Y') && !l.seen('Z')
	p := &m.pose
	for i, w := range []byte("XYZ") {
		if !all && !l.seen(w) {
			continue
		}
		end := 0.0
		if i != axX {
			end = m.cfg.Volume[i].MM()
		}
		m.pause(h.time(i, math.Abs(end-p.at[i]-p.offset[i]), m.plan.lim.maxAccel[i]))
		if !m.up() {
			return
		}
		p.at[i], p.offset[i], p.homed[i] = end, 0, true
		m.plan.setPosition(p.at, p.e)
		m.stats.Homes++
	}
	clear(m.layers)
}

func (m *marlin1) selectTool(l *oldLine) {
	v, _ := l.value('T')
	if t := int(v) & 0xff; t >= m.therm.tools {
		m.print("echo:T" + string([]byte{byte(t)}) + "Invalid extruder\n") // the number as a character
		return
	}
	m.active = int(v)
	m.print("echo:Active Extruder: " + strconv.Itoa(m.active) + "\n")
}

// commandM runs an M code; acked is whether it has said its own ok.
func (m *marlin1) commandM(num int, l *oldLine) (acked bool) {
	switch num {
	case 0, 1: // until somebody turns the knob
		for m.up() {
			m.hold(never)
		}
	case 104, 105, 109, 140, 190, 301, 302:
		return m.commandHeat(num, l)
	case 106:
		duty := 255.0
		if v, ok := l.value('S'); ok {
			duty = max(0, min(v, 255))
		}
		m.setDuty(duty)
	case 107:
		m.setDuty(0)
	case 18, 84, 400:
		m.synchronize()
	case 401:
		m.quickStop()
	case 999:
		m.refusing = false
		m.lastN = m.stoppedN
		m.requestResend()
	case 20, 21, 27, 31, 114, 115, 119, 500, 501, 502, 503:
		m.report(num)
	case 82, 83, 92, 201, 203, 204, 205, 206, 220, 221:
		m.setting(num, l)
	case 17, 22, 23, 24, 25, 26, 28, 29, 30, 42, 80, 81, 85, 110, 117, 120, 121, 126, 127, 202, 207, 208, 209, 240, 300, 303, 350, 907, 908, 923, 928:
	default:
		m.stats.Unknown++ // and no word about it
	}
	return false
}

// setting runs the commands that change a setting.
func (m *marlin1) setting(num int, l *oldLine) {
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
	case 82, 83:
		m.pose.relE = num == 83
	case 92:
		each(&lim.stepsPerMM)
	case 201:
		each(&lim.maxAccel)
	case 203:
		each(&lim.maxFeed)
	case 204:
		one('S', &lim.accel)
		lim.travel = lim.accel
		one('T', &lim.retract)
	case 205:
		one('X', &lim.jerk[axX])
		lim.jerk[axY] = lim.jerk[axX]
		one('Z', &lim.jerk[axZ])
		one('E', &lim.jerk[axE])
	case 220:
		one('S', &m.pose.percent)
	}
	lim.sane()
}
