package path

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// slowest is the speed below which no line is slowed if nothing else is asked for: a
// nozzle that hardly moves melts more than it lets cool.
const slowest = 10 * unit.MillimetrePerSecond

// bins are speeds in steps of 1 mm/s; the last is for all above.
const bins = 512

// pace is how long a layer takes and how much slower it is printed for that. Times
// are in seconds, at the speeds asked for, without acceleration.
type pace struct {
	least   unit.Speed     // no line is slowed below it
	fixed   float64        // of all that is not slowed
	counted float64        // of everything
	lines   [2][bins]share // by speed; outer walls apart
	some    []limit        // scratch of stretch
	factor  [2]float64     // lines take as many times as long; 0 is 1
}

// share is what a layer has of lines of about one speed.
type share struct {
	time float64 // s
	way  float64 // mm
}

// limit is how long some lines take, and how long they may take, in seconds.
type limit struct{ time, most float64 }

// outer is which of the two a role is: 1 if it is seen, and slowed last.
func outer(r motion.Role) int {
	switch r {
	case motion.OuterWall, motion.OverhangWall, motion.Vase, motion.Bridge:
		return 1
	}
	return 0
}

// measure goes through a layer without printing it, and sets the pace. It ends as
// soon as the layer is known to take long enough for anything that depends on it.
func (pl *Planner) measure(l *pipe.Layer) {
	least := pl.p.MinLayerTime.Seconds()
	enough := least
	if pl.fanCurve() {
		enough = max(enough, pl.p.Fans.FullTime.Seconds())
	}
	pl.pace.begin(either(pl.p.Speeds.Least, slowest))
	if enough <= 0 || !pl.ok {
		return
	}
	kept, away := pl.pen, pl.away
	pl.away, pl.enough = geom.Point{}, enough
	pl.lines(l)
	pl.pen, pl.away, pl.enough, pl.ok = kept, away, 0, true
	pl.pace.slow(least)
}

func (p *pace) begin(least unit.Speed) {
	p.least, p.fixed, p.factor = least, 0, [2]float64{}
	if p.counted > 0 {
		p.lines = [2][bins]share{}
	}
	p.counted = 0
}

// count adds an operation, before the nozzle is where it leads to.
func (pl *Planner) count(op motion.Op) {
	var long float64
	switch {
	case op.Kind != motion.Move:
		return
	case op.Has(motion.X | motion.Y):
		to := pl.pen.at
		to.X, to.Y = op.To[motion.IX], op.To[motion.IY]
		long = math.Sqrt(float64(distance2(pl.pen.at, to)))
	case op.Has(motion.Z):
		long = math.Abs(float64(op.To[motion.IZ] - pl.pen.atZ))
	default:
		long = math.Abs(float64(op.E))
	}
	mm, v := long/float64(unit.Millimetre), op.Feed.MMPerSecond()
	time := mm / v
	pl.pace.counted += time
	if op.Has(motion.X|motion.E) && op.E >= 0 && op.Feed > pl.pace.least {
		s := &pl.pace.lines[outer(op.Role)][min(int(v), bins-1)]
		s.time += time
		s.way += mm
	} else {
		pl.pace.fixed += time
	}
}

// slow sets the factors with which the layer takes the given time: outer walls keep
// their speed if all else can make up for it. Lines that would become slower than
// allowed do not, and the others make up for that; if all are as slow as they may be
// the layer takes what it takes.
func (p *pace) slow(least float64) {
	if p.counted >= least {
		return
	}
	rest := p.fixed
	for i := range p.lines[1] {
		rest += p.lines[1][i].time
	}
	if p.stretch(0, least-rest) {
		return
	}
	rest = p.fixed
	for i := range p.lines[0] {
		rest += p.lines[0][i].way / p.least.MMPerSecond()
	}
	p.stretch(1, least-rest)
}

// stretch sets the factor of one kind of lines so that they take a time together,
// and reports whether they can.
func (p *pace) stretch(kind int, time float64) bool {
	most := 0.0
	p.some = p.some[:0] // few speeds occur
	for _, s := range p.lines[kind][:] {
		if l := (limit{s.time, s.way / p.least.MMPerSecond()}); l.time > 0 {
			p.some = append(p.some, l)
			most += l.most
		}
	}
	if most < time {
		p.factor[kind] = math.Inf(1)
		return false
	}
	slow, fast := 1.0, 1.0*bins*8
	for range 52 {
		f, sum := (slow+fast)/2, 0.0
		for _, l := range p.some {
			sum += min(float64(l.time*f), l.most)
		}
		if sum < time {
			slow = f
		} else {
			fast = f
		}
	}
	p.factor[kind] = slow
	return true
}

// slowed is a speed at this pace.
func (p *pace) slowed(v unit.Speed, kind int) unit.Speed {
	if p.factor[kind] <= 1 || v <= p.least {
		return v
	}
	return max(unit.Speed(float64(v)/p.factor[kind]), p.least)
}

// took is how long the layer takes at this pace; more than what it was measured to
// the end for is just more.
func (p *pace) took() float64 {
	sum := p.fixed
	for k := range p.lines {
		f := max(1, p.factor[k])
		for i := range p.lines[k] {
			s := &p.lines[k][i]
			sum += min(float64(s.time*min(f, bins*8)), max(s.time, s.way/p.least.MMPerSecond()))
		}
	}
	return sum
}

// fanCurve reports whether the fan depends on how long a layer takes.
func (pl *Planner) fanCurve() bool { return pl.p.Fans.FullTime > 0 && pl.p.Fans.Least < pl.p.Fan }

// layerFan is the common power of the fan for a layer that has been measured.
func (pl *Planner) layerFan(index int) unit.Duty {
	most, few := pl.p.Fan, pl.p.Fans.Least
	if index < pl.p.FanLayer {
		return 0
	}
	if !pl.fanCurve() {
		return most
	}
	short, long := pl.p.MinLayerTime.Seconds(), pl.p.Fans.FullTime.Seconds()
	took := pl.pace.took()
	switch {
	case took >= long:
		return few
	case took <= short || long <= short:
		return most
	}
	return most - unit.Duty(math.Round(float64(float64(most-few)*(took-short))/(long-short)))
}

func (pl *Planner) setFan(d unit.Duty) {
	pl.pen.fan = d
	pl.emit(motion.Op{Kind: motion.SetFan, Fan: d})
}
