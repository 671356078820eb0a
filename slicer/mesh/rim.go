package mesh

import (
	"cmp"
	"slices"

	"platen/hal/unit"
	"platen/slicer/vault"
)

// along is a coordinate of a corner.
func (v Vertex) along(axis int) unit.Length {
	switch axis {
	case 0:
		return v.X
	case 1:
		return v.Y
	}
	return v.Z
}

// findRim lists the corners at open half-edges, sorted along the axis in which they
// lie farthest apart. It is in scratch memory and empty if there is no room.
func (d *mender) findRim() {
	m := d.m
	rim, err := vault.Scratch[int32](m.vault, 2*len(d.open))
	if err != nil || len(rim) == 0 {
		d.rim = nil
		return
	}
	var box Box
	for i, h := range d.open {
		a, b := ends(m, h)
		rim[2*i], rim[2*i+1] = a, b
		if i == 0 {
			box = Box{m.verts[a], m.verts[a]}
		}
		box.add(m.verts[a])
		box.add(m.verts[b])
	}
	size := sub(box.Max, box.Min)
	d.axis = 0
	for k := range size {
		if size[k] > size[d.axis] {
			d.axis = k
		}
	}
	slices.SortFunc(rim, func(a, b int32) int {
		return cmp.Or(cmp.Compare(m.verts[a].along(d.axis), m.verts[b].along(d.axis)), cmp.Compare(a, b))
	})
	d.rim = slices.Compact(rim)
}

// from returns the part of rim that begins at x along its axis.
func (d *mender) from(x int64) []int32 {
	i, _ := slices.BinarySearchFunc(d.rim, x, func(v int32, x int64) int {
		return cmp.Compare(int64(d.m.verts[v].along(d.axis)), x)
	})
	return d.rim[i:]
}

// weldNear makes one of corners at open edges that are nearly at one place, and
// reports whether there were any.
func (d *mender) weldNear() bool {
	m := d.m
	if len(d.open) == 0 {
		return false
	}
	mark := m.vault.Mark()
	defer m.vault.ReleaseScratch(mark)
	d.findRim()
	to, err := vault.Scratch[int32](m.vault, len(m.verts))
	if err != nil {
		return false
	}
	for i := range to {
		to[i] = int32(i)
	}
	joined := 0
	for i, a := range d.rim {
		if to[a] != a {
			continue
		}
		for _, b := range d.rim[i+1:] {
			if d.pairs--; d.pairs < 0 || m.verts[b].along(d.axis)-m.verts[a].along(d.axis) > near {
				break
			}
			if to[b] == b && length2(sub(m.verts[b], m.verts[a])) <= near*near {
				to[b] = a
				joined++
			}
		}
	}
	if joined == 0 {
		return false
	}
	m.repairs.Welded += joined
	m.rename(to)
	return true
}

// length2 is the square of a length; it does not overflow for corners of one model,
// which are at most 2^31 apart along an axis, but for the last bit.
func length2(a [3]int64) float64 {
	return float64(float64(a[0])*float64(a[0])) + float64(float64(a[1])*float64(a[1])) + float64(float64(a[2])*float64(a[2]))
}

// mostOnEdge is how many corners are looked for on one edge.
const mostOnEdge = 32

// onEdge is a corner on an edge, and how far along it.
type onEdge struct {
	at   int32
	part float64
}

// split divides triangles whose open edge has corners of others in its middle, and
// reports whether there were any. A triangle is divided along one edge at a time.
func (d *mender) split() bool {
	m := d.m
	if len(d.open) == 0 {
		return false
	}
	mark := m.vault.Mark()
	defer m.vault.ReleaseScratch(mark)
	d.findRim()
	found, err := vault.Scratch[onEdge](m.vault, mostOnEdge)
	if err != nil {
		return false
	}
	touched := d.e.state[:len(m.tris)]
	clear(touched)
	splits := 0
	for _, h := range d.open {
		t := h / 3
		if touched[t] != 0 {
			continue
		}
		on := d.cornersOn(h, found[:0])
		if len(on) == 0 || len(m.tris)+len(on) > len(m.spare) {
			continue
		}
		touched[t] = 1
		splits += len(on)
		a, b := ends(m, h)
		x := m.tris[t][(h+2)%3]
		m.tris[t] = Triangle{a, on[0].at, x}
		for i, c := range on {
			end := b
			if i+1 < len(on) {
				end = on[i+1].at
			}
			m.tris = m.spare[:len(m.tris)+1]
			m.tris[len(m.tris)-1] = Triangle{c.at, end, x}
		}
	}
	m.repairs.Split += splits
	return splits > 0
}

// cornersOn appends the corners of the rim that lie on a half-edge, in their order.
func (d *mender) cornersOn(h int32, found []onEdge) []onEdge {
	m := d.m
	a, b := ends(m, h)
	x := m.tris[h/3][(h+2)%3]
	p, q := m.verts[a], m.verts[b]
	lo := int64(min(p.along(d.axis), q.along(d.axis))) - near
	hi := int64(max(p.along(d.axis), q.along(d.axis))) + near
	way := sub(q, p)
	long2 := length2(way)
	if long2 <= 4*near*near {
		return found
	}
	for _, c := range d.from(lo) {
		v := m.verts[c]
		if d.pairs--; d.pairs < 0 || int64(v.along(d.axis)) > hi || len(found) == mostOnEdge {
			break
		}
		if c == a || c == b || c == x {
			continue
		}
		off := sub(v, p)
		part := dot(off, way) / long2
		rest2 := length2(off) - float64(part*part)*long2
		if rest2 > near*near || length2(off) <= near*near || length2(sub(v, q)) <= near*near || part <= 0 || part >= 1 {
			continue
		}
		found = append(found, onEdge{c, part})
	}
	slices.SortFunc(found, func(a, b onEdge) int { return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.at, b.at)) })
	return found
}

func dot(a, b [3]int64) float64 {
	return float64(float64(a[0])*float64(b[0])) + float64(float64(a[1])*float64(b[1])) + float64(float64(a[2])*float64(b[2]))
}
