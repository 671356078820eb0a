package geom

import (
	"cmp"
	"slices"

	"platen/hal/unit"
)

// item is what an edge (id ≥ 0) or a crossing (^id) may occupy of the part of the
// plane under consideration, with at least half a unit to spare on each side.
type item struct {
	x0, x1, y0, y1 unit.Length
	id             int32
}

// hit says that an edge passes through the unit square around a point. x is
// negated for edges that run towards smaller X, so that sorting by y and x gives
// the order along the edge.
type hit struct {
	edge int32
	y, x unit.Length
}

// leafSize is the number of items that are compared each with each.
const leafSize = 10

// maxDepth bounds how often items are split; every split of real sections halves
// their number or nearly so.
const maxDepth = 48

// findHits collects the hot squares that edges pass through, other than those of
// their own ends. First edges are compared with each other: that gives end points
// near edges, and crossings. Then the squares of the crossings are compared with
// all edges, for a third edge may pass through one without crossing there.
func (k *Kernel) findHits() error {
	k.hits, k.pixels, k.work, k.second = k.hits[:0], k.pixels[:0], 0, false
	k.fill()
	if !k.divide(0, len(k.items), 0) {
		return ErrComplex
	}
	if len(k.pixels) > 0 {
		slices.SortFunc(k.pixels, comparePoints)
		k.pixels = slices.Compact(k.pixels)
		k.fill()
		for i, p := range k.pixels {
			k.items = append(k.items, item{p.X, p.X, p.Y, p.Y, ^int32(i)})
		}
		k.second = true
		if !k.divide(0, len(k.items), 0) {
			return ErrComplex
		}
	}
	if len(k.hits) > 1 {
		slices.SortFunc(k.hits, compareHits)
		k.hits = slices.Compact(k.hits)
	}
	return nil
}

func comparePoints(a, b Point) int {
	if c := cmp.Compare(a.Y, b.Y); c != 0 {
		return c
	}
	return cmp.Compare(a.X, b.X)
}

func compareHits(a, b hit) int {
	if c := cmp.Compare(a.edge, b.edge); c != 0 {
		return c
	}
	if c := cmp.Compare(a.y, b.y); c != 0 {
		return c
	}
	return cmp.Compare(a.x, b.x)
}

func (k *Kernel) fill() {
	k.items = k.items[:0]
	for i := range k.edges {
		e := &k.edges[i]
		x0, x1 := min(e.p.X, e.q.X), max(e.p.X, e.q.X)
		k.items = append(k.items, item{x0 - 1, x1 + 1, e.p.Y - 1, e.q.Y + 1, int32(i)})
	}
}

// divide compares items[lo:hi], which are the last ones, with each other. Many
// items are first split at their mean position into two halves that overlap a
// little, along the axis on which they are spread wider or, if that separates too
// few, along the other. It reports whether the operation stayed within its bounds.
func (k *Kernel) divide(lo, hi, depth int) bool {
	n := hi - lo
	if n <= leafSize || depth >= maxDepth {
		return k.compareAll(lo, hi)
	}
	if k.work += int64(n); k.work > maxWork(len(k.edges)) {
		return false
	}
	box, mx, my, pixels := k.survey(lo, hi)
	if k.second && (pixels == 0 || pixels == n) {
		return true
	}
	wide := box.x1-box.x0 >= box.y1-box.y0
	for range 2 {
		var mid int
		if wide {
			mid = k.splitX(lo, hi, mx)
		} else {
			mid = k.splitY(lo, hi, my)
		}
		end := len(k.items)
		if end-hi <= n+n/2 && mid-hi < n && end-mid < n {
			ok := k.divide(mid, end, depth+1)
			k.items = k.items[:mid]
			ok = ok && k.divide(hi, mid, depth+1)
			k.items = k.items[:hi]
			return ok
		}
		k.items = k.items[:hi]
		wide = !wide
	}
	return k.compareAll(lo, hi)
}

// survey returns the box around items[lo:hi], their mean position and how many of
// them are squares of crossings.
func (k *Kernel) survey(lo, hi int) (box item, mx, my unit.Length, pixels int) {
	box = k.items[lo]
	var sx, sy int64
	for i := lo; i < hi; i++ {
		it := &k.items[i]
		box.x0, box.x1 = min(box.x0, it.x0), max(box.x1, it.x1)
		box.y0, box.y1 = min(box.y0, it.y0), max(box.y1, it.y1)
		sx += int64(it.x0) + int64(it.x1)
		sy += int64(it.y0) + int64(it.y1)
		pixels += int(uint32(it.id) >> 31)
	}
	n := int64(hi - lo)
	return box, unit.Length(sx / (2 * n)), unit.Length(sy / (2 * n)), pixels
}

// splitX appends the parts of items[lo:hi] on the left of x = m, and behind them
// the parts on the right; it returns where those begin. Both parts reach a little
// over m, so that an edge and a point within half a unit of it stay together.
func (k *Kernel) splitX(lo, hi int, m unit.Length) int {
	for i := lo; i < hi; i++ {
		it := k.items[i]
		if it.x0 > m {
			continue
		}
		if it.x1 > m+2 {
			it.x1 = m + 2
			k.clipY(&it, m+1, true)
		}
		k.items = append(k.items, it)
	}
	mid := len(k.items)
	for i := lo; i < hi; i++ {
		it := k.items[i]
		if it.x1 <= m {
			continue
		}
		if it.x0 < m-1 {
			it.x0 = m - 1
			k.clipY(&it, m-1, false)
		}
		k.items = append(k.items, it)
	}
	return mid
}

func (k *Kernel) splitY(lo, hi int, m unit.Length) int {
	for i := lo; i < hi; i++ {
		it := k.items[i]
		if it.y0 > m {
			continue
		}
		if it.y1 > m+2 {
			it.y1 = m + 2
			k.clipX(&it, m+1, true)
		}
		k.items = append(k.items, it)
	}
	mid := len(k.items)
	for i := lo; i < hi; i++ {
		it := k.items[i]
		if it.y1 <= m {
			continue
		}
		if it.y0 < m-1 {
			it.y0 = m - 1
			k.clipX(&it, m-1, false)
		}
		k.items = append(k.items, it)
	}
	return mid
}

// clipY narrows an edge's item in Y to what the edge reaches on the left (or on
// the right) of x.
func (k *Kernel) clipY(it *item, x unit.Length, left bool) {
	if it.id < 0 {
		return
	}
	e := &k.edges[it.id]
	dx := e.q.X - e.p.X
	if dx == 0 {
		return
	}
	y := float64(e.p.Y) + float64(x-e.p.X)*float64(e.q.Y-e.p.Y)/float64(dx)
	if (dx > 0) == left {
		if y+3 < float64(it.y1) {
			it.y1 = max(unit.Length(y+3), it.y0)
		}
	} else if y-3 > float64(it.y0) {
		it.y0 = min(unit.Length(y-3), it.y1)
	}
}

// clipX narrows an edge's item in X to what the edge reaches below (or above) y.
func (k *Kernel) clipX(it *item, y unit.Length, below bool) {
	if it.id < 0 {
		return
	}
	e := &k.edges[it.id]
	dy := e.q.Y - e.p.Y
	if dy == 0 {
		return
	}
	x := float64(e.p.X) + float64(y-e.p.Y)*float64(e.q.X-e.p.X)/float64(dy)
	if (e.q.X > e.p.X) == below {
		if x+3 < float64(it.x1) {
			it.x1 = max(unit.Length(x+3), it.x0)
		}
	} else if x-3 > float64(it.x0) {
		it.x0 = min(unit.Length(x-3), it.x1)
	}
}

// compareAll compares items[lo:hi] each with each.
func (k *Kernel) compareAll(lo, hi int) bool {
	n := int64(hi - lo)
	if k.work += n * n / 2; k.work > maxWork(len(k.edges)) {
		return false
	}
	items := k.items[lo:hi]
	for i := range items {
		a := &items[i]
		for j := i + 1; j < len(items); j++ {
			b := &items[j]
			if a.x1 < b.x0 || b.x1 < a.x0 || a.y1 < b.y0 || b.y1 < a.y0 {
				continue
			}
			switch {
			case !k.second:
				k.compareEdges(a.id, b.id)
			case a.id >= 0 && b.id < 0:
				k.comparePixel(a.id, k.pixels[^b.id])
			case a.id < 0 && b.id >= 0:
				k.comparePixel(b.id, k.pixels[^a.id])
			}
		}
		if len(k.hits) > maxHits {
			return false
		}
	}
	return true
}
