package main

import (
	"bufio"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"

	"platen/agent/cli"
	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer"
)

// stroke is a printed straight line, or a way between two of them.
type stroke struct {
	x0, y0, x1, y1 float64 // mm
	width          float64 // mm
	role           motion.Role
}

// colours of the roles, in the order in which a legend has them.
var colours = []struct {
	role motion.Role
	rgb  color.RGBA
}{
	{motion.OuterWall, color.RGBA{0xd9, 0x5f, 0x30, 0xff}},
	{motion.InnerWall, color.RGBA{0xf0, 0xc0, 0x40, 0xff}},
	{motion.OverhangWall, color.RGBA{0x30, 0x60, 0xd0, 0xff}},
	{motion.ThinWall, color.RGBA{0xb8, 0xa8, 0x50, 0xff}},
	{motion.Vase, color.RGBA{0xd9, 0x5f, 0x90, 0xff}},
	{motion.Infill, color.RGBA{0xc0, 0x3a, 0x4a, 0xff}},
	{motion.SolidInfill, color.RGBA{0x8a, 0x5f, 0xc8, 0xff}},
	{motion.TopSkin, color.RGBA{0x5a, 0x3f, 0xd8, 0xff}},
	{motion.BottomSkin, color.RGBA{0xb0, 0x80, 0xb8, 0xff}},
	{motion.Bridge, color.RGBA{0x50, 0x98, 0xe8, 0xff}},
	{motion.Ironing, color.RGBA{0xe0, 0x90, 0xd8, 0xff}},
	{motion.Support, color.RGBA{0x60, 0xc0, 0x50, 0xff}},
	{motion.SupportInterface, color.RGBA{0x20, 0x80, 0x30, 0xff}},
	{motion.Skirt, color.RGBA{0x4a, 0xa0, 0x6a, 0xff}},
	{motion.Brim, color.RGBA{0x30, 0xa8, 0xa0, 0xff}},
	{motion.Raft, color.RGBA{0x40, 0x88, 0x78, 0xff}},
	{motion.Prime, color.RGBA{0x80, 0x80, 0x80, 0xff}},
	{motion.Travel, color.RGBA{0xb0, 0xb0, 0xb0, 0xff}},
}

func colourOf(r motion.Role) color.RGBA {
	for _, c := range colours {
		if c.role == r {
			return c.rgb
		}
	}
	return color.RGBA{0, 0, 0, 0xff}
}

// tracer makes strokes of operations.
type tracer struct {
	s       slicer.Settings
	travels bool
	layer   int // from 1
	top     unit.Length
	height  float64
	at      [3]unit.Length
	draw    func(stroke)
}

// op follows one operation.
func (t *tracer) op(op motion.Op) {
	if op.Kind == motion.BeginLayer {
		t.layer++
		t.top, t.height = op.To[motion.IZ], op.Height.MM()
	}
	if !op.Moves() || op.Axes&(motion.X|motion.Y) == 0 {
		return
	}
	if op.Arc() {
		for chord := range op.Chords(t.at, unit.Millimetre/4) {
			t.straight(chord)
		}
		return
	}
	t.straight(op)
}

// straight follows a straight move.
func (t *tracer) straight(op motion.Op) {
	from := t.at
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z} {
		if op.Has(a) {
			t.at[i] = op.To[i]
		}
	}
	s := stroke{x0: from[0].MM(), y0: from[1].MM(), x1: t.at[0].MM(), y1: t.at[1].MM(), role: op.Role}
	s.width = t.width(op, math.Hypot(s.x1-s.x0, s.y1-s.y0))
	if op.E <= 0 {
		s.role, s.width = motion.Travel, 0.05
	}
	if s.role != motion.Travel || t.travels {
		t.draw(s)
	}
}

// width is how wide a line is that op prints.
func (t *tracer) width(op motion.Op, length float64) float64 {
	if op.Width > 0 {
		return op.Width.MM()
	}
	if length == 0 || t.height == 0 {
		return 0
	}
	return op.E.MM() * filamentArea(t.s.Filament) / (length * t.height)
}

func filamentArea(d unit.Length) float64 { return math.Pi / 4 * d.MM() * d.MM() }

// view is one layer, ready to draw.
type view struct {
	title          string
	strokes        []stroke
	x0, y0, x1, y1 float64 // mm, with a margin
}

// newView slices up to the layer that is asked for and keeps what it prints.
func newView(ctx context.Context, j *slicer.Job, o *options, step func(int)) (*view, error) {
	n := o.layer
	if n == 0 {
		n = (j.Info().Layers + 1) / 2
	}
	if n < 1 || n > j.Info().Layers {
		return nil, cli.Usage("there is no layer %d: the model has layers 1 to %d", o.layer, j.Info().Layers)
	}
	v := &view{x0: math.Inf(1), y0: math.Inf(1), x1: math.Inf(-1), y1: math.Inf(-1)}
	t := &tracer{s: o.settings, travels: o.travels}
	t.draw = func(s stroke) {
		if t.layer == n {
			v.add(s)
		}
	}
	for op, err := range j.Program(ctx) {
		if err != nil {
			return nil, err
		}
		if op.Kind == motion.BeginLayer {
			step(min(t.layer+1, n))
			if t.layer == n {
				break
			}
		}
		t.op(op)
		if t.layer == n && v.title == "" {
			v.title = fmt.Sprintf("layer %d of %d  z %s mm", n, j.Info().Layers, t.top.AppendMM(nil, 3))
		}
	}
	if math.IsInf(v.x0, 0) {
		v.x0, v.y0, v.x1, v.y1 = 0, 0, 1, 1
	}
	return v, nil
}

// add keeps a stroke. The line that fills the nozzle, and ways to and from the part,
// do not make the picture larger.
func (v *view) add(s stroke) {
	const margin = 2
	v.strokes = append(v.strokes, s)
	if s.role == motion.Prime || s.role == motion.Travel {
		return
	}
	v.x0, v.x1 = min(v.x0, s.x0-margin, s.x1-margin), max(v.x1, s.x0+margin, s.x1+margin)
	v.y0, v.y1 = min(v.y0, s.y0-margin, s.y1-margin), max(v.y1, s.y0+margin, s.y1+margin)
}

// writer draws in the format that belongs to a file's ending.
func (v *view) writer(kind string) func(io.Writer) error {
	if kind == ".png" {
		return v.png
	}
	return v.svg
}

func (v *view) svg(w io.Writer) error {
	b := bufio.NewWriter(w)
	used := map[motion.Role]bool{}
	for _, s := range v.strokes {
		used[s.role] = true
	}
	wide, high := v.x1-v.x0, v.y1-v.y0
	em := max(wide, high) / 60
	legend := 2.0
	for _, c := range colours {
		if used[c.role] {
			legend++
		}
	}
	full := high + 1.4*em*legend
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.2fmm" height="%.2fmm" viewBox="0 0 %.3f %.3f" stroke-linecap="round">`+"\n",
		wide, full, wide, full)
	for _, s := range v.strokes {
		fmt.Fprintf(b, `<line x1="%.3f" y1="%.3f" x2="%.3f" y2="%.3f" stroke="%s" stroke-width="%.3f"/>`+"\n",
			s.x0-v.x0, v.y1-s.y0, s.x1-v.x0, v.y1-s.y1, html(colourOf(s.role)), 0.9*s.width)
	}
	y := high + 1.4*em
	fmt.Fprintf(b, `<text x="%.3f" y="%.3f" font-size="%.3f" font-family="sans-serif">%s</text>`+"\n", em, y, em, v.title)
	for _, c := range colours {
		if !used[c.role] {
			continue
		}
		y += 1.4 * em
		fmt.Fprintf(b, `<rect x="%.3f" y="%.3f" width="%.3f" height="%.3f" fill="%s"/><text x="%.3f" y="%.3f" font-size="%.3f" font-family="sans-serif">%s</text>`+"\n",
			em, y-0.8*em, em, em, html(c.rgb), 2.5*em, y, em, c.role)
	}
	fmt.Fprintln(b, "</svg>")
	return b.Flush()
}

func html(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// longSide is the size of a picture's longer side in pixels, without its legend.
const longSide = 1600

func (v *view) png(w io.Writer) error {
	scale := longSide / max(v.x1-v.x0, v.y1-v.y0)
	wide, high := int((v.x1-v.x0)*scale)+1, int((v.y1-v.y0)*scale)+1
	used := map[motion.Role]bool{}
	for _, s := range v.strokes {
		used[s.role] = true
	}
	c := newCanvas(max(wide, legendWide), high+legendHigh(used))
	part := image.Rect(0, 0, wide, high)
	for _, s := range v.strokes {
		c.line(part, colourOf(s.role), (s.x0-v.x0)*scale, (v.y1-s.y0)*scale, (s.x1-v.x0)*scale, (v.y1-s.y1)*scale, 0.45*s.width*scale)
	}
	c.legend(high, v.title, used)
	return png.Encode(w, c.img)
}
