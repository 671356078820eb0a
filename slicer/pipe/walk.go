package pipe

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// walker goes along a ring, in either direction.
type walker struct {
	ring []geom.Point
	at   int
	left int // corners until its end
	step int // to the next corner
	long float64
	done float64 // of long, at the corner at
}

func (w *walker) next() int { return (w.at + w.step) % len(w.ring) }

// measure sets the length of the way.
func (w *walker) measure() {
	for c := *w; c.left > 0; c.left-- {
		w.long += distance(c.ring[c.at], c.ring[c.next()])
		c.at = c.next()
	}
}

// to goes to the share f of the way and returns the point there.
func (w *walker) to(f float64) geom.Point {
	target := f * w.long
	for w.left > 0 {
		p, q := w.ring[w.at], w.ring[w.next()]
		d := distance(p, q)
		if w.done+d >= target {
			if d == 0 {
				return p
			}
			t := (target - w.done) / d
			return geom.Point{
				X: p.X + unit.Length(math.Round(t*float64(q.X-p.X))),
				Y: p.Y + unit.Length(math.Round(t*float64(q.Y-p.Y))),
			}
		}
		w.done += d
		w.at = w.next()
		w.left--
	}
	return w.ring[w.at]
}

// farthest is the point of ring farthest from point i.
func farthest(ring []geom.Point, i int) int {
	best, at := -1.0, i
	for k, p := range ring {
		if d := distance(ring[i], p); d > best {
			best, at = d, k
		}
	}
	return at
}

// straighten leaves out points within simplify of the line from the last one kept
// to the one after.
func straighten(line []geom.Point) []geom.Point {
	kept := 1
	for i := 1; i+1 < len(line); i++ {
		a, b := line[kept-1], line[i+1]
		if d := distance(a, b); d > 0 && math.Abs(float64(geom.Cross(a, b, line[i])))/d <= float64(simplify) {
			continue
		}
		line[kept] = line[i]
		kept++
	}
	if len(line) > 1 {
		line[kept] = line[len(line)-1]
		kept++
	}
	return line[:kept]
}

// length is that of an open line.
func length(line []geom.Point) float64 {
	sum := 0.0
	for i := 1; i < len(line); i++ {
		sum += distance(line[i-1], line[i])
	}
	return sum
}

// distance rounds each product by itself, the same on every machine.
func distance(a, b geom.Point) float64 {
	dx, dy := float64(a.X-b.X), float64(a.Y-b.Y)
	return math.Sqrt(float64(dx*dx) + float64(dy*dy))
}

// inside reports whether p lies inside ring.
func inside(ring []geom.Point, p geom.Point) bool {
	in := false
	a := ring[len(ring)-1]
	for _, b := range ring {
		if (a.Y > p.Y) != (b.Y > p.Y) && (geom.Cross(a, b, p) > 0) == (b.Y > a.Y) {
			in = !in
		}
		a = b
	}
	return in
}
