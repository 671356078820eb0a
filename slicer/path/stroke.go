package path

import (
	"platen/hal/motion"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// strokes makes an item of each line between walls: such a line comes in pieces that
// follow each other, each with a width of its own.
func (s *sorter) strokes(g *pipe.Strokes) {
	s.gaps = g
	for i := 0; i < g.Len(); {
		line := g.Line(i)
		it := item{phase: phaseThin, index: int32(i), kind: kindGap, from: line[0], to: line[len(line)-1]}
		for i++; i < g.Len() && g.Line(i)[0] == it.to && it.to != it.from; i++ {
			line = g.Line(i)
			it.to = line[len(line)-1]
		}
		it.count, it.closed = int32(i)-it.index, it.to == it.from
		s.items = append(s.items, it)
	}
}

// fewThin is up to how many lines between the walls of an island are printed before or
// after them, whatever is nearer; more of them come after.
const fewThin = 4

// blend puts the few lines between the walls of an island into the phase of its walls.
func (s *sorter) blend() {
	for i := range s.islands {
		items := s.items[s.islands[i].start:s.islands[i].end]
		from := 0
		for from < len(items) && items[from].phase == phaseWall {
			from++
		}
		to := from
		for to < len(items) && items[to].kind == kindGap {
			to++
		}
		if from == 0 || to-from > fewThin {
			continue
		}
		for k := from; k < to; k++ {
			items[k].phase = phaseWall
		}
	}
}

// begins is the point of a closed line nearest to where the nozzle is: of which of its
// pieces, and which point of that.
func (s *sorter) begins(it *item, at geom.Point) (piece, point int) {
	best := int64(-1)
	for i := int(it.index); i < int(it.index+it.count); i++ {
		if k, d := nearest(s.gaps.Line(i), at); best < 0 || d < best {
			best, piece, point = d, i, k
		}
	}
	return piece, point
}

// stroke prints a line between walls.
func (pl *Planner) stroke(g *pipe.Strokes, it *item) {
	n, first := int(it.count), int(it.index)
	lay := func(i, from, to int) {
		pl.line(g.Line(i)[from:to], it.reversed, pipe.Head{Role: motion.ThinWall, Width: g.Widths[i]})
	}
	if !it.closed {
		for i := range n {
			if it.reversed {
				i = n - 1 - i
			}
			lay(first+i, 0, len(g.Line(first+i)))
		}
		return
	}
	it.reversed = false
	k, v := pl.sorter.begins(it, pl.pen.at)
	lay(k, v, len(g.Line(k)))
	for i := 1; i < n; i++ {
		next := first + (k-first+i)%n
		lay(next, 0, len(g.Line(next)))
	}
	lay(k, 0, v+1)
}
