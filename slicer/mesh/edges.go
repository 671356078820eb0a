package mesh

import (
	"math/bits"
	"math/rand/v2"

	"platen/slicer/vault"
)

// edges finds triangles by their edges. Half-edge 3t+k runs from corner k of
// triangle t to the next.
type edges struct {
	table []int32 // edge → one of its half-edges, +1
	next  []int32 // another half-edge of the same edge, +1
	list  []int32 // room for one number a half-edge
	state []uint8 // room for one a triangle
	seed  [2]uint64
}

// init takes the memory for all triangles that a mesh has room for, 45 to 61 bytes
// each, and reports whether it was there.
func (e *edges) init(m *Mesh) bool {
	n := len(m.spare)
	var err error
	if e.table, err = vault.Scratch[int32](m.vault, tableSize(3*n)); err != nil {
		return false
	}
	if e.next, err = vault.Scratch[int32](m.vault, 3*n); err != nil {
		return false
	}
	if e.list, err = vault.Scratch[int32](m.vault, 3*n); err != nil {
		return false
	}
	e.state, err = vault.Scratch[uint8](m.vault, n)
	e.seed = [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}
	return err == nil
}

// tableSize is the number of slots for n things.
func tableSize(n int) int { return 1 << bits.Len(uint(n+n/4)) }

// ends are the corners that half-edge h runs between.
func ends(m *Mesh, h int32) (a, b int32) {
	t := &m.tris[h/3]
	return t[h%3], t[(h+1)%3]
}

// build finds all edges anew.
func (e *edges) build(m *Mesh) {
	clear(e.table)
	for h := range int32(3 * len(m.tris)) {
		at := e.slot(m, h)
		e.next[h] = e.table[at]
		e.table[at] = h + 1
	}
}

// slot is where the edge of a half-edge is in the table, or the free slot where it
// belongs.
func (e *edges) slot(m *Mesh, h int32) int {
	a, b := ends(m, h)
	lo, hi := min(a, b), max(a, b)
	mask := len(e.table) - 1
	at := int((uint64(uint32(lo))*e.seed[0]+uint64(uint32(hi))*e.seed[1])>>34) & mask
	for ; e.table[at] != 0; at = (at + 1) & mask {
		if x, y := ends(m, e.table[at]-1); min(x, y) == lo && max(x, y) == hi {
			break
		}
	}
	return at
}

// findOpen lists the half-edges that no other one runs against. It keeps the list
// in e.list.
func (e *edges) findOpen(m *Mesh) []int32 {
	n := 0
	for h := range int32(3 * len(m.tris)) {
		at := e.slot(m, h)
		if e.table[at] != h+1 {
			continue // every edge once, at the half-edge that stands for it
		}
		excess := 0
		for i := h + 1; i != 0; i = e.next[i-1] {
			excess += e.sign(m, i-1)
		}
		for i := h + 1; i != 0 && excess != 0; i = e.next[i-1] {
			if s := e.sign(m, i-1); s > 0 == (excess > 0) {
				e.list[n] = i - 1
				n++
				excess -= s
			}
		}
	}
	return e.list[:n]
}

// sign is the direction of a half-edge.
func (e *edges) sign(m *Mesh, h int32) int {
	if a, b := ends(m, h); a < b {
		return 1
	}
	return -1
}

// other returns the half-edge that shares its edge with h and nothing else, or -1.
func (e *edges) other(m *Mesh, h int32) int32 {
	first := e.table[e.slot(m, h)]
	second := e.next[first-1]
	if second == 0 || e.next[second-1] != 0 {
		return -1
	}
	if first-1 == h {
		return second - 1
	}
	return first - 1
}

// States of a triangle while orient goes over the surface.
const (
	unseen uint8 = iota
	asIs
	turned
)

// orient turns around triangles that face the other way than most of those they
// hang together with. It ends with a look at the edges.
func (d *mender) orient() {
	if len(d.open) == 0 {
		return
	}
	m, state, queue := d.m, d.e.state[:len(d.m.tris)], d.e.list
	clear(state)
	flipped := 0
	for first := range m.tris {
		if state[first] != unseen {
			continue
		}
		n, away, sound := d.spread(int32(first))
		if !sound || away == 0 {
			continue
		}
		wrong := turned
		if away > n-away {
			wrong = asIs
		}
		// They are turned at the end: until then half-edges must keep their numbers. The
		// list has room for three numbers a triangle.
		for _, t := range queue[:n] {
			if state[t] == wrong {
				d.e.list[len(d.e.list)-1-flipped] = t
				flipped++
			}
		}
	}
	for _, t := range d.e.list[len(d.e.list)-flipped:] {
		m.tris[t][1], m.tris[t][2] = m.tris[t][2], m.tris[t][1]
	}
	m.repairs.Flipped += flipped
	d.look() // d.open is in the list
}

// spread goes over all triangles that hang together with the first, and lists them
// in d.e.list: how many there are, how many of them face the other way than it, and
// whether the surface has two sides.
func (d *mender) spread(first int32) (n, away int, sound bool) {
	m, state, queue := d.m, d.e.state, d.e.list
	state[first], queue[0] = asIs, first
	n, sound = 1, true
	for i := 0; i < n; i++ {
		t := queue[i]
		for k := range int32(3) {
			h := 3*t + k
			o := d.e.other(m, h)
			if o < 0 || o/3 == t {
				continue
			}
			want := state[t]
			if d.e.sign(m, h) == d.e.sign(m, o) {
				want = asIs + turned - want
			}
			switch state[o/3] {
			case unseen:
				state[o/3], queue[n] = want, o/3
				n++
				if want == turned {
					away++
				}
			case want:
			default:
				sound = false
			}
		}
	}
	return n, away, sound
}
