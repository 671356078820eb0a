package pipe

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/cut"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
	"platen/slicer/wall"
)

const mm = unit.Millimetre

func params() Params {
	return Params{
		Stack: cut.Stack{First: mm / 5, Height: mm / 5}, Width: unit.Micrometres(450),
		Apart: unit.Micrometres(270), Walls: 2, TopLayers: 3, BottomLayers: 2, Density: 20, Skirts: 2, SkirtGap: 3 * mm,
		Volume: mesh.Box{Max: mesh.Vertex{X: 220 * mm, Y: 220 * mm, Z: 250 * mm}},
	}
}

func cutter(t testing.TB, s solids.Soup, p Params) *cut.Cutter {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteBinary(&b); err != nil {
		t.Fatal(err)
	}
	v, err := vault.NewPageable(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	m, err := mesh.Load(context.Background(), v, &b, int64(b.Len()), mesh.Detect)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(p.Volume); err != nil {
		t.Fatal(err)
	}
	c, err := cut.New(v, m, p.Stack)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Which layers of a cube are solid, sparse and skirted.
func TestCube(t *testing.T) {
	p := params()
	n := 0
	for l, err := range Layers(context.Background(), cutter(t, solids.Cube(), p), p) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Index != n || l.Top != unit.Length(n+1)*(mm/5) {
			t.Fatalf("layer %d at %v comes as number %d", l.Index, l.Top, n)
		}
		solid := n < p.BottomLayers || n >= 100-p.TopLayers
		skin, infill := 0, 0
		for _, h := range l.Runs.Heads {
			switch h.Role {
			case motion.Infill:
				infill++
			case motion.SolidInfill, motion.TopSkin, motion.BottomSkin:
				skin++
			}
		}
		if (skin > 0) != solid || (infill > 0) == solid || l.Walls.Len() != 2 || l.Gaps.Len() != 0 {
			t.Errorf("layer %d: %d lines of skin, %d of infill, %d walls, %d gaps", n, skin, infill, l.Walls.Len(), l.Gaps.Len())
		}
		if (l.Skirt.Len() > 0) != (n == 0) || n == 0 && l.Skirt.Len() != 2 {
			t.Errorf("layer %d: %d skirts", n, l.Skirt.Len())
		}
		n++
	}
	if n != 100 {
		t.Errorf("%d layers", n)
	}
}

func TestSkirtStaysInVolume(t *testing.T) {
	p := params()
	p.Volume.Max.X = 28 * mm // room for one of two: 3 mm and a line on either side
	for l, err := range Layers(context.Background(), cutter(t, solids.Cube(), p), p) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Skirt.Len() != 2 {
			t.Errorf("%d skirts where two just fit", l.Skirt.Len())
		}
		break
	}
	p.Volume.Max.X = 27 * mm
	for l, err := range Layers(context.Background(), cutter(t, solids.Cube(), p), p) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Skirt.Len() != 1 {
			t.Errorf("%d skirts where one fits", l.Skirt.Len())
		}
		break
	}
}

// An error of a stage ends the sequence, is its last pair, and leaves no goroutine.
func TestStageError(t *testing.T) {
	p := params()
	c := cutter(t, solids.Cube(), p)
	p.Width = -1
	synctest.Test(t, func(t *testing.T) {
		pairs := 0
		var last error
		for l, err := range Layers(t.Context(), c, p) {
			pairs++
			if last = err; err != nil && l != nil {
				t.Error("a layer comes with an error")
			}
		}
		if pairs != 1 || !errors.Is(last, wall.ErrParams) {
			t.Errorf("%d pairs, the last one %v", pairs, last)
		}
	})
}

// What a layer held is overwritten when the loop has ended; it is there before.
func TestBuffersAreWiped(t *testing.T) {
	p := params()
	var held [][]geom.Point
	for l, err := range Layers(context.Background(), cutter(t, solids.HollowSphere(), p), p) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Index < 30 {
			continue // its slices may grow yet, and leave their old place
		}
		held = append(held, l.raw.Pts, l.Outline.Pts, l.inner.Pts, l.rest.Pts, l.Runs.Pts, l.Gaps.Pts, l.Walls.Wall(0).Pts)
		break
	}
	filled := 0
	for _, pts := range held {
		for _, p := range pts[:cap(pts)] {
			if p != (geom.Point{}) {
				t.Fatal("a point is left behind")
			}
			filled++
		}
	}
	if filled < 100 {
		t.Errorf("only %d points were held", filled)
	}
}

// The memory in flight is what the package comment says.
func TestMemoryFormula(t *testing.T) {
	p := params()
	p.Stack = cut.Stack{First: mm, Height: mm}
	p.Workers = 2
	circle := func(z, r unit.Length) []solids.Point { return solids.Circle(solids.Point{Z: z}, r, 4000) }
	c := cutter(t, solids.Loft(circle(0, 60*mm), circle(40*mm, 80*mm)), p)
	var r geom.Region
	points := 0
	for c.Next(&r) {
		points = max(points, len(r.Pts))
	}
	r = geom.Region{}
	runtime.GC()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := uint64(0)
	for l, err := range Layers(context.Background(), c, p) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Index%10 == 9 {
			runtime.GC()
			runtime.ReadMemStats(&during)
			peak = max(peak, during.HeapAlloc)
		}
	}
	used := int(peak) - int(before.HeapAlloc)
	most := 2*8*points*(p.Slots()*(5+p.Walls)+2*(p.TopLayers+p.BottomLayers)) + (p.Workers+1)*500*points + 1<<20
	t.Logf("%d points: %d kB of %d kB", points, used>>10, most>>10)
	if points < 3000 {
		t.Errorf("the model has layers of %d points only", points)
	}
	if used > most {
		t.Errorf("%d bytes in flight, the formula allows %d", used, most)
	}
}

// A layer of more points than a printer has memory for is refused; one less is not.
func TestMostPoints(t *testing.T) {
	w := worker{p: params()}
	for _, n := range []int{mostPoints, mostPoints + 1} {
		l := &Layer{Width: w.p.Width}
		for i := range n { // a long comb of low teeth
			l.raw.Pts = append(l.raw.Pts, geom.Point{X: unit.Length(n/2-i) * 200, Y: unit.Length(i%2) * 200})
		}
		l.raw.Pts[0], l.raw.Pts[n-1] = geom.Point{X: l.raw.Pts[0].X, Y: 2 * mm}, geom.Point{X: l.raw.Pts[n-1].X, Y: 2 * mm}
		l.raw.Ends = append(l.raw.Ends, int32(n))
		if err := w.shape(l); errors.Is(err, geom.ErrComplex) != (n > mostPoints) {
			t.Errorf("%d points: %v", n, err)
		}
	}
}

// Specks go, thin lines and everything else stay as they were.
func TestDropSpecks(t *testing.T) {
	box := func(x, w, h unit.Length) []geom.Point {
		return []geom.Point{{X: x}, {X: x + w}, {X: x + w, Y: h}, {X: x, Y: h}}
	}
	var r, want geom.Region
	for _, b := range [][]geom.Point{box(0, 9, 9), box(20, 10, 1), box(40, 9, 9), box(60, 1, 10), box(80, 50, 50), box(200, 1, 1)} {
		r.Add(b)
	}
	want.Add(box(20, 10, 1))
	want.Add(box(60, 1, 10))
	want.Add(box(80, 50, 50))
	if dropSpecks(&r, 10); !sameRegion(&r, &want) {
		t.Errorf("left are %d rings of %d points", r.Len(), len(r.Pts))
	}
}

func BenchmarkLayers(b *testing.B) {
	p := params()
	c := cutter(b, solids.Sphere(solids.Point{}, 25*mm, 400), p)
	layers := 0
	for b.Loop() {
		for _, err := range Layers(context.Background(), c, p) {
			if err != nil {
				b.Fatal(err)
			}
			layers++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(layers), "ns/layer")
}
