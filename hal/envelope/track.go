package envelope

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
)

// track follows where the head is.
type track struct {
	limits *Limits
	homed  motion.Axes
	vague  motion.Axes    // homed axes of which it is not known where they are
	at     [3]unit.Length // of homed axes that are not vague
	tool   uint8
	told   motion.Axes // that a move has led somewhere since they were homed or lost
}

// lost returns the axes of which it is not known where they are when op begins:
// those that levelling left anywhere, and all if another tool takes over, because
// tools have offsets.
func (t *track) lost(op motion.Op) motion.Axes {
	if op.Moves() && op.Tool != t.tool {
		return linear
	}
	return t.vague
}

// follow takes the effect of op.
func (t *track) follow(op motion.Op) {
	switch op.Kind {
	case motion.Move, motion.ArcLeft, motion.ArcRight:
		t.vague, t.tool = t.lost(op), op.Tool
		for i, a := range axisOf {
			if op.Has(a) {
				t.at[i] = op.To[i]
			}
		}
		t.vague &^= op.Axes
		if t.told |= op.Axes; t.vague != 0 {
			t.told &^= t.vague
		}
	case motion.Home:
		axes := all(op.Axes)
		t.told &^= axes
		for i, a := range axisOf {
			if axes&a != 0 {
				t.at[i] = t.limits.HomedAt[i]
			}
		}
		t.homed |= axes & linear
		t.vague &^= axes
	case motion.Level:
		t.told = 0
		if t.vague = t.homed; t.limits.Levelled && op.Index == 0 {
			t.vague, t.at = 0, t.limits.LevelledAt
		}
	case motion.Stand:
		t.homed, t.told, t.at[motion.IZ] = t.homed|motion.Z, t.told|motion.Z, op.To[motion.IZ]
	case motion.MotorsOff:
		t.homed &^= all(op.Axes)
		t.told &^= all(op.Axes)
	}
}

// all returns the linear axes that axes names; none means all.
func all(axes motion.Axes) motion.Axes {
	if axes == 0 {
		return linear
	}
	return axes & linear
}

// path returns the length of the way of a move along each axis and in all, in
// units of length, of the axes of which it is known where they are.
func (t *track) path(op motion.Op) (d [3]float64, path float64) {
	lost := t.lost(op)
	if op.Arc() { // somewhere on it each of X and Y is the whole path
		path = float64(op.ArcLength(t.at))
		d[motion.IX], d[motion.IY] = path, path
		if op.Has(motion.Z) {
			d[motion.IZ] = math.Abs(float64(op.To[motion.IZ]) - float64(t.at[motion.IZ]))
		}
		return d, path
	}
	for i, a := range axisOf {
		if op.Has(a) && lost&a == 0 {
			d[i] = math.Abs(float64(op.To[i]) - float64(t.at[i]))
			path += d[i] * d[i]
		}
	}
	return d, math.Sqrt(path)
}

// fastest returns the highest feed at which a move keeps every axis at or below its
// fastest speed. The share of an axis is its part of the path; filament alone moves
// at feed itself. An axis of which it is not known where it is may be the whole
// path, and filament along such a path cannot be judged: the feed is zero.
func (t *track) fastest(op motion.Op) float64 {
	const slack = 1 + 1e-9 // of the square root
	d, path := t.path(op)
	most := math.Inf(1)
	e := math.Abs(float64(op.E))
	lost := t.lost(op)
	for i, a := range axisOf {
		if op.Has(a) && lost&a != 0 {
			if op.E != 0 {
				return 0
			}
			most = min(most, float64(t.limits.MaxFeed[i]))
		} else if d[i] > 0 {
			most = min(most, float64(t.limits.MaxFeed[i])*path*slack/d[i])
		}
	}
	switch {
	case e > 0 && path > 0:
		most = min(most, float64(t.limits.MaxFeedE)*path*slack/e)
	case e > 0:
		most = min(most, float64(t.limits.MaxFeedE))
	}
	return most
}

// coarse is the feed below which the whole mm/min that are written to a controller
// are no longer fine enough, and are judged instead.
const coarse = unit.MillimetrePerSecond

// written is the feed that a controller is told at most for feed.
func written(feed unit.Speed) float64 {
	if feed >= coarse {
		return float64(feed)
	}
	return math.Ceil(float64(feed)*60/1000) * 1000 / 60
}

// fit slows op down to what the machine can do.
func (t *track) fit(op motion.Op) motion.Op {
	switch op.Kind {
	case motion.Move, motion.ArcLeft, motion.ArcRight:
		if most := t.fastest(op); op.Feed > 0 && written(op.Feed) > most {
			perMinute := math.Floor(most * 60 / 1000)
			op.Feed = max(1, unit.Speed(perMinute*1000/60))
		}
	case motion.SetAccel:
		op.Accel = min(op.Accel, t.limits.MaxAccel)
	}
	return op
}
