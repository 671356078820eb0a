package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

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
	if o.Pitch == 0 {
		o.Pitch = unit.Micrometres(50) // rough, for speed
		if testing.Short() {
			o.Pitch = unit.Micrometres(100)
		}
	}
	r, err := Run(context.Background(), load(t, s), strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func box() solids.Soup {
	return solids.Box(solids.Point{}, solids.Point{X: 20 * mm, Y: 20 * mm, Z: mm * 16 / 10})
}

// short is 1 where time is short.
func short() int {
	if testing.Short() {
		return 1
	}
	return 0
}

// A plate that is right is found right, wherever it lies.
func TestRight(t *testing.T) {
	for _, at := range []float64{0, 7.123}[:2-short()] {
		r := run(t, box(), plate(flaws{all: at}), Options{Pitch: unit.Micrometres(20)})
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

// A report and what makes one print nothing.
func TestPrintsNothing(t *testing.T) {
	r := run(t, box(), plate(flaws{}), Options{})
	if s := fmt.Sprintf("%v %+v %#v %s", r, r, r, r.LogValue()); s != "report report report report" {
		t.Errorf("a report prints %q", s)
	}
}
