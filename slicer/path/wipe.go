package path

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

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
	pl.drawn = true
	long := 0.0
	for i := 1; i < pl.trail.n && long < float64(pl.p.Wipe); i++ {
		long += math.Sqrt(float64(distance2(pl.trail.back(i-1), pl.trail.back(i))))
	}
	long = min(long, float64(pl.p.Wipe))
	if long < float64(shortest) {
		pl.feed(-pl.p.Retract)
		return
	}
	// As fast as travel, or as the filament can follow.
	speed := min(pl.p.Speeds.Travel, unit.Speed(float64(pl.p.Speeds.Retract)*(long/float64(pl.p.Retract))))
	gone, drawn := 0.0, unit.Length(0)
	for i := 1; i < pl.trail.n && gone < long; i++ {
		to := pl.trail.back(i)
		step := math.Sqrt(float64(distance2(pl.at, to)))
		if part := (long - gone) / step; part < 1 {
			to = geom.Point{X: between(pl.at.X, to.X, part), Y: between(pl.at.Y, to.Y, part)}
			gone = long
		} else {
			gone += step
		}
		e := unit.Length(math.Round(float64(pl.p.Retract) * min(gone/long, 1)))
		if i == pl.trail.n-1 {
			e = pl.p.Retract
		}
		pl.emit(motion.Op{
			Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, Role: motion.Retraction,
			To: [3]unit.Length{to.X, to.Y}, E: drawn - e, Feed: max(speed, 1),
		})
		drawn, pl.at = e, to
	}
}

// between is the given part of the way from a to b.
func between(a, b unit.Length, part float64) unit.Length {
	return a + unit.Length(math.Round(float64(float64(b-a)*part)))
}
