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
	kindRun
)

// item is what is printed in one go: a ring with those inside of it, a line, or a
// row of lines.
type item struct {
	island   int32 // the contour that it lies in; -1 before all, as many as there are after all
	phase    int32 // items of one island are printed phase by phase
	index    int32 // of the first line; of the ring in sorter.rings
	count    int32 // lines of a gap that follow each other
	kind     kind
	object   uint16 // 0 is none
	reversed bool
	oneWay   bool       // it cannot be
	closed   bool       // the line is, or that of several lines: it begins anywhere
	from, to geom.Point // its ends; the same for a ring
}

// Phases of an island, and before: see phaseOf.
const (
	phaseAround = iota - 2
	phaseBelow
	phaseWall
	phaseThin
	phaseSolid
	phaseSparse
	phaseTop
	phaseIroning
)

// phaseOf is when lines of a role are printed.
func phaseOf(r motion.Role) int32 {
	switch r {
	case motion.Skirt, motion.Prime:
		return phaseAround
	case motion.Brim, motion.Raft:
		return phaseBelow
	case motion.OuterWall, motion.InnerWall, motion.OverhangWall, motion.ThinWall, motion.Vase:
		return phaseThin
	case motion.Infill, motion.Support:
		return phaseSparse
	case motion.TopSkin:
		return phaseTop
	case motion.Ironing:
		return phaseIroning
	}
	return phaseSolid
}

// reach is how many items are compared in the search for the nearest: it bounds
// the work on a layer with very many lines, which come in a good order anyway.
const reach = 512

// sorter puts the items of a layer in order.
type sorter struct {
	islands []island
	index   index
	tour    tour
	gaps    *pipe.Strokes
	rings   []ring // of all walls, from the outermost in
	items   []item // sorted by island and phase
	todo    []item // of the present island
	late    []item // after all islands
	picked  item
	planned int        // how many of todo are in the order in which they are printed
	after   geom.Point // where the nozzle goes after the present island, if leads
	leads   bool
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
	clear(s.rings[:cap(s.rings)])
	s.index.wipe()
	s.tour.wipe()
	s.todo, s.late, s.gaps = nil, nil, nil
}

// load takes the items of a layer.
func (s *sorter) load(l *pipe.Layer) {
	s.islands, s.items, s.rings, s.todo, s.late = s.islands[:0], s.items[:0], s.rings[:0], nil, nil
	s.planned, s.leads = 0, false
	s.contours(&l.Outline)
	s.contours(&l.Support)
	// The smallest first, so that the first contour around a point is its island.
	slices.SortStableFunc(s.islands, func(a, b island) int { return cmp.Compare(a.area, b.area) })
	s.walls(l)
	s.strokes(&l.Gaps)
	s.runs(&l.Runs)
	s.group()
}

// contours makes an island of each outer contour of r.
func (s *sorter) contours(r *geom.Region) {
	for i := range r.Len() {
		if ring := r.Ring(i); geom.Area2(ring) > 0 {
			is := island{ring: ring, area: geom.Area2(ring)}
			is.lo, is.hi = bounds(ring)
			s.islands = append(s.islands, is)
		}
	}
}

// bounds is the box around a line.
func bounds(line []geom.Point) (lo, hi geom.Point) {
	lo, hi = line[0], line[0]
	for _, p := range line[1:] {
		lo = geom.Point{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
		hi = geom.Point{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
	}
	return lo, hi
}

// runs makes an item of each line, or of each row of lines that follow each other.
func (s *sorter) runs(r *pipe.Runs) {
	for i := 0; i < r.Len(); {
		it := item{phase: phaseOf(r.Heads[i].Role), index: int32(i), kind: kindRun}
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

// group sorts the items by island and phase.
func (s *sorter) group() {
	if len(s.islands) > 0 {
		s.index.build(s.islands)
	}
	for i := range s.items {
		it := &s.items[i]
		switch {
		case it.phase < 0:
			it.island = -1
		case it.phase == phaseIroning || len(s.islands) == 0:
			it.island = int32(len(s.islands))
		default:
			it.island = s.islandOf(it.from)
		}
	}
	slices.SortStableFunc(s.items, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.island, b.island), cmp.Compare(a.phase, b.phase))
	})
	before, after := 0, len(s.items)
	for i, it := range s.items {
		switch {
		case it.island < 0:
			before = i + 1
		case int(it.island) == len(s.islands):
			after = min(after, i)
		default:
			is := &s.islands[it.island]
			if is.end == 0 {
				is.start = int32(i)
			}
			is.end = int32(i) + 1
		}
	}
	s.blend()
	s.todo, s.late = s.items[:before], s.items[after:]
}

// islandOf is the smallest contour around p. A point that rounding has put outside
// of all goes to the contour whose box is nearest.
func (s *sorter) islandOf(p geom.Point) int32 {
	for _, i := range s.index.at(s.index.strip(p)) {
		if is := &s.islands[i]; is.boxDistance2(p) == 0 && geom.Inside(is.ring, p) {
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

// island goes on with the next island that is not done, and reports whether there
// is one; what comes after all islands is the last.
func (s *sorter) island(at geom.Point) bool {
	next := -1
	switch {
	case s.tour.planned():
		next = s.tour.next()
	case len(s.islands) > 0:
		next = s.index.nearest(at, s.islands)
	}
	if next < 0 {
		s.todo, s.late = s.late, nil
		return len(s.todo) > 0
	}
	is := &s.islands[next]
	is.done = true
	s.lead(s.items[is.start].from)
	s.todo = s.items[is.start:is.end]
	return true
}

// lead sets where the nozzle goes after the island that begins at from: to the next
// one, or after the last to the same again, with which the next layer will begin.
func (s *sorter) lead(from geom.Point) {
	s.leads = true
	next, more := s.tour.ahead()
	switch {
	case more:
		s.after = next
	case s.tour.planned() || len(s.islands) == 1:
		s.after = from
	default:
		s.leads = false
	}
}

// next picks the next item of the island, phase by phase, and reports whether there
// is one.
func (s *sorter) next(at geom.Point) bool {
	if len(s.todo) == 0 {
		return false
	}
	if s.planned == 0 {
		s.planPhase(at)
	}
	if s.planned > 0 {
		s.planned--
		s.picked, s.todo = s.todo[0], s.todo[1:]
		return true
	}
	best, pick, reversed := int64(-1), 0, false
	for i := range s.todo[:min(len(s.todo), reach)] {
		it := &s.todo[i]
		if it.phase != s.todo[0].phase {
			break
		}
		d := distance2(at, it.from)
		if it.kind == kindWall && !s.rings[it.index].fixed {
			d = s.rings[it.index].distance2(at)
		}
		if best < 0 || d < best {
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

// planPhase plans the order of what there is of the present phase, if that is not too
// much and where it begins does not depend on the nozzle.
func (s *sorter) planPhase(at geom.Point) {
	n := 0
	for n < len(s.todo) && s.todo[n].phase == s.todo[0].phase {
		it := &s.todo[n]
		if n++; n > mostPlanned || it.kind == kindWall && !s.rings[it.index].fixed {
			return
		}
	}
	for i := range s.todo[:n] {
		if it := &s.todo[i]; it.closed {
			k, v := s.begins(it, at)
			it.from = s.gaps.Line(k)[v]
			it.to = it.from
		}
	}
	var towards *geom.Point
	if n == len(s.todo) && s.leads {
		towards = &s.after
	}
	arrange(s.todo[:n], at, towards)
	s.planned = n
}
