package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

const mm = unit.Millimetre

// load reads a body as a file of it would be.
func load(t *testing.T, s solids.Soup) *mesh.Mesh {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteBinary(&b); err != nil {
		t.Fatal(err)
	}
	v, err := vault.NewPageable(16 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := mesh.Load(context.Background(), v, &b, int64(b.Len()), mesh.Detect)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// printer writes the program of a plate by hand, right to the µm.
type printer struct {
	strings.Builder
	e    float64 // mm of filament
	x, y float64
}

const (
	side   = 20.0 // of the plate, mm
	height = 0.2
	width  = 0.4
	layers = 8
)

var filament = math.Pi / 4 * 1.75 * 1.75

func (p *printer) travel(x, y float64) {
	fmt.Fprintf(p, "G1 X%.4f Y%.4f F9000\n", x, y)
	p.x, p.y = x, y
}

func (p *printer) line(x, y, w float64) {
	p.e += math.Hypot(x-p.x, y-p.y) * w * height / filament
	fmt.Fprintf(p, "G1 X%.4f Y%.4f E%.6f F2400\n", x, y, p.e)
	p.x, p.y = x, y
}

func (p *printer) retract(by float64) {
	p.e -= by
	fmt.Fprintf(p, "G1 E%.6f F2100\n", p.e)
}

// flaws are what may be wrong with the plate.
type flaws struct {
	shift    float64 // of one layer, mm
	all      float64 // of all
	thin     float64 // factor on the amount of the outer wall; 0 is 1
	noWall   bool    // no outer wall on one layer
	hole     bool    // a line of skin missing on top
	bottom   bool    // and at the bottom
	air      bool    // to the next layer by way of a place beside the plate
	drawn    bool    // with the filament drawn back
	firmware bool    // by the firmware
}

// plate is a program for a plate of side × side × layers*height with its corner at
// 100, 100, printed solid.
func plate(f flaws) string {
	var p printer
	p.WriteString("G21\nG90\nM82\nG28\nG92 E0\nM204 S1000\n")
	if f.thin == 0 {
		f.thin = 1
	}
	for l := range layers {
		fmt.Fprintf(&p, ";LAYER_CHANGE\n;Z:%.2f\n;HEIGHT:%.2f\nG1 Z%.2f F480\n", height*float64(l+1), height, height*float64(l+1))
		at := 100 + f.all
		if l == layers/2 {
			at += f.shift
		}
		if f.air && l == layers/2 {
			p.away(f)
		}
		ring := func(in, w float64) {
			lo, hi := at+in, at+side-in
			p.travel(lo, lo)
			for _, c := range [4][2]float64{{hi, lo}, {hi, hi}, {lo, hi}, {lo, lo}} {
				p.line(c[0], c[1], w)
			}
		}
		p.WriteString(";TYPE:Perimeter\n")
		ring(1.5*width, width)
		if !f.noWall || l != layers/2 {
			p.WriteString(";TYPE:External perimeter\n")
			ring(0.5*width, width*f.thin)
		}
		p.WriteString(";TYPE:Solid infill\n")
		n := int(math.Round((side - 4*width) / width))
		for i := range n {
			if i == n/2 && (f.hole && l == layers-1 || f.bottom && l == 0) {
				continue
			}
			y := at + 2.5*width + float64(i)*width
			p.travel(at+2.2*width, y)
			p.line(at+side-2.2*width, y, width)
		}
	}
	return p.String()
}

// away flies far out and back.
func (p *printer) away(f flaws) {
	x, y := p.x, p.y
	switch {
	case f.firmware:
		p.WriteString("G10\n")
	case f.drawn:
		p.retract(1)
	}
	p.travel(x+30, y)
	p.travel(x, y)
	switch {
	case f.firmware:
		p.WriteString("G11\n")
	case f.drawn:
		p.retract(-1)
	}
}

func run(t *testing.T, s solids.Soup, text string, o Options) Report {
	t.Helper()
	r, err := Run(context.Background(), load(t, s), strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func box() solids.Soup {
	return solids.Box(solids.Point{}, solids.Point{X: 20 * mm, Y: 20 * mm, Z: mm * 16 / 10})
}

// A plate that is right is found right, wherever it lies.
func TestRight(t *testing.T) {
	for _, at := range []float64{0, 7.123} {
		r := run(t, box(), plate(flaws{all: at}), Options{})
		for _, b := range r.Bars(true) {
			if !b.OK {
				t.Errorf("%s is %v", b.Name, b.Value)
			}
		}
		if off := math.Hypot(r.At.X.MM()-110-at, r.At.Y.MM()-110-at); off > 0.001 {
			t.Errorf("the plate is found %.4f mm beside its place", off)
		}
		if r.Layers != layers || r.Judged != layers || r.Retractions != 0 || r.Air != 0 {
			t.Errorf("%d layers, %d judged, %d retractions, %d through air", r.Layers, r.Judged, r.Retractions, r.Air)
		}
		if math.Abs(r.Width.MM()-width) > 0.001 || r.WallMax > unit.Micrometres(2) || r.Kept < 0.9999 {
			t.Errorf("outer wall %v wide, within %v, %v kept", r.Width, r.WallMax, r.Kept)
		}
	}
}

// Each flaw is seen in its own figure, and what it does not touch stays as it is.
func TestFlaws(t *testing.T) {
	right := run(t, box(), plate(flaws{}), Options{})
	close := func(a, b Share) bool { return math.Abs(float64(a-b)) < 1e-5 }
	ordered := &Point{X: 110 * mm, Y: 110 * mm}
	for _, c := range []struct {
		name string
		f    flaws
		o    Options
		seen func(r Report) bool
	}{
		{"a layer is shifted", flaws{shift: 0.05}, Options{}, func(r Report) bool {
			return r.WallP95 > unit.Micrometres(40) && r.Outside > 3e-4 && r.Kept > 0.999
		}},
		{"all is shifted, the place is known", flaws{all: 0.05}, Options{At: ordered}, func(r Report) bool {
			return r.WallP95 > unit.Micrometres(40) && r.Outside > 3e-3
		}},
		{"the outer wall is thinner", flaws{thin: 0.8}, Options{Width: unit.Micrometres(400)}, func(r Report) bool {
			return math.Abs(float64(right.Extruded-r.Extruded)-0.2*4*width*(side-width)/(side*side)) < 1e-3 && r.Shell > right.Shell+0.01
		}},
		{"an outer wall is missing", flaws{noWall: true}, Options{}, func(r Report) bool {
			return math.Abs(float64(r.Kept)-(layers-1.0)/layers) < 0.01 && r.Shell > right.Shell+0.05
		}},
		{"a line is missing on top", flaws{hole: true}, Options{}, func(r Report) bool {
			return math.Abs(float64(r.Top-right.Top)-width/side) < 0.005 && close(r.Bottom, right.Bottom)
		}},
		{"a line is missing at the bottom", flaws{bottom: true}, Options{}, func(r Report) bool {
			return math.Abs(float64(r.Bottom-right.Bottom)-width/side) < 0.005 && close(r.Top, right.Top)
		}},
		{"a way leads through air", flaws{air: true}, Options{}, func(r Report) bool { return r.Air == 1 && r.AirWay > 20 }},
		{"a way through air is longer than allowed", flaws{air: true}, Options{Air: 100 * mm}, func(r Report) bool { return r.Air == 0 }},
		{"the filament is drawn back there", flaws{air: true, drawn: true}, Options{}, func(r Report) bool {
			return r.Air == 0 && r.Retractions == 1
		}},
		{"the firmware draws it back", flaws{air: true, firmware: true}, Options{}, func(r Report) bool {
			return r.Air == 0 && r.Retractions == 1
		}},
	} {
		if c.seen(right) && c.name != "a way through air is longer than allowed" {
			t.Errorf("%s: it is seen in a plate that is right", c.name)
		}
		if r := run(t, box(), plate(c.f), c.o); !c.seen(r) {
			t.Errorf("%s: %+v", c.name, [...]any{r.WallP95, r.Outside, r.Extruded, r.Shell, r.Top, r.Bottom, r.Kept, r.Air, r.AirWay, r.Retractions})
		}
	}
}

// The same program in other words gives the same figures.
func TestDialects(t *testing.T) {
	text := plate(flaws{air: true, drawn: true})
	want := run(t, box(), text, Options{})
	relative := func(s string) string {
		var b strings.Builder
		last := 0.0
		for line := range strings.Lines(strings.Replace(s, "M82", "M83", 1)) {
			head, tail, ok := strings.Cut(line, " E")
			if !ok || strings.HasPrefix(line, "G92") {
				b.WriteString(line)
				continue
			}
			var e float64
			n, _ := fmt.Sscanf(tail, "%f", &e)
			rest := strings.TrimPrefix(tail, strings.Fields(tail)[0])
			fmt.Fprintf(&b, "%s E%.6f%s", head, e-last, rest)
			last = e
			_ = n
		}
		return b.String()
	}
	cura := strings.NewReplacer(";LAYER_CHANGE", ";LAYER:1", "External perimeter", "WALL-OUTER", "Perimeter", "WALL-INNER", "Solid infill", "SKIN")
	reset := func(s string) string { // E starts anew in the middle
		i := strings.Index(s, ";Z:1.00")
		var e float64
		k := strings.LastIndex(s[:i], " E")
		if _, err := fmt.Sscanf(s[k+2:], "%f", &e); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		b.WriteString(s[:i] + "\nG92 E0\n")
		for line := range strings.Lines(s[i:]) {
			var v float64
			head, tail, ok := strings.Cut(line, " E")
			if !ok {
				b.WriteString(line)
				continue
			}
			if _, err := fmt.Sscanf(tail, "%f", &v); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s E%.6f%s", head, v-e, strings.TrimPrefix(tail, strings.Fields(tail)[0]))
		}
		return b.String()
	}
	for name, other := range map[string]string{
		"relative filament": relative(text), "Cura's words": cura.Replace(text), "filament set to zero": reset(text),
		"no marks of layers": strings.ReplaceAll(text, ";LAYER_CHANGE\n", ""),
		"blanks, numbers":    strings.ReplaceAll(strings.ReplaceAll(text, "G1 X", "N7 g1x"), " F2400", "F2400*33 ; comment"),
		"lines of a skirt": strings.Replace(text, ";TYPE:Perimeter",
			";TYPE:Skirt/Brim\nG92 E0\nG1 X90 Y90 F9000\nG1 X130 Y90 E2 F1200\nG92 E0\n;TYPE:Perimeter", 1),
	} {
		got := run(t, box(), other, Options{})
		if name == "lines of a skirt" {
			// The way from the skirt to the part is one through air, for it draws nothing back.
			if got.Air != 1 || got.Lines != want.Lines+1 {
				t.Errorf("%s: %d travels through air, %d lines", name, got.Air, got.Lines)
			}
			got.Lines, got.Travel, got.Printed, got.Filament, got.Time, got.Air = want.Lines, want.Travel, want.Printed, want.Filament, want.Time, 0
		}
		if math.Abs(float64(got.Filament-want.Filament)) > 0.01 || got.Lines != want.Lines || (got.Time-want.Time).Abs() > time.Second ||
			math.Abs(float64(got.Extruded-want.Extruded)) > 1e-4 || math.Abs(float64(got.Shell-want.Shell)) > 1e-4 ||
			got.WallP95 > unit.Micrometres(2) || got.Retractions != 1 || got.Air != 0 {
			t.Errorf("%s: %+v, want %+v", name, figures(got), figures(want))
		}
	}
}

// figures are those of a report that are compared; a report itself prints nothing.
func figures(r Report) []any {
	return []any{r.Layers, r.Lines, r.Filament, r.Extruded, r.Shell, r.Outside, r.WallP95, r.Retractions, r.Air, r.Time}
}

// Arcs of either kind and in either notation follow the circle.
func TestArcs(t *testing.T) {
	disc := solids.Loft(solids.Circle(solids.Point{}, 10*mm, 720), solids.Circle(solids.Point{Z: mm}, 10*mm, 720))
	for _, notation := range []string{
		"G3 X100 Y109.8 I-9.8 J0 E%[1]f\nG3 X109.8 Y100 I0 J-9.8 E%[2]f\n",
		"G2 X100 Y90.2 R9.8 E%[1]f\nG2 X109.8 Y100 R-9.8 E%[2]f\n",
	} {
		quarter := math.Pi / 2 * 9.8 * width * height / filament
		text := "G90\nM83\n"
		for l := range 5 {
			text += fmt.Sprintf(";LAYER_CHANGE\n;TYPE:External perimeter\nG1 Z%.1f F480\nG1 X109.8 Y100 F6000\n", 0.2*float64(l+1))
			text += fmt.Sprintf(notation, quarter, 3*quarter)
		}
		r := run(t, disc, text, Options{At: &Point{X: 100 * mm, Y: 100 * mm}})
		if r.WallMax > unit.Micrometres(4) || r.Kept < 0.999 || math.Abs(float64(r.Printed)-5*2*math.Pi*9.8) > 0.2 {
			t.Errorf("%s: within %v, %v kept, %.1f mm", notation[:2], r.WallMax, r.Kept, r.Printed)
		}
	}
}

// Where bodies overlap the edge is that of their union. The control takes every line
// of either body for an edge.
func TestUnion(t *testing.T) {
	m := newSolid(load(t, solids.Join(box(), box().Moved(solids.Point{X: 10 * mm, Y: 5 * mm}))))
	var s section
	var u uniter
	m.cut(&s, 0.5)
	u.unite(&s)
	long := func(segs []seg) (sum float64) {
		for _, g := range segs {
			sum += g.b.minus(g.a).long()
		}
		return sum
	}
	area := 0.0
	for _, g := range s.edge {
		area += g.a.cross(g.b) / 2
	}
	if want := 2*400.0 - 10*15; math.Abs(area-want) > 1e-3 {
		t.Errorf("area %v, want %v", area, want)
	}
	if want := 2*80.0 - 2*(10+15); math.Abs(long(s.edge)-want) > 1e-3 {
		t.Errorf("edge %v, want %v", long(s.edge), want)
	}
	if all := long(s.raw); math.Abs(all-160) > 1e-3 {
		t.Errorf("control: %v mm of lines", all)
	}
}

// Areas along rows are right although the rows are apart.
func TestRows(t *testing.T) {
	var a, b, c rows
	for _, r := range []*rows{&a, &b} {
		r.reset(-10, 0.02, 2000)
	}
	a.add(seg{pt{0, 0}.tilted(), pt{5, 0}.tilted()}, 1)
	a.close()
	if want := 5*2 + math.Pi; math.Abs(a.area()-want) > 2e-3 {
		t.Errorf("a line covers %v, want %v", a.area(), want)
	}
	b.add(seg{pt{2, 0}.tilted(), pt{9, 0}.tilted()}, 1)
	b.close()
	if got := c.less(&a, &b).area(); math.Abs(got-4) > 2e-3 { // 0..2 long, and what two round ends leave
		t.Errorf("what one line covers alone is %v, want 4", got)
	}
	if !a.holds(pt{1, 0.5}.tilted()) || a.holds(pt{1, 1.1}.tilted()) || a.holds(pt{-1.1, 0}.tilted()) {
		t.Error("a place is not where it is")
	}
}

// A picture shows what is bare, in its colour; of a plate that is
// right there is next to nothing.
func TestPicture(t *testing.T) {
	red := func(f flaws) (n int) {
		img, err := Picture(context.Background(), load(t, box()), strings.NewReader(plate(f)), Options{}, layers, 550)
		if err != nil {
			t.Fatal(err)
		}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				if img.At(x, y) == inkBareTop {
					n++
				}
			}
		}
		return n
	}
	if n := red(flaws{}); n > 400 {
		t.Errorf("%d dots are bare on a plate that is right", n)
	}
	// A line of 18.4 mm by 0.4 mm in the middle; a dot is 0.04 mm.
	n := red(flaws{hole: true})
	if want := int(18.4 * 0.4 / 0.04 / 0.04); n < want*9/10 || n > want*12/10 {
		t.Errorf("%d dots are bare where a line is missing, want %d", n, want)
	}
	_, err := Picture(context.Background(), load(t, box()), strings.NewReader(plate(flaws{})), Options{}, layers+1, 550)
	if !errors.Is(err, ErrNothing) {
		t.Errorf("a layer that is not there: %v", err)
	}
}

// A part on a raft stands on that, whether or not the file says how thick its first
// layer is.
func TestRaft(t *testing.T) {
	for _, said := range []bool{true, false} {
		var b strings.Builder
		b.WriteString("G90\nM82\n;LAYER_CHANGE\n;TYPE:Support material\nG1 X100 Y90 Z0.8 F600\nG1 X120 Y90 E1\nG92 E0\n")
		for line := range strings.Lines(plate(flaws{})) {
			var z float64
			switch {
			case strings.HasPrefix(line, ";Z:"), strings.HasPrefix(line, ";HEIGHT:") && !said:
				continue
			case strings.HasPrefix(line, "G1 Z"):
				if _, err := fmt.Sscanf(line, "G1 Z%f", &z); err != nil {
					t.Fatal(err)
				}
				line = fmt.Sprintf("G1 Z%.2f F480\n", z+0.8)
			}
			b.WriteString(line)
		}
		r := run(t, box(), b.String(), Options{})
		if r.Layers != layers || r.WallMax > unit.Micrometres(2) || r.Outside > 1e-4 || r.Shell > 0.003 || math.Abs(float64(r.Extruded)-0.993) > 0.005 {
			t.Errorf("said %v: %d layers, %v, outside %v, %v extruded", said, r.Layers, r.WallMax, r.Outside, r.Extruded)
		}
	}
}

func TestNoPart(t *testing.T) {
	m := load(t, box())
	for _, text := range []string{"", "G28\nM104 S200\n", "G1 X10 Y10 E5\n", ";TYPE:Skirt/Brim\nG1 X10 Y10 E5\n"} {
		if _, err := Run(context.Background(), m, strings.NewReader(text), Options{}); !errors.Is(err, ErrNothing) {
			t.Errorf("%q: %v", text, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, m, strings.NewReader(plate(flaws{})), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("it goes on after it was called off: %v", err)
	}
}

// A report and what makes one print nothing.
func TestPrintsNothing(t *testing.T) {
	r := run(t, box(), plate(flaws{}), Options{})
	if s := fmt.Sprintf("%v %+v %#v %s", r, r, r, r.LogValue()); s != "report report report report" {
		t.Errorf("a report prints %q", s)
	}
}

// Whatever the bytes, reading ends and nothing is written beyond a line.
func FuzzRead(f *testing.F) {
	f.Add([]byte(plate(flaws{air: true, drawn: true})[:2000]))
	f.Add([]byte("G3 X1 Y1 R0 E1\nG2 X0 Y0 I1e9 J-1 E9\nG91\nG1 X--1 Y.5.5 E+\n;WIDTH:x\n;TYPE:\nG20\nG92\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n := 0
		_, err := readLayers(context.Background(), bytes.NewReader(text), Options{}.filled(), func(l *layer) error {
			n += len(l.lines)
			for _, g := range l.lines {
				if math.IsNaN(g.a.x+g.b.x+g.width) || !g.kind.part() {
					t.Fatal("a line that is none")
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}
