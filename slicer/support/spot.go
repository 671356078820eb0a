package support

import (
	"slices"

	"platen/hal/unit"
	"platen/slicer/vault"
)

// spot is a piece of underside in one cell that may need support.
type spot struct {
	cell   int32
	lo, hi unit.Length // between which it is
	patch  int32       // spots that touch each other are of one patch
	flags  uint8
}

// Flags of a spot. The lowest four tell along which of the ways it could be bridged.
const (
	anchored uint8 = 1 << (iota + 4) // something solid is next to it, a little lower
	needed
)

// ways are the directions in which a patch may be bridged.
var ways = [4][2]int32{{1, 0}, {0, 1}, {1, 1}, {-1, 1}}

// next8 are the cells around a cell.
var next8 = [8][2]int32{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}}

// spots lists by cell what may need support: undersides that lean too much, and those
// with nothing next to them to hang on to. Flags and patches are not set.
func (r *rays) spots(v *vault.Vault, p Params, floor unit.Length) (list []spot, err error) {
	n := 0
	least := floor + p.Gap + p.Layer // below there is no room for support
	for pass := range 2 {
		if pass == 1 {
			if list, err = vault.Scratch[spot](v, n); err != nil || n == 0 {
				return nil, err
			}
			n = 0
		}
		for c := range int32(r.cells()) {
			unders := part(r.unders, r.undEnds, c)
			if pass == 0 {
				slices.Sort(unders)
			}
			for len(unders) > 0 {
				s, leans, used := group(c, unders)
				unders = unders[used:]
				if s.hi < least || r.solid(c, s.lo-p.step()) || !leans && r.beside(&s, p.step()) {
					continue
				}
				if pass == 1 {
					list[n] = s
				}
				n++
			}
		}
	}
	return list, nil
}

// step is how much lower than an underside is what it hangs on to.
func (p Params) step() unit.Length { return max(p.Layer, unit.Millimetre/5) }

// group takes the lowest undersides of a cell that are within one height.
func group(c int32, unders []int32) (s spot, leans bool, used int) {
	s = spot{cell: c, lo: unit.Length(unders[0] >> 1)}
	for _, u := range unders {
		if unit.Length(u>>1) > s.lo+cell {
			break
		}
		s.hi = unit.Length(u >> 1)
		leans = leans || u&1 != 0
		used++
	}
	return s, leans, used
}

// beside reports whether a cell next to a spot is solid so much lower than it.
func (r *rays) beside(s *spot, step unit.Length) bool {
	x, y := r.at(s.cell)
	for _, d := range next8 {
		if r.has(x+d[0], y+d[1]) && r.solid(r.cell(x+d[0], y+d[1]), s.lo-step) {
			return true
		}
	}
	return false
}

// patch is what spots that touch each other have in common.
type patch struct {
	size     int32 // spots
	left     int32 // that cannot be bridged the best way
	way      uint8 // the best one, as a flag
	anchored bool
	bridged  [len(ways)]int32 // spots that can be
}

// choose sets needed for the spots that get support. starts has room for a number a
// cell and one more.
func (r *rays) choose(v *vault.Vault, list []spot, p Params) ([]patch, error) {
	starts, err := vault.Scratch[int32](v, r.cells()+1)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		starts[s.cell+1]++
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	for i := range list {
		list[i].patch = int32(i)
	}
	for i := range list {
		r.unite(list, starts, int32(i))
	}
	n := int32(0)
	for i := range list { // a root comes before all that belong to it
		s := &list[i]
		if s.patch == int32(i) {
			s.patch = n
			n++
		} else {
			s.patch = list[s.patch].patch
		}
	}
	patches, err := vault.Scratch[patch](v, int(n))
	if err != nil {
		return nil, err
	}
	for i := range list {
		r.survey(&list[i], &patches[list[i].patch], p)
	}
	decide(list, patches, p)
	return patches, nil
}

// unite makes spot i one patch with those in the cells to its right and above it.
func (r *rays) unite(list []spot, starts []int32, i int32) {
	s := &list[i]
	x, y := r.at(s.cell)
	for _, d := range [...][2]int32{{1, 0}, {-1, 1}, {0, 1}, {1, 1}} {
		if !r.has(x+d[0], y+d[1]) {
			continue
		}
		c := r.cell(x+d[0], y+d[1])
		for k := starts[c]; k < starts[c+1]; k++ {
			if t := &list[k]; t.lo <= s.hi+cell && s.lo <= t.hi+cell {
				a, b := root(list, i), root(list, k)
				list[max(a, b)].patch = min(a, b)
			}
		}
	}
}

// root finds the first spot of a patch, and shortens the way to it.
func root(list []spot, i int32) int32 {
	for list[i].patch != i {
		list[i].patch = list[list[i].patch].patch
		i = list[i].patch
	}
	return i
}

// survey looks around a spot and adds what it finds to its patch.
func (r *rays) survey(s *spot, t *patch, p Params) {
	t.size++
	if r.beside(s, p.step()) {
		s.flags |= anchored
		t.anchored = true
	}
	if p.Bridge == 0 {
		return
	}
	for i, d := range ways {
		long := p.Bridge
		if d[0] != 0 && d[1] != 0 {
			long = unit.Length(int64(long) * 1000 / 1414)
		}
		most := int32(long >> cellBits)
		if n := r.walk(s, d, most, p); n > 0 && n+r.walk(s, [2]int32{-d[0], -d[1]}, most, p)-1 <= most {
			s.flags |= 1 << i
			t.bridged[i]++
		}
	}
}

// walk counts the cells along an underside from a spot to the first that is solid
// below it; it is more than most if there is none.
func (r *rays) walk(s *spot, d [2]int32, most int32, p Params) int32 {
	x, y := r.at(s.cell)
	for n := int32(1); n <= most+1; n++ {
		x, y = x+d[0], y+d[1]
		if !r.has(x, y) {
			break
		}
		c := r.cell(x, y)
		if r.solid(c, s.lo-p.step()) {
			return n
		}
		if !r.solid(c, s.hi+p.step()) {
			break
		}
	}
	return 2*most + 2
}

// decide sets needed.
func decide(list []spot, patches []patch, p Params) {
	for i := range patches {
		t := &patches[i]
		best := 0
		for k, n := range t.bridged {
			if n > t.bridged[best] {
				best = k
			}
		}
		t.left = t.size
		if n := t.bridged[best]; n > 0 {
			t.way = 1 << best
			t.left -= n
		}
	}
	const um2 = int64(cell) * 1000 / int64(unit.Millimetre) // side of a cell in µm
	for i := range list {
		s := &list[i]
		t := &patches[s.patch]
		if s.flags&t.way == 0 && (!t.anchored || int64(t.left)*um2*um2 >= int64(p.Least)) {
			s.flags |= needed
		}
	}
}
