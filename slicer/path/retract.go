package path

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// Retraction says when and how filament is drawn back.
type Retraction struct {
	Length  unit.Length // of filament; 0 draws none back
	Travel  unit.Length // travel above which it is
	Restart unit.Length // that much more is given back than was drawn back, for what oozed
	Apart   unit.Length // filament that is fed at least from one time to the next; 0 is none
	Wipe    unit.Length // way back along the line on which it is, 0 draws it back in place
	Hop     unit.Length // lift of the nozzle while it is drawn back
}

// leave draws the filament back and lifts the nozzle.
func (pl *Planner) leave() {
	r := &pl.p.Retraction
	if r.Length == 0 || pl.pen.fed < int64(r.Apart) {
		return
	}
	pl.draw()
	if z := min(pl.z+r.Hop, pl.p.Volume.Max.Z); z > pl.z {
		pl.rise(z)
	}
}

// giveBack goes down and gives back what was drawn back.
func (pl *Planner) giveBack() {
	if pl.pen.atZ != pl.z {
		pl.rise(pl.z)
	}
	pl.feed(pl.p.Retraction.Length+pl.p.Retraction.Restart, either(pl.p.Speeds.Restart, pl.p.Speeds.Retract))
	pl.pen.drawn, pl.pen.fed = false, 0
}

// feed moves the filament alone.
func (pl *Planner) feed(e unit.Length, v unit.Speed) {
	pl.emit(motion.Op{Kind: motion.Move, Axes: motion.E, Role: motion.Retraction, E: e, Feed: v})
}

// mostTrail is how many points of the line printed last are remembered.
const mostTrail = 32

// shortest is the shortest way along which it is worth wiping.
const shortest = unit.Millimetre / 2

// trail is the end of the line printed last: a ring of its latest points.
type trail struct {
	pts [mostTrail]geom.Point
	at  int // where the next one goes
	n   int
}

// begin forgets what was printed before a line that starts at p.
func (t *trail) begin(p geom.Point) { t.pts[0], t.at, t.n = p, 1, 1 }

func (t *trail) add(p geom.Point) {
	t.pts[t.at] = p
	t.at = (t.at + 1) % mostTrail
	t.n = min(t.n+1, mostTrail)
}

// back is the i-th point from the end; 0 is where the line ends.
func (t *trail) back(i int) geom.Point { return t.pts[(t.at-1-i+2*mostTrail)%mostTrail] }

// draw draws the filament back: on the way back along the line printed last, so that
// what oozes meanwhile ends up on it, or in place where there is no such line.
func (pl *Planner) draw() {
	pl.pen.drawn = true
	long := 0.0
	for i := 1; i < pl.pen.trail.n && long < float64(pl.p.Retraction.Wipe); i++ {
		long += math.Sqrt(float64(distance2(pl.pen.trail.back(i-1), pl.pen.trail.back(i))))
	}
	long = min(long, float64(pl.p.Retraction.Wipe))
	if long < float64(shortest) {
		pl.feed(-pl.p.Retraction.Length, pl.p.Speeds.Retract)
		return
	}
	// As fast as travel, or as the filament can follow.
	speed := min(pl.p.Speeds.Travel, unit.Speed(float64(pl.p.Speeds.Retract)*(long/float64(pl.p.Retraction.Length))))
	gone, drawn := 0.0, unit.Length(0)
	for i := 1; i < pl.pen.trail.n && gone < long; i++ {
		to := pl.pen.trail.back(i)
		step := math.Sqrt(float64(distance2(pl.pen.at, to)))
		if part := (long - gone) / step; part < 1 {
			to = geom.Point{X: between(pl.pen.at.X, to.X, part), Y: between(pl.pen.at.Y, to.Y, part)}
			gone = long
		} else {
			gone += step
		}
		e := unit.Length(math.Round(float64(pl.p.Retraction.Length) * min(gone/long, 1)))
		if i == pl.pen.trail.n-1 {
			e = pl.p.Retraction.Length
		}
		pl.emit(motion.Op{
			Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, Role: motion.Retraction,
			To: [3]unit.Length{to.X, to.Y}, E: drawn - e, Feed: max(speed, 1),
		})
		drawn, pl.pen.at = e, to
	}
}

// between is the given part of the way from a to b.
func between(a, b unit.Length, part float64) unit.Length {
	return a + unit.Length(math.Round(float64(float64(b-a)*part)))
}
