package mesh

import (
	"cmp"
	"slices"

	"platen/slicer/vault"
)

// fill closes holes with triangles between their corners, and reports whether there
// were any. At every corner as many open edges end as begin, so that all of them
// are in closed lines; where several pass through one corner any way will do.
func (d *mender) fill() bool {
	m := d.m
	if len(d.open) == 0 {
		return false
	}
	mark := m.vault.Mark()
	defer m.vault.ReleaseScratch(mark)
	w := &walk{d: d}
	var err error
	if w.place, err = vault.Scratch[int32](m.vault, len(m.verts)); err != nil {
		return false
	}
	if w.path, err = vault.Scratch[int32](m.vault, len(d.open)+1); err != nil {
		return false
	}
	// A filling runs against the open edges: from where they end.
	slices.SortFunc(d.open, func(g, h int32) int {
		_, a := ends(m, g)
		_, b := ends(m, h)
		return cmp.Or(cmp.Compare(a, b), cmp.Compare(g, h))
	})
	if w.used, err = vault.Scratch[uint8](m.vault, len(d.open)); err != nil {
		return false
	}
	before := len(m.tris)
	for i := range d.open {
		if w.used[i] == 0 {
			w.from(i)
		}
	}
	return len(m.tris) > before
}

// walk follows open edges backwards.
type walk struct {
	d     *mender
	place []int32 // corner → where on the path, +1
	path  []int32 // corners
	n     int
	used  []uint8 // by open edge
}

// from follows the open edges from number i on until none goes on. Wherever the way
// comes to a corner for the second time, a hole has been walked around.
func (w *walk) from(i int) {
	m := w.d.m
	_, at := ends(m, w.d.open[i])
	w.n = 0
	w.push(at)
	for i >= 0 {
		w.used[i] = 1
		at, _ = ends(m, w.d.open[i])
		if p := w.place[at]; p != 0 {
			w.close(w.path[p-1 : w.n])
			for w.n > int(p) {
				w.n--
				w.place[w.path[w.n]] = 0
			}
		} else {
			w.push(at)
		}
		i = w.next(at)
	}
	for w.n > 0 {
		w.n--
		w.place[w.path[w.n]] = 0
	}
}

func (w *walk) push(at int32) {
	w.path[w.n] = at
	w.n++
	w.place[at] = int32(w.n)
}

// next is an open edge that ends at a corner and was not used, or -1.
func (w *walk) next(at int32) int {
	m := w.d.m
	i, _ := slices.BinarySearchFunc(w.d.open, at, func(h, at int32) int {
		_, b := ends(m, h)
		return cmp.Compare(b, at)
	})
	for ; i < len(w.d.open); i++ {
		w.d.pairs--
		if _, b := ends(m, w.d.open[i]); b != at || w.d.pairs < 0 {
			return -1
		}
		if w.used[i] == 0 {
			return i
		}
	}
	return -1
}

// close fills a hole, if there is room for it.
func (w *walk) close(hole []int32) {
	m := w.d.m
	if len(hole) < 3 || len(m.tris)+len(hole)-2 > len(m.spare) {
		return
	}
	m.repairs.Filled++
	_ = w.d.poly.cut(m.verts, hole, func(t Triangle) error {
		m.tris = m.spare[:len(m.tris)+1]
		m.tris[len(m.tris)-1] = t
		return nil
	}) // emit has no error
}
