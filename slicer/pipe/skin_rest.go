package pipe

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// rester fills what straight lines of a skin leave open: points that lie between two
// of them, and strips along edges that run beside the last one.
type rester struct {
	strips geom.Region // what the lines cover
	left   geom.Region
	big    geom.Region // of it what is worth a line
	lines  Strokes
}

func (r *rester) wipe() {
	for _, g := range []*geom.Region{&r.strips, &r.left, &r.big} {
		g.Wipe()
	}
	r.lines.Wipe()
}

// Places smaller than a smallest-th of the square of a line's width stay open, and so
// do those narrower than a slimmest-th of a width.
const (
	smallest = 8
	slimmest = 8
)

// rest finds what the lines from number first on, which are as wide as that, leave
// open of r, and what fills it. It returns the area of that.
func (w *worker) rest(l *Layer, r *geom.Region, first int, wide unit.Length) (area int64, err error) {
	o, width := &w.fill.rester, w.p.Width
	o.lines.Reset()
	o.strips.Reset()
	for i := first; i < l.Runs.Lines.Len(); i++ {
		o.cover(l.Runs.Line(i), wide)
	}
	if err := w.kernel.Difference(&o.left, r, &o.strips); err != nil {
		return 0, err
	}
	least := int64(width) * int64(width) / smallest
	if o.pick(least); o.big.Empty() {
		return 0, nil
	}
	if err := open(&w.kernel, &o.left, &o.big, width/slimmest); err != nil {
		return 0, err
	}
	o.pick(least)
	w.gaps.dabs(&o.lines, &o.big, width)
	return o.big.Area2() / 2, nil
}

// pick sets big to what of left is large enough, without its holes.
func (r *rester) pick(least int64) {
	r.big.Reset()
	for i := range r.left.Len() {
		if ring := r.left.Ring(i); geom.Area2(ring)/2 >= least {
			r.big.Add(ring)
		}
	}
}

// cover adds what a line covers: its ends reach half as far as they are wide, less what
// is round about them.
func (r *rester) cover(line []geom.Point, wide unit.Length) {
	a, b := line[0], line[len(line)-1]
	long := distance(a, b)
	if long == 0 {
		return
	}
	half := float64(wide/2 + 2) // a little more, so that neighbours meet
	ux, uy := float64(b.X-a.X)/long*half, float64(b.Y-a.Y)/long*half
	at := func(p geom.Point, along, aside float64) geom.Point {
		return geom.Point{
			X: p.X + unit.Length(math.Round(float64(ux*along)-float64(uy*aside))),
			Y: p.Y + unit.Length(math.Round(float64(uy*along)+float64(ux*aside))),
		}
	}
	r.strips.Add([]geom.Point{
		at(a, 0, -1), at(b, 0, -1), at(b, 0.7, -0.7), at(b, 0.7, 0.7), at(b, 0, 1), at(a, 0, 1), at(a, -0.7, 0.7), at(a, -0.7, -0.7),
	})
}

// give adds the lines found last to a layer.
func (r *rester) give(l *Layer, role motion.Role) {
	for i := range r.lines.Len() {
		line := r.lines.Line(i)
		joined := i > 0 && line[0] == r.lines.Pts[r.lines.Ends[i-1]-1]
		l.Runs.Add(line, Head{Width: r.lines.Widths[i], Role: role, Follow: joined})
	}
}

// keepCorners adds to a layer's corners what of a gap between walls is too small to be
// filled where nobody sees it.
func (l *Layer) keepCorners(gap *geom.Region) {
	square := int64(l.Width) * int64(l.Width)
	for i := range gap.Len() {
		if ring := gap.Ring(i); geom.Area2(ring) < square && geom.Area2(ring) >= 2*square/smallest {
			l.corners.Add(ring)
		}
	}
}

// dabs appends to dst a line for each of the parts of a region without holes that is
// not too crooked for one, however small.
func (g *gapFiller) dabs(dst *Strokes, parts *geom.Region, width unit.Length) {
	g.width, g.bare = width, false
	for i := range parts.Len() {
		ring := parts.Ring(i)
		if area := float64(geom.Area2(ring)) / 2; !g.dash(dst, ring, area) {
			g.plain(dst, ring, area)
		}
	}
}
