package mesh

import (
	"errors"
	"math/bits"
	"math/rand/v2"

	"platen/slicer/vault"
)

// welder gives equal corners equal indices. Its table is open addressing over
// indices into verts, at the high end of the vault; it is rebuilt from verts when
// it fills. The hash is seeded, so that no file can be made to collide.
type welder struct {
	v     *vault.Vault
	mark  vault.Mark
	above vault.Mark // of the table: over late
	verts []Vertex
	n     int
	table []int32 // index+1, 0 is free; a power of two long
	shift int     // 64 - log2(len(table))
	seed  [3]uint64
	// late are corners seen lately, by their hashes: triangles beside each other share them,
	// and the table is too large to be at hand. Empty where there is no room.
	late []lately
}

// lately is a corner and its index+1.
type lately struct {
	p  Vertex
	at int32
}

// lates is how many corners are kept at hand, 64 KiB of them.
const lates = 1 << 12

// leastSlots is how long a welder's table is at first.
const leastSlots = 1024

// newWelder makes a welder; one with room keeps corners at hand.
func newWelder(v *vault.Vault, room bool) (*welder, error) {
	w := &welder{v: v}
	w.seed = [3]uint64{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}
	var err error
	if w.verts, err = vault.Alloc[Vertex](v, 256); err != nil {
		return nil, err
	}
	w.mark = v.Mark()
	if room {
		if w.late, err = vault.Scratch[lately](v, lates); err != nil {
			return nil, err
		}
	}
	w.above = v.Mark()
	return w, w.resize(leastSlots)
}

// resize replaces the table by one with n slots.
func (w *welder) resize(n int) error {
	w.v.ReleaseScratch(w.above)
	var err error
	if w.table, err = vault.Scratch[int32](w.v, n); err != nil {
		return err
	}
	w.shift = 64 - bits.TrailingZeros(uint(n))
	for i := range w.n {
		w.table[w.slot(w.verts[i])] = int32(i) + 1
	}
	return nil
}

// anew makes the table again, after it was released for want of room.
func (w *welder) anew() error {
	w.mark, w.late = w.v.Mark(), nil
	w.above = w.mark
	return w.resize(slotsFor(w.n))
}

// expect makes the table for n corners. There must be room for it.
func (w *welder) expect(n int) error { return w.resize(max(slotsFor(n), len(w.table))) }

// slotsFor is how long a table for n corners is.
func slotsFor(n int) int {
	slots := leastSlots
	for full(n, slots) {
		slots *= 2
	}
	return slots
}

// full reports whether n corners are too many for so many slots.
func full(n, slots int) bool { return n > slots/8*5 }

// hash of a corner: its high bits count.
func (w *welder) hash(p Vertex) uint64 {
	return uint64(uint32(p.X))*w.seed[0] + uint64(uint32(p.Y))*w.seed[1] + uint64(uint32(p.Z))*w.seed[2]
}

// slot returns where p is in the table, or the free slot where it belongs.
func (w *welder) slot(p Vertex) int {
	for at := int(w.hash(p) >> w.shift); ; at = (at + 1) & (len(w.table) - 1) {
		if i := w.table[at]; i == 0 || w.verts[i-1] == p {
			return at
		}
	}
}

// index returns the index of corner p.
func (w *welder) index(p Vertex) (int32, error) {
	if w.late == nil {
		return w.find(p)
	}
	l := &w.late[w.hash(p)>>52]
	if l.at != 0 && l.p == p {
		return l.at - 1, nil
	}
	i, err := w.find(p)
	if err == nil {
		*l = lately{p, i + 1}
	}
	return i, err
}

// find is index by the table.
func (w *welder) find(p Vertex) (int32, error) {
	at := w.slot(p)
	if i := w.table[at]; i != 0 {
		return i - 1, nil
	}
	if w.n == len(w.verts) {
		if err := w.grow(); err != nil {
			return 0, err
		}
	}
	w.verts[w.n] = p
	w.n++
	w.table[at] = int32(w.n)
	if full(w.n, len(w.table)) {
		return int32(w.n - 1), w.resize(2 * len(w.table))
	}
	return int32(w.n - 1), nil
}

// grow makes room for more corners.
func (w *welder) grow() (err error) {
	w.verts, err = growHalf(w.v, w.verts)
	return err
}

// growHalf makes room for half as many corners again, or for a few if that is all
// that is left.
func growHalf(v *vault.Vault, verts []Vertex) ([]Vertex, error) {
	s, err := vault.Grow(v, verts, len(verts)+len(verts)/2)
	if errors.Is(err, vault.ErrBudget) {
		s, err = vault.Grow(v, verts, len(verts)+256)
	}
	return s, err
}

// finish gives back the table and the room that was not needed.
func (w *welder) finish() ([]Vertex, error) {
	w.v.ReleaseScratch(w.mark)
	return vault.Grow(w.v, w.verts, max(w.n, 1))
}

// twins keeps triangles, but for those that are the same as one before: the same corners
// and the same side out. Its table is open addressing over indices into tris.
type twins struct {
	tris  []Triangle
	n     int
	table []int32 // index+1, 0 is free
	seed  [3]uint64
}

// newTwins makes a table for most triangles, which are kept in tris.
func newTwins(v *vault.Vault, tris []Triangle, most int) (*twins, error) {
	table, err := vault.Scratch[int32](v, tableFor(most))
	if err != nil {
		return nil, err
	}
	return &twins{tris: tris, table: table, seed: [3]uint64{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}}, nil
}

// tableFor is how long the table is for so many triangles.
func tableFor(most int) int { return most + most/4 + 1 }

// add keeps a triangle, its lowest corner first, and reports whether it is the first of
// its kind.
func (w *twins) add(t Triangle) bool {
	t = lowestFirst(t)
	h := uint64(t[0])*w.seed[0] + uint64(t[1])*w.seed[1] + uint64(t[2])*w.seed[2]
	at := int((h >> 32) * uint64(len(w.table)) >> 32)
	for w.table[at] != 0 {
		if w.tris[w.table[at]-1] == t {
			return false
		}
		if at++; at == len(w.table) {
			at = 0
		}
	}
	w.tris[w.n] = t
	w.n++
	w.table[at] = int32(w.n)
	return true
}

// dropDuplicates removes triangles that are in tris before, keeps the order of the
// others, and returns how many are left.
func dropDuplicates(v *vault.Vault, tris []Triangle) (int, error) {
	mark := v.Mark()
	defer v.ReleaseScratch(mark)
	w, err := newTwins(v, tris, len(tris))
	if err != nil {
		return 0, err
	}
	for _, t := range tris {
		w.add(t)
	}
	return w.n, nil
}

// lowestFirst rotates a triangle so that its lowest index comes first.
func lowestFirst(t Triangle) Triangle {
	switch {
	case t[1] < t[0] && t[1] < t[2]:
		return Triangle{t[1], t[2], t[0]}
	case t[2] < t[0] && t[2] < t[1]:
		return Triangle{t[2], t[0], t[1]}
	}
	return t
}
