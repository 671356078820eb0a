package wall

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// Overhang tells how far lines hang over the layer below. [Overhang.Load] takes what
// is below, [Overhang.Wall] splits a wall where that changes. The zero value is
// ready; it must not be used by two goroutines at once.
type Overhang struct {
	width  unit.Length // of lines; distances are known so far
	grid   grid        // of what is below, which is on the left of its edges
	rings  geom.Region
	widths []unit.Length
	hangs  []uint8
}

// Wipe overwrites the scratch memory.
func (o *Overhang) Wipe() {
	o.grid.wipe()
	clear(o.widths[:cap(o.widths)])
	clear(o.hangs[:cap(o.hangs)])
	o.rings.Wipe()
}

// Load takes the outline of the layer below. width is that of the lines.
func (o *Overhang) Load(below *geom.Region, width unit.Length) {
	o.width = width
	o.grid.load(below, width)
}

// depth is how far inside of what is below p lies, less than 0 outside. Farther than
// a line is wide it is that much; inside tells then on which side of the edge.
func (o *Overhang) depth(p geom.Point, inside func() bool) float64 {
	w := float64(o.width)
	f := found{d2: w * w}
	x, y := o.grid.cell(p.X-o.grid.lo.X), o.grid.cell(p.Y-o.grid.lo.Y)
	o.look(&f, p, x, y)
	// The cells around it, as far as anything nearer can be there.
	near := unit.Length(math.Sqrt(f.d2)) + 1
	x0, x1, y0, y1 := o.grid.around(geom.Point{X: p.X - near, Y: p.Y - near}, geom.Point{X: p.X + near, Y: p.Y + near})
	for v := y0; v <= y1; v++ {
		for u := x0; u <= x1; u++ {
			if u != x || v != y {
				o.look(&f, p, u, v)
			}
		}
	}
	d := math.Sqrt(f.d2)
	if f.left < 0 || f.left == 0 && f.d2 == w*w && !inside() {
		return -d
	}
	return d
}

// found is the nearest edge so far: how far it is, squared, and how far to the left
// of the line along it.
type found struct{ d2, left float64 }

// look compares p with the edges of a cell.
func (o *Overhang) look(f *found, p geom.Point, x, y int32) {
	for _, i := range o.grid.at(x, y) {
		e := &o.grid.edges[i]
		dx, dy := int64(e.b.X-e.a.X), int64(e.b.Y-e.a.Y)
		px, py := int64(p.X-e.a.X), int64(p.Y-e.a.Y)
		long2, cross, along := dx*dx+dy*dy, dx*py-dy*px, dx*px+dy*py
		var d2 float64
		switch {
		case along <= 0:
			d2 = float64(px*px + py*py)
		case along >= long2:
			qx, qy := int64(p.X-e.b.X), int64(p.Y-e.b.Y)
			d2 = float64(qx*qx + qy*qy)
		default:
			d2 = float64(cross) * (float64(cross) / float64(long2))
		}
		if d2 > f.d2 || long2 == 0 {
			continue
		}
		// At a corner the side is that of the edge that p is farther beside.
		if left := float64(cross) / math.Sqrt(float64(long2)); d2 < f.d2 || math.Abs(left) > math.Abs(f.left) {
			f.d2, f.left = d2, left
		}
	}
}

// holds reports whether p lies inside what is below: whether a ray to the left
// crosses its edge an odd number of times. A crossing is counted in its own cell.
func (o *Overhang) holds(p geom.Point) bool {
	in := false
	row, last := o.grid.cell(p.Y-o.grid.lo.Y), o.grid.cell(p.X-o.grid.lo.X)
	for x := int32(0); x <= min(last, o.grid.nx-1); x++ {
		for _, i := range o.grid.at(x, row) {
			e := &o.grid.edges[i]
			if (e.a.Y > p.Y) == (e.b.Y > p.Y) {
				continue
			}
			at := e.a.X + unit.Length(int64(e.b.X-e.a.X)*int64(p.Y-e.a.Y)/int64(e.b.Y-e.a.Y))
			if at < p.X && o.grid.cell(at-o.grid.lo.X) == x {
				in = !in
			}
		}
	}
	return in
}

// hang is how many quarters of its width a line hangs over whose middle is that deep
// inside of what is below.
func (o *Overhang) hang(depth float64) uint8 {
	w := float64(o.width)
	switch {
	case depth >= w/4:
		return 0
	case depth >= 0:
		return 1
	case depth >= -w/4:
		return 2
	case depth > -w/2:
		return 3
	}
	return 4
}

// Wall splits the rings of wall i of w where it comes to hang over more or less, and
// returns by how many quarters of the width, 0 to 4, the edge does that begins at
// each point: 1 if more than a quarter of it does, 4 if all does. It returns nil, and
// splits nothing, if no edge does. The result is good until the next call.
func (o *Overhang) Wall(w *Walls, i int) []uint8 {
	line := &w.lines[:w.n][i]
	o.rings.Reset()
	o.widths, o.hangs = o.widths[:0], o.hangs[:0]
	any := false
	for r := range line.Len() {
		ring := line.Ring(r)
		var wide []unit.Length
		if widths := w.Widths(i); widths != nil {
			end := int(line.Ends[r])
			wide = widths[end-len(ring) : end]
		}
		any = o.ring(ring, wide) || any
		o.rings.Ends = append(o.rings.Ends, int32(len(o.rings.Pts)))
	}
	if !any {
		return nil
	}
	line.Reset()
	line.Append(&o.rings)
	if w.Widths(i) != nil {
		w.widths[i] = append(w.widths[i][:0], o.widths...)
	}
	return o.hangs
}

// ring splits one ring, and reports whether any of it hangs over.
func (o *Overhang) ring(ring []geom.Point, widths []unit.Length) (any bool) {
	p := ring[0]
	was := o.depth(p, func() bool { return o.holds(p) })
	for k, a := range ring {
		b := ring[(k+1)%len(ring)]
		wide := unit.Length(0)
		if widths != nil {
			wide = widths[k]
		}
		long := distance(a, b)
		n := max(1, int(math.Ceil(long/float64(o.width))))
		begun := false
		put := func(p geom.Point, h uint8) {
			if !begun || o.hangs[len(o.hangs)-1] != h {
				o.rings.Pts = append(o.rings.Pts, p)
				o.hangs = append(o.hangs, h)
				if widths != nil {
					o.widths = append(o.widths, wide)
				}
				begun = true
			}
			any = any || h > 0
		}
		for j := 0; j < n; {
			from := between(a, b, j, n)
			if j++; was >= float64(o.width) { // it is well inside, and for a while
				j = min(j+1, n)
			}
			to := between(a, b, j, n)
			if j == n {
				to = b
			}
			inside := was > 0
			is := o.depth(to, func() bool { return inside })
			g, h := o.hang(was), o.hang(is)
			if g != h {
				put(from, g)
				put(o.change(from, to, g), h)
			} else {
				put(from, g)
			}
			was = is
		}
	}
	return any
}

// change is the place between p and q where a line ceases to hang over as it does at
// p, within an eighth of the way.
func (o *Overhang) change(p, q geom.Point, hang uint8) geom.Point {
	lo, hi := 0, 8
	for hi-lo > 1 {
		m := (lo + hi) / 2
		if o.hang(o.depth(between(p, q, m, 8), func() bool { return hang < 2 })) == hang {
			lo = m
		} else {
			hi = m
		}
	}
	return between(p, q, hi, 8)
}
