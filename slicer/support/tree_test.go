package support

import (
	"math/rand/v2"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// scene is a heap of boxes and leaning bodies, most of them in the air.
func scene(rng *rand.Rand) solids.Soup {
	all := box(0, 0, 0, 60, 60, 1)
	for range 3 + rng.IntN(12) {
		x, y, z := unit.Length(rng.IntN(50)), unit.Length(rng.IntN(50)), unit.Length(rng.IntN(40))
		w, d, h := unit.Length(1+rng.IntN(20)), unit.Length(1+rng.IntN(20)), unit.Length(1+rng.IntN(10))
		foot := solids.Rect(solids.Point{X: x * mm, Y: y * mm}, solids.Point{X: (x + w) * mm, Y: (y + d) * mm}, z*mm)
		top := solids.Raised(foot, (z+h)*mm)
		for i := range top {
			top[i].X += unit.Length(rng.IntN(3)) * mm
		}
		all = solids.Join(all, solids.Loft(foot, top))
	}
	return all.Moved(solids.Point{X: -30 * mm, Y: -30 * mm})
}

// loose counts the pieces of branches that neither go on in another nor end on the bed
// or on the part, and those whose middle is in the part.
func loose(p *Plan, r *rays) (loose, within int) {
	for k := 0; k+1 < len(p.levels); k++ {
		for _, q := range p.pieces[p.levels[k+1]:p.levels[k]] {
			x, y := p.grid.around(q.a)
			rests := r.touches(p.grid.cell(x, y), q.z0, q.z1)
			if bx, by := p.grid.around(q.b); q.a != q.b && r.touches(p.grid.cell(bx, by), q.z0, q.z0+levelHeight) {
				within++
			}
			if q.z0 <= p.floor || rests {
				continue
			}
			carried := false
			if k > 0 {
				for _, o := range p.pieces[p.levels[k]:p.levels[k-1]] {
					reach := int64(max(o.ra, q.rb) + p.p.Width/2)
					carried = carried || distance2(o.a, q.b) <= reach*reach
				}
			}
			if !carried {
				loose++
			}
		}
	}
	return loose, within
}

// TestTreesStand: every branch goes on down to the bed or to the part, through free
// space. The control is a plan without the branches of one level.
func TestTreesStand(t *testing.T) {
	n := uint64(40)
	if testing.Short() {
		n = 4
	}
	pieces, noticed := 0, 0
	for seed := range n {
		p := params(Tree)
		p.Bridge = 0
		p.BedOnly = seed%3 == 0
		v, m := load(t, scene(rand.New(rand.NewPCG(seed, 7))))
		got, err := New(v, m, p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := shine(v, m, got.grid, p)
		if err != nil {
			t.Fatal(err)
		}
		if n, within := loose(got, r); n > 0 || within > 0 {
			t.Errorf("seed %d: of %d pieces %d stand on nothing, %d are in the part", seed, len(got.pieces), n, within)
		}
		pieces += len(got.pieces)
		if k := len(got.levels) / 2; k > 1 && got.levels[k] > got.levels[k+1] {
			copy(got.pieces[got.levels[k+1]:], got.pieces[got.levels[k]:])
			gone := got.levels[k] - got.levels[k+1]
			for i := range k + 1 {
				got.levels[i] -= gone
			}
			if n, _ := loose(got, r); n > 0 {
				noticed++
			}
		}
	}
	if pieces < 50*int(n) || noticed < int(n)/3 {
		t.Errorf("%d pieces in all; without a level %d of %d plans fall, want most", pieces, noticed, n)
	}
}

// TestBrokenMesh: whatever the surface is like, there is a plan.
func TestBrokenMesh(t *testing.T) {
	n := uint64(4)
	if testing.Short() {
		n = 1
	}
	for seed := range n {
		rng := rand.New(rand.NewPCG(seed, 8))
		s := scene(rng)
		for range 1 + len(s)/10 {
			i := rng.IntN(len(s))
			switch rng.IntN(3) {
			case 0: // a hole
				s = append(s[:i], s[i+1:]...)
			case 1: // the wrong way around
				s[i][0], s[i][1] = s[i][1], s[i][0]
			default: // anywhere
				s[i][0].Z += unit.Length(rng.IntN(20)) * mm
			}
		}
		for _, k := range []Kind{Grid, Tree} {
			v, m := load(t, s)
			got, err := New(v, m, params(k))
			if err != nil {
				t.Fatal(err)
			}
			sw := NewSweep(got)
			for z := unit.Length(0); z < 70*mm; z += mm {
				sw.Rise(z)
			}
			if !sw.Body().Empty() || !sw.Roof().Empty() {
				t.Errorf("seed %d: support above the model", seed)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestRays: what rays say is solid is what is, for bodies whose sides are nowhere near
// a ray, whether they overlap, are inside out within each other, or touch.
func TestRays(t *testing.T) {
	v, m := load(t, solids.Join(box(0, 0, 0, 20, 20, 10), box(5, 5, 5, 15, 15, 30), box(2, 2, 2, 4, 4, 8).Reversed()))
	p := params(Grid)
	g := newGrid(m.Bounds(), p)
	mark := v.Mark()
	defer v.ReleaseScratch(mark)
	r, err := shine(v, m, g, p)
	if err != nil {
		t.Fatal(err)
	}
	o := m.Bounds().Min
	in := func(x, y, z, x0, y0, z0, x1, y1, z1 float64) bool {
		return x > x0 && x < x1 && y > y0 && y < y1 && z > z0 && z < z1
	}
	solid := 0
	for c := range int32(g.cells()) {
		at := g.middle(c)
		x, y := (at.X - o.X).MM(), (at.Y - o.Y).MM()
		for z := 0.5; z < 35; z++ {
			void := in(x, y, z, 2, 2, 2, 4, 4, 8)
			want := in(x, y, z, 0, 0, 0, 20, 20, 10) && !void || in(x, y, z, 5, 5, 5, 15, 15, 30)
			if got := r.solid(c, o.Z+unit.Length(z*float64(mm))); got != want {
				t.Fatalf("at %v, %v, %v solid is %v, want %v", x, y, z, got, want)
			}
			if want {
				solid++
			}
		}
	}
	if solid == 0 {
		t.Error("nothing is solid")
	}
}

// FuzzPlan plans whatever triangles there are.
func FuzzPlan(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := vault.NewPageable(16 << 20)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		s := box(0, 0, 0, 5, 5, 5)
		for ; len(b) >= 9 && len(s) < 400; b = b[9:] {
			var tri [3]solids.Point
			for k := range tri {
				tri[k] = solids.Point{X: unit.Length(b[3*k]) * mm / 4, Y: unit.Length(b[3*k+1]) * mm / 4, Z: unit.Length(b[3*k+2]) * mm / 8}
			}
			s = append(s, tri)
		}
		m := fromSoup(t, v, s)
		if m == nil {
			return
		}
		for _, k := range []Kind{Grid, Tree} {
			mark := v.Mark()
			p, err := New(v, m, params(k))
			if err != nil {
				t.Fatal(err)
			}
			sw := NewSweep(p)
			for z := unit.Length(0); z < 40*mm; z += mm {
				sw.Rise(z)
			}
			v.Release(mark)
		}
	})
}

// fromSoup is nil if nothing of the triangles can be printed.
func fromSoup(t *testing.T, v *vault.Vault, s solids.Soup) *mesh.Mesh {
	t.Helper()
	m, err := mesh.Load(t.Context(), v, reader(t, s), int64(84+50*len(s)), mesh.STL)
	if err != nil || m.Place(bed()) != nil {
		return nil
	}
	return m
}
