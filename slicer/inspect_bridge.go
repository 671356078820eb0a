package slicer

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
)

// spans finds out which places with nothing below can be bridged: straight lines in
// one direction have something to rest on at both ends.
type spans struct {
	hatcher fill.Hatcher
	lines   fill.Lines
	one     geom.Region
	strips  [][]edge // of what is below, by Y
	lo      unit.Length
	high    unit.Length // of a strip
}

// edge is a piece of an outline.
type edge struct{ a, b geom.Point }

func (s *spans) wipe() {
	s.hatcher.Wipe()
	s.lines.Wipe()
	s.one.Wipe()
	for i := range s.strips {
		clear(s.strips[i][:cap(s.strips[i])])
	}
}

// longestSpan is what a bridge may cross, 60 mm.
const longestSpan = 60 * unit.Millimetre

// spanAngles is how many directions are tried, spanLines about how many lines in
// each, and spanShare the share of them that must be carried, in percent.
const (
	spanAngles = 8
	spanLines  = 16
	spanShare  = 80
)

// below takes the outline that carries.
func (s *spans) below(r *geom.Region) {
	lo, hi := unit.Length(math.MaxInt32), unit.Length(math.MinInt32)
	for _, p := range r.Pts {
		lo, hi = min(lo, p.Y), max(hi, p.Y)
	}
	n := min(len(r.Pts)/4+1, 1<<12)
	for len(s.strips) < n {
		s.strips = append(s.strips, nil)
	}
	for i := range s.strips {
		s.strips[i] = s.strips[i][:0]
	}
	s.lo, s.high = lo, max(1, unit.Length((int64(hi)-int64(lo))/int64(n)+1))
	for i := range r.Len() {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			for k := (min(a.Y, b.Y) - lo) / s.high; k <= (max(a.Y, b.Y)-lo)/s.high; k++ {
				s.strips[k] = append(s.strips[k], edge{a, b})
			}
			a = b
		}
	}
}

// carries reports whether a place is on what is below.
func (s *spans) carries(p geom.Point) bool {
	if p.Y < s.lo || int((p.Y-s.lo)/s.high) >= len(s.strips) {
		return false
	}
	in := false
	for _, e := range s.strips[(p.Y-s.lo)/s.high] {
		if (e.a.Y <= p.Y) == (e.b.Y <= p.Y) {
			continue
		}
		side := (int64(e.b.X)-int64(e.a.X))*(int64(p.Y)-int64(e.a.Y)) - (int64(e.b.Y)-int64(e.a.Y))*(int64(p.X)-int64(e.a.X))
		if side > 0 == (e.b.Y > e.a.Y) {
			in = !in
		}
	}
	return in
}

// bridged is the area of the islands of r that can be bridged, in units², of those
// larger than least; far is how far beyond its edge something must carry a line.
func (s *spans) bridged(r *geom.Region, least float64, far unit.Length) (float64, error) {
	sum := 0.0
	for i := range r.Len() {
		if float64(geom.Area2(r.Ring(i)))/2 <= least {
			continue
		}
		s.island(r, i)
		ok, err := s.bridges(far)
		if err != nil {
			return 0, err
		}
		if ok {
			sum += float64(s.one.Area2()) / 2
		}
	}
	return sum, nil
}

// island sets one to an outer ring and the holes in it.
func (s *spans) island(r *geom.Region, i int) {
	s.one.Reset()
	outer := r.Ring(i)
	s.one.Add(outer)
	for k := range r.Len() {
		if hole := r.Ring(k); geom.Area2(hole) < 0 && surrounds(outer, hole[0]) {
			s.one.Add(hole)
		}
	}
}

// surrounds reports whether a point is inside a ring.
func surrounds(ring []geom.Point, p geom.Point) bool {
	in := false
	a := ring[len(ring)-1]
	for _, b := range ring {
		if (a.Y <= p.Y) != (b.Y <= p.Y) {
			side := (int64(b.X)-int64(a.X))*(int64(p.Y)-int64(a.Y)) - (int64(b.Y)-int64(a.Y))*(int64(p.X)-int64(a.X))
			if side > 0 == (b.Y > a.Y) {
				in = !in
			}
		}
		a = b
	}
	return in
}

// bridges reports whether there is a direction in which nearly all lines over one are
// carried at both ends.
func (s *spans) bridges(far unit.Length) (bool, error) {
	lo, hi := s.one.Pts[0], s.one.Pts[0]
	for _, p := range s.one.Pts {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	spacing := max(far, max(hi.X-lo.X, hi.Y-lo.Y)/spanLines)
	for k := range spanAngles {
		s.lines.Reset()
		p := fill.Params{Angle: fill.Angle(k) * 180 * fill.Degree / spanAngles, Spacing: spacing}
		if err := s.hatcher.Hatch(&s.lines, &s.one, p); err != nil {
			return false, err
		}
		all, good := 0.0, 0.0
		for i := range s.lines.Len() {
			a, b := s.lines.Line(i)[0], s.lines.Line(i)[1]
			d := math.Hypot(float64(b.X-a.X), float64(b.Y-a.Y))
			all += d
			if d > 0 && d <= float64(longestSpan) && s.carries(past(b, a, d, far)) && s.carries(past(a, b, d, far)) {
				good += d
			}
		}
		if all > 0 && good*100 >= all*spanShare {
			return true, nil
		}
	}
	return false, nil
}

// past is the point far beyond b seen from a, which is d away.
func past(a, b geom.Point, d float64, far unit.Length) geom.Point {
	f := float64(far) / d
	return geom.Point{
		X: b.X + unit.Length(math.Round(float64(b.X-a.X)*f)),
		Y: b.Y + unit.Length(math.Round(float64(b.Y-a.Y)*f)),
	}
}
