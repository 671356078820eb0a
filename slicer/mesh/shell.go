package mesh

import (
	"math"

	"platen/slicer/vault"
)

// Bounds on the search for shells that are inside out: how many are looked at, and
// how many pairs are compared. A mesh in more pieces is left as it is.
const (
	maxShells = 1 << 16
	maxPairs  = 1 << 24
)

// shell is a connected part of the surface.
type shell struct {
	six    float64    // times its signed volume
	normal [3]float64 // sum of all normals: zero for a closed one
	area   float64
	box    Box
	turn   uint8
}

// closed reports whether the shell encloses a volume, up to rounding.
func (s *shell) closed() bool {
	n := s.normal
	return math.Sqrt(float64(n[0]*n[0])+float64(n[1]*n[1])+float64(n[2]*n[2])) <= 1e-6*s.area
}

// holds reports whether box b lies in the box of s.
func (s *shell) holds(b Box) bool {
	return s.box.Min.X <= b.Min.X && s.box.Min.Y <= b.Min.Y && s.box.Min.Z <= b.Min.Z &&
		s.box.Max.X >= b.Max.X && s.box.Max.Y >= b.Max.Y && s.box.Max.Z >= b.Max.Z
}

// turnShells turns around closed shells that are inside out although they are no
// voids: nothing the right way out is around them. Under the positive fill rule
// they would vanish. It returns how many there were. A vault without room for the
// search is no error: nothing is turned then.
func (m *Mesh) turnShells() int {
	mark := m.vault.Mark()
	defer m.vault.ReleaseScratch(mark)
	of, err := vault.Scratch[int32](m.vault, len(m.verts))
	if err != nil {
		return 0
	}
	n := m.label(of)
	if n == 1 {
		m.bodies = 1
	}
	if n < 2 || n > maxShells {
		return 0
	}
	shells, err := vault.Scratch[shell](m.vault, n)
	if err != nil {
		return 0
	}
	m.measureShells(shells, of)
	turned := choose(shells)
	m.bodies = 0
	for i := range shells {
		if shells[i].six > 0 || shells[i].turn != 0 {
			m.bodies++
		}
	}
	if turned > 0 {
		for i, t := range m.tris {
			if shells[of[t[0]]].turn != 0 {
				m.tris[i] = Triangle{t[0], t[2], t[1]}
			}
		}
	}
	return turned
}

// label sets of[i] to the number of the shell that vertex i is in, and returns how
// many there are.
func (m *Mesh) label(of []int32) int {
	for i := range of {
		of[i] = int32(i)
	}
	root := func(i int32) int32 {
		for of[i] != i {
			of[i] = of[of[i]]
			i = of[i]
		}
		return i
	}
	for _, t := range m.tris {
		for _, b := range t[1:] {
			// The lower index leads, so that every vertex comes after its leader.
			x, y := root(t[0]), root(b)
			of[max(x, y)] = min(x, y)
		}
	}
	n := int32(0)
	for i, lead := range of {
		if int(lead) == i {
			of[i] = n
			n++
		} else {
			of[i] = of[lead]
		}
	}
	return int(n)
}

func (m *Mesh) measureShells(shells []shell, of []int32) {
	o := m.bounds.Min
	for i := range shells {
		shells[i].box = Box{m.bounds.Max, m.bounds.Min} // empty
	}
	for _, t := range m.tris {
		s := &shells[of[t[0]]]
		a := m.verts[t[0]]
		n := cross(sub(m.verts[t[1]], a), sub(m.verts[t[2]], a))
		s.six += sixVolume(sub(a, o), n)
		square := 0.0
		for i, x := range n {
			s.normal[i] += float64(x)
			square += float64(float64(x) * float64(x))
		}
		s.area += math.Sqrt(square)
		for _, i := range t {
			s.box.add(m.verts[i])
		}
	}
}

// choose marks the shells to turn and returns how many there are.
func choose(shells []shell) int {
	negative := 0
	for i := range shells {
		if shells[i].six < 0 {
			negative++
		}
	}
	if int64(negative)*int64(len(shells)) > maxPairs {
		return 0
	}
	turned := 0
	for i := range shells {
		s := &shells[i]
		if s.six >= 0 || !s.closed() {
			continue
		}
		void := false
		for k := range shells {
			if shells[k].six > 0 && shells[k].turn == 0 && shells[k].holds(s.box) {
				void = true
				break
			}
		}
		if !void {
			s.turn = 1
			turned++
		}
	}
	return turned
}
