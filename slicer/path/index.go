package path

import "platen/slicer/geom"

// mostStrips bounds the strips of an index.
const mostStrips = 1024

// index finds islands by place: the layer is cut into upright strips, and each
// lists the islands whose boxes reach into it, in the order of the islands. Without
// it a layer of very many islands would take the square of their number.
type index struct {
	lo     int64 // left edge of the first strip
	wide   int64 // of a strip
	starts []int32
	left   []int32 // how many of a strip's list are not done
	list   []int32
}

// build makes the index of islands, of which there is one at least.
func (x *index) build(islands []island) {
	lo, hi := int64(islands[0].lo.X), int64(islands[0].hi.X)
	for i := range islands {
		lo, hi = min(lo, int64(islands[i].lo.X)), max(hi, int64(islands[i].hi.X))
	}
	n := min(len(islands), mostStrips)
	x.lo, x.wide = lo, (hi-lo)/int64(n)+1
	x.starts, x.left = x.starts[:0], x.left[:0]
	for range n {
		x.starts, x.left = append(x.starts, 0), append(x.left, 0)
	}
	total := int32(0)
	for i := range islands {
		a, b := x.strips(&islands[i])
		for k := a; k <= b; k++ {
			x.left[k]++
			total++
		}
	}
	sum := int32(0)
	for k, n := range x.left {
		x.starts[k], x.left[k] = sum, 0
		sum += n
	}
	x.list = x.list[:0]
	for range total {
		x.list = append(x.list, 0)
	}
	for i := range islands {
		a, b := x.strips(&islands[i])
		for k := a; k <= b; k++ {
			x.list[x.starts[k]+x.left[k]] = int32(i)
			x.left[k]++
		}
	}
}

// strip is the strip around p, or the nearest.
func (x *index) strip(p geom.Point) int {
	return int(max(0, min(int64(len(x.starts))-1, (int64(p.X)-x.lo)/x.wide)))
}

func (x *index) strips(is *island) (first, last int) { return x.strip(is.lo), x.strip(is.hi) }

// at lists the islands whose boxes reach into strip k, but for those that drop has
// taken out.
func (x *index) at(k int) []int32 { return x.list[x.starts[k]:][:x.left[k]] }

// drop takes out of strip k what is done.
func (x *index) drop(k int, islands []island) {
	kept := int32(0)
	list := x.at(k)
	for _, i := range list {
		if !islands[i].done && islands[i].start != islands[i].end {
			list[kept] = i
			kept++
		}
	}
	x.left[k] = kept
}

// nearest is the island nearest to p that is not done and has items, or -1; of two
// as near, the first.
func (x *index) nearest(p geom.Point, islands []island) int {
	best, found := int64(-1), -1
	home := x.strip(p)
	for away := range len(x.starts) {
		if far := int64(away-1) * x.wide; away > 0 && found >= 0 && far*far > best {
			break
		}
		for _, k := range [...]int{home - away, home + away} {
			if k < 0 || k >= len(x.starts) || away == 0 && k == home && found >= 0 {
				continue
			}
			x.drop(k, islands)
			for _, i := range x.at(k) {
				d := islands[i].boxDistance2(p)
				if found < 0 || d < best || d == best && int(i) < found {
					best, found = d, int(i)
				}
			}
		}
	}
	return found
}

func (x *index) wipe() {
	clear(x.starts[:cap(x.starts)])
	clear(x.left[:cap(x.left)])
	clear(x.list[:cap(x.list)])
}
