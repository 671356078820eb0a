package envelope

import (
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

const (
	linear  = motion.X | motion.Y | motion.Z
	allAxes = linear | motion.E
)

var axisOf = [3]motion.Axes{motion.X, motion.Y, motion.Z}

// guard follows one program.
type guard struct {
	Limits
	track
	accel   unit.Accel
	bed     unit.Celsius // targets
	chamber unit.Celsius
	hotEnd  [MaxTools]unit.Celsius
	ready   [MaxTools]bool        // hot end was waited for and stays above MinExtrude
	drawn   [MaxTools]unit.Length // filament drawn back
	paused  time.Duration         // while cold: since the last move
	idle    time.Duration         // while hot: without fresh filament
	waits   float64               // while hot: operations of unknown length, without fresh filament
}

func newGuard(l Limits) *guard {
	g := &guard{Limits: l, accel: l.MaxAccel}
	g.track.limits = &g.Limits
	return g
}

// check returns the rule that op breaks, or 0 and takes op's effect.
func (g *guard) check(op motion.Op) Rule {
	if g.hot() && g.idle > g.MaxHotDwell && !g.switchesOff(op) {
		return RuleDwell
	}
	r := g.judge(op)
	if r == 0 {
		g.follow(op)
		g.charge(op.Kind)
	}
	return r
}

// commandTime is what a command takes on its way to the machine, or more.
const commandTime = 10 * time.Millisecond

// charge adds what the command of an operation takes in itself to the time while hot:
// a file of nothing but fan commands keeps a machine hot for hours. What waits is
// counted by wait.
func (g *guard) charge(k motion.Kind) {
	switch k {
	case motion.Home, motion.Level, motion.WaitHeater, motion.BeginLayer, motion.Pause:
		return
	}
	if g.hot() {
		g.idle += commandTime
	}
}

// switchesOff reports whether op switches off a heater that is on.
func (g *guard) switchesOff(op motion.Op) bool {
	if op.Kind != motion.SetHeater || op.Temp != 0 {
		return false
	}
	target, _ := g.heater(op.Heater)
	return target != nil && *target != 0
}

func (g *guard) judge(op motion.Op) Rule {
	switch op.Kind {
	case motion.Move:
		return g.move(op)
	case motion.ArcLeft, motion.ArcRight:
		return g.arc(op)
	case motion.Home:
		if op.Axes&^linear != 0 {
			return RuleKind
		}
		return g.wait()
	case motion.Level:
		return g.level(op)
	case motion.SetHeater, motion.WaitHeater:
		if op.Index > motion.WaitWarm {
			return RuleKind
		}
		return g.heat(op)
	case motion.SetFan:
		if int(op.Index) >= g.Fans {
			return RuleKind
		}
	case motion.Dwell:
		return g.dwell(op)
	case motion.SetAccel:
		if op.Accel <= 0 || op.Accel > g.MaxAccel {
			return RuleAccel
		}
		g.accel = op.Accel
	case motion.SetAdvance:
		if int(op.Tool) >= min(g.Tools, MaxTools) || op.Wait < 0 || op.Wait > g.MaxAdvance {
			return RuleAdvance
		}
	case motion.BeginLayer:
		if op.Layer < 0 || !g.inside(motion.IZ, op.To[motion.IZ]) {
			return RuleVolume
		}
	case motion.MotorsOff:
		if op.Axes&^allAxes != 0 {
			return RuleKind
		}
	case motion.Pause:
	case motion.Stand:
		return g.stand(op)
	default:
		return RuleKind
	}
	return 0
}

// stand checks that a machine is told where its Z stands before it knows anything, and
// only if it may be taken at its word.
func (g *guard) stand(op motion.Op) Rule {
	switch {
	case !g.KeepsZ || op.Axes != motion.Z:
		return RuleKind
	case g.homed != 0:
		return RuleHoming
	case !g.inside(motion.IZ, op.To[motion.IZ]):
		return RuleVolume
	}
	return 0
}

func (g *guard) inside(axis int, v unit.Length) bool { return v >= g.Min[axis] && v <= g.Max[axis] }

func (g *guard) move(op motion.Op) Rule {
	if op.Axes == 0 || op.Axes&^allAxes != 0 || int(op.Tool) >= max(1, min(g.Tools, MaxTools)) || (!op.Has(motion.E) && op.E != 0) {
		return RuleKind
	}
	for i, a := range axisOf {
		if !op.Has(a) {
			continue
		}
		if g.homed&a == 0 {
			return RuleHoming
		}
		if !g.inside(i, op.To[i]) {
			return RuleVolume
		}
	}
	if r := g.extrude(op); r != 0 {
		return r
	}
	if op.E != 0 && op.Axes&g.lost(op)&linear != 0 {
		return RuleLost
	}
	if op.Feed <= 0 || written(op.Feed) > g.fastest(op) {
		return RuleFeed
	}
	if g.hot() {
		return g.pass(op)
	}
	g.paused = 0
	return 0
}

// maxMismatch is how far apart the ends of an arc may be from a circle: what files
// with three decimals have.
const maxMismatch = unit.Millimetre / 20

// arc checks an arc: it begins where a move has led, as its centre is written
// relative to that, all of it is inside the volume, and
// the rest is as for a move.
func (g *guard) arc(op motion.Op) Rule {
	const plane = motion.X | motion.Y
	switch {
	case !g.Arcs || !op.Has(plane):
		return RuleArc
	case g.homed&plane != plane:
		return RuleHoming
	case g.lost(op)&linear != 0 || g.told&plane != plane:
		return RuleLost
	case op.ArcMismatch(g.at) > maxMismatch:
		return RuleArc
	}
	lo, hi := op.ArcBox(g.at)
	for i := range lo {
		if !g.inside(i, lo[i]) || !g.inside(i, hi[i]) {
			return RuleVolume
		}
	}
	return g.move(op)
}

// extrude checks the filament side of a move. Filament moves only once all axes
// are homed, because a print that starts elsewhere buries the nozzle.
func (g *guard) extrude(op motion.Op) Rule {
	switch {
	case op.E == 0:
		return 0
	case int(op.Tool) >= g.Tools:
		return RuleKind
	case g.homed != linear:
		return RuleHoming
	case !g.ready[op.Tool]:
		return RuleCold
	case op.E > g.MaxE || op.E < -g.MaxE:
		return RuleFilament
	}
	return 0
}

// pass adds the time of a move to the time while hot, and takes off what its fresh
// filament is worth.
func (g *guard) pass(op motion.Op) Rule {
	g.idle += g.duration(op)
	if g.idle > g.MaxHotDwell {
		return RuleDwell
	}
	drawn := &g.drawn[min(op.Tool, MaxTools-1)]
	fresh := op.E - *drawn
	*drawn = max(0, -fresh)
	if fresh > 0 {
		share := min(1, float64(fresh)/float64(unit.Millimetre))
		g.idle = max(0, g.idle-time.Duration(share*float64(g.MaxHotDwell)))
		g.waits = max(0, g.waits-share*MaxWaits)
	}
	return 0
}

// duration bounds from above how long a move takes that starts and ends at rest.
func (g *guard) duration(op motion.Op) time.Duration {
	_, path := g.path(op)
	lost := g.lost(op)
	for i, a := range axisOf {
		if op.Axes&lost&a != 0 { // from anywhere
			path += float64(g.Max[i]) - float64(g.Min[i])
		}
	}
	if path == 0 {
		path = float64(max(op.E, -op.E))
	}
	const micrometre = float64(unit.Millimetre) / 1000
	feed := float64(op.Feed)
	seconds := path/micrometre/feed + feed/1000/float64(g.accel)
	return time.Duration(min(seconds, 1e6) * float64(time.Second))
}

func (g *guard) level(op motion.Op) Rule {
	switch {
	case !g.CanLevel || op.Index > 1:
		return RuleKind
	case g.homed != linear:
		return RuleHoming
	}
	return g.wait()
}

// wait counts an operation that takes as long as it takes.
func (g *guard) wait() Rule {
	if !g.hot() {
		g.paused = 0
		return 0
	}
	if g.waits++; g.waits > MaxWaits {
		return RuleDwell
	}
	return 0
}

func (g *guard) heat(op motion.Op) Rule {
	target, within := g.heater(op.Heater)
	if target == nil || within == (Range{}) {
		return RuleKind
	}
	if op.Temp != 0 && (op.Temp < within.Min || op.Temp > within.Max) {
		return RuleHeat
	}
	*target = op.Temp
	if op.Heater >= motion.HotEnd {
		tool := op.Heater - motion.HotEnd
		warm := op.Temp != 0 && op.Temp >= g.MinExtrude
		g.ready[tool] = warm && (g.ready[tool] || op.Kind == motion.WaitHeater)
	}
	if op.Kind == motion.WaitHeater {
		return g.wait()
	}
	if !g.hot() {
		g.paused = 0
	}
	return 0
}

// heater returns the target of heater h and its range; nil if there is none.
func (g *guard) heater(h motion.Heater) (*unit.Celsius, Range) {
	switch {
	case h == motion.Bed:
		return &g.bed, g.Bed
	case h == motion.Chamber:
		return &g.chamber, g.Chamber
	case h >= motion.HotEnd && int(h-motion.HotEnd) < min(g.Tools, MaxTools):
		return &g.hotEnd[h-motion.HotEnd], g.HotEnd
	}
	return nil, Range{}
}

func (g *guard) hot() bool {
	return g.bed != 0 || g.chamber != 0 || g.hotEnd != [MaxTools]unit.Celsius{}
}

func (g *guard) dwell(op motion.Op) Rule {
	spent, most := &g.paused, g.MaxDwell
	if g.hot() {
		spent, most = &g.idle, g.MaxHotDwell
	}
	if op.Wait < 0 || op.Wait > most-*spent {
		return RuleDwell
	}
	*spent += op.Wait
	if !g.hot() {
		g.cool(op.Wait)
	}
	return 0
}

// cool lets everything be off for a while: as long as it was hot it has to be off.
// Were it enough to switch a heater off, a file could do that once a minute.
func (g *guard) cool(t time.Duration) {
	if t >= g.MaxHotDwell {
		g.idle, g.waits = 0, 0
		return
	}
	g.idle = max(0, g.idle-t)
	g.waits = max(0, g.waits-MaxWaits*float64(t)/float64(g.MaxHotDwell))
}
