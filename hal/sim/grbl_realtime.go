package sim

import (
	"math"
	"strconv"
)

// receive implements firmware: real-time bytes are picked off, the rest is stored.
func (g *grbl) receive(c byte) {
	w := &g.wish
	switch {
	case c == 0x18:
		g.kick()
	case c == '?':
		w.status = true
	case c == '~':
		w.start = true
	case c == '!':
		w.hold = true
	case c == 0x85:
		w.cancel = w.cancel || g.state == grblJog
	case c >= 0x90 && c <= 0x97:
		w.overrides = append(w.overrides[:min(len(w.overrides), 16)], c)
	case c >= 0x80:
	default:
		g.store(c)
	}
}

// kick is mc_reset: motion ends at once, wherever it is.
func (g *grbl) kick() {
	if g.wish.reset {
		return
	}
	g.wish.reset = true
	switch {
	case g.state == grblHome:
		g.setAlarm(6)
	case g.state == grblRun || g.state == grblJog || g.stopping && g.plan.running:
		g.setAlarm(3)
		g.drop()
	}
}

func (g *grbl) setAlarm(n int) {
	if g.alarm == 0 {
		g.alarm = n
	}
}

// trip is a limit switch that closes.
func (g *grbl) trip() {
	if g.state == grblAlarm || g.alarm != 0 || !g.on(21) {
		return
	}
	g.kick()
	g.alarm = 1
	g.drop()
}

// place is where the machine stands.
func (g *grbl) place() [3]float64 {
	p := &g.plan
	switch {
	case p.running:
		b := p.at(0)
		share := b.shape.at(g.now-b.start) / b.length
		var at [3]float64
		for i := range at {
			at[i] = b.from[i] + (b.to[i]-b.from[i])*share
		}
		return at
	case p.n > 0:
		return p.at(0).from
	}
	return p.posMM
}

// drop throws away all motion. What was driven of a move goes into the journal.
func (g *grbl) drop() {
	at := g.place()
	if !g.plan.running && g.plan.n > 0 && g.plan.at(0).rest {
		b := *g.plan.at(0)
		b.to, b.end = b.from, g.now
		g.drove(b, true)
	}
	g.abandon()
	g.plan.setPosition(at, 0)
}

// syncPosition is gc_sync_position.
func (g *grbl) syncPosition() {
	at, t := g.place(), g.travel()
	for i := range at {
		per := g.plan.lim.stepsPerMM[i]
		g.gc.at[i] = math.Round((at[i]-t[i])*per) / per
	}
}

// realtime is protocol_execute_realtime.
func (g *grbl) realtime() {
	g.system1()
	for g.suspended() && g.up() && !g.wish.reset {
		g.flush()
		g.sleep(never)
		g.system1()
	}
}

func (g *grbl) suspended() bool {
	return g.state == grblHold || g.state == grblSleep || g.state == grblJog && g.canceled
}

// system1 is protocol_exec_rt_system.
func (g *grbl) system1() {
	if g.alarm != 0 {
		g.reportAlarm()
	}
	if g.wish.reset || !g.up() {
		return
	}
	w := &g.wish
	if w.status {
		w.status = false
		g.status()
	}
	if w.hold || w.cancel || w.sleep {
		g.beginHold()
	}
	if w.start {
		start := !w.hold && !w.cancel
		w.start = false
		if start {
			g.beginCycle()
		}
	}
	w.hold, w.cancel, w.sleep = false, false, false
	g.endCycle()
	g.override()
}

// reportAlarm says what has stopped the machine. After a limit nothing but a reset
// is heard.
func (g *grbl) reportAlarm() {
	n := g.alarm
	g.state = grblAlarm
	g.stats.Kills++
	g.print("ALARM:" + strconv.Itoa(n) + "\r\n")
	g.flush()
	g.spend(grblAlarmWait)
	if n == 1 || n == 2 {
		g.print("[MSG:Reset to continue]\r\n")
		g.wish.reset = false
		for g.up() && !g.wish.reset {
			g.rest(never)
		}
	}
	g.alarm = 0
}

// beginHold brakes, or notes that nothing moves.
func (g *grbl) beginHold() {
	w := &g.wish
	if g.state == grblAlarm && w.sleep {
		g.state = grblSleep
		return
	}
	if g.state == grblAlarm || g.state == grblCheck {
		return
	}
	if (g.state == grblRun || g.state == grblJog) && !g.stopping {
		g.stopping = true
		g.brake()
		g.canceled = g.state == grblJog
	}
	if w.hold && g.state != grblJog && g.state != grblSleep {
		g.state = grblHold
	}
	if w.sleep {
		g.state = grblSleep
	}
}

// beginCycle starts what is planned, or goes on after a hold.
func (g *grbl) beginCycle() {
	if g.state != grblIdle && (g.state != grblHold || g.stopping) {
		return
	}
	if g.state == grblHold && g.hal {
		g.print("[MSG:]\r\n")
	}
	g.state = grblIdle
	if g.plan.n > 0 {
		g.state = grblRun
		g.plan.first = g.now
		g.plan.start(g.now)
	}
}

// endCycle notes that motion has ended: a program, a hold or a jog.
func (g *grbl) endCycle() {
	if g.plan.running {
		return
	}
	switch {
	case g.stopping && g.canceled:
		g.drop()
		g.syncPosition()
		g.state, g.stopping, g.canceled = grblIdle, false, false
	case g.stopping:
		g.stopping = false
	case (g.state == grblRun || g.state == grblJog) && g.plan.n == 0:
		g.state = grblIdle
	}
}

// autoStart is protocol_auto_cycle_start.
func (g *grbl) autoStart() {
	if g.plan.n > 0 {
		g.wish.start = true
	}
}

// status is report_realtime_status.
func (g *grbl) status() {
	at, t := g.place(), g.travel()
	wco := g.gc.offset()
	s := append(make([]byte, 0, 120), '<')
	s = append(s, grblStates[g.state]...)
	if g.state == grblHold {
		complete := byte('0')
		if g.stopping {
			complete = '1'
		}
		if g.hal {
			complete = '0'
		}
		s = append(s, complete)
	}
	for i := range at {
		per := g.plan.lim.stepsPerMM[i]
		at[i] = math.Round((at[i]-t[i])*per) / per
	}
	if g.bit(10, 0) {
		s = g.axes(append(s, "|MPos:"...), at)
	} else {
		for i := range at {
			at[i] -= wco[i]
		}
		s = g.axes(append(s, "|WPos:"...), at)
	}
	if g.bit(10, 1) {
		s = strconv.AppendInt(append(s, "|Bf:"...), int64(g.blocksFree()), 10)
		s = strconv.AppendInt(append(s, ','), int64(g.rx.room()), 10)
	}
	s = strconv.AppendInt(append(s, "|FS:"...), int64(math.Round(g.rate()*60)), 10)
	s = strconv.AppendFloat(append(s, ','), g.gc.spinning(), 'f', 0, 64)
	s = g.occasional(s, wco)
	g.print(string(append(s, ">\r\n"...)))
}

// occasional appends what only some status reports have: the work offset and the
// overrides.
func (g *grbl) occasional(s []byte, wco [3]float64) []byte {
	every := func(n int) int {
		if g.plan.n > 0 || g.state != grblIdle && g.state != grblAlarm {
			return n
		}
		return 10
	}
	if g.wcoIn > 0 {
		g.wcoIn--
	} else {
		g.wcoIn = every(30) - 1
		g.ovrIn = max(g.ovrIn, 1)
		s = g.axes(append(s, "|WCO:"...), wco)
	}
	if g.ovrIn > 0 {
		g.ovrIn--
		return s
	}
	first := g.ovrIn == 0 && g.wcoIn == 0 && g.hal
	g.ovrIn = every(20) - 1
	for i, v := range []int{g.feedOvr, g.rapidOvr, 100} {
		s = append(s, ","...)
		if i == 0 {
			s = append(s[:len(s)-1], "|Ov:"...)
		}
		s = strconv.AppendInt(s, int64(v), 10)
	}
	if first {
		s = append(s, "|A:"...)
		if g.state == grblIdle {
			s = append(s, "|H:0"...)
		}
		s = append(s, "|TLR:0"...)
	}
	return s
}

func (g *grbl) axes(s []byte, v [3]float64) []byte {
	for i, x := range v {
		if i > 0 {
			s = append(s, ',')
		}
		if math.Abs(x) < 0.0005 {
			x = 0
		}
		s = strconv.AppendFloat(s, x, 'f', 3, 64)
	}
	return s
}

// rate is the present speed in mm/s.
func (g *grbl) rate() float64 {
	if !g.plan.running {
		return 0
	}
	b := g.plan.at(0)
	return b.shape.speed((g.now - b.start).Seconds())
}

func (g *grbl) blocksFree() int { return max(0, g.blocks()-1-g.plan.n) }

// override obeys what real-time bytes said of feed and rapids.
func (g *grbl) override() {
	feed, rapid := g.feedOvr, g.rapidOvr
	for _, c := range g.wish.overrides {
		switch c {
		case 0x90:
			feed = 100
		case 0x91:
			feed += 10
		case 0x92:
			feed -= 10
		case 0x93:
			feed++
		case 0x94:
			feed--
		case 0x95:
			rapid = 100
		case 0x96:
			rapid = 50
		case 0x97:
			rapid = 25
		}
		feed = max(10, min(feed, 200))
	}
	g.wish.overrides = g.wish.overrides[:0]
	if feed == g.feedOvr && rapid == g.rapidOvr {
		return
	}
	g.plan.scale(float64(feed)/float64(g.feedOvr), g.now)
	g.feedOvr, g.rapidOvr, g.ovrIn = feed, rapid, 0
}
