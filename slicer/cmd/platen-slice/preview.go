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

// stroke is a printed straight line.
type stroke struct {
	x0, y0, x1, y1 float64 // mm
	width          float64 // mm
	role           motion.Role
}

// view is one layer, ready to draw.
type view struct {
	strokes        []stroke
	x0, y0, x1, y1 float64 // mm, with a margin
}

// colours of the roles, as viewers have them.
var colours = map[motion.Role]color.RGBA{
	motion.OuterWall:   {0xd9, 0x5f, 0x30, 0xff},
	motion.InnerWall:   {0xf0, 0xc0, 0x40, 0xff},
	motion.SolidInfill: {0x8a, 0x5f, 0xc8, 0xff},
	motion.TopSkin:     {0x6a, 0x4f, 0xd8, 0xff},
	motion.BottomSkin:  {0x9a, 0x6f, 0xb8, 0xff},
	motion.Infill:      {0xc0, 0x3a, 0x4a, 0xff},
	motion.Skirt:       {0x4a, 0xa0, 0x6a, 0xff},

	motion.OverhangWall:     {0x30, 0x60, 0xd0, 0xff},
	motion.ThinWall:         {0xd8, 0xd0, 0x90, 0xff},
	motion.Bridge:           {0x50, 0x90, 0xe0, 0xff},
	motion.Ironing:          {0xc0, 0xa0, 0xe8, 0xff},
	motion.Support:          {0x50, 0xc0, 0x50, 0xff},
	motion.SupportInterface: {0x20, 0x80, 0x30, 0xff},
	motion.Brim:             {0x30, 0xa8, 0xa0, 0xff},
	motion.Raft:             {0x40, 0x88, 0x78, 0xff},
	motion.Prime:            {0x80, 0x80, 0x80, 0xff},
	motion.Vase:             {0xd9, 0x5f, 0x90, 0xff},
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
	layer := 0
	var x, y float64
	for op, err := range j.Program(ctx) {
		if err != nil {
			return nil, err
		}
		if op.Kind == motion.BeginLayer {
			layer++
			step(layer)
		}
		if layer > n {
			break
		}
		if op.Kind != motion.Move || !op.Has(motion.X|motion.Y) {
			continue
		}
		nx, ny := op.To[motion.IX].MM(), op.To[motion.IY].MM()
		if layer == n && op.Has(motion.E) {
			v.add(stroke{x, y, nx, ny, width(op, o.settings, layer, math.Hypot(nx-x, ny-y)), op.Role})
		}
		x, y = nx, ny
	}
	return v, nil
}

// width is how wide a line is that takes the filament of op.
func width(op motion.Op, s slicer.Settings, layer int, length float64) float64 {
	height := s.Height
	if layer == 1 {
		height = s.FirstHeight
	}
	if length == 0 {
		return 0
	}
	return op.E.MM() * filamentArea(s.Filament) / (length * height.MM())
}

func filamentArea(d unit.Length) float64 { return math.Pi / 4 * d.MM() * d.MM() }

func (v *view) add(s stroke) {
	const margin = 2
	v.strokes = append(v.strokes, s)
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
	if len(v.strokes) == 0 {
		v.x0, v.y0, v.x1, v.y1 = 0, 0, 1, 1
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.2fmm" height="%.2fmm" viewBox="0 0 %.3f %.3f" stroke-linecap="round">`+"\n",
		v.x1-v.x0, v.y1-v.y0, v.x1-v.x0, v.y1-v.y0)
	for _, s := range v.strokes {
		c := colours[s.role]
		fmt.Fprintf(b, `<line x1="%.3f" y1="%.3f" x2="%.3f" y2="%.3f" stroke="#%02x%02x%02x" stroke-width="%.3f"/>`+"\n",
			s.x0-v.x0, v.y1-s.y0, s.x1-v.x0, v.y1-s.y1, c.R, c.G, c.B, 0.9*s.width)
	}
	fmt.Fprintln(b, "</svg>")
	return b.Flush()
}

// longSide is the size of a picture's longer side in pixels.
const longSide = 1600

func (v *view) png(w io.Writer) error {
	if len(v.strokes) == 0 {
		v.x0, v.y0, v.x1, v.y1 = 0, 0, 1, 1
	}
	scale := longSide / max(v.x1-v.x0, v.y1-v.y0)
	img := image.NewRGBA(image.Rect(0, 0, int((v.x1-v.x0)*scale)+1, int((v.y1-v.y0)*scale)+1))
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	for _, s := range v.strokes {
		draw(img, colours[s.role], (s.x0-v.x0)*scale, (v.y1-s.y0)*scale, (s.x1-v.x0)*scale, (v.y1-s.y1)*scale, 0.45*s.width*scale)
	}
	return png.Encode(w, img)
}

// draw fills all pixels within radius of a straight line.
func draw(img *image.RGBA, c color.RGBA, x0, y0, x1, y1, radius float64) {
	box := image.Rect(int(min(x0, x1)-radius), int(min(y0, y1)-radius), int(max(x0, x1)+radius)+2, int(max(y0, y1)+radius)+2).Intersect(img.Rect)
	dx, dy := x1-x0, y1-y0
	length2 := dx*dx + dy*dy
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			px, py := float64(x)+0.5-x0, float64(y)+0.5-y0
			f := 0.0
			if length2 > 0 {
				f = max(0, min(1, (px*dx+py*dy)/length2))
			}
			if ex, ey := px-f*dx, py-f*dy; ex*ex+ey*ey <= radius*radius {
				img.SetRGBA(x, y, c)
			}
		}
	}
}
