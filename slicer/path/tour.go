package path

import "platen/slicer/geom"

// mostTour is the most islands for which a tour is planned; more of them are printed
// nearest first.
const mostTour = 96

// tour is the order of islands.
type tour struct {
	stops []item // index is the island
	at    int
	on    bool
}

func (t *tour) wipe() {
	clear(t.stops[:cap(t.stops)])
	t.on = false
}

func (t *tour) planned() bool { return t.on }

// next is the next island, or -1.
func (t *tour) next() int {
	if t.at == len(t.stops) {
		return -1
	}
	t.at++
	return int(t.stops[t.at-1].index)
}

// ahead is where the island after the present one begins.
func (t *tour) ahead() (from geom.Point, ok bool) {
	if !t.on || t.at == len(t.stops) {
		return from, false
	}
	from, _ = t.stops[t.at].ends()
	return from, true
}

// plan arranges the islands from where the nozzle is, if there are some, and not too
// many.
func (s *sorter) plan(from geom.Point) {
	t := &s.tour
	t.on, t.at, t.stops = false, 0, t.stops[:0]
	for i := range s.islands {
		is := &s.islands[i]
		if is.end == is.start {
			continue
		}
		if len(t.stops) == mostTour {
			return
		}
		t.stops = append(t.stops, s.stop(int32(i)))
	}
	if len(t.stops) < 3 {
		return
	}
	arrange(t.stops, from, nil)
	t.on = true
}

// stop is an island as one item, with its ends as far as they are known: those of a
// single line, of a wall with one line beside it, or else of the first wall.
func (s *sorter) stop(island int32) item {
	items := s.items[s.islands[island].start:s.islands[island].end]
	it := item{index: island, from: items[0].from, to: items[0].from}
	last := &items[len(items)-1]
	switch {
	case len(items) > 2 || last.phase != items[0].phase || last.closed || last.kind == kindWall:
	case len(items) == 1:
		it.to, it.oneWay = last.to, last.oneWay
	case items[0].kind == kindWall:
		if it.to = last.from; distance2(it.from, last.to) > distance2(it.from, last.from) {
			it.to = last.to
		}
	}
	return it
}
