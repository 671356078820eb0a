package pipe

import (
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
)

// Bridge says how lines are laid over nothing, from one side to the other.
type Bridge struct {
	On     bool
	Flow   fill.Percent // of what a line on something takes
	Anchor unit.Length  // how far lines go on over what carries them
	Angle  fill.Angle   // 0 is what spans best
}

// spanner finds the direction in which lines span what has nothing below.
type spanner struct {
	hatcher fill.Hatcher
	lines   fill.Lines
	one     geom.Region // one place without anything below
	wide    geom.Region // the same with what carries its lines
	all     geom.Region // all of those
}

func (s *spanner) wipe() {
	s.hatcher.Wipe()
	s.lines.Wipe()
	s.one.Wipe()
	s.wide.Wipe()
	s.all.Wipe()
}

// carried is the least share of the lines over a place that both ends must carry for
// it to be bridged, in percent: below, it hangs over.
const carried = 60

// directions is how many directions of lines are compared.
const directions = 12

// bridges lays what spans the places with nothing below, and takes it out of the
// rest of the layer. What is not carried at both ends stays in bottom.
func (w *worker) bridges(l *Layer) error {
	f, s := &w.fill, &w.fill.span
	if f.bottom.Empty() || !w.p.Skin.Bridge.On || l.below.Empty() {
		return nil
	}
	s.all.Reset()
	for i := range f.bottom.Len() {
		if geom.Area2(f.bottom.Ring(i)) < 0 {
			continue
		}
		s.island(&f.bottom, i)
		angle, ok, err := w.direction(l)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := w.bridge(l, angle); err != nil {
			return err
		}
		s.all.Append(&s.wide)
	}
	if s.all.Empty() {
		return nil
	}
	for _, r := range []*geom.Region{&f.bottom, &f.solid, &f.top, &f.sparse} {
		if r.Empty() {
			continue
		}
		if err := w.kernel.Difference(r, r, &s.all); err != nil {
			return err
		}
	}
	return nil
}

// island sets one to the outer ring i of r and the holes in it.
func (s *spanner) island(r *geom.Region, i int) {
	s.one.Reset()
	s.one.Add(r.Ring(i))
	for k := range r.Len() {
		if hole := r.Ring(k); geom.Area2(hole) < 0 && geom.Inside(s.one.Ring(0), hole[0]) {
			s.one.Add(hole)
		}
	}
}

// direction finds the direction of lines over one in which most of them are carried
// at both ends, and among those the one whose longest is shortest; false if too few are.
func (w *worker) direction(l *Layer) (fill.Angle, bool, error) {
	s := &w.fill.span
	lo, hi := s.one.Pts[0], s.one.Pts[0]
	for _, p := range s.one.Pts {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	spacing := max(w.p.Width, unit.Length(distance(lo, hi)/48))
	if a := w.p.Skin.Bridge.Angle; a != 0 {
		share, _, err := w.carried(l, a, spacing)
		return a, share*100 >= carried, err
	}
	// From the direction of the longest side on.
	best, share, span := longestSide(s.one.Ring(0)), -1.0, 0.0
	for k := range directions {
		angle := longestSide(s.one.Ring(0)) + fill.Angle(k)*180*fill.Degree/directions
		got, long, err := w.carried(l, angle, spacing)
		if err != nil {
			return 0, false, err
		}
		// A tenth more of the lines counts for more than any length.
		if better := got - share; better > 0.1 || better > -0.05 && long < 0.99*span {
			best, share, span = angle, got, long
		}
	}
	return best, share*100 >= carried, nil
}

// longestSide is the direction of the longest edge of a ring.
func longestSide(ring []geom.Point) fill.Angle {
	a := ring[len(ring)-1]
	from, to, long := a, a, -1.0
	for _, b := range ring {
		if d := distance(a, b); d > long {
			from, to, long = a, b, d
		}
		a = b
	}
	return fill.Direction(from, to)
}

// carried measures lines over one: the share, by length, of those carried at both
// ends, and how long the longest of these is.
func (w *worker) carried(l *Layer, angle fill.Angle, spacing unit.Length) (share, longest float64, err error) {
	s := &w.fill.span
	s.lines.Reset()
	if err := s.hatcher.Hatch(&s.lines, &s.one, fill.Params{Angle: angle, Spacing: spacing, MinSpan: w.p.Width / 2}); err != nil {
		return 0, 0, err
	}
	sum, good := 0.0, 0.0
	for i := range s.lines.Len() {
		a, b := s.lines.Line(i)[0], s.lines.Line(i)[1]
		d := distance(a, b)
		sum += d
		if l.below.Holds(beyond(b, a, w.p.Width)) && l.below.Holds(beyond(a, b, w.p.Width)) {
			good += d
			longest = max(longest, d)
		}
	}
	return good / max(sum, 1), longest, nil
}

// beyond is the point that lies by far beyond b, seen from a.
func beyond(a, b geom.Point, far unit.Length) geom.Point {
	d := distance(a, b)
	return geom.Point{
		X: b.X + unit.Length(math.Round(float64(b.X-a.X)/d*float64(far))),
		Y: b.Y + unit.Length(math.Round(float64(b.Y-a.Y)/d*float64(far))),
	}
}

// bridge lays lines over one and what carries them.
func (w *worker) bridge(l *Layer, angle fill.Angle) error {
	s, b := &w.fill.span, &w.p.Skin.Bridge
	if err := w.kernel.Offset(&s.wide, &s.one, b.Anchor, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Intersect(&s.wide, &s.wide, &l.rest); err != nil {
		return err
	}
	return w.skin(l, &s.wide, laying{motion.Bridge, SkinLines, angle, b.Flow})
}
