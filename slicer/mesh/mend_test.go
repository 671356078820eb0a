package mesh

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/vault"
)

// closedWrong counts edges that do not run as often in both directions, slowly.
func closedWrong(m *Mesh) int {
	count := map[[2]int32]int{}
	for _, t := range m.tris {
		for i := range t {
			count[[2]int32{t[i], t[(i+1)%3]}]++
		}
	}
	wrong := 0
	for e, n := range count {
		if n != count[[2]int32{e[1], e[0]}] {
			wrong++
		}
	}
	return wrong
}

func placed(t testing.TB, s solids.Soup) *Mesh {
	t.Helper()
	m, err := loadBytes(t, binarySTL(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(bed); err != nil {
		t.Fatal(err)
	}
	return m
}

// sound is what no repair was needed for.
func sound(r Repairs) bool { return r == Repairs{} }

// Every kind of damage to a body is repaired, said, and leaves the body as it was:
// closed, and of the same volume. The control is the body itself, of which nothing
// is repaired.
func TestMend(t *testing.T) {
	ball := solids.Sphere(solids.Point{}, 12*mm, 64)
	want := placed(t, ball)
	if !sound(want.Repairs()) || closedWrong(want) != 0 {
		t.Fatalf("control: %+v", want.Repairs())
	}
	rng := rand.New(rand.NewPCG(5, 6))
	some := func(one int, f func(tri [3]solids.Point) solids.Soup) (out solids.Soup) {
		for _, tri := range ball {
			if rng.IntN(one) == 0 {
				out = append(out, f(tri)...)
			} else {
				out = append(out, tri)
			}
		}
		return out
	}
	turn := func(tri [3]solids.Point) solids.Soup { return solids.Soup{{tri[0], tri[2], tri[1]}} }
	middle := func(a, b solids.Point) solids.Point {
		return solids.Point{X: (a.X + b.X) / 2, Y: (a.Y + b.Y) / 2, Z: (a.Z + b.Z) / 2}
	}
	shaken := func(tri [3]solids.Point) solids.Soup { // by up to 4 µm, off the grid of files: 1/256 mm
		for k := range tri {
			tri[k].X += unit.Length(rng.IntN(3)) * (mm / 1024)
		}
		return solids.Soup{tri}
	}
	for _, c := range []struct {
		name  string
		body  solids.Soup
		did   func(Repairs) bool
		exact float64 // share of the volume that may differ
	}{
		{"flipped", some(8, turn), func(r Repairs) bool { return r.Flipped > 100 }, 1e-9},
		{"most flipped", solids.Soup(some(6, turn)).Reversed(), func(r Repairs) bool { return r.Flipped > 100 && r.Reversed }, 1e-9},
		{"missing", some(60, func([3]solids.Point) solids.Soup { return nil }), func(r Repairs) bool { return r.Filled > 5 }, 1e-3},
		{"missing and flipped", some(8, func(tri [3]solids.Point) solids.Soup {
			if rng.IntN(8) == 0 {
				return nil
			}
			return turn(tri)
		}), func(r Repairs) bool { return r.Filled > 5 && r.Flipped > 100 }, 1e-3},
		{"cracked", some(1, shaken), func(r Repairs) bool { return r.Welded > 1000 }, 2e-3},
		{"corners in edges", some(10, func(tri [3]solids.Point) solids.Soup {
			m := middle(tri[0], tri[1])
			return solids.Soup{{tri[0], m, tri[2]}, {m, tri[1], tri[2]}}
		}), func(r Repairs) bool { return r.Split > 50 }, 1e-6},
		{"degenerate and double", some(10, func(tri [3]solids.Point) solids.Soup {
			return solids.Soup{tri, tri, {tri[0], tri[0], tri[1]}}
		}), func(r Repairs) bool { return r.Degenerate > 50 && r.Duplicate > 50 }, 1e-9},
		{"a cap is missing", func() (out solids.Soup) {
			for _, tri := range ball {
				if tri[0].Z < 11*mm {
					out = append(out, tri)
				}
			}
			return out
		}(), func(r Repairs) bool { return r.Filled == 1 }, 0.02},
	} {
		m := placed(t, c.body)
		r := m.Repairs()
		if !c.did(r) || r.Open != 0 {
			t.Errorf("%s: %+v", c.name, r)
		}
		if n := closedWrong(m); n != 0 {
			t.Errorf("%s: %d edges are open", c.name, n)
		}
		if d := math.Abs(m.Volume().MM3()/want.Volume().MM3() - 1); d > c.exact {
			t.Errorf("%s: the volume is off by %.6f", c.name, d)
		}
	}
}

// A side of a cube is a flat hole, whatever its shape: closed, it is the cube again.
func TestFillIsFlat(t *testing.T) {
	ring := solids.Around(solids.Point{X: 15 * mm, Y: 15 * mm}, 15*mm, 64)
	star := make([]solids.Point, len(ring))
	for i, p := range ring { // every other corner drawn in: far from convex
		star[i] = p
		if i%2 == 1 {
			star[i] = solids.Point{X: (p.X-15*mm)/2048*1024 + 15*mm, Y: (p.Y-15*mm)/2048*1024 + 15*mm}
		}
	}
	for name, foot := range map[string][]solids.Point{"many corners": ring, "star": star, "small star": star[:0:0]} {
		if len(foot) == 0 {
			for i := 0; i < len(star); i += 4 {
				foot = append(foot, star[i], star[i+1])
			}
		}
		var walls solids.Soup
		top := solids.Raised(foot, 10*mm)
		for i, a := range foot {
			k := (i + 1) % len(foot)
			walls = append(walls, [3]solids.Point{a, foot[k], top[k]}, [3]solids.Point{a, top[k], top[i]})
		}
		area := 0.0
		for i, a := range foot {
			b := foot[(i+1)%len(foot)]
			area += (a.X.MM()*b.Y.MM() - a.Y.MM()*b.X.MM()) / 2
		}
		m := placed(t, walls)
		if r := m.Repairs(); r.Filled != 2 || r.Open != 0 || closedWrong(m) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if got := m.Volume().MM3(); math.Abs(got-10*area) > 0.01 {
			t.Errorf("%s: %.3f mm³, want %.3f", name, got, 10*area)
		}
	}
}

// Where there is no room to repair, in the spare triangles or in the vault, the mesh
// loads all the same and says so.
func TestNoRoomToMend(t *testing.T) {
	ball := solids.Sphere(solids.Point{}, 12*mm, 96)
	var holed solids.Soup
	for i, tri := range ball {
		if i%5 > 0 {
			holed = append(holed, tri)
		}
	}
	if r := placed(t, holed).Repairs(); r.Open <= 0 || r.Filled == 0 {
		t.Errorf("%d holes: %+v", len(ball)/5, r)
	}
	file := binarySTL(t, holed)
	v := newVault(t, int64(110<<10+45*len(holed)))
	m, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), STL)
	if err != nil || m.Repairs().Open != -1 || m.Repairs().Filled != 0 {
		t.Errorf("%v: %+v", err, m.Repairs())
	}
}

// Triangles anyhow: repairs end, and leave every triangle with three corners.
func TestMendAnything(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 9))
		var s solids.Soup
		side := 2 + rng.IntN(6)
		for range 1 + rng.IntN(200) {
			var tri [3]solids.Point
			for k := range tri {
				tri[k] = solids.Point{X: unit.Length(rng.IntN(side)) * mm, Y: unit.Length(rng.IntN(side)) * mm, Z: unit.Length(rng.IntN(side)) * mm}
			}
			s = append(s, tri)
		}
		file := binarySTL(t, s)
		v := newVault(t, 1<<18)
		m, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), STL)
		if err != nil {
			continue // only degenerate ones
		}
		for _, tri := range m.tris {
			for k, a := range tri {
				if a < 0 || int(a) >= len(m.verts) || a == tri[(k+1)%3] {
					t.Fatalf("seed %d: a triangle is broken", seed)
				}
			}
		}
		if r := m.Repairs(); (r.Open == 0) != (closedWrong(m) == 0) {
			t.Fatalf("seed %d: %+v, and %d edges are open", seed, r, closedWrong(m))
		}
	}
}

// A larger budget takes all that a smaller one does, a soup that shares no corner as well: where a
// table of twins leaves too little room for its corners, it goes.
func TestLargerBudgetsTakeMore(t *testing.T) {
	const n = 60_000
	forgone, least := 0, int64(0)
	for budget := int64(4 << 20); budget < 6<<20; budget += 128 << 10 {
		l, err := newLoader(newVault(t, budget), n)
		if err != nil {
			t.Fatal(err)
		}
		twins := l.twins != nil
		for i := 0; i < n && err == nil; i++ {
			x, y := float64(i%200), float64(i/200)
			err = l.facet(&[9]float64{x, y, 0, x + .5, y, 0, x, y + .5, 1})
		}
		switch {
		case err != nil && !errors.Is(err, vault.ErrBudget):
			t.Fatal(err)
		case err != nil && least > 0:
			t.Errorf("%d bytes are too few, and %d were enough", budget, least)
		case err == nil && least == 0:
			least = budget
		}
		if err != nil {
			continue
		}
		if twins && l.twins == nil {
			forgone++
		}
		if l.weld.n != 3*n || l.n != n {
			t.Errorf("with %d bytes: %d corners of %d triangles", budget, l.weld.n, l.n)
		}
	}
	if least <= 4<<20 || forgone == 0 {
		t.Errorf("control: %d bytes are enough, and the table of twins went %d times", least, forgone)
	}
}

// Twins are dropped while a file arrives, if there is room, and else at its end: with the
// same outcome. The control is a file without them.
func TestTwinsWhileArriving(t *testing.T) {
	ball := solids.Sphere(solids.Point{}, 10*mm, 80)
	twice := slices.Concat(ball, ball[:500], ball)
	for _, c := range []struct {
		body   solids.Soup
		copies int
	}{{ball, 0}, {twice, 500 + len(ball)}} {
		file := binarySTL(t, c.body)
		var got [2]*Mesh
		for i, budget := range []int64{16 << 20, 1<<19 + int64(len(c.body))*26} {
			v := newVault(t, budget)
			l, err := newLoader(v, int64(len(c.body)))
			if err != nil || (l.twins != nil) != (i == 0) {
				t.Fatalf("with %d bytes: %v, twins %v", budget, err, l != nil && l.twins != nil)
			}
			if got[i], err = Load(context.Background(), newVault(t, budget), bytes.NewReader(file), int64(len(file)), STL); err != nil {
				t.Fatal(err)
			}
			if n := got[i].Repairs().Duplicate; n != c.copies {
				t.Errorf("%d copies, %d were there", n, c.copies)
			}
		}
		if !slices.Equal(got[0].Triangles(), got[1].Triangles()) || got[0].Bounds() != got[1].Bounds() {
			t.Error("the two are not the same")
		}
	}
}
