package mesh

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"platen/slicer/internal/solids"
)

const (
	coreNS  = `xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"`
	prodNS  = `xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"`
	rootRel = `<?xml version="1.0" encoding="UTF-8"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Target="/3D/3dmodel.model" Id="rel0" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>`
)

// part is a file of a package.
type part struct{ name, text string }

// pack3MF makes a package of parts.
func pack3MF(t testing.TB, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, p := range parts {
		f, err := w.Create(p.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, p.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// package3MF is a package with one model.
func package3MF(t testing.TB, model string, more ...part) []byte {
	t.Helper()
	return pack3MF(t, append([]part{
		{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`},
		{"_rels/.rels", rootRel}, {"3D/3dmodel.model", model},
	}, more...)...)
}

// meshXML is the mesh element of a body.
func meshXML(s solids.Soup) string {
	var v, f strings.Builder
	index := map[solids.Point]int{}
	for _, t := range s {
		for _, p := range t {
			if _, ok := index[p]; !ok {
				index[p] = len(index)
				fmt.Fprintf(&v, `<vertex x="%v" y="%v" z="%v"/>`, p.X.MM(), p.Y.MM(), p.Z.MM())
			}
		}
		fmt.Fprintf(&f, `<triangle v1="%d" v2="%d" v3="%d"/>`, index[t[0]], index[t[1]], index[t[2]])
	}
	return "<mesh><vertices>" + v.String() + "</vertices><triangles>" + f.String() + "</triangles></mesh>"
}

// modelXML puts resources and items into a model.
func modelXML(attrs, resources, items string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n<model " + coreNS + " " + prodNS + " " + attrs + "><metadata name=\"Title\">a &amp; b</metadata><resources>" +
		resources + "</resources><build>" + items + "</build></model>"
}

func model3MF(s solids.Soup) string {
	return modelXML(`unit="millimeter" xml:lang="en-US"`, `<object id="1" type="model">`+meshXML(s)+`</object>`, `<item objectid="1"/>`)
}

func place3MF(t testing.TB, file []byte) (*Mesh, error) {
	t.Helper()
	m, err := Load(context.Background(), newVault(t, 16<<20), bytes.NewReader(file), int64(len(file)), Detect)
	if err == nil {
		err = m.Place(bed)
	}
	return m, err
}

// A model is the same from 3MF and from STL.
func Test3MFIsTheSTL(t *testing.T) {
	for _, s := range []solids.Soup{solids.Cube(), solids.Tug(), solids.HollowSphere(), solids.Bracket()} {
		want := placed(t, s)
		m, err := place3MF(t, package3MF(t, model3MF(s)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Volume() != want.Volume() || len(m.Triangles()) != len(want.Triangles()) || m.Bounds() != want.Bounds() || !sound(m.Repairs()) || m.Notes() != 0 {
			t.Errorf("%v and %v mm³, %d and %d triangles, %+v, %v", m.Volume().MM3(), want.Volume().MM3(), len(m.Triangles()), len(want.Triangles()), m.Repairs(), m.Notes().Texts())
		}
	}
}

// What a package may be made of, and what comes out: the volume and the size in mm.
// The cube has 20 mm.
func Test3MFFeatures(t *testing.T) {
	cube := func(id int, attrs string) string {
		return fmt.Sprintf(`<object id="%d" %s>%s</object>`, id, attrs, meshXML(solids.Cube()))
	}
	parts := func(id int, attrs, components string) string {
		return fmt.Sprintf(`<object id="%d" %s><components>%s</components></object>`, id, attrs, components)
	}
	box := func(x, y, z float64) [3]float64 { return [3]float64{x, y, z} }
	at := func(x float64) string { return fmt.Sprintf(`transform="1 0 0 0 1 0 0 0 1 %v 0 0"`, x) }
	other := part{"3D/Objects/a b.model", modelXML("", cube(7, ""), "")}
	colour := `<basematerials id="9"><base name="red" displaycolor="#FF0000"/></basematerials>`
	for _, c := range []struct {
		name   string
		file   []byte
		volume float64
		size   [3]float64
		notes  Notes
	}{
		{"no unit", package3MF(t, modelXML("", cube(1, ""), `<item objectid="1"/>`)), 8000, box(20, 20, 20), 0},
		{"inches", package3MF(t, modelXML(`unit="inch"`, cube(1, ""), `<item objectid="1" transform="0.1 0 0 0 0.1 0 0 0 0.1 1 1 1"/>`)), 8000 * 2.54 * 2.54 * 2.54, box(50.8, 50.8, 50.8), 0},
		{"microns", package3MF(t, modelXML(`unit="micron"`, cube(1, ""), `<item objectid="1" transform="500 0 0 0 500 0 0 0 500 0 0 0"/>`)), 1000, box(10, 10, 10), 0},
		{"meters", package3MF(t, modelXML(`unit="meter"`, cube(1, ""), `<item objectid="1" transform="0.0005 0 0 0 0.0005 0 0 0 0.0005 1 1 1"/>`)), 1000, box(10, 10, 10), 0},
		{"two items", package3MF(t, modelXML("", cube(1, ""), `<item objectid="1"/><item objectid="1" `+at(30)+`/>`)), 16000, box(50, 20, 20), 0},
		{"turned", package3MF(t, modelXML("", cube(1, ""), `<item objectid="1" transform="0.8 0.6 0 -0.6 0.8 0 0 0 1 5 5 5"/>`)), 8000, box(28, 28, 20), 0},
		{"mirrored", package3MF(t, modelXML("", cube(1, ""), `<item objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 0 0"/>`)), 8000, box(20, 20, 20), 0},
		{"components", package3MF(t, modelXML("", cube(1, "")+parts(2, "", `<component objectid="1"/><component objectid="1" `+at(25)+`/>`), `<item objectid="2" `+at(3)+`/>`)), 16000, box(45, 20, 20), 0},
		{"components of components", package3MF(t, modelXML("", cube(1, "")+parts(2, "", `<component objectid="1"/><component objectid="1" `+at(25)+`/>`)+
			parts(3, "", `<component objectid="2"/><component objectid="2" transform="1 0 0 0 1 0 0 0 1 0 25 0"/>`), `<item objectid="3"/>`)), 32000, box(45, 45, 20), 0},
		{"another part", package3MF(t, modelXML(`requiredextensions="p"`, parts(1, `p:UUID="x"`, `<component objectid="7" p:path="/3D/Objects/a b.model" p:UUID="y"/>`), `<item objectid="1" p:UUID="z"/>`), other), 8000, box(20, 20, 20), 0},
		{"an item of another part", package3MF(t, modelXML(`requiredextensions="p"`, "", `<item objectid="7" p:path="/3d/objects/A B.model"/>`), other), 8000, box(20, 20, 20), 0},
		{"unreferenced", package3MF(t, modelXML("", cube(1, "")+cube(2, ""), `<item objectid="2"/>`)), 8000, box(20, 20, 20), 0},
		{"support", package3MF(t, modelXML("", cube(1, "")+cube(2, `type="support"`), `<item objectid="1"/><item objectid="2" `+at(30)+`/>`)), 8000, box(20, 20, 20), NoteHelpers},
		{"solid support", package3MF(t, modelXML("", cube(1, "")+cube(2, `type="solidsupport"`), `<item objectid="1"/><item objectid="2" `+at(30)+`/>`)), 16000, box(50, 20, 20), 0},
		{"a modifier", package3MF(t, modelXML("", cube(1, "")+cube(2, `type="other"`)+parts(3, "", `<component objectid="1"/><component objectid="2" `+at(30)+`/>`), `<item objectid="3"/>`)), 8000, box(20, 20, 20), NoteHelpers},
		{"not printable", package3MF(t, modelXML("", cube(1, ""), `<item objectid="1"/><item objectid="1" printable="0" `+at(30)+`/>`)), 8000, box(20, 20, 20), NoteNotPrinted},
		{"materials", package3MF(t, modelXML(`xmlns:m="http://schemas.microsoft.com/3dmanufacturing/material/2015/02" requiredextensions="m"`,
			colour+`<m:colorgroup id="8"><m:color color="#00FF00"/></m:colorgroup>`+cube(1, `pid="9" pindex="0"`), `<item objectid="1"/>`)), 8000, box(20, 20, 20), NoteMaterials},
		{"a prefix", package3MF(t, `<c:model xmlns:c="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><c:resources><c:object id="1">`+
			strings.NewReplacer("</", "</c:", "<", "<c:").Replace(meshXML(solids.Cube()))+`</c:object></c:resources><c:build><c:item objectid="1"/></c:build></c:model>`), 8000, box(20, 20, 20), 0},
		{"ignorable elements", package3MF(t, modelXML(`xmlns:x="urn:x"`, `<x:thing><object id="1"/></x:thing>`+cube(1, `x:y="z"`), `<item objectid="1"/><x:more/>`)), 8000, box(20, 20, 20), 0},
		{"beams that need not be", package3MF(t, modelXML(`xmlns:b="http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"`,
			strings.Replace(cube(1, ""), "</mesh>", `<b:beamlattice radius="1" minlength="0.1"><b:beams/></b:beamlattice></mesh>`, 1), `<item objectid="1"/>`)), 8000, box(20, 20, 20), NoteLattice},
		{"slices beside the mesh", package3MF(t, modelXML(`xmlns:s="http://schemas.microsoft.com/3dmanufacturing/slice/2015/07"`,
			`<s:slicestack id="4" zbottom="0"/>`+cube(1, `s:slicestackid="4"`), `<item objectid="1"/>`)), 8000, box(20, 20, 20), NoteSlices},
		{"a modifier of PrusaSlicer", package3MF(t, modelXML("", `<object id="1">`+meshXML(solids.Join(solids.Cube(), solids.Cube().Moved(solids.Point{X: 30 * mm})))+`</object>`, `<item objectid="1"/>`),
			part{"Metadata/Slic3r_PE_model.config", `<config><object id="1"><metadata type="object" key="name" value="x"/><volume firstid="0" lastid="11"><metadata type="volume" key="volume_type" value="ModelPart"/></volume>` +
				`<volume firstid="12" lastid="23"><metadata type="volume" key="volume_type" value="ParameterModifier"/></volume></object></config>`}), 8000, box(20, 20, 20), NoteHelpers},
		{"corners of their own", package3MF(t, modelXML("", `<object id="1">`+soupXML(solids.Cube())+`</object>`, `<item objectid="1"/>`)), 8000, box(20, 20, 20), 0},
	} {
		m, err := place3MF(t, c.file)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b := m.Bounds()
		size := box((b.Max.X - b.Min.X).MM(), (b.Max.Y - b.Min.Y).MM(), (b.Max.Z - b.Min.Z).MM())
		for k := range size {
			if math.Abs(size[k]-c.size[k]) > 0.001 {
				t.Errorf("%s: %v mm, want %v", c.name, size, c.size)
			}
		}
		if math.Abs(m.Volume().MM3()/c.volume-1) > 1e-4 || m.Repairs().Reversed || m.Notes() != c.notes || closedWrong(m) != 0 {
			t.Errorf("%s: %v mm³, want %v; %+v; notes %v", c.name, m.Volume().MM3(), c.volume, m.Repairs(), m.Notes().Texts())
		}
	}
}

// soupXML is a mesh whose triangles share no corner.
func soupXML(s solids.Soup) string {
	var v, f strings.Builder
	for i, t := range s {
		for _, p := range t {
			fmt.Fprintf(&v, `<vertex x="%v" y="%v" z="%v"/>`, p.X.MM(), p.Y.MM(), p.Z.MM())
		}
		fmt.Fprintf(&f, `<triangle v1="%d" v2="%d" v3="%d"/>`, 3*i, 3*i+1, 3*i+2)
	}
	return "<mesh><vertices>" + v.String() + "</vertices><triangles>" + f.String() + "</triangles></mesh>"
}

// The models that real programs wrote open as they are.
func TestRealPackages(t *testing.T) {
	for name, want := range map[string]struct {
		triangles, bodies int
		volume            float64
	}{"benchy.3mf": {225154, 1, 15550.5}, "cube_gears.3mf": {25692, 17, 112366}} {
		file, err := os.ReadFile("../../../shared/models/" + name)
		if os.IsNotExist(err) {
			t.Logf("%s is not here; the packages that the other tests make are all there is", name)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m, err := place3MF(t, file)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Triangles()) != want.triangles || m.Bodies() != want.bodies || math.Abs(m.Volume().MM3()-want.volume) > 1 {
			t.Errorf("%s: %d triangles, %d bodies, %.1f mm³", name, len(m.Triangles()), m.Bodies(), m.Volume().MM3())
		}
	}
}

// Large models open, in the memory that Load promises, and leave next to nothing on
// the heap: one of 76 MB and a compressed one of 8 MB, or of 76 with PLATEN_SOAK; a
// sixteenth of that with -short or the race detector.
func TestLarge3MF(t *testing.T) {
	for method, size := range map[uint16]int{zip.Store: 76 << 20, zip.Deflate: 8 << 20} {
		if testing.Short() || raceDetector {
			size /= 16
		}
		if os.Getenv("PLATEN_SOAK") != "" {
			size = 76 << 20
		}
		file, triangles := terrain(t, size, method)
		if len(file) < size*9/10 {
			t.Fatalf("the model has %d bytes only", len(file))
		}
		v := newVault(t, max(36*int64(triangles), int64(len(file))+18*int64(triangles))*11/10+1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), Detect)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Place(bed); err != nil {
			t.Fatal(err)
		}
		if len(m.Triangles()) != triangles || !sound(m.Repairs()) {
			t.Errorf("%d triangles of %d, %+v", len(m.Triangles()), triangles, m.Repairs())
		}
		if heap := after.TotalAlloc - before.TotalAlloc; heap > uint64(triangles) {
			t.Errorf("%d bytes of heap for %d triangles", heap, triangles)
		}
		t.Logf("%d bytes, %d triangles; at most %.1f bytes a triangle in the vault, %.1f afterwards", len(file), triangles,
			float64(v.Stats().Peak)/float64(triangles), float64(v.Stats().Used)/float64(triangles))
	}
}

// terrain makes a package of about the given size: a closed surface whose height is
// noise, so that it is compressed no better than real models are.
func terrain(t testing.TB, size int, method uint16) (file []byte, triangles int) {
	t.Helper()
	corner := 290 // bytes in the file, with the triangles that go with it
	if method == zip.Deflate {
		corner = 58
	}
	n := int(math.Sqrt(float64(size / corner))) // corners along a side
	rng := rand.New(rand.NewPCG(1, 7))
	var b bytes.Buffer
	b.Grow(size + size/4)
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestSpeed) })
	rels, err := w.Create("_rels/.rels")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(rels, rootRel) // to memory, as all of this
	model, err := w.CreateHeader(&zip.FileHeader{Name: "3D/3dmodel.model", Method: method})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(model, "<model "+coreNS+`><resources><object id="1"><mesh><vertices>`)
	triangles = writeTerrain(model, n, rng)
	_, _ = io.WriteString(model, `</triangles></mesh></object></resources><build><item objectid="1"/></build></model>`)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), triangles
}

// writeTerrain writes n × n corners above and below, and the triangles between.
func writeTerrain(w io.Writer, n int, rng *rand.Rand) (triangles int) {
	line := make([]byte, 0, 1<<16)
	flush := func(force bool) {
		if force || len(line) > 1<<15 {
			_, _ = w.Write(line) // to memory
			line = line[:0]
		}
	}
	step := 200 / float64(n)
	for side := range 2 {
		for i := range n * n {
			z := 0.0
			if side == 1 {
				z = 10 + rng.Float64()
			}
			line = fmt.Appendf(line, `<vertex x="%.5f" y="%.5f" z="%.5f"/>`, float64(i%n)*step+rng.Float64()*step/4, float64(i/n)*step+rng.Float64()*step/4, z)
			flush(false)
		}
	}
	line = append(line, "</vertices><triangles>"...)
	tri := func(a, b, c int) {
		triangles++
		line = fmt.Appendf(line, `<triangle v1="%d" v2="%d" v3="%d"/>`, a, b, c)
		flush(false)
	}
	for y := range n - 1 {
		for x := range n - 1 {
			a, b, c, d := y*n+x, y*n+x+1, (y+1)*n+x, (y+1)*n+x+1
			tri(a, c, b)
			tri(b, c, d)
			tri(n*n+a, n*n+b, n*n+c)
			tri(n*n+b, n*n+d, n*n+c)
		}
	}
	for i := range n - 1 {
		for _, e := range [][2]int{{i, i + 1}, {(i+1)*n + n - 1 - n, (i+1)*n + n - 1}, {n*n - 1 - i, n*n - 2 - i}, {(n - 1 - i) * n, (n - 2 - i) * n}} {
			tri(e[0], e[1], n*n+e[1])
			tri(e[0], n*n+e[1], n*n+e[0])
		}
	}
	flush(true)
	return triangles
}

// stored3MF is a package that is made quickly: nothing in it is compressed.
func stored3MF(t testing.TB, model string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, p := range []part{{"_rels/.rels", rootRel}, {"3D/3dmodel.model", model}} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, p.text) // to memory
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func Fuzz3MF(f *testing.F) {
	f.Add(model3MF(solids.Cube()))
	f.Add(modelXML(`unit="inch" requiredextensions="p"`, `<object id="1">`+meshXML(solids.Cube())+`</object><object id="2"><components><component objectid="1" transform="1 0 0 0 1 0 0 0 1 9 9 9"/></components></object>`, `<item objectid="2"/>`))
	f.Fuzz(func(t *testing.T, model string) {
		v := newVault(t, 4<<20)
		file := stored3MF(t, model)
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

func BenchmarkLoad3MF(b *testing.B) {
	file, triangles := terrain(b, 1<<20, zip.Deflate)
	v := newVault(b, 64<<20)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		mark := v.Mark()
		if _, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), ThreeMF); err != nil {
			b.Fatal(err)
		}
		v.Release(mark)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(triangles*b.N), "ns/triangle")
}

func BenchmarkLoadOBJ(b *testing.B) {
	text := []byte(objOf(solids.Sphere(solids.Point{}, 50*mm, 600)))
	v := newVault(b, 64<<20)
	b.SetBytes(int64(len(text)))
	triangles := 0
	for b.Loop() {
		mark := v.Mark()
		m, err := Load(context.Background(), v, bytes.NewReader(text), int64(len(text)), OBJ)
		if err != nil {
			b.Fatal(err)
		}
		triangles += len(m.Triangles())
		v.Release(mark)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(triangles), "ns/triangle")
}
