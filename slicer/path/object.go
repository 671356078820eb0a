package path

import (
	"sync/atomic"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
)

// MostObjects bounds the objects that can be told apart, and left out, in one job.
const MostObjects = 1024

// Skips are the objects of a job that are not printed any more. The zero value
// leaves out none; it may be used while the job is printed.
type Skips struct {
	bits [MostObjects / 64]atomic.Uint64
}

// Add leaves out object n, from 1, from the next layer on that is planned, and
// reports whether there can be such an object.
func (s *Skips) Add(n int) bool {
	if n < 1 || n > MostObjects {
		return false
	}
	s.bits[(n-1)/64].Or(1 << ((n - 1) % 64))
	return true
}

// skipped is what was left out when a layer began.
type skipped [MostObjects / 64]uint64

func (s *skipped) load(from *Skips) {
	if from == nil {
		return
	}
	for i := range s {
		s[i] = from.bits[i].Load()
	}
}

func (s *skipped) has(n uint16) bool { return n > 0 && s[(n-1)/64]&(1<<((n-1)%64)) != 0 }

// objectOf is the object, from 1, whose box is around p; of several the smallest. If
// there is none it is the nearest: brims and support reach beyond the boxes.
func objectOf(p geom.Point, objects []mesh.Box) uint16 {
	best, area, nearest := uint16(0), int64(0), int64(0)
	for i, b := range objects[:min(len(objects), MostObjects)] {
		dx := max(0, int64(b.Min.X)-int64(p.X), int64(p.X)-int64(b.Max.X))
		dy := max(0, int64(b.Min.Y)-int64(p.Y), int64(p.Y)-int64(b.Max.Y))
		away := dx*dx + dy*dy
		a := (int64(b.Max.X) - int64(b.Min.X)) * (int64(b.Max.Y) - int64(b.Min.Y))
		if best == 0 || away < nearest || away == nearest && a < area {
			best, area, nearest = uint16(i)+1, a, away
		}
	}
	return best
}

// rising is how far above what is printed the nozzle goes to the next object.
const rising = 5 * unit.Millimetre

// Next begins a new object, whose layers begin at the bed again, while those of the
// ones before it stay: the nozzle draws back and goes up above all of them. It
// consists of parts objects, numbered from first, and is printed away from where its
// layers say by the given distances.
func (pl *Planner) Next(first, parts int, away geom.Point) bool {
	if pl.pen.high {
		if !pl.pen.drawn && pl.p.Retraction.Length > 0 {
			pl.feed(-pl.p.Retraction.Length, pl.p.Speeds.Retract)
			pl.pen.drawn = true
		}
		pl.tallest = max(pl.tallest, pl.z)
		pl.rise(min(pl.tallest+rising, pl.p.Volume.Max.Z))
		pl.base = pl.layer + 1
		pl.again = true
		// The nozzle stays where it is, which is elsewhere seen from the new object.
		pl.pen.at = geom.Point{X: pl.pen.at.X + pl.away.X - away.X, Y: pl.pen.at.Y + pl.away.Y - away.Y}
		pl.pen.trail.n = 0
		pl.seams, pl.newSeams = pl.seams[:0], pl.newSeams[:0]
	}
	pl.away, pl.only, pl.parts = away, uint16(first), parts
	return pl.ok
}

// moved is op where the present object is.
func (pl *Planner) moved(op motion.Op) motion.Op {
	if op.Has(motion.X) {
		op.To[motion.IX] += pl.away.X
		op.Centre[motion.IX] += pl.away.X
	}
	if op.Has(motion.Y) {
		op.To[motion.IY] += pl.away.Y
		op.Centre[motion.IY] += pl.away.Y
	}
	return op
}
