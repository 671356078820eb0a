// Package arc turns rows of short straight moves into arcs, for machines that take
// them: a program of curved parts becomes a few times smaller, and smoother.
//
// A [Fitter] stands between whoever makes operations and whoever takes them. It holds
// back the moves that print one line at one speed, at most 64 of them, and hands on
// an arc where the points of at least four lie on a circle, and every point of their
// way within a tolerance of it. All else passes unchanged and in order. Whatever an
// arc stands for, it feeds the same filament and ends at the same place.
//
// Operations are the same on every machine: centres come from products that are
// rounded one by one.
package arc

import (
	"log/slog"
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
)

const (
	// most is how many moves an arc stands for at most.
	most = 64
	// fewest is how many it stands for at least.
	fewest = 4
	// widest is the largest radius: a curve that is flatter is a line.
	widest = 500 * unit.Millimetre
	// narrowest is the least, below which controllers see no circle.
	narrowest = unit.Millimetre / 5
	// steepest is how much one move of an arc turns at most, as the sine of half of it:
	// a polygon of 12 corners is one.
	steepest = 0.2
)

// Fitter fits arcs. It is design data. The zero value is not ready; use New.
type Fitter struct {
	yield     func(motion.Op) bool
	tolerance float64
	at        [3]unit.Length // before the first of ops
	known     motion.Axes
	ops       []motion.Op
	fit       circle // of all of ops, if n > 0
	n         int    // how many of ops it fits
	ok        bool
}

// circle is what an arc is part of, in units.
type circle struct {
	x, y, r float64
	left    bool
}

// String says nothing of the program.
func (f *Fitter) String() string { return "arc fitter" }

// GoString says nothing of the program.
func (f *Fitter) GoString() string { return "arc fitter" }

// LogValue says nothing of the program.
func (f *Fitter) LogValue() slog.Value { return slog.StringValue("arc fitter") }

// New makes a fitter that hands on to yield. An arc is nowhere farther than tolerance
// from the moves that it stands for.
func New(tolerance unit.Length, yield func(motion.Op) bool) *Fitter {
	return &Fitter{yield: yield, tolerance: float64(tolerance), ok: true}
}

// Wipe overwrites what the fitter holds.
func (f *Fitter) Wipe() {
	clear(f.ops[:cap(f.ops)])
	*f = Fitter{}
}

// Add takes the next operation and reports whether more is wanted.
func (f *Fitter) Add(op motion.Op) bool {
	if !f.curved(op) {
		f.Flush()
		f.pass(op)
		return f.ok
	}
	if len(f.ops) > 0 && !alike(f.ops[0], op) || len(f.ops) == most {
		f.Flush()
	}
	f.ops = append(f.ops, op)
	for len(f.ops) >= fewest && f.ok {
		if f.extend() {
			break
		}
		f.release()
	}
	return f.ok
}

// Flush hands on what is held back.
func (f *Fitter) Flush() bool {
	for len(f.ops) > 0 && f.ok {
		f.release()
	}
	f.ops, f.n = f.ops[:0], 0
	return f.ok
}

// curved reports whether a move can be a part of an arc.
func (f *Fitter) curved(op motion.Op) bool {
	return op.Kind == motion.Move && op.Axes == motion.X|motion.Y|motion.E && op.E > 0 && f.known == motion.X|motion.Y
}

// alike reports whether two moves can be parts of one arc: they print the same line.
func alike(a, b motion.Op) bool {
	return a.Feed == b.Feed && a.Width == b.Width && a.Height == b.Height && a.Role == b.Role && a.Object == b.Object && a.Tool == b.Tool && a.Layer == b.Layer
}

// pass hands on one operation as it is.
func (f *Fitter) pass(op motion.Op) {
	if !f.ok {
		return
	}
	switch op.Kind {
	case motion.Move, motion.ArcLeft, motion.ArcRight:
		for i, a := range [...]motion.Axes{motion.X, motion.Y} {
			if op.Has(a) {
				f.at[i], f.known = op.To[i], f.known|a
			}
		}
	case motion.Home, motion.Level, motion.MotorsOff:
		f.known = 0
	}
	f.ok = f.yield(op)
}

// release hands on the arc that fits all but the latest move, or the first move.
func (f *Fitter) release() {
	n := 1
	if f.n >= fewest {
		n = f.n
		op := f.ops[n-1]
		for _, o := range f.ops[:n-1] {
			op.E += o.E
		}
		op.Kind = motion.ArcRight
		if f.fit.left {
			op.Kind = motion.ArcLeft
		}
		op.Centre = [2]unit.Length{unit.Length(math.Round(f.fit.x)), unit.Length(math.Round(f.fit.y))}
		f.pass(op)
	} else {
		f.pass(f.ops[0])
	}
	f.ops = f.ops[:copy(f.ops, f.ops[n:])]
	f.n = 0
}

// extend finds the circle of all moves that are held back, and reports whether there
// is one.
func (f *Fitter) extend() bool {
	n := len(f.ops)
	c, ok := f.through(f.point(0), f.point((n+1)/2), f.point(n))
	if !ok {
		return false
	}
	turned := 0.0
	for i := range n {
		sin, ok := f.holds(&c, f.point(i), f.point(i+1))
		if !ok {
			return false
		}
		turned += 2 * sin // the angle is more by 0.7 % at most
	}
	if turned > 1.8*math.Pi { // nearly a full turn would be nearly none
		return false
	}
	f.fit, f.n = c, n
	return true
}

// point is where the moves held back lead to: number 0 is where they begin.
func (f *Fitter) point(i int) [3]unit.Length {
	if i == 0 {
		return f.at
	}
	return f.ops[i-1].To
}

// through is the circle through three points.
func (f *Fitter) through(a, b, c [3]unit.Length) (o circle, ok bool) {
	// From a, so that nothing cancels.
	bx, by := float64(b[0])-float64(a[0]), float64(b[1])-float64(a[1])
	cx, cy := float64(c[0])-float64(a[0]), float64(c[1])-float64(a[1])
	d := 2 * (float64(bx*cy) - float64(by*cx))
	if d == 0 {
		return o, false
	}
	b2, c2 := float64(bx*bx)+float64(by*by), float64(cx*cx)+float64(cy*cy)
	ux := (float64(cy*b2) - float64(by*c2)) / d
	uy := (float64(bx*c2) - float64(cx*b2)) / d
	// Both ends lie on the circle that has this centre, to the unit.
	o = circle{x: math.Round(float64(a[0]) + ux), y: math.Round(float64(a[1]) + uy), left: d > 0}
	o.r = math.Sqrt(square(float64(a[0])-o.x) + square(float64(a[1])-o.y))
	return o, o.r >= float64(narrowest) && o.r <= float64(widest) && math.Abs(o.x) <= float64(unit.MaxCoordinate)*2 && math.Abs(o.y) <= float64(unit.MaxCoordinate)*2
}

// holds reports whether the way from p to q is on the circle, and goes around it the
// right way; sin is that of half of what it turns.
func (f *Fitter) holds(c *circle, p, q [3]unit.Length) (sin float64, ok bool) {
	px, py := float64(p[0])-c.x, float64(p[1])-c.y
	qx, qy := float64(q[0])-c.x, float64(q[1])-c.y
	turn := float64(px*qy) - float64(py*qx)
	if turn > 0 != c.left || turn == 0 {
		return 0, false
	}
	rp, rq := math.Sqrt(square(px)+square(py)), math.Sqrt(square(qx)+square(qy))
	half := math.Sqrt(square(qx-px)+square(qy-py)) / 2
	sin = half / c.r
	if sin > steepest || math.Abs(rp-c.r) > f.tolerance || math.Abs(rq-c.r) > f.tolerance {
		return 0, false
	}
	// No point of the way is nearer to the centre than the line that it is a part of.
	return sin, c.r-math.Abs(turn)/(2*half) <= f.tolerance
}

func square(v float64) float64 { return float64(v * v) }
