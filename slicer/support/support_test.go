package support

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

const mm = unit.Millimetre

func bed() mesh.Box {
	return mesh.Box{Max: mesh.Vertex{X: 200 * mm, Y: 200 * mm, Z: 200 * mm}}
}

// params are those of a usual print.
func params(k Kind) Params {
	return Params{
		Kind: k, Angle: 50 * mesh.Degree, Layer: mm / 5, Gap: mm / 5, Aside: mm * 2 / 5, Width: mm * 9 / 20, Roof: mm * 2 / 5,
		Least: 2_000_000, Bridge: 10 * mm, Room: bed(),
		Branch: Branch{Tip: mm, Stem: 2 * mm, Most: 8 * mm, Spread: 3 * mm, Lean: 40 * mesh.Degree, Taper: 5 * mesh.Degree},
	}
}

// load puts a body into a vault and places it.
func load(t testing.TB, s solids.Soup) (*vault.Vault, *mesh.Mesh) {
	t.Helper()
	v, err := vault.NewPageable(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	m, err := mesh.Load(t.Context(), v, reader(t, s), int64(84+50*len(s)), mesh.STL)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(bed()); err != nil {
		t.Fatal(err)
	}
	return v, m
}

func plan(t testing.TB, s solids.Soup, p Params) (*Plan, *mesh.Mesh) {
	t.Helper()
	v, m := load(t, s)
	before := v.Free()
	out, err := New(v, m, p)
	if err != nil {
		t.Fatal(err)
	}
	if used, most := before-v.Free(), int64(20*cap(out.props)+32*len(out.pieces)+4*len(out.levels)+512); used > most {
		t.Errorf("the plan keeps %d bytes, want at most %d", used, most)
	}
	return out, m
}

// box is a box in whole millimetres.
func box(x0, y0, z0, x1, y1, z1 unit.Length) solids.Soup {
	return solids.Box(solids.Point{X: x0 * mm, Y: y0 * mm, Z: z0 * mm}, solids.Point{X: x1 * mm, Y: y1 * mm, Z: z1 * mm})
}

// area is that of a mask in mm².
func area(m *Mask) float64 { return float64(m.n) / 4 }

// TestPlateOnPost: under a plate on a post there are props on all of the bed below it,
// but for the post, and a roof below the plate.
func TestPlateOnPost(t *testing.T) {
	p, _ := plan(t, solids.Join(box(10, 10, 0, 20, 20, 11), box(0, 0, 10, 30, 30, 12)), params(Grid))
	s := NewSweep(p)
	for z := mm / 10; z < 10*mm; z += mm / 5 {
		s.Rise(z)
		// 900 - 100 mm², and a cell more all around.
		if a := area(s.Body()); a < 800 || a > 900 {
			t.Fatalf("at %v there are %v mm² of props", z, a)
		}
		if a, roof := area(s.Roof()), z > 10*mm-mm*3/5; roof != (a > 790) || !roof && a != 0 {
			t.Fatalf("at %v there are %v mm² of roof", z, a)
		}
		if a := area(s.Foot()); a != 0 {
			t.Fatalf("at %v there are %v mm² of feet on the bed", z, a)
		}
	}
	if s.Rise(10*mm + mm/10); !s.Body().Empty() {
		t.Error("there are props in the plate")
	}
}

// TestAngle: an arm is supported if it leans more than is allowed.
func TestAngle(t *testing.T) {
	foot := solids.Rect(solids.Point{}, solids.Point{X: 10 * mm, Y: 10 * mm}, 0)
	for lean, tenths := range map[mesh.Angle]unit.Length{35: 70, 45: 100, 55: 143, 65: 214} {
		top := solids.Raised(foot, 20*mm)
		for i := range top {
			top[i].X += 2 * mm * tenths / 10 * 10 / 10
		}
		p := params(Grid)
		p.Angle = (lean - 2) * mesh.Degree
		if got, _ := plan(t, solids.Loft(foot, top), p); got.Empty() {
			t.Errorf("an arm at %d° has no support beyond %d°", lean, lean-2)
		}
		p.Angle = (lean + 2) * mesh.Degree
		if got, _ := plan(t, solids.Loft(foot, top), p); !got.Empty() {
			t.Errorf("an arm at %d° has support beyond %d°", lean, lean+2)
		}
	}
}

// TestBridge: a lintel between two posts is bridged up to the length that is allowed,
// and a plate held on one side is not.
func TestBridge(t *testing.T) {
	gate := func(wide unit.Length) solids.Soup {
		return solids.Join(box(0, 0, 0, 5, 10, 11), box(5+wide, 0, 0, 10+wide, 10, 11), box(0, 0, 10, 10+wide, 10, 12))
	}
	for wide, want := range map[unit.Length]bool{6: false, 9: false, 12: true, 20: true} {
		if p, _ := plan(t, gate(wide), params(Grid)); p.Empty() == want {
			t.Errorf("a gate of %d mm: supported %v, want %v", wide, !p.Empty(), want)
		}
	}
	p := params(Grid)
	p.Bridge = 0
	if got, _ := plan(t, gate(6), p); got.Empty() {
		t.Error("a gate has no support although nothing is to be bridged")
	}
	if got, _ := plan(t, solids.Join(box(0, 0, 0, 5, 10, 11), box(0, 0, 10, 11, 10, 12)), params(Grid)); got.Empty() {
		t.Error("a plate held on one side has no support")
	}
}

// TestPoints: what hangs from above as a point or an edge is supported from below,
// however steep its sides are and however thin it is.
func TestPoints(t *testing.T) {
	frame := solids.Join(box(0, 0, 0, 4, 20, 20), box(0, 0, 19, 20, 20, 21))
	spike := func(x, y unit.Length) solids.Soup {
		at := solids.Point{X: x, Y: y, Z: 8 * mm}
		return solids.Loft(solids.Circle(at, mm/32, 16), solids.Circle(solids.Point{X: x, Y: y, Z: 20 * mm}, 2*mm, 16))
	}
	for i := range unit.Length(8) { // wherever the rays are
		x := 12*mm + i*mm/16
		s := solids.Join(frame, spike(x, 10*mm+i*mm/13))
		p, m := plan(t, s, params(Grid))
		sw := NewSweep(p)
		sw.Rise(7 * mm)
		b := m.Bounds().Min
		cx, cy := p.grid.around(geom.Point{X: b.X + x, Y: b.Y + 10*mm})
		if !sw.Body().has(cx, cy) {
			t.Errorf("nothing below the spike at %v", x)
		}
	}
	for i := range unit.Length(8) {
		x := 12*mm + i*mm/16
		p, m := plan(t, solids.Join(frame, solids.Box(solids.Point{X: x, Y: 2 * mm, Z: 8 * mm}, solids.Point{X: x + mm*2/5, Y: 18 * mm, Z: 20 * mm})), params(Grid))
		sw := NewSweep(p)
		sw.Rise(7 * mm)
		b := m.Bounds().Min
		cx, cy := p.grid.around(geom.Point{X: b.X + x + mm/5, Y: b.Y + 10*mm})
		if !sw.Body().has(cx, cy) {
			t.Errorf("nothing below the fin at %v", x)
		}
	}
}

// TestLeast: a small lip is left alone, but not a small body in the air.
func TestLeast(t *testing.T) {
	if p, _ := plan(t, solids.Join(box(0, 0, 0, 10, 10, 20), box(9, 4, 10, 11, 5, 12)), params(Grid)); !p.Empty() {
		t.Error("a lip of 1 mm² has support")
	}
	if p, _ := plan(t, solids.Join(box(0, 0, 0, 10, 10, 20), box(12, 4, 10, 13, 5, 12)), params(Grid)); p.Empty() {
		t.Error("a body of 1 mm² in the air has none")
	}
}

// TestBedOnly: nothing stands on the part if it must not.
func TestBedOnly(t *testing.T) {
	s := solids.Join(box(0, 0, 0, 30, 10, 2), box(0, 0, 0, 5, 10, 20), box(0, 0, 19, 40, 10, 21))
	for _, k := range []Kind{Grid, Tree} {
		p := params(k)
		got, m := plan(t, s, p)
		// over counts cells, or the middles of branches, above the part and beside it.
		over := func(p *Plan, z unit.Length) (on, off int) {
			sw := NewSweep(p)
			sw.Rise(z)
			o := m.Bounds().Min
			count := func(at geom.Point) {
				if at.X > o.X && at.X < o.X+30*mm && at.Y > o.Y && at.Y < o.Y+10*mm {
					on++
				} else {
					off++
				}
			}
			for c := range int32(p.grid.cells()) {
				if x, y := p.grid.at(c); sw.Body().has(x, y) {
					count(p.grid.middle(c))
				}
			}
			var r geom.Region
			sw.Branches(&r)
			for i := range r.Len() {
				ring := r.Ring(i)
				count(geom.Point{X: (ring[0].X + ring[8].X) / 2, Y: (ring[4].Y + ring[12].Y) / 2})
			}
			return on, off
		}
		if on, _ := over(got, 5*mm); on == 0 {
			t.Errorf("kind %d: nothing stands on the part although it may", k)
		}
		p.BedOnly = true
		got, _ = plan(t, s, p)
		if on, off := over(got, mm*5/2); on != 0 || off == 0 {
			t.Errorf("kind %d: %d pieces above the part and %d beside it, want none and some", k, on, off)
		}
	}
}

// TestOff: nothing is planned, and nothing taken from the vault.
func TestOff(t *testing.T) {
	v, m := load(t, solids.Overhang())
	before := v.Stats()
	if _, err := New(v, m, Params{}); !errors.Is(err, ErrParams) {
		t.Errorf("parameters of nothing: %v", err)
	}
	p, err := New(v, m, params(Off))
	if err != nil || !p.Empty() {
		t.Fatalf("a plan of nothing: %v", err)
	}
	if v.Stats() != before {
		t.Error("a plan of nothing takes memory")
	}
	s := NewSweep(p)
	var r geom.Region
	s.Rise(5 * mm)
	if s.Branches(&r); !r.Empty() || !s.Body().Empty() {
		t.Error("a plan of nothing holds something up")
	}
}

// TestBudget: a plan that does not fit leaves nothing behind.
func TestBudget(t *testing.T) {
	v, m := load(t, solids.Overhang())
	if _, err := vault.Alloc[byte](v, int(v.Free())-40<<10); err != nil {
		t.Fatal(err)
	}
	before := v.Free()
	if _, err := New(v, m, params(Tree)); !errors.Is(err, vault.ErrBudget) {
		t.Errorf("got %v", err)
	}
	if v.Free() != before {
		t.Errorf("%d bytes are left in the vault", before-v.Free())
	}
}

// TestNothingShows: a plan is design data.
func TestNothingShows(t *testing.T) {
	p, _ := plan(t, solids.Overhang(), params(Grid))
	s := NewSweep(p)
	s.Rise(mm)
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	l.Info("x", "plan", p, "sweep", s, "mask", s.Body())
	text := fmt.Sprintf("%v %+v %#v %v %#v %v %#v", p, p, p, s, s, s.Body(), *s.Body()) + log.String()
	if strings.ContainsFunc(strings.NewReplacer("time=", "").Replace(strings.Split(text, "time=")[0]), func(r rune) bool { return r >= '0' && r <= '9' }) {
		t.Errorf("numbers show in %q", text)
	}
}

// TestSame: the same plan comes out each time.
func TestSame(t *testing.T) {
	for _, k := range []Kind{Grid, Tree} {
		a, _ := plan(t, solids.Overhang(), params(k))
		b, _ := plan(t, solids.Overhang(), params(k))
		if !slices.Equal(a.props, b.props) || !slices.Equal(a.pieces, b.pieces) || a.Empty() {
			t.Errorf("kind %d: two plans of one model differ, or are empty", k)
		}
	}
}

// BenchmarkPlan plans the support of a model, of the file that PLATEN_MODEL names if it
// is set. It is to be held against the time that slicing takes: less than a fifth.
func BenchmarkPlan(b *testing.B) {
	for name, k := range map[string]Kind{"grid": Grid, "tree": Tree} {
		b.Run(name, func(b *testing.B) {
			var v *vault.Vault
			var m *mesh.Mesh
			if file := os.Getenv("PLATEN_MODEL"); file != "" {
				v, m = loadFile(b, file)
			} else {
				v, m = load(b, solids.Overhang())
			}
			mark := v.Mark()
			var p *Plan
			for b.Loop() {
				v.Release(mark)
				var err error
				if p, err = New(v, m, params(k)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(v.Stats().Peak-v.Stats().Used)/1024, "kB-scratch")
			b.ReportMetric(float64(len(p.props)), "props")
			b.ReportMetric(float64(len(p.pieces)), "pieces")
			b.ReportMetric(float64(len(m.Triangles())), "triangles")
		})
	}
}

func loadFile(b *testing.B, name string) (*vault.Vault, *mesh.Mesh) {
	content, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	v, err := vault.NewPageable(512 << 20)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = v.Close() })
	m, err := mesh.Load(b.Context(), v, bytes.NewReader(content), int64(len(content)), mesh.Detect)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Place(bed()); err != nil {
		b.Fatal(err)
	}
	return v, m
}

// reader is a body as a file.
func reader(t testing.TB, s solids.Soup) *bytes.Reader {
	t.Helper()
	var file bytes.Buffer
	if err := s.WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(file.Bytes())
}
