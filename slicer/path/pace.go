package path

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/pipe"
)

// slowest is the speed below which no line is slowed: a nozzle that hardly moves
// melts more than it lets cool.
const slowest = 10 * unit.MillimetrePerSecond

// pace is how long a layer takes and how much slower it is printed for that. Times
// are in seconds, at the speeds asked for, without acceleration.
type pace struct {
	fixed   float64                     // of all that is not slowed
	lines   [motion.Retraction + 1]line // by role
	factor  float64                     // lines take as many times as long; 0 is 1
	counted float64                     // fixed and all lines
}

// line is what a layer has of one role.
type line struct {
	time  float64
	speed unit.Speed
}

// measure goes through a layer without printing it, and sets the pace. It ends as
// soon as the layer is known to take long enough.
func (pl *Planner) measure(l *pipe.Layer) {
	least := pl.p.MinLayerTime.Seconds()
	pl.pace = pace{}
	if least <= 0 || !pl.ok {
		return
	}
	kept := *pl
	pl.yield = func(op motion.Op) bool {
		pl.count(op)
		return pl.pace.counted < least
	}
	pl.lines(l)
	pl.at, pl.atZ, pl.rest, pl.drawn, pl.trail = kept.at, kept.atZ, kept.rest, kept.drawn, kept.trail
	pl.yield, pl.ok = kept.yield, true
	pl.pace.slow(least)
}

// count adds an operation, before the nozzle is where it leads to.
func (pl *Planner) count(op motion.Op) {
	var long float64
	switch {
	case op.Kind != motion.Move:
		return
	case op.Has(motion.X | motion.Y):
		to := pl.at
		to.X, to.Y = op.To[motion.IX], op.To[motion.IY]
		long = math.Sqrt(float64(distance2(pl.at, to)))
	case op.Has(motion.Z):
		long = math.Abs(float64(op.To[motion.IZ] - pl.atZ))
	default:
		long = math.Abs(float64(op.E))
	}
	time := long / float64(unit.Millimetre) / op.Feed.MMPerSecond()
	pl.pace.counted += time
	if op.Has(motion.X|motion.E) && op.E >= 0 && op.Feed > slowest {
		pl.pace.lines[op.Role].time += time
		pl.pace.lines[op.Role].speed = op.Feed
	} else {
		pl.pace.fixed += time
	}
}

// slow sets the factor with which the layer takes the given time. Lines that would
// become slower than slowest keep that, and the others make up for it; if all are
// at it the layer takes what it takes.
func (p *pace) slow(least float64) {
	if p.counted >= least {
		return
	}
	fixed := p.fixed
	lines := p.lines
	for range len(lines) + 1 {
		sum := 0.0
		for _, l := range lines {
			sum += l.time
		}
		if sum == 0 {
			break
		}
		p.factor = (least - fixed) / sum
		held := false
		for i, l := range lines {
			if l.time > 0 && l.speed.MMPerSecond() < p.factor*slowest.MMPerSecond() {
				fixed += float64(l.time * (l.speed.MMPerSecond() / slowest.MMPerSecond()))
				lines[i] = line{}
				held = true
			}
		}
		if !held {
			return
		}
	}
	p.factor = math.Inf(1)
}

// slowed is a speed at this pace.
func (p *pace) slowed(v unit.Speed) unit.Speed {
	if p.factor <= 1 || v <= slowest {
		return v
	}
	return max(unit.Speed(float64(v)/p.factor), slowest)
}
