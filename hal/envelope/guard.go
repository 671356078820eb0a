package envelope

import (
	"math"
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
	homed   motion.Axes
	at      [3]unit.Length // of homed axes
	bed     unit.Celsius   // targets
	chamber unit.Celsius
	hotEnd  [MaxTools]unit.Celsius
	ready   [MaxTools]bool // hot end was waited for and stays above MinExtrude
	paused  time.Duration  // since the last move
}

// check returns the rule that op breaks, or 0 and takes op's effect.
func (g *guard) check(op motion.Op) Rule {
	switch op.Kind {
	case motion.Move:
		return g.move(op)
	case motion.Home:
		return g.home(op)
	case motion.SetHeater, motion.WaitHeater:
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
	case motion.BeginLayer:
		if op.Layer < 0 || !g.inside(motion.IZ, op.To[motion.IZ]) {
			return RuleVolume
		}
	case motion.MotorsOff:
		g.homed = 0
	default:
		return RuleKind
	}
	return 0
}

func (g *guard) inside(axis int, v unit.Length) bool { return v >= g.Min[axis] && v <= g.Max[axis] }

func (g *guard) move(op motion.Op) Rule {
	if op.Axes == 0 || op.Axes&^allAxes != 0 || int(op.Tool) >= min(g.Tools, MaxTools) || (!op.Has(motion.E) && op.E != 0) {
		return RuleKind
	}
	to := g.at
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
		to[i] = op.To[i]
	}
	if r := g.extrude(op); r != 0 {
		return r
	}
	if !g.slowEnough(to, op.E, op.Feed) {
		return RuleFeed
	}
	g.at, g.paused = to, 0
	return 0
}

// extrude checks the filament side of a move. Filament moves only once all axes
// are homed, because a print that starts elsewhere buries the nozzle.
func (g *guard) extrude(op motion.Op) Rule {
	switch {
	case op.E == 0:
		return 0
	case g.homed != linear:
		return RuleHoming
	case !g.ready[op.Tool]:
		return RuleCold
	case op.E > g.MaxE || op.E < -g.MaxE:
		return RuleFilament
	}
	return 0
}

// slowEnough reports whether a move to to at feed keeps every axis at or below its
// fastest speed. The share of an axis is its part of the path; filament alone moves
// at feed itself.
func (g *guard) slowEnough(to [3]unit.Length, e unit.Length, feed unit.Speed) bool {
	if feed <= 0 {
		return false
	}
	var d [3]float64
	path := 0.0
	for i := range d {
		d[i] = math.Abs(float64(to[i]) - float64(g.at[i]))
		path += d[i] * d[i]
	}
	path = math.Sqrt(path)
	if path == 0 {
		return e == 0 || feed <= g.MaxFeedE
	}
	const slack = 1 + 1e-9 // of the square root
	for i := range d {
		if d[i]*float64(feed) > float64(g.MaxFeed[i])*path*slack {
			return false
		}
	}
	return math.Abs(float64(e))*float64(feed) <= float64(g.MaxFeedE)*path*slack
}

func (g *guard) home(op motion.Op) Rule {
	if op.Axes&^linear != 0 {
		return RuleKind
	}
	axes := op.Axes
	if axes == 0 {
		axes = linear
	}
	for i, a := range axisOf {
		if axes&a != 0 {
			g.at[i] = g.HomedAt[i]
		}
	}
	g.homed |= axes
	g.paused = 0
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

func (g *guard) dwell(op motion.Op) Rule {
	most := g.MaxDwell
	if g.bed != 0 || g.chamber != 0 || g.hotEnd != [MaxTools]unit.Celsius{} {
		most = g.MaxHotDwell
	}
	if op.Wait < 0 || op.Wait > most-g.paused {
		return RuleDwell
	}
	g.paused += op.Wait
	return 0
}
