package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"platen/slicer/internal/solids"
)

// objOf writes a body as OBJ, every corner once.
func objOf(s solids.Soup) string {
	var b strings.Builder
	b.WriteString("# a test model\nmtllib x.mtl\no body\n")
	index := map[solids.Point]int{}
	var faces strings.Builder
	for _, t := range s {
		faces.WriteString("f")
		for _, p := range t {
			if index[p] == 0 {
				index[p] = len(index) + 1
				fmt.Fprintf(&b, "v %v %v %v\n", p.X.MM(), p.Y.MM(), p.Z.MM())
			}
			fmt.Fprintf(&faces, " %d", index[p])
		}
		faces.WriteString("\n")
	}
	return b.String() + "usemtl red\ng all\ns off\n" + faces.String()
}

const cubeOBJ = "v 0 0 0\nv 20 0 0\nv 20 20 0\nv 0 20 0\nv 0 0 20\nv 20 0 20\nv 20 20 20\nv 0 20 20\n"

func loadText(t testing.TB, s string) (*Mesh, error) {
	t.Helper()
	return loadBytes(t, []byte(s))
}

// Every way to write a cube is a cube of 20 mm.
func TestOBJ(t *testing.T) {
	quads := cubeOBJ + "f 4 3 2 1\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"
	back := strings.NewReplacer("f 4 3 2 1", "f -5 -6 -7 -8", "f 5 6 7 8", "f -4 -3 -2 -1").Replace(quads)
	for name, in := range map[string]string{
		"triangles":            objOf(solids.Cube()),
		"quads":                quads,
		"counted backwards":    back,
		"textures and normals": strings.NewReplacer("f 4 3 2 1", "vt 0 0\nvn 0 0 1\nf 4/1/1 3/1/1 2//1 1/1").Replace(quads),
		"CR LF":                strings.ReplaceAll(quads, "\n", "\r\n"),
		"tabs and blanks":      strings.ReplaceAll(quads, " ", " \t "),
		"continued lines":      strings.ReplaceAll(quads, "f 4 3", "f 4 \\\n3"),
		"comments":             "# one\n\n" + strings.ReplaceAll(quads, "\nf", " # x\nf"),
		"a mark of UTF-8":      "\xef\xbb\xbf" + quads,
		"colours and weights":  strings.ReplaceAll(quads, "v 0 0 0\n", "v 0 0 0 1.0 0.5 0.5\n"),
		"exponents":            strings.ReplaceAll(quads, "v 20 0 0\n", "v 2e1 0.0 -0\n"),
		"groups in between":    strings.ReplaceAll(quads, "f 1 2 6 5", "g side\ns 1\nusemtl x\nf 1 2 6 5"),
		"lines and points":     quads + "l 1 2 3\np 1\nbevel on\n",
		"no end of line":       strings.TrimSpace(quads),
		"a line of 1 MB":       "# " + strings.Repeat("x", 1<<20) + "\n" + quads,
	} {
		m, err := loadText(t, in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := m.Place(bed); err != nil || m.Volume().MM3() != 8000 || len(m.Triangles()) != 12 || !sound(m.Repairs()) {
			t.Errorf("%s: %v, %v mm³, %d triangles, %+v", name, err, m.Volume().MM3(), len(m.Triangles()), m.Repairs())
		}
	}
	m, err := loadText(t, objOf(solids.Cube()))
	if err != nil || m.Notes() != NoteMaterials {
		t.Errorf("%v, notes %v", err, m.Notes().Texts())
	}
}

// A model is the same from OBJ and from STL, whichever way it is read.
func TestOBJIsTheSTL(t *testing.T) {
	for _, s := range []solids.Soup{solids.Tug(), solids.HollowSphere(), solids.Cone()} {
		want := placed(t, s)
		text := objOf(s)
		for _, r := range []*strings.Reader{strings.NewReader(text)} {
			m, err := Load(context.Background(), newVault(t, 8<<20), iotest.HalfReader(r), int64(len(text)), OBJ)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Place(bed); err != nil {
				t.Fatal(err)
			}
			if m.Volume() != want.Volume() || len(m.Triangles()) != len(want.Triangles()) || m.Bounds() != want.Bounds() {
				t.Errorf("%v and %v, %d and %d triangles", m.Volume(), want.Volume(), len(m.Triangles()), len(want.Triangles()))
			}
		}
	}
}

// Polygons of any shape are covered once: the volume of a prism on them says so.
func TestPolygons(t *testing.T) {
	type xy struct{ x, y float64 }
	comb := []xy{{0, 0}, {10, 0}, {10, 10}, {8, 10}, {8, 2}, {6, 2}, {6, 10}, {4, 10}, {4, 2}, {2, 2}, {2, 10}, {0, 10}}
	var spiral, circle []xy
	for i := range 12 {
		a := float64(i) * 0.5
		spiral = append(spiral, xy{(3 + float64(i)) * math.Cos(a), (3 + float64(i)) * math.Sin(a)})
	}
	for i := 11; i >= 0; i-- {
		a := float64(i) * 0.5
		spiral = append(spiral, xy{(1 + float64(i)) * math.Cos(a), (1 + float64(i)) * math.Sin(a)})
	}
	for i := range 300 {
		a := float64(i) / 150 * math.Pi
		r := 10 + 4*math.Sin(a*9) // far from convex
		circle = append(circle, xy{r * math.Cos(a), r * math.Sin(a)})
	}
	for name, poly := range map[string][]xy{"comb": comb, "spiral": spiral, "flower": circle, "dart": {{0, 0}, {10, 4}, {0, 8}, {3, 4}}} {
		for axes := range 3 { // upright as well: in each plane
			var b strings.Builder
			area := 0.0
			put := func(p xy, h float64) {
				v := [3]float64{p.x, p.y, h}
				fmt.Fprintf(&b, "v %.4f %.4f %.4f\n", v[axes], v[(axes+1)%3], v[(axes+2)%3])
			}
			n := len(poly)
			for i, p := range poly {
				q := poly[(i+1)%n]
				area += (p.x*q.y - p.y*q.x) / 2
				put(p, 0)
				put(p, 5)
			}
			b.WriteString("f")
			for i := n - 1; i >= 0; i-- {
				fmt.Fprintf(&b, " %d", 2*i+1)
			}
			b.WriteString("\nf")
			for i := range n {
				fmt.Fprintf(&b, " %d", 2*i+2)
			}
			for i := range n {
				k := (i + 1) % n
				fmt.Fprintf(&b, "\nf %d %d %d %d", 2*i+1, 2*k+1, 2*k+2, 2*i+2)
			}
			m, err := loadText(t, b.String())
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Place(bed); err != nil {
				t.Fatal(err)
			}
			if math.Abs(m.Volume().MM3()-5*area) > 0.01 || m.Repairs().Reversed {
				t.Errorf("%s: %.3f mm³, want %.3f", name, m.Volume().MM3(), 5*area)
			}
			if want := 2*area + 5*length(poly, func(p xy) (float64, float64) { return p.x, p.y }); len(poly) <= mostEars && math.Abs(m.Surface().MM2()-want) > 0.02 {
				t.Errorf("%s: %.3f mm², want %.3f: something is covered twice", name, m.Surface().MM2(), want)
			}
		}
	}
}

func length[T any](ring []T, xy func(T) (float64, float64)) float64 {
	sum := 0.0
	for i, p := range ring {
		x0, y0 := xy(p)
		x1, y1 := xy(ring[(i+1)%len(ring)])
		sum += math.Hypot(x1-x0, y1-y0)
	}
	return sum
}

// A file is what its bytes say, whatever it is called, and refused if it is said to
// be something else.
func TestDetect(t *testing.T) {
	cube := solids.Cube()
	var ascii bytes.Buffer
	if err := cube.WriteASCII(&ascii, "x"); err != nil {
		t.Fatal(err)
	}
	files := map[Format][][]byte{
		STL:     {binarySTL(t, cube), ascii.Bytes()},
		OBJ:     {[]byte(objOf(cube)), []byte("\n\n v 0 0 0\n" + objOf(cube))},
		ThreeMF: {package3MF(t, model3MF(cube))},
	}
	for is, list := range files {
		for i, b := range list {
			for said := Detect; said <= ThreeMF; said++ {
				_, err := Load(context.Background(), newVault(t, 1<<20), bytes.NewReader(b), int64(len(b)), said)
				if good := said == Detect || said == is; good && err != nil && i == 0 || !good && !errors.Is(err, ErrFormat) {
					t.Errorf("%d said to be %d: %v", is, said, err)
				}
			}
		}
	}
}

func FuzzOBJ(f *testing.F) {
	f.Add([]byte(objOf(solids.Cube())))
	f.Add([]byte(cubeOBJ + "f 4 3 2 1\nf -4 -3 -2 -1\nf 1//2 2/1 6 5\\\n 1\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		v := newVault(t, 1<<20)
		m, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), OBJ)
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
