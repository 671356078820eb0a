package mesh

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/vault"
)

const mm = unit.Millimetre

var bed = Box{Max: Vertex{220 * mm, 220 * mm, 250 * mm}}

func newVault(t testing.TB, budget int64) *vault.Vault {
	t.Helper()
	v, err := vault.NewPageable(budget)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func binarySTL(t testing.TB, s solids.Soup) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteBinary(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func loadBytes(t testing.TB, b []byte) (*Mesh, error) {
	t.Helper()
	return Load(context.Background(), newVault(t, 64<<20), bytes.NewReader(b), int64(len(b)), Detect)
}

func TestModels(t *testing.T) {
	sphere := func(r float64) float64 { return 4 * math.Pi / 3 * r * r * r }
	volumes := map[string]float64{ // mm³, parts that overlap count twice
		"cube.stl":          8000,
		"cube-ascii.stl":    8000,
		"bracket.stl":       2*(900-25*math.Pi)*4 + 2*50*3,
		"cone.stl":          math.Pi*100*8 + math.Pi/3*12*(100+30+9),
		"thin-box.stl":      30*20 + (30*20-27.6*17.6)*11.5,
		"tee.stl":           8*10*13 + 24*10*6,
		"overlap.stl":       2 * math.Pi * 64 * 10,
		"hollow-sphere.stl": sphere(12) - sphere(8),
		"thin.stl":          4 * (16*(0.45+0.6+0.7+0.8) + 20*0.85 + 0.7*(10+8+12+10) + math.Pi*(25-4.4*4.4)),
		"overhang.stl":      2100 + 3600 + 12*math.Sin(math.Pi/12)*12/3*(4+0.125+1./256) + 0.625*22*7 + 1248 + 2*160 + 2*480 + 640,
		"tug.stl":           0, // no closed form; it has one of its own below
	}
	for _, m := range solids.Models() {
		f, err := os.Open(filepath.Join("../../testdata/models", m.File))
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load(context.Background(), newVault(t, 8<<20), f, st.Size(), Detect)
		_ = f.Close()
		if err != nil {
			t.Errorf("%s: %v", m.File, err)
			continue
		}
		if err := got.Place(bed); err != nil {
			t.Errorf("%s: %v", m.File, err)
		}
		if r := got.Repairs(); r != (Repairs{}) {
			t.Errorf("%s was repaired: %+v", m.File, r)
		}
		want, ok := volumes[strings.TrimSuffix(m.File, filepath.Ext(m.File))+".stl"]
		if v := got.Volume().MM3(); !ok || (want > 0 && math.Abs(v/want-1) > 0.005) || v < 100 {
			t.Errorf("%s: volume %.1f mm³, want %.1f", m.File, v, want)
		}
		b := got.Bounds()
		if b.Min.Z != 0 || abs(b.Min.X+b.Max.X-220*mm) > 1 || abs(b.Min.Y+b.Max.Y-220*mm) > 1 {
			t.Errorf("%s does not stand in the middle of the bed", m.File)
		}
	}
}

func abs(l unit.Length) unit.Length { return max(l, -l) }

// The binary and the ASCII form of a body load to the same mesh, however the
// reader cuts it up.
func TestSameFromEitherForm(t *testing.T) {
	body := solids.Tug()
	var ascii bytes.Buffer
	if err := body.WriteASCII(&ascii, "a name\twith words"); err != nil {
		t.Fatal(err)
	}
	shouting := bytes.ReplaceAll(bytes.ToUpper(ascii.Bytes()), []byte("\n"), []byte("\r\n"))
	want, err := loadBytes(t, binarySTL(t, body))
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range [][]byte{ascii.Bytes(), shouting, binarySTL(t, body)} {
		readers := map[string]io.Reader{
			"whole": bytes.NewReader(file), "bytes": iotest.OneByteReader(bytes.NewReader(file)),
			"halves": iotest.HalfReader(bytes.NewReader(file)), "last bytes with EOF": iotest.DataErrReader(bytes.NewReader(file)),
		}
		for name, r := range readers {
			got, err := Load(context.Background(), newVault(t, 8<<20), r, int64(len(file)), Detect)
			if err != nil {
				t.Fatalf("form %d, %s: %v", i, name, err)
			}
			if fmt.Sprint(got.verts) != fmt.Sprint(want.verts) || fmt.Sprint(got.tris) != fmt.Sprint(want.tris) {
				t.Errorf("form %d, %s: another mesh", i, name)
			}
		}
	}
}

func TestReaderErrorsPass(t *testing.T) {
	cube := binarySTL(t, solids.Cube())
	broken := errors.New("authentication failed")
	for n := range len(cube) {
		r := io.MultiReader(bytes.NewReader(cube[:n]), iotest.ErrReader(broken))
		if _, err := Load(context.Background(), newVault(t, 1<<20), r, int64(len(cube)), Detect); !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	// An error that comes with the end, when all triangles are there, counts too.
	r := io.MultiReader(bytes.NewReader(cube), iotest.ErrReader(broken))
	if _, err := Load(context.Background(), newVault(t, 1<<20), r, int64(len(cube)), Detect); !errors.Is(err, broken) {
		t.Errorf("at the end: %v", err)
	}
	r = io.MultiReader(bytes.NewReader(cube), strings.NewReader("x"))
	if _, err := Load(context.Background(), newVault(t, 1<<20), r, int64(len(cube)), Detect); !errors.Is(err, ErrFormat) {
		t.Errorf("longer than announced: %v", err)
	}
	if _, err := Load(context.Background(), newVault(t, 1<<20), bytes.NewReader(cube[:300]), int64(len(cube)), Detect); !errors.Is(err, ErrFormat) {
		t.Errorf("shorter than announced: %v", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cube := binarySTL(t, solids.Cube())
	if _, err := Load(ctx, newVault(t, 1<<20), bytes.NewReader(cube), int64(len(cube)), Detect); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A binary file may begin with the word that begins a text file.
func TestBinaryThatSaysSolid(t *testing.T) {
	cube := binarySTL(t, solids.Cube())
	copy(cube, "solid cube\nfacet normal 0 0 0\n")
	m, err := loadBytes(t, cube)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Triangles()) != 12 || len(m.Vertices()) != 8 {
		t.Errorf("%d triangles on %d corners", len(m.Triangles()), len(m.Vertices()))
	}
}

func TestRepairs(t *testing.T) {
	cube := solids.Cube()
	spike := [3]solids.Point{cube[0][0], cube[0][1], cube[0][1]}
	turned := [3]solids.Point{cube[2][1], cube[2][2], cube[2][0]}
	dirty := append(solids.Join(cube, solids.Soup{spike, turned, cube[5], cube[5]}).Reversed(), spike)
	m, err := loadBytes(t, binarySTL(t, dirty))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(bed); err != nil {
		t.Fatal(err)
	}
	if got, want := m.Repairs(), (Repairs{Degenerate: 2, Duplicate: 3, Reversed: true}); got != want {
		t.Errorf("repairs %+v, want %+v", got, want)
	}
	if len(m.Triangles()) != 12 || m.Volume() != 8000*unit.CubicMillimetre {
		t.Errorf("%d triangles, volume %v", len(m.Triangles()), m.Volume())
	}
}

// Bodies that are inside out beside others that are not are turned around; voids
// stay as they are.
func TestShells(t *testing.T) {
	cube := func(x, y, z, side unit.Length) solids.Soup {
		lo := solids.Point{X: x * mm, Y: y * mm, Z: z * mm}
		return solids.Box(lo, solids.Point{X: lo.X + side*mm, Y: lo.Y + side*mm, Z: lo.Z + side*mm})
	}
	for _, c := range []struct {
		name     string
		body     solids.Soup
		volume   float64
		reversed bool
		shells   int
	}{
		{"two cubes", solids.Join(cube(0, 0, 0, 10), cube(20, 0, 0, 10)), 2000, false, 0},
		{"one inside out", solids.Join(cube(0, 0, 0, 10), solids.Soup.Reversed(cube(20, 0, 0, 8))), 1512, false, 1},
		{"both inside out", solids.Soup.Reversed(solids.Join(cube(0, 0, 0, 10), cube(20, 0, 0, 10))), 2000, true, 0},
		{"a void", solids.Join(cube(0, 0, 0, 10), solids.Soup.Reversed(cube(2, 2, 2, 5))), 875, false, 0},
		{"hollow, inside out", solids.Soup.Reversed(solids.Join(cube(0, 0, 0, 10), solids.Soup.Reversed(cube(2, 2, 2, 5)))), 875, true, 0},
		{"two voids, one body inside out", solids.Join(cube(0, 0, 0, 10), solids.Soup.Reversed(cube(1, 1, 1, 3)), solids.Soup.Reversed(cube(5, 5, 5, 3)), solids.Soup.Reversed(cube(20, 0, 0, 9))), 1000 - 54 + 729, false, 1},
		{"open", solids.Join(cube(0, 0, 0, 10), solids.Soup.Reversed(cube(20, 0, 0, 8))[1:]), 1512, false, 1}, // once it is closed
	} {
		m, err := loadBytes(t, binarySTL(t, c.body))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Place(bed); err != nil {
			t.Fatal(err)
		}
		r := m.Repairs()
		if r.Reversed != c.reversed || r.Shells != c.shells || c.volume > 0 && math.Abs(m.Volume().MM3()-c.volume) > 0.001 {
			t.Errorf("%s: %+v, volume %v, want %v", c.name, r, m.Volume().MM3(), c.volume)
		}
	}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		name   string
		hi     solids.Point
		volume Box
		want   error
	}{
		{"fits exactly", solids.Point{X: 20 * mm, Y: 30 * mm, Z: 40 * mm}, Box{Max: Vertex{20 * mm, 30 * mm, 40 * mm}}, nil},
		{"too wide", solids.Point{X: 20*mm + 64, Y: 30 * mm, Z: 40 * mm}, Box{Max: Vertex{20 * mm, 30 * mm, 40 * mm}}, ErrOutOfReach},
		{"too deep", solids.Point{X: 20 * mm, Y: 31 * mm, Z: 40 * mm}, Box{Max: Vertex{20 * mm, 30 * mm, 40 * mm}}, ErrOutOfReach},
		{"too high", solids.Point{X: 20 * mm, Y: 30 * mm, Z: 41 * mm}, Box{Max: Vertex{20 * mm, 30 * mm, 40 * mm}}, ErrOutOfReach},
		{"delta bed", solids.Point{X: 20 * mm, Y: 30 * mm, Z: 40 * mm}, Box{Vertex{-100 * mm, -100 * mm, 0}, Vertex{100 * mm, 100 * mm, 100 * mm}}, nil},
	} {
		m, err := loadBytes(t, binarySTL(t, solids.Box(solids.Point{}, c.hi).Moved(solids.Point{X: -90 * mm, Y: 77 * mm, Z: -5 * mm})))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Place(c.volume); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		if c.want == nil {
			for _, p := range m.Vertices() {
				v := c.volume
				if p.X < v.Min.X || p.X > v.Max.X || p.Y < v.Min.Y || p.Y > v.Max.Y || p.Z < v.Min.Z || p.Z > v.Max.Z {
					t.Errorf("%s: a corner is outside", c.name)
				}
			}
		}
	}
	flat := solids.Soup{{{X: 0}, {X: mm}, {Y: mm}}, {{X: 0}, {Y: mm}, {X: mm}}}
	m, err := loadBytes(t, binarySTL(t, flat))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(bed); !errors.Is(err, ErrGeometry) {
		t.Errorf("flat: %v", err)
	}
}

// A model far from the origin, as scans and CAD assemblies come, loses nothing.
func TestFarFromOrigin(t *testing.T) {
	file := binarySTL(t, solids.Cube())
	for at := 84; at < len(file); at += 50 {
		for k := range 9 {
			b := file[at+12+4*k:]
			v := math.Float32frombits(binary.LittleEndian.Uint32(b))
			binary.LittleEndian.PutUint32(b, math.Float32bits(v+500_000))
		}
	}
	m, err := loadBytes(t, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(bed); err != nil {
		t.Fatal(err)
	}
	if m.Volume() != 8000*unit.CubicMillimetre {
		t.Errorf("volume %v", m.Volume().MM3())
	}
}

func TestPrintsNothing(t *testing.T) {
	m, err := loadBytes(t, binarySTL(t, solids.Cube()))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "mesh", m)
	for _, text := range []string{fmt.Sprint(m), fmt.Sprintf("%+v %#v", m, m), log.String()} {
		if !strings.Contains(text, "mesh") || strings.Contains(text, "1310720") {
			t.Errorf("prints %q", text)
		}
	}
}

func FuzzLoad(f *testing.F) {
	var b bytes.Buffer
	if err := solids.Cube().WriteASCII(&b, "cube"); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	b.Reset()
	if err := solids.Cube().WriteBinary(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("solid\nendsolid"))
	f.Fuzz(func(t *testing.T, file []byte) {
		v := newVault(t, 1<<20)
		m, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), Detect)
		if err != nil {
			if v.Stats().Used != 0 {
				t.Error("an error left something in the vault")
			}
			return
		}
		if err := m.Place(bed); err == nil && (m.Bounds().Min.Z != 0 || m.Volume() < 0) {
			t.Error("placed wrongly")
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	file := binarySTL(b, solids.Sphere(solids.Point{}, 50*mm, 600))
	v := newVault(b, 64<<20)
	b.SetBytes(int64(len(file)))
	triangles := 0
	for b.Loop() {
		mark := v.Mark()
		m, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), Detect)
		if err != nil {
			b.Fatal(err)
		}
		triangles += len(m.Triangles())
		v.Release(mark)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(triangles), "ns/triangle")
}
