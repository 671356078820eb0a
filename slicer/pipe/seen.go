package pipe

import (
	"cmp"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// overlap is how much wider than its gap a line between walls is where it is seen, in
// line widths⁻¹: beads have round sides, and where they only just meet there are pits.
const overlap = 10

// sights are places of a layer, of which it is asked whether they are seen.
type sights struct{ list []sight }

type sight struct {
	at      geom.Point
	n       int32 // its number
	covered bool  // by the region looked at last
	seen    bool
}

func (s *sights) wipe() { clear(s.list[:cap(s.list)]) }

func (s *sights) add(p geom.Point) {
	s.list = append(s.list, sight{at: p, n: int32(len(s.list))})
}

// sort puts the places in the order in which past finds them.
func (s *sights) sort() {
	slices.SortFunc(s.list, func(a, b sight) int { return cmp.Or(cmp.Compare(a.at.Y, b.at.Y), cmp.Compare(a.n, b.n)) })
}

// unsort puts the places in the order in which they were added.
func (s *sights) unsort() {
	slices.SortFunc(s.list, func(a, b sight) int { return cmp.Compare(a.n, b.n) })
}

// past notes which places are seen past r, a region as [geom.Kernel.Union] leaves it.
// They must be sorted.
func (s *sights) past(r *geom.Region) {
	for i := range r.Ends {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			s.edge(a, b)
			a = b
		}
	}
	for i := range s.list {
		p := &s.list[i]
		p.seen, p.covered = p.seen || !p.covered, false
	}
}

// edge goes through the places to the left of an edge.
func (s *sights) edge(a, b geom.Point) {
	lo, hi := min(a.Y, b.Y), max(a.Y, b.Y)
	from, _ := slices.BinarySearchFunc(s.list, lo, func(p sight, y unit.Length) int { return cmp.Compare(p.at.Y, y) })
	for i := from; i < len(s.list) && s.list[i].at.Y < hi; i++ {
		if p := &s.list[i]; (geom.Cross(a, b, p.at) > 0) == (b.Y > a.Y) {
			p.covered = !p.covered
		}
	}
}

// inside is a point of line i that is not at its end, if it has such.
func (s *Strokes) inside(i int) geom.Point {
	line := s.Line(i)
	return line[len(line)/2]
}

// peeks reports whether something between the walls of a layer may be seen past a layer
// of which it is known which cells are inside.
func (l *Layer) peeks(past *cells) bool {
	for i := l.bare; i < l.Gaps.Len(); i++ {
		if !past.holds(l.Gaps.inside(i)) {
			return true
		}
	}
	for i := range l.corners.Len() {
		if !past.holds(l.corners.Ring(i)[0]) {
			return true
		}
	}
	return false
}

// corners fills those small gaps between walls, as there are in sharp corners, that are
// seen from above or below, and makes lines between walls that are seen wider.
func (w *worker) corners(l *Layer) {
	e, s := &l.exposed, &w.sights
	s.list = s.list[:0]
	if !e.peekUp && !e.peekDown {
		return
	}
	for i := l.bare; i < l.Gaps.Len(); i++ {
		s.add(l.Gaps.inside(i))
	}
	strokes := len(s.list)
	for i := range l.corners.Len() {
		s.add(l.corners.Ring(i)[0])
	}
	if len(s.list) == 0 {
		return
	}
	s.sort()
	if e.peekUp {
		s.past(&e.above)
	}
	if e.peekDown {
		s.past(&l.below)
	}
	s.unsort()
	open := &w.fill.rester.big
	open.Reset()
	for i, p := range s.list {
		switch {
		case !p.seen:
		case i < strokes:
			l.Gaps.Widths[l.bare+i] += w.p.Width / overlap
		default:
			open.Add(l.corners.Ring(i - strokes))
		}
	}
	w.gaps.dabs(&l.Gaps, open, w.p.Width)
}
