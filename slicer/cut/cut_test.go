package cut

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

const mm = unit.Millimetre

var (
	bed   = mesh.Box{Max: mesh.Vertex{X: 220 * mm, Y: 220 * mm, Z: 250 * mm}}
	stack = Stack{First: mm / 4, Height: mm / 5}
)

func load(t testing.TB, s solids.Soup) (*vault.Vault, *mesh.Mesh) {
	t.Helper()
	return loadInto(t, s, 64<<20)
}

func loadInto(t testing.TB, s solids.Soup, budget int64) (*vault.Vault, *mesh.Mesh) {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteBinary(&b); err != nil {
		t.Fatal(err)
	}
	v, err := vault.NewPageable(budget)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	m, err := mesh.Load(context.Background(), v, &b, int64(b.Len()), mesh.Detect)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(bed); err != nil {
		t.Fatal(err)
	}
	return v, m
}

func cutter(t testing.TB, s solids.Soup, st Stack) *Cutter {
	t.Helper()
	v, m := load(t, s)
	c, err := New(v, m, st)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mm2 is the area of a region in mm².
func mm2(r *geom.Region) float64 {
	return float64(r.Area2()) / 2 / float64(mm) / float64(mm)
}

func TestStack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Stack{
			First:  unit.Length(rapid.IntRange(2, 1<<17).Draw(t, "first")),
			Height: unit.Length(rapid.IntRange(2, 1<<17).Draw(t, "height")),
		}
		z := unit.Length(rapid.IntRange(0, 1<<22).Draw(t, "z"))
		i := s.above(z)
		if s.Middle(i) <= z || (i > 0 && s.Middle(i-1) > z) {
			t.Fatalf("layer %d is not the lowest above", i)
		}
		if n := s.Count(z); n > 0 && s.Middle(n-1) >= z || s.Middle(n) < z {
			t.Fatalf("%d layers", n)
		}
		if s.Top(i) <= s.Middle(i) || s.Top(i)-s.Thickness(i) > s.Middle(i) {
			t.Fatal("the middle of a layer is outside of it")
		}
	})
}

// The layers of every model together have its volume, outlines close, and none is
// repaired.
func TestModels(t *testing.T) {
	for _, m := range solids.Models() {
		v, placed := load(t, m.Make())
		c, err := New(v, placed, Stack{First: mm / 20, Height: mm / 20})
		if err != nil {
			t.Fatal(err)
		}
		var r geom.Region
		volume, layers := 0.0, 0
		for c.Next(&r) {
			if r.Empty() {
				t.Errorf("%s: layer %d is empty", m.File, layers)
			}
			volume += mm2(&r) / 20
			layers++
		}
		if layers != c.Layers() || layers == 0 {
			t.Errorf("%s: %d layers of %d", m.File, layers, c.Layers())
		}
		if want := placed.Volume().MM3(); math.Abs(volume/want-1) > 0.002 {
			t.Errorf("%s: layers hold %.2f mm³, the mesh %.2f", m.File, volume, want)
		}
		if c.Repairs() != (Repairs{}) {
			t.Errorf("%s: repaired %+v", m.File, c.Repairs())
		}
	}
}

func TestCubeSection(t *testing.T) {
	c := cutter(t, solids.Cube(), stack)
	if c.Layers() != 100 {
		t.Errorf("%d layers, want 100", c.Layers())
	}
	var r geom.Region
	for range 2 { // again after Rewind
		n := 0
		for c.Next(&r) {
			if r.Len() != 1 || mm2(&r) != 400 {
				t.Fatalf("layer %d: %d rings of %v mm²", n, r.Len(), mm2(&r))
			}
			n++
		}
		if n != 100 {
			t.Errorf("%d layers", n)
		}
		c.Rewind()
	}
}

// Corners and faces that lie exactly in a plane are cut once, not twice and not
// never.
func TestCornersOnThePlane(t *testing.T) {
	st := Stack{First: 2 * mm, Height: 2 * mm} // planes at 1, 3, 5, … mm
	for name, body := range map[string]solids.Soup{
		"steps":       solids.Join(solids.Box(solids.Point{}, solids.Point{X: 10 * mm, Y: 10 * mm, Z: 3 * mm}), solids.Box(solids.Point{X: 2 * mm, Y: 2 * mm, Z: 3 * mm}, solids.Point{X: 6 * mm, Y: 6 * mm, Z: 7 * mm})),
		"octahedron":  solids.Join(cone(0, 5), cone(10, 5)),
		"bipyramid":   solids.Join(cone(0, 3), cone(6, 3)),
		"sphere":      solids.Sphere(solids.Point{}, 5*mm, 8),
		"fine sphere": solids.Sphere(solids.Point{}, 5*mm, 80),
	} {
		c := cutter(t, body, st)
		var r geom.Region
		for i := 0; c.Next(&r); i++ {
			if mm2(&r) <= 0 {
				t.Errorf("%s: layer %d has area %v", name, i, mm2(&r))
			}
		}
		if c.Repairs() != (Repairs{}) {
			t.Errorf("%s: repaired %+v", name, c.Repairs())
		}
	}
	c := cutter(t, solids.Join(cone(0, 5), cone(10, 5)), st)
	var r geom.Region
	want := []float64{4, 36, 100, 36, 4} // the square of twice the distance to the tip
	for i := 0; c.Next(&r); i++ {
		if mm2(&r) != want[i] {
			t.Errorf("octahedron: layer %d has %v mm², want %v", i, mm2(&r), want[i])
		}
	}
}

// cone is one half of a double pyramid with its tip at height tip and a square of
// 10 mm, without a face, at height base.
func cone(tip, base unit.Length) solids.Soup {
	sq := solids.Rect(solids.Point{X: -5 * mm, Y: -5 * mm}, solids.Point{X: 5 * mm, Y: 5 * mm}, base*mm)
	var s solids.Soup
	for i, p := range sq {
		q := sq[(i+1)%4]
		if tip < base {
			p, q = q, p
		}
		s = append(s, [3]solids.Point{p, q, {Z: tip * mm}})
	}
	return s
}

// A random closed surface cuts to rings of the right total area: the sum over all
// triangles of the area swept from the axis, computed here in floating point.
func TestAgainstGreen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		body := solids.Sphere(solids.Point{}, 20*mm, 2*rapid.IntRange(2, 12).Draw(t, "n"))
		noise := map[solids.Point]solids.Point{}
		for i, tri := range body {
			for k, p := range tri {
				if _, ok := noise[p]; !ok {
					d := func() unit.Length { return unit.Length(rnd.IntN(6*1024)-3*1024) * mm / 1024 }
					noise[p] = solids.Point{X: p.X + d(), Y: p.Y + d(), Z: p.Z + d()}
				}
				body[i][k] = noise[p]
			}
		}
		var b bytes.Buffer
		if err := body.WriteBinary(&b); err != nil {
			t.Fatal(err)
		}
		v, err := vault.NewPageable(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		m, err := mesh.Load(context.Background(), v, &b, int64(b.Len()), mesh.Detect)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Place(bed); err != nil {
			t.Fatal(err)
		}
		st := Stack{First: mm, Height: 3 * mm}
		c, err := New(v, m, st)
		if err != nil {
			t.Fatal(err)
		}
		var r geom.Region
		for i := 0; c.Next(&r); i++ {
			want := greenArea(m, float64(st.Middle(i)))
			if got := mm2(&r); math.Abs(got-want) > 0.001 {
				t.Fatalf("layer %d has %v mm², want %v", i, got, want)
			}
		}
		if c.Repairs() != (Repairs{}) {
			t.Fatalf("repaired %+v", c.Repairs())
		}
	})
}

// greenArea is the signed area of the section at z by Green's theorem, in mm².
func greenArea(m *mesh.Mesh, z float64) float64 {
	sum := 0.0
	for _, t := range m.Triangles() {
		var from, to [2]float64
		n := 0
		for i := range t {
			a, b := m.Vertices()[t[i]], m.Vertices()[t[(i+1)%3]]
			if (float64(a.Z) >= z) == (float64(b.Z) >= z) {
				continue
			}
			f := (z - float64(a.Z)) / float64(b.Z-a.Z)
			p := [2]float64{float64(a.X-110*mm) + f*float64(b.X-a.X), float64(a.Y-110*mm) + f*float64(b.Y-a.Y)}
			if float64(a.Z) >= z {
				from = p
			} else {
				to = p
			}
			n++
		}
		if n == 2 {
			sum += from[0]*to[1] - from[1]*to[0]
		}
	}
	return sum / 2 / float64(mm) / float64(mm)
}

// Bodies that touch along an edge, and edges with many triangles, still give
// closed rings.
func TestSharedEdges(t *testing.T) {
	a := solids.Box(solids.Point{}, solids.Point{X: 10 * mm, Y: 10 * mm, Z: 10 * mm})
	body := solids.Join(a, a.Moved(solids.Point{X: 10 * mm, Y: 10 * mm}), a.Moved(solids.Point{X: 10 * mm}))
	c := cutter(t, body, stack)
	var r geom.Region
	for c.Next(&r) {
		if mm2(&r) != 300 {
			t.Fatalf("%v mm²", mm2(&r))
		}
	}
	if c.Repairs() != (Repairs{}) {
		t.Errorf("repaired %+v", c.Repairs())
	}
}

// tightCutter cuts a mesh that the vault has no room to repair in.
func tightCutter(t testing.TB, s solids.Soup) *Cutter {
	t.Helper()
	v, m := loadInto(t, s, int64(110<<10+45*len(s)))
	if m.Repairs().Open != -1 {
		t.Fatalf("the mesh was repaired: %+v", m.Repairs())
	}
	c, err := New(v, m, stack)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Cracks and holes are bridged where the mesh was not repaired; what cannot be is left out and counted.
func TestOpenMeshes(t *testing.T) {
	sphere := solids.Sphere(solids.Point{}, 12*mm, 96)
	rnd := rand.New(rand.NewPCG(3, 4))
	var holed, cracked solids.Soup
	for _, tri := range sphere {
		if rnd.IntN(50) > 0 {
			holed = append(holed, tri)
		}
		for k := range tri { // every triangle by itself, corners 3 µm apart
			tri[k].X += unit.Length(rnd.IntN(3)) * 64 * 2
		}
		cracked = append(cracked, tri)
	}
	for name, body := range map[string]solids.Soup{"holed": holed, "cracked": cracked} {
		c := tightCutter(t, body)
		var r geom.Region
		volume := 0.0
		for i := 0; c.Next(&r); i++ {
			volume += mm2(&r) * stack.Thickness(i).MM()
		}
		if want := 4 * math.Pi / 3 * 12 * 12 * 12; math.Abs(volume/want-1) > 0.03 {
			t.Errorf("%s: %.0f mm³, want %.0f", name, volume, want)
		}
		if c.Repairs().Closed == 0 {
			t.Errorf("%s: nothing was bridged", name)
		}
	}
	var open solids.Soup // a quarter is missing
	for _, tri := range sphere {
		if tri[0].X < 0 || tri[0].Y < 0 {
			open = append(open, tri)
		}
	}
	c := tightCutter(t, open)
	var r geom.Region
	for c.Next(&r) {
		if mm2(&r) < 0 {
			t.Error("negative area")
		}
	}
	if c.Repairs().Dropped == 0 {
		t.Error("an outline with a quarter missing was not dropped")
	}
}

func TestBudget(t *testing.T) {
	for left, want := range map[int]error{10_000: vault.ErrBudget, 40_000: nil} {
		v, m := load(t, solids.HollowSphere())
		if _, err := vault.Alloc[byte](v, int(v.Free())-left); err != nil {
			t.Fatal(err)
		}
		if _, err := New(v, m, stack); !errors.Is(err, want) {
			t.Errorf("%d bytes left: got %v", left, err)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	c := cutter(t, solids.HollowSphere(), stack)
	var r geom.Region
	for c.Next(&r) {
	}
	if n := testing.AllocsPerRun(3, func() {
		c.Rewind()
		for c.Next(&r) {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCut(b *testing.B) {
	c := cutter(b, solids.Sphere(solids.Point{}, 50*mm, 400), stack)
	var r geom.Region
	layers, points := 0, 0
	for b.Loop() {
		c.Rewind()
		for c.Next(&r) {
			layers++
			points += len(r.Pts)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(layers), "ns/layer")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(points), "ns/point")
}
