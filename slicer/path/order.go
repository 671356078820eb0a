package path

import (
	"cmp"
	"slices"

	"platen/hal/motion"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

type kind uint8

const (
	kindWall kind = iota
	kindGap
	kindSkin
	kindInfill
	kindRun
)

// item is a ring or line of a layer.
type item struct {
	island   int32 // the contour that it lies in
	phase    int32 // items of one island are printed phase by phase
	index    int32
	wall     int32
	kind     kind
	reversed bool
	oneWay   bool       // it cannot be
	from, to geom.Point // its ends; the same for a ring
}

// reach is how many items are compared in the search for the nearest: it bounds
// the work on a layer with very many lines, which come in a good order anyway.
const reach = 512

// sorter puts the items of a layer in order.
type sorter struct {
	islands []island
	index   index
	items   []item // sorted by island and phase
	todo    []item // of the present island
	picked  item
}

// island is an outer contour.
type island struct {
	ring   []geom.Point
	lo, hi geom.Point
	area   int64
	start  int32 // of its items
	end    int32
	done   bool
}

func (s *sorter) wipe() {
	clear(s.islands[:cap(s.islands)])
	clear(s.items[:cap(s.items)])
	s.index.wipe()
	s.todo = nil
}

// Phases of an island after its walls.
const (
	phaseThin = iota
	phaseSolid
	phaseSparse
	phaseIroning
)

// phaseOf is when lines of a role are printed, after n walls.
func phaseOf(r motion.Role, n int) int32 {
	switch r {
	case motion.Skirt, motion.Prime:
		return -2
	case motion.Brim, motion.Raft:
		return -1
	case motion.OuterWall, motion.InnerWall, motion.OverhangWall, motion.ThinWall, motion.Vase:
		return int32(n) + phaseThin
	case motion.Infill, motion.Support:
		return int32(n) + phaseSparse
	case motion.Ironing:
		return int32(n) + phaseIroning
	}
	return int32(n) + phaseSolid
}

// load takes the items of a layer.
func (s *sorter) load(l *pipe.Layer, outerFirst bool) {
	s.islands, s.items, s.todo = s.islands[:0], s.items[:0], nil
	s.contours(&l.Outline)
	s.contours(&l.Support)
	// The smallest first, so that the first contour around a point is its island.
	slices.SortStableFunc(s.islands, func(a, b island) int { return cmp.Compare(a.area, b.area) })
	n := l.Walls.Len()
	for w := range n {
		phase := n - 1 - w
		if outerFirst {
			phase = w
		}
		r := l.Walls.Wall(w)
		for i := range r.Len() {
			p := r.Ring(i)[0]
			s.items = append(s.items, item{phase: int32(phase), index: int32(i), wall: int32(w), kind: kindWall, from: p, to: p})
		}
	}
	s.lines(l.Gaps.Len(), l.Gaps.Line, kindGap, n+phaseThin)
	s.lines(l.Skin.Len(), l.Skin.Line, kindSkin, n+phaseSolid)
	s.lines(l.Infill.Len(), l.Infill.Line, kindInfill, n+phaseSparse)
	s.runs(&l.Runs, n)
	s.group()
}

// contours makes an island of each outer contour of r.
func (s *sorter) contours(r *geom.Region) {
	for i := range r.Len() {
		if ring := r.Ring(i); geom.Area2(ring) > 0 {
			is := island{ring: ring, lo: ring[0], hi: ring[0], area: geom.Area2(ring)}
			for _, p := range ring {
				is.lo = geom.Point{X: min(is.lo.X, p.X), Y: min(is.lo.Y, p.Y)}
				is.hi = geom.Point{X: max(is.hi.X, p.X), Y: max(is.hi.Y, p.Y)}
			}
			s.islands = append(s.islands, is)
		}
	}
}

// runs makes an item of each line, or of each row of lines that follow each other.
func (s *sorter) runs(r *pipe.Runs, walls int) {
	for i := 0; i < r.Len(); {
		it := item{phase: phaseOf(r.Heads[i].Role, walls), index: int32(i), kind: kindRun}
		it.from = r.Line(i)[0]
		last := i
		for i++; i < r.Len() && r.Heads[i].Follow; i++ {
			last = i
		}
		end := r.Line(last)
		it.to, it.oneWay = end[len(end)-1], last > int(it.index)
		s.items = append(s.items, it)
	}
}

func (s *sorter) lines(n int, line func(int) []geom.Point, k kind, phase int) {
	for i := range n {
		pts := line(i)
		s.items = append(s.items, item{phase: int32(phase), index: int32(i), kind: k, from: pts[0], to: pts[len(pts)-1]})
	}
}

// group sorts the items by island and phase.
func (s *sorter) group() {
	if len(s.islands) > 0 {
		s.index.build(s.islands)
	}
	for i := range s.items {
		s.items[i].island = -1
		if s.items[i].phase >= 0 && len(s.islands) > 0 {
			s.items[i].island = s.islandOf(s.items[i].from)
		}
	}
	slices.SortStableFunc(s.items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.island, b.island), cmp.Compare(a.phase, b.phase))
	})
	s.todo = s.items
	for i, it := range s.items {
		if it.island < 0 {
			continue
		}
		if i == 0 || s.items[i-1].island < 0 {
			s.todo = s.items[:i]
		}
		is := &s.islands[it.island]
		if is.end == 0 {
			is.start = int32(i)
		}
		is.end = int32(i) + 1
	}
}

// islandOf is the smallest contour around p. A point that rounding has put outside
// of all goes to the contour whose box is nearest.
func (s *sorter) islandOf(p geom.Point) int32 {
	for _, i := range s.index.at(s.index.strip(p)) {
		if is := &s.islands[i]; is.boxDistance2(p) == 0 && contains(is.ring, p) {
			return i
		}
	}
	best, at := int64(-1), 0
	for i := range s.islands {
		if d := s.islands[i].boxDistance2(p); best < 0 || d < best {
			best, at = d, i
		}
	}
	return int32(at)
}

func (is *island) boxDistance2(p geom.Point) int64 {
	dx := int64(max(is.lo.X-p.X, p.X-is.hi.X, 0))
	dy := int64(max(is.lo.Y-p.Y, p.Y-is.hi.Y, 0))
	return dx*dx + dy*dy
}

// contains reports whether p lies inside ring.
func contains(ring []geom.Point, p geom.Point) bool {
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

// island goes on with the nearest island that is not done, and reports whether
// there is one.
func (s *sorter) island(at geom.Point) bool {
	if len(s.islands) == 0 {
		return false
	}
	next := s.index.nearest(at, s.islands)
	if next < 0 {
		return false
	}
	is := &s.islands[next]
	is.done = true
	s.todo = s.items[is.start:is.end]
	return true
}

// next picks the nearest item of the present phase of the island, and reports
// whether there is one.
func (s *sorter) next(at geom.Point) bool {
	if len(s.todo) == 0 {
		return false
	}
	best, pick, reversed := int64(-1), 0, false
	for i, it := range s.todo[:min(len(s.todo), reach)] {
		if it.phase != s.todo[0].phase {
			break
		}
		if d := distance2(at, it.from); best < 0 || d < best {
			best, pick, reversed = d, i, false
		}
		if d := distance2(at, it.to); d < best && !it.oneWay {
			best, pick, reversed = d, i, true
		}
	}
	s.picked = s.todo[pick]
	s.picked.reversed = reversed
	s.todo[pick] = s.todo[0]
	s.todo = s.todo[1:]
	return true
}
