package geom

import (
	"errors"

	"platen/hal/unit"
)

// ErrOutside reports geometry that reaches beyond ±[unit.MaxCoordinate].
var ErrOutside = errors.New("geometry reaches beyond 512 mm from the origin: move or scale the model")

// ErrComplex reports contours that cross each other so often that combining them
// would exhaust the printer's memory.
var ErrComplex = errors.New("contours cross too often: repair or simplify the model")

// Bounds on one operation. A hit is an edge bent to pass through a grid point;
// real sections need less than one per vertex.
const (
	maxEdges = 1 << 24
	maxHits  = 1 << 20
)

// maxWork bounds how often an operation on n edges looks at one of them while it
// searches for crossings; real sections need about 50 per edge.
func maxWork(n int) int64 { return 1<<23 + int64(n)<<10 }

// Kernel combines regions. It holds the scratch memory of its operations, so that
// one that has warmed up allocates nothing; the zero value is ready. A Kernel must
// not be used by two goroutines at once.
//
// Every operation goes through the same steps. All edges of the operands are
// brought onto the integer grid by snap rounding (J. Hobby, "Practical segment
// intersection with finite precision output", 1999): the unit squares around end
// points and crossings are hot, and every edge that passes through a hot square is
// bent through its centre. Afterwards edges meet at end points only, and no edge
// has moved by more than half a unit. One sweep then gives the winding number on
// both sides of each edge, and the edges with inside on one side and outside on
// the other are linked to rings.
//
// The rings of a result are simple: outer rings counter-clockwise, holes clockwise,
// no point twice, no point in the middle of a straight line. Rings may touch each
// other in single points. The order of rings and their first points depend on the
// set of edges only. dst may be the same region as an operand. After an error dst
// is empty.
type Kernel struct {
	op     op
	edges  []edge
	tops   []Point
	items  []item
	hits   []hit
	pixels []Point
	work   int64
	second bool // comparing edges with crossings, not with each other
	frags  []frag
	events []event
	spare  []event
	status []int32
	order  []int32
	starts []int32
	around []int32
	mark   []int32
	loop   []corner
	stops  int32
	minX   unit.Length
	minY   unit.Length
	xBits  uint
	raw    Region
	sides  []side
	keep   []bool
	stack  []int32
}

// edge is an edge of an operand from its lower end p to its upper end q (by Y,
// then X). wa and wb are what the winding number of operand a and b gains when one
// crosses it from right to left, looking from p to q.
type edge struct {
	p, q   Point
	wa, wb int32
}

type op uint8

const (
	opUnion op = iota
	opIntersect
	opDifference
	opXor
	opEvenOdd
)

// inside tells whether a place with winding numbers a and b belongs to the result.
func (o op) inside(a, b int32) bool {
	switch o {
	case opIntersect:
		return a > 0 && b > 0
	case opDifference:
		return a > 0 && b <= 0
	case opXor:
		return (a > 0) != (b > 0)
	case opEvenOdd:
		return a&1 != 0
	default:
		return a > 0 || b > 0
	}
}

// Union sets dst to the places that src winds around at least once (the positive
// fill rule of the 3MF core specification): overlapping bodies unite, bodies that
// are inside out vanish.
func (k *Kernel) Union(dst, src *Region) error { return k.combine(dst, src, nil, opUnion) }

// EvenOdd sets dst to the places that src winds around an odd number of times, in
// either direction.
func (k *Kernel) EvenOdd(dst, src *Region) error { return k.combine(dst, src, nil, opEvenOdd) }

// Union2 sets dst to the places in a or in b, each under the positive fill rule.
func (k *Kernel) Union2(dst, a, b *Region) error { return k.combine(dst, a, b, opUnion) }

// Intersect sets dst to the places in both a and b, each under the positive fill
// rule.
func (k *Kernel) Intersect(dst, a, b *Region) error { return k.combine(dst, a, b, opIntersect) }

// Difference sets dst to the places in a that are not in b, each under the
// positive fill rule.
func (k *Kernel) Difference(dst, a, b *Region) error { return k.combine(dst, a, b, opDifference) }

// Xor sets dst to the places in exactly one of a and b, each under the positive
// fill rule.
func (k *Kernel) Xor(dst, a, b *Region) error { return k.combine(dst, a, b, opXor) }

// Wipe overwrites the scratch memory, which holds copies of what was combined.
func (k *Kernel) Wipe() {
	clear(k.edges[:cap(k.edges)])
	clear(k.tops[:cap(k.tops)])
	clear(k.items[:cap(k.items)])
	clear(k.hits[:cap(k.hits)])
	clear(k.pixels[:cap(k.pixels)])
	clear(k.frags[:cap(k.frags)])
	clear(k.events[:cap(k.events)])
	clear(k.spare[:cap(k.spare)])
	clear(k.loop[:cap(k.loop)])
	clear(k.sides[:cap(k.sides)])
	k.raw.Wipe()
}

// Wipe empties the region and overwrites its memory.
func (r *Region) Wipe() {
	clear(r.Pts[:cap(r.Pts)])
	clear(r.Ends[:cap(r.Ends)])
	r.Reset()
}

func (k *Kernel) combine(dst, a, b *Region, o op) error {
	if err := k.arrange(a, b, o); err != nil {
		dst.Reset()
		return err
	}
	k.trace(dst)
	return nil
}

// arrange computes the boundary of the result; trace writes it down.
func (k *Kernel) arrange(a, b *Region, o op) error {
	k.op = o
	k.edges, k.tops = k.edges[:0], k.tops[:0]
	if err := k.load(a, 1, 0); err != nil {
		return err
	}
	if b != nil {
		if err := k.load(b, 0, 1); err != nil {
			return err
		}
	}
	if err := k.findHits(); err != nil {
		return err
	}
	k.split()
	k.sortEvents()
	k.sweep()
	return nil
}

// before orders points by Y, then X: the order in which the sweep meets them.
func before(p, q Point) bool { return p.Y < q.Y || p.Y == q.Y && p.X < q.X }

// load appends the edges of r, leaving out those without length. Points above
// both of their neighbours go to tops: no edge starts there, but the sweep has to
// stop there.
func (k *Kernel) load(r *Region, wa, wb int32) error {
	if len(k.edges)+len(r.Pts) > maxEdges {
		return ErrComplex
	}
	if !withinPlane(r.Pts) {
		return ErrOutside
	}
	for i := range r.Ends {
		ring := r.Ring(i)
		if len(ring) < 3 {
			continue
		}
		var first, last int8 // direction of the ring's first and latest edge: 1 up, -1 down
		var foot Point       // where the first edge starts
		p := ring[len(ring)-1]
		for _, q := range ring {
			if p == q {
				continue
			}
			dir := int8(1)
			if before(p, q) {
				k.edges = append(k.edges, edge{p, q, wa, wb})
			} else {
				dir = -1
				k.edges = append(k.edges, edge{q, p, -wa, -wb})
			}
			if last > 0 && dir < 0 {
				k.tops = append(k.tops, p)
			}
			if first == 0 {
				first, foot = dir, p
			}
			last, p = dir, q
		}
		if last > 0 && first < 0 {
			k.tops = append(k.tops, foot)
		}
	}
	return nil
}
