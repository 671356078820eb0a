package geom

import (
	"math/bits"
	"slices"

	"platen/hal/unit"
)

// frag is a part of an edge between two neighbouring grid points of the
// arrangement, from its lower end p to its upper end q.
type frag struct {
	p, q   Point
	wa, wb int32 // gain of the winding numbers from right to left
	ra, rb int32 // winding numbers on the right
	pv, qv int32 // number of the sweep's stop at p and at q
	next   int32 // the fragment that follows on the boundary, or none
	dir    int8  // boundary: 1 from p to q, -1 from q to p; 0 not on the boundary
}

const none = -1

// event is a stop of the sweep: a point, as a key that sorts by Y and X, and a
// fragment that starts there, or none.
type event struct {
	key  uint64
	frag int32
}

// sortEvents lists the sweep's stops in order: wherever fragments start, and the
// tops, where they may only end.
func (k *Kernel) sortEvents() {
	lo := Point{unit.MaxCoordinate, unit.MaxCoordinate}
	hi := Point{-unit.MaxCoordinate, -unit.MaxCoordinate}
	for i := range k.frags {
		f := &k.frags[i]
		lo.X, hi.X = min(lo.X, f.p.X, f.q.X), max(hi.X, f.p.X, f.q.X)
		lo.Y, hi.Y = min(lo.Y, f.p.Y), max(hi.Y, f.q.Y)
	}
	if len(k.frags) == 0 {
		return
	}
	k.minX, k.minY = lo.X, lo.Y
	k.xBits = uint(bits.Len32(uint32(hi.X - lo.X)))
	yBits := uint(bits.Len32(uint32(hi.Y - lo.Y)))
	for i := range k.frags {
		k.events = append(k.events, event{k.key(k.frags[i].p), int32(i)})
	}
	for _, p := range k.tops {
		k.events = append(k.events, event{k.key(p), none})
	}
	k.sortRuns(k.xBits + yBits)
}

// mostRuns is into how many runs events may fall that are sorted by merging them.
const mostRuns = 64

// sortRuns sorts events by the low bits of their keys; the others are nought. Contours go up and down, and so do they: rows of
// them that do are merged. Where those are many and short, digits are sorted.
func (k *Kernel) sortRuns(keyBits uint) {
	ev := k.events
	n := len(ev)
	k.starts = append(k.starts[:0], 0)
	for i := 1; i < n; {
		from := i - 1
		if ev[i].key >= ev[from].key {
			for i++; i < n && ev[i].key >= ev[i-1].key; i++ {
			}
		} else {
			for i++; i < n && ev[i].key < ev[i-1].key; i++ {
			}
			slices.Reverse(ev[from:i])
		}
		k.starts = append(k.starts, int32(i))
		i++
	}
	if last := k.starts[len(k.starts)-1]; int(last) < n {
		k.starts = append(k.starts, int32(n))
	}
	if len(k.starts) > mostRuns && n >= 400 {
		k.sortRadix(keyBits)
		return
	}
	k.mergeRuns(k.starts)
}

// mergeRuns merges the runs of events that begin where bounds says, which ends with how
// many there are.
func (k *Kernel) mergeRuns(bounds []int32) {
	k.spare = slices.Grow(k.spare[:0], len(k.events))[:len(k.events)]
	from, to := k.events, k.spare
	for len(bounds) > 2 {
		kept := 1
		for r := 0; r+1 < len(bounds); r += 2 {
			lo, mid := bounds[r], bounds[r+1]
			hi := mid
			if r+2 < len(bounds) {
				hi = bounds[r+2]
			}
			mergeEvents(to[lo:hi], from[lo:mid], from[mid:hi])
			bounds[kept] = hi
			kept++
		}
		bounds = bounds[:kept]
		from, to = to, from
	}
	k.events, k.spare = from, to
}

// mergeEvents merges two sorted lists into to, which has room for both.
func mergeEvents(to, a, b []event) {
	i, j := 0, 0
	for n := range to {
		if j == len(b) || i < len(a) && a[i].key <= b[j].key {
			to[n] = a[i]
			i++
		} else {
			to[n] = b[j]
			j++
		}
	}
}

func (k *Kernel) key(p Point) uint64 {
	return uint64(p.Y-k.minY)<<k.xBits | uint64(p.X-k.minX)
}

func (k *Kernel) point(key uint64) Point {
	return Point{
		k.minX + unit.Length(key&(1<<k.xBits-1)),
		k.minY + unit.Length(key>>k.xBits),
	}
}

// sortRadix sorts events by the low bits of their keys, 11 at a time.
func (k *Kernel) sortRadix(keyBits uint) {
	const digit = 11
	k.spare = slices.Grow(k.spare[:0], len(k.events))[:len(k.events)]
	from, to := k.events, k.spare
	for shift := uint(0); shift < keyBits; shift += digit {
		var count [1 << digit]int32
		for i := range from {
			count[from[i].key>>shift&(1<<digit-1)]++
		}
		sum := int32(0)
		for i, c := range count {
			count[i] = sum
			sum += c
		}
		for i := range from {
			d := from[i].key >> shift & (1<<digit - 1)
			to[count[d]] = from[i]
			count[d]++
		}
		from, to = to, from
	}
	k.events, k.spare = from, to
}

// sweep moves a horizontal line upwards (on it, from left to right) and keeps
// status, the fragments that cross it, in order from left to right. Where
// fragments start it notes the winding numbers beside them and with that whether
// they are on the boundary, and in which direction: inside is on the left.
// Around all of it the winding numbers are a and b.
func (k *Kernel) sweep(a, b int32) {
	k.baseA, k.baseB = a, b
	k.status, k.order = k.status[:0], k.order[:0]
	stop := int32(0)
	for i := 0; i < len(k.events); stop++ {
		key := k.events[i].key
		v := k.point(key)
		k.starts = k.starts[:0]
		for ; i < len(k.events) && k.events[i].key == key; i++ {
			if f := k.events[i].frag; f != none {
				k.insertStart(f)
			}
		}
		k.dropCancelled()
		lo := k.locate(v)
		hi := lo
		for hi < len(k.status) && k.frags[k.status[hi]].q == v {
			k.frags[k.status[hi]].qv = stop
			hi++
		}
		k.enter(lo, stop)
		k.link(lo, hi)
		k.replace(lo, hi)
	}
	k.stops = stop
}

// replace puts the starts into status in the place of status[lo:hi].
func (k *Kernel) replace(lo, hi int) {
	if more := len(k.starts) - (hi - lo); more != 0 {
		n := len(k.status)
		k.status = slices.Grow(k.status, max(more, 0))
		k.status = k.status[:max(n, n+more)]
		copy(k.status[hi+more:], k.status[hi:n])
		k.status = k.status[:n+more]
	}
	copy(k.status[lo:], k.starts)
}

// insertStart adds a fragment to starts, which run from left to right. One that
// coincides with another is merged into it.
func (k *Kernel) insertStart(n int32) {
	f := &k.frags[n]
	i := len(k.starts)
	for ; i > 0; i-- {
		g := &k.frags[k.starts[i-1]]
		if f.q == g.q {
			g.wa += f.wa
			g.wb += f.wb
			return
		}
		if Cross(f.p, g.q, f.q) < 0 { // f turns right from g: it belongs behind g
			break
		}
	}
	k.starts = slices.Insert(k.starts, i, n)
}

// dropCancelled removes starts that have coincided with their opposites.
func (k *Kernel) dropCancelled() {
	n := 0
	for _, s := range k.starts {
		if f := &k.frags[s]; f.wa != 0 || f.wb != 0 {
			k.starts[n] = s
			n++
		}
	}
	k.starts = k.starts[:n]
}

// locate returns the index of the first fragment in status that does not have v
// strictly on its right.
func (k *Kernel) locate(v Point) int {
	lo, hi := 0, len(k.status)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		f := &k.frags[k.status[m]]
		if Cross(f.p, f.q, v) < 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// enter gives the starts their winding numbers; at is where they go in status.
func (k *Kernel) enter(at int, stop int32) {
	a, b := k.baseA, k.baseB
	if at > 0 {
		f := &k.frags[k.status[at-1]]
		a, b = f.ra, f.rb
	}
	in := k.op.inside(a, b)
	k.order = append(k.order, k.starts...)
	for _, s := range k.starts {
		f := &k.frags[s]
		a, b = a-f.wa, b-f.wb
		f.ra, f.rb, f.pv, f.next = a, b, stop, none
		was := in
		in = k.op.inside(a, b)
		switch {
		case was && !in:
			f.dir = 1
		case in && !was:
			f.dir = -1
		default:
			f.dir = 0
		}
	}
}

// link connects the boundary fragments that meet at a stop, status[lo:hi] from
// below and starts from above. Listed counter-clockwise around the point, two
// neighbours with inside between them belong together: the boundary comes in on
// the second and goes out on the first, with that wedge on its left.
func (k *Kernel) link(lo, hi int) {
	if hi-lo == 1 && len(k.starts) == 1 {
		below, above := k.status[lo], k.starts[0]
		switch {
		case k.frags[below].dir > 0:
			k.frags[below].next = above
		case k.frags[below].dir < 0:
			k.frags[above].next = below
		}
		return
	}
	k.around = k.around[:0]
	for _, s := range k.status[lo:hi] {
		if k.frags[s].dir != 0 {
			k.around = append(k.around, s)
		}
	}
	below := len(k.around)
	for i := len(k.starts) - 1; i >= 0; i-- {
		if s := k.starts[i]; k.frags[s].dir != 0 {
			k.around = append(k.around, s)
		}
	}
	for i, out := range k.around {
		if (k.frags[out].dir > 0) == (i < below) {
			continue // comes in
		}
		in := k.around[(i+1)%len(k.around)]
		k.frags[in].next = out
	}
}
