package sim

import (
	"math"
	"time"
)

// perform is step 4 of gc_execute_line.
func (g *grbl) perform(b *grblBlock) int {
	c := &g.gc
	c.modal.inverse, c.feed = b.modal.inverse, b.feed
	if b.seen['S'] {
		c.speed = b.value['S']
	}
	c.selected = int(b.value['T'])
	if b.modal.spindle != c.modal.spindle || b.modal.coolant != c.modal.coolant {
		g.sync()
		c.modal.spindle, c.modal.coolant = b.modal.spindle, b.modal.coolant
	}
	if b.action == 4 && g.state != grblCheck {
		g.sync()
		g.dwell(time.Duration(min(b.value['P'], 1e6) * float64(time.Second)))
	}
	c.modal.plane, c.modal.inches = b.modal.plane, b.modal.inches
	if b.axis == axisTool {
		tool := 0.0
		if b.length == 43 {
			tool = b.to[2]
		}
		if tool != c.tool {
			c.tool = tool
			g.offsetChanged()
		}
	}
	if c.modal.system != b.modal.system {
		c.modal.system = b.modal.system
		g.offsetChanged()
	}
	c.modal.relative = b.modal.relative
	g.act(b)
	c.modal.motion = b.modal.motion
	if b.axis == axisMotion && b.anyAxis() && c.modal.motion != 80 {
		g.move(b)
	}
	if b.flow != 0 && g.alive() {
		g.flow(b.flow)
	}
	return 0
}

func (g *grbl) alive() bool { return g.up() && !g.wish.reset }

// act is what a block does beside moving.
func (g *grbl) act(b *grblBlock) {
	c := &g.gc
	switch b.action {
	case 10:
		c.systems[int(b.radius)] = b.to
		if int(b.radius) == c.modal.system {
			g.offsetChanged()
		}
	case 28, 30:
		to := c.stored[(b.action-28)/2]
		if b.anyAxis() {
			g.straight(b.to, 0, true, b)
			for i, w := range []byte("XYZ") {
				if !b.seen[w] {
					to[i] = c.at[i]
				}
			}
		}
		g.straight(to, 0, true, b)
		c.at = to
	case 281, 301:
		c.stored[(b.action-281)/20] = c.at
	case 92:
		c.shift = b.to
		g.offsetChanged()
	case 921:
		c.shift = [3]float64{}
		g.offsetChanged()
	}
}

// offsetChanged is system_flag_wco_change.
func (g *grbl) offsetChanged() {
	g.sync()
	g.wcoIn = 0
}

// move drives to where a block goes.
func (g *grbl) move(b *grblBlock) {
	switch b.modal.motion {
	case 0, 1:
		g.straight(b.to, b.feed, b.modal.motion == 0, b)
	case 2, 3:
		g.arc(b)
	default:
		g.probe(b)
		return
	}
	g.gc.at = b.to
}

// straight is mc_line; to is in machine coordinates of grbl.
func (g *grbl) straight(to [3]float64, feed float64, rapid bool, b *grblBlock) {
	if g.on(20) && g.state != grblJog && g.outside(to) {
		g.softLimit()
		return
	}
	if g.state == grblCheck || !g.alive() {
		return
	}
	g.spend(g.cfg.LineTime / 2)
	for g.alive() {
		g.realtime()
		if g.blocksFree() > 0 || !g.alive() {
			break
		}
		g.autoStart()
		g.realtime()
		if g.alive() && g.blocksFree() == 0 {
			g.flush()
			g.sleep(never)
		}
	}
	if g.alive() {
		g.queue(to, feed, rapid, b)
	}
}

// queue plans a move.
func (g *grbl) queue(to [3]float64, feed float64, rapid bool, b *grblBlock) {
	unhomed := false
	for i, t := range g.travel() {
		to[i] += t
		unhomed = unhomed || to[i] != g.plan.posMM[i] && !g.pose.homed[i]
	}
	if unhomed {
		g.stats.Unhomed++
	}
	speed := max(feed, 1) / 60 * float64(g.feedOvr) / 100
	if rapid {
		speed = 1e6
	} else if b.modal.inverse == 1 {
		speed = feed / 60 * dist(g.plan.posMM, to)
	}
	line := int64(-1)
	if b.seen['N'] {
		line = int64(b.value['N'])
	}
	if g.plan.add(g.now, to, 0, speed, line) {
		if g.plan.dry && g.state == grblRun {
			g.stats.Starved++
		}
		g.plan.dry = false
	}
	if !g.plan.running {
		g.plan.first = never
	}
}

func dist(a, b [3]float64) float64 {
	return math.Sqrt((a[0]-b[0])*(a[0]-b[0]) + (a[1]-b[1])*(a[1]-b[1]) + (a[2]-b[2])*(a[2]-b[2]))
}

// outside is system_check_travel_limits.
func (g *grbl) outside(to [3]float64) bool {
	t := g.travel()
	for i := range to {
		if to[i] > 0 || to[i] < -t[i] {
			return true
		}
	}
	return false
}

// softLimit is limits_soft_check: motion is braked, then everything stops.
func (g *grbl) softLimit() {
	if g.state == grblRun {
		g.wish.hold = true
		for g.alive() {
			g.system1()
			if !g.stopping && g.state != grblRun {
				break
			}
			g.flush()
			g.sleep(never)
		}
	}
	if g.alive() {
		g.state = grblIdle
		g.kick()
		g.alarm = 2
		g.drop()
		g.system1()
	}
}

// jog is jog_execute.
func (g *grbl) jog(b *grblBlock) int {
	if b.groups&^(1<<3|1<<6|1<<0) != 0 || b.action != 0 && b.action != 53 {
		return 16
	}
	if g.on(20) && g.outside(b.to) {
		return 15
	}
	g.straight(b.to, b.feed, false, b)
	if g.state == grblIdle && g.plan.n > 0 && g.alive() {
		g.state = grblJog
		g.plan.first = g.now
		g.plan.start(g.now)
	}
	g.gc.at = b.to
	return 0
}

// sync is protocol_buffer_synchronize.
func (g *grbl) sync() {
	g.autoStart()
	g.realtime()
	for g.alive() && (g.plan.n > 0 || g.state == grblRun) {
		g.flush()
		g.sleep(never)
		g.realtime()
	}
	g.plan.dry = false
}

// dwell is delay_sec: time passes while motion is at rest.
func (g *grbl) dwell(d time.Duration) {
	for end := g.now + d; g.now < end && g.alive(); {
		g.realtime()
		g.flush()
		g.sleep(end)
	}
}

// flow is M0, M2 and M30.
func (g *grbl) flow(n int) {
	g.sync()
	switch {
	case n == 1 || !g.alive():
	case n < 0:
		if g.state != grblCheck {
			g.wish.hold = true
			g.realtime()
		}
	default:
		c := &g.gc
		c.modal = grblModal{motion: 1, inches: c.modal.inches, spindle: 5}
		g.feedOvr, g.rapidOvr = 100, 100
		g.offsetChanged()
		g.print("[MSG:Pgm End]\r\n")
	}
}

// probe is mc_probe_cycle on a machine whose probe touches nothing.
func (g *grbl) probe(b *grblBlock) {
	g.sync()
	if g.state == grblCheck || !g.alive() {
		return
	}
	g.straight(b.to, b.feed, false, b)
	g.sync()
	if !g.alive() {
		return
	}
	g.syncPosition()
	if b.modal.motion == 382 || b.modal.motion == 384 {
		g.alarm = 5
		g.system1()
	} else {
		g.gc.probed = g.gc.at
	}
	if g.alive() {
		g.print(string(append(g.axes([]byte("[PRB:"), g.gc.probed), ":0]\r\n"...)))
	}
}

// checkArc checks an arc and finds its centre.
func (g *grbl) checkArc(b *grblBlock, scale float64) (used string, status int) {
	a0, a1, offsets := g.plane(b)
	if !b.anyAxis() {
		return "", 26
	}
	words := "XYZ"
	if !b.seen[words[a0]] && !b.seen[words[a1]] {
		return "", 32
	}
	x, y := b.to[a0]-g.gc.at[a0], b.to[a1]-g.gc.at[a1]
	if b.seen['R'] {
		if b.to == g.gc.at {
			return "", 33
		}
		return "R", g.radius(b, x, y, b.value['R']*scale, a0, a1)
	}
	if !b.seen[offsets[0]] && !b.seen[offsets[1]] {
		return "", 35
	}
	i, j := b.value[offsets[0]]*scale, b.value[offsets[1]]*scale
	b.center[a0], b.center[a1] = i, j
	b.radius = math.Hypot(i, j)
	if d := math.Abs(math.Hypot(x-i, y-j) - b.radius); d > 0.5 || d > 0.005 && d > 0.001*b.radius {
		return "", 33
	}
	return "IJK", 0
}

// radius finds the centre of an arc that is given by its radius.
func (g *grbl) radius(b *grblBlock, x, y, r float64, a0, a1 int) int {
	h := 4*r*r - x*x - y*y
	if h < 0 {
		return 34
	}
	h = -math.Sqrt(h) / math.Hypot(x, y)
	if b.modal.motion == 3 {
		h = -h
	}
	if r < 0 {
		h, r = -h, -r
	}
	b.center[a0], b.center[a1], b.radius = (x-y*h)/2, (y+x*h)/2, r
	return 0
}

// plane says which axes an arc is in, and the words of its centre.
func (g *grbl) plane(b *grblBlock) (a0, a1 int, offsets string) {
	switch b.modal.plane {
	case 1:
		return 2, 0, "KI"
	case 2:
		return 1, 2, "JK"
	}
	return 0, 1, "IJ"
}

// arc is mc_arc.
func (g *grbl) arc(b *grblBlock) {
	a0, a1, _ := g.plane(b)
	from := g.gc.at
	c0, c1 := from[a0]+b.center[a0], from[a1]+b.center[a1]
	start := math.Atan2(-b.center[a1], -b.center[a0])
	turn := math.Atan2(b.to[a1]-c1, b.to[a0]-c0) - start
	turn = math.Remainder(turn, 2*math.Pi)
	const eps = 5e-7
	if b.modal.motion == 2 && turn >= -eps {
		turn -= 2 * math.Pi
	} else if b.modal.motion == 3 && turn <= eps {
		turn += 2 * math.Pi
	}
	tol := g.setting(12)
	pieces := math.Floor(math.Abs(0.5*turn*b.radius) / math.Sqrt(tol*(2*b.radius-tol)))
	for i := 1.0; i < pieces && g.alive(); i++ {
		p := from
		for k := range p {
			p[k] += (b.to[k] - from[k]) * i / pieces
		}
		p[a0], p[a1] = c0+b.radius*math.Cos(start+turn*i/pieces), c1+b.radius*math.Sin(start+turn*i/pieces)
		g.straight(p, b.feed, false, b)
	}
	g.straight(b.to, b.feed, false, b)
}
