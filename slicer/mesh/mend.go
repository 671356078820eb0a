package mesh

import (
	"math/rand/v2"

	"platen/slicer/vault"
)

// near is how far apart two corners may be that were one: 10 µm, less than any
// machine can print and more than rounding makes of one point.
const near = 10 * 65536 / 1000

// rounds bounds how often the edges are looked at anew.
const rounds = 6

// mender repairs a surface that is not closed: corners that are nearly one, single
// triangles that are inside out, corners in the middle of an edge, and holes, in
// this order, for each makes the next easier. What it has no room for, in the spare
// triangles of the mesh or in the vault, stays as it is: cutting then bridges the
// gaps of every layer.
type mender struct {
	m     *Mesh
	e     edges
	open  []int32 // half-edges that no other one runs against
	rim   []int32 // corners at open half-edges
	axis  int     // along which rim is sorted
	pairs int     // comparisons that are left
	poly  polygon
}

// mostMends bounds the comparisons of corners with edges.
const mostMends = 1 << 23

// mend repairs the surface. A vault without room for that is no error.
func (m *Mesh) mend() {
	if m.balanced() {
		return
	}
	m.repairs.Open = -1
	mark := m.vault.Mark()
	defer m.vault.ReleaseScratch(mark)
	if !m.welded && m.weldEqual() && m.balanced() {
		m.repairs.Open = 0
		return
	}
	d := &mender{m: m, pairs: mostMends}
	if d.poly.init(m.vault) != nil || !d.e.init(m) {
		return
	}
	d.repair()
	m.repairs.Open = len(d.open)
	m.measure()
}

// repair does one thing after the other. Triangles are turned around again when
// more of them hang together.
func (d *mender) repair() {
	d.look()
	d.orient()
	if d.weldNear() {
		d.look()
		d.orient()
	}
	for range rounds {
		if !d.split() {
			break
		}
		d.look()
	}
	if d.weldNear() {
		d.look()
	}
	d.orient()
	if d.fill() {
		d.look()
	}
}

// look finds the edges of the surface and those that are open.
func (d *mender) look() {
	d.e.build(d.m)
	d.open = d.e.findOpen(d.m)
}

// balanced reports whether every edge runs as often in one direction as in the
// other, as it does if the surface is closed. It adds up a seeded hash of every
// edge, with the sign of its direction, and is wrong once in 2^64.
func (m *Mesh) balanced() bool {
	s0, s1, s2 := rand.Uint64()|1, rand.Uint64()|1, rand.Uint64()|1
	sum := uint64(0)
	for _, t := range m.tris {
		a := t[2]
		for _, b := range t {
			h := (uint64(uint32(min(a, b)))*s0 + uint64(uint32(max(a, b)))) * s1
			h = (h ^ h>>32) * s2
			h ^= h >> 29
			if a < b {
				sum += h
			} else {
				sum -= h
			}
			a = b
		}
	}
	return sum == 0
}

// weldEqual makes one of all corners at the same place, and reports whether there
// was room for that.
func (m *Mesh) weldEqual() bool {
	mark := m.vault.Mark()
	defer m.vault.ReleaseScratch(mark)
	w := &welder{v: m.vault, mark: mark, verts: m.verts}
	w.seed = [3]uint64{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}
	if w.resize(tableSize(len(m.verts))) != nil {
		return false
	}
	to, err := vault.Scratch[int32](m.vault, len(m.verts))
	if err != nil {
		return false
	}
	joined := 0
	for i, p := range m.verts {
		at := w.slot(p)
		if w.table[at] == 0 {
			w.table[at] = int32(i) + 1
		} else {
			joined++
		}
		to[i] = w.table[at] - 1
	}
	m.repairs.Welded += joined
	m.rename(to)
	m.welded = true
	return true
}

// rename replaces corners, and drops the triangles that become lines.
func (m *Mesh) rename(to []int32) {
	kept := 0
	for _, t := range m.tris {
		t = Triangle{to[t[0]], to[t[1]], to[t[2]]}
		if t[0] != t[1] && t[1] != t[2] && t[2] != t[0] {
			m.tris[kept] = t
			kept++
		}
	}
	m.tris = m.spare[:kept]
}
