package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/cli"
	"platen/hal/motion"
	"platen/hal/unit"
)

// picture writes a preview and reads it.
func picture(t *testing.T, args ...string) *image.RGBA {
	t.Helper()
	name := filepath.Join(t.TempDir(), "out.png")
	if code, _, errs := run(t, append(args, "-o", name)...); code != 0 {
		t.Fatal(errs)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img.(*image.RGBA) // what pictures without transparency are
}

// dots counts the pixels of a colour in a part of a picture.
func dots(img *image.RGBA, box image.Rectangle, want color.RGBA) (n int) {
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			if img.RGBAAt(x, y) == want {
				n++
			}
		}
	}
	return n
}

// All layers are on a sheet: every tile has an outer wall in it. The control is what
// lies beyond the last tile.
func TestSheet(t *testing.T) {
	img := picture(t, models+"/tee.stl", "--sheet", "--sheet-width", "1600")
	s := 0
	wall := colourOf(motion.OuterWall)
	b := img.Bounds()
	// 24 mm by 10 mm, 90 layers: as many columns as make the sheet about square.
	columns := 7
	wide := b.Dx() / columns
	high := (b.Dy() - legendLine*2) / 14
	for n := range 90 {
		at := image.Pt(n%columns*wide, n/columns*high)
		if dots(img, image.Rectangle{at, at.Add(image.Pt(wide, high))}, wall) > 20 {
			s++
		}
	}
	if s != 90 {
		t.Errorf("%d of 90 tiles have a wall", s)
	}
	at := image.Pt(90%columns*wide, 90/columns*high+tileLabel)
	if n := dots(img, image.Rectangle{at, at.Add(image.Pt(wide, high/2))}, wall); n != 0 {
		t.Errorf("control: %d dots of wall where there is no layer", n)
	}
	if code, _, errs := run(t, models+"/tee.stl", "--sheet", "-o", "x.svg"); code != cli.ExitUsage || !strings.Contains(errs, ".png") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// The legend names what is there and nothing else, and travels show when asked for.
func TestLegend(t *testing.T) {
	dir := t.TempDir()
	svg := func(args ...string) string {
		t.Helper()
		name := filepath.Join(dir, "x.svg")
		if code, _, errs := run(t, append([]string{models + "/tee.stl", "-o", name}, args...)...); code != 0 {
			t.Fatal(errs)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	plain := svg("--layer", "20")
	for text, want := range map[string]bool{">layer 20 of 90  z 4 mm<": true, ">outer-wall<": true, ">infill<": true, ">bridge<": false, ">travel<": false, ">skirt<": false} {
		if strings.Contains(plain, text) != want {
			t.Errorf("%q is there: %v", text, !want)
		}
	}
	if !strings.Contains(svg("--layer", "20", "--travels"), ">travel<") {
		t.Error("travels are asked for and not there")
	}
}

// Every role that prints has a colour of its own, every name can be written.
func TestColours(t *testing.T) {
	seen := map[color.RGBA]motion.Role{}
	for r := range motion.Role(motion.Roles) {
		c := colourOf(r)
		if other, ok := seen[c]; ok && r != motion.Retraction {
			t.Errorf("%v looks like %v", r, other)
		}
		seen[c] = r
		for _, letter := range r.String() {
			if _, ok := glyphs[letter]; !ok {
				t.Errorf("%q cannot be written", letter)
			}
		}
	}
}

// An arc is drawn on its circle, the right way around.
func TestArcIsDrawn(t *testing.T) {
	const mm = unit.Millimetre
	for _, c := range []struct {
		kind  motion.Kind
		below bool
	}{{motion.ArcLeft, false}, {motion.ArcRight, true}} {
		var got []stroke
		tr := &tracer{draw: func(s stroke) { got = append(got, s) }}
		tr.op(motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{20 * mm, 10 * mm}})
		tr.op(motion.Op{Kind: c.kind, Role: motion.OuterWall, Axes: motion.X | motion.Y | motion.E, E: mm, Width: mm, To: [3]unit.Length{0, 10 * mm}, Centre: [2]unit.Length{10 * mm, 10 * mm}})
		if len(got) < 10 {
			t.Fatalf("%d strokes", len(got))
		}
		for _, s := range got[:len(got)-1] {
			r := (s.x1-10)*(s.x1-10) + (s.y1-10)*(s.y1-10)
			if (s.y1 < 10) != c.below || r < 99.9 || r > 100.1 {
				t.Errorf("%v: %v, %v", c.kind, s.x1, s.y1)
			}
		}
	}
}
