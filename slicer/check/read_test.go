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
)

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
