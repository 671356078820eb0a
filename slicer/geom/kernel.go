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
// Every operation goes through the same steps. A grid of cells finds the edges that
// meet. A ring that meets no other, nor itself, is in the result or not as a whole,
// and how often all others wind around any point of it tells which. Rings that meet
// are a group. All edges of a group are brought onto the integer grid by snap rounding
// (J. Hobby, "Practical segment intersection with finite precision output", 1999):
// the unit squares around end points and crossings are hot, and every edge that
// passes through a hot square is bent through its centre. Afterwards edges meet at
// end points only, and no edge has moved by more than half a unit. One sweep then
// gives the winding number on both sides of each edge, and the edges with inside on
// one side and outside on the other are linked to rings.
//
// The rings of a result are simple: outer rings counter-clockwise, holes clockwise,
// no point twice, no point in the middle of a straight line. Rings may touch each
// other in single points. The order of rings and their first points depend on the
// set of edges only. dst may be the same region as an operand. After an error dst
// is empty.
type Kernel struct {
	credit  int32 // what windings around b begin with
	op      op
	edges   []edge
	rings   []ring // of the operands
	grid    grid
	strips  strips
	hits    []hit
	ordered []hit
	counts  []int32
	pixels  []pixel
	work    int64
	frags   []frag
	tops    []Point
	events  []event
	spare   []event
	status  []int32
	baseA   int32 // winding numbers around the group at hand
	baseB   int32
	order   []int32
	starts  []int32
	around  []int32
	mark    []int32
	loop    []corner
	stops   int32
	minX    unit.Length
	minY    unit.Length
	xBits   uint
	raw     Region
	tidy    Region // rings of a result, to be sorted
	sides   []side
	outers  int // corners at which sides stay whole
	keep    []bool
	line    []Point
	stack   []int32
}

// edge is an edge of an operand from its lower end p to its upper end q (by Y,
// then X). wa and wb are what the winding number of operand a and b gains when one
// crosses it from right to left, looking from p to q.
type edge struct {
	p, q   Point
	wa, wb int32
	ring   int32
}

// up reports whether the ring runs from p to q.
func (e *edge) up() bool { return e.wa > 0 || e.wb > 0 }

// start is the end of e at which the ring comes to it.
func (e *edge) start() Point {
	if e.up() {
		return e.p
	}
	return e.q
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

// Lacking sets dst to the places in a, under the positive fill rule, that b winds
// around fewer than n times: with n regions in b, those that not all of them share.
func (k *Kernel) Lacking(dst, a, b *Region, n int) error {
	k.credit = int32(1 - n)
	defer func() { k.credit = 0 }()
	return k.combine(dst, a, b, opDifference)
}

// Xor sets dst to the places in exactly one of a and b, each under the positive
// fill rule.
func (k *Kernel) Xor(dst, a, b *Region) error { return k.combine(dst, a, b, opXor) }

// Wipe overwrites the scratch memory, which holds copies of what was combined.
func (k *Kernel) Wipe() {
	clear(k.edges[:cap(k.edges)])
	clear(k.rings[:cap(k.rings)])
	clear(k.grid.boxes[:cap(k.grid.boxes)])
	clear(k.strips.levels[:cap(k.strips.levels)])
	clear(k.strips.starts[:cap(k.strips.starts)])
	clear(k.strips.list[:cap(k.strips.list)])
	clear(k.tops[:cap(k.tops)])
	clear(k.hits[:cap(k.hits)])
	clear(k.ordered[:cap(k.ordered)])
	clear(k.pixels[:cap(k.pixels)])
	clear(k.frags[:cap(k.frags)])
	clear(k.events[:cap(k.events)])
	clear(k.spare[:cap(k.spare)])
	clear(k.loop[:cap(k.loop)])
	clear(k.sides[:cap(k.sides)])
	clear(k.line[:cap(k.line)])
	k.raw.Wipe()
	k.tidy.Wipe()
}

// Wipe empties the region and overwrites its memory.
func (r *Region) Wipe() {
	clear(r.Pts[:cap(r.Pts)])
	clear(r.Ends[:cap(r.Ends)])
	r.Reset()
}

func (k *Kernel) combine(dst, a, b *Region, o op) error {
	err := k.load(a, b)
	if err == nil {
		err = k.arrange(dst, o)
	}
	if err != nil {
		dst.Reset()
	}
	return err
}

// arrange sets dst to what o makes of the edges that are loaded.
func (k *Kernel) arrange(dst *Region, o op) error {
	k.op = o
	if err := k.meet(); err != nil {
		return err
	}
	dst.Reset()
	k.layStrips()
	k.passRings(dst)
	if len(k.hits) > 0 {
		k.sortHits()
	}
	for r := range k.rings {
		if k.rings[r].dirty && k.find(int32(r)) == int32(r) {
			k.arrangeGroup(dst, int32(r))
		}
	}
	k.sortRings(dst)
	return nil
}

// arrangeGroup appends what becomes of the rings that are grouped under root.
func (k *Kernel) arrangeGroup(dst *Region, root int32) {
	k.split(root)
	k.sortEvents()
	k.sweep(k.around2(root))
	k.trace(dst)
}

// before orders points by Y, then X: the order in which the sweep meets them.
func before(p, q Point) bool { return p.Y < q.Y || p.Y == q.Y && p.X < q.X }
