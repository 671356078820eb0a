package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"

	"platen/hal/motion"
	"platen/slicer"
)

const (
	mostTiles = 400 // of more layers, every second is shown, or third, …
	tileLabel = 12  // pixels for the number of a layer
)

// sheet is a picture of all layers side by side.
type sheet struct {
	every, columns  int
	wide, high      int     // of a tile without its label, pixels
	scale           float64 // pixels a mm
	x0, y1          float64 // mm, of the left and the upper edge of a tile
	canvas          canvas
	used            map[motion.Role]bool
	tiles, mostHigh int
}

// newSheet slices all layers and draws them as they come.
func newSheet(ctx context.Context, j *slicer.Job, o *options, step func(int)) (*sheet, error) {
	s := layout(j.Info(), o.settings, o.wide)
	t := &tracer{s: o.settings, travels: o.travels}
	part := image.Rectangle{}
	t.draw = func(k stroke) {
		if k.role == motion.Prime || part.Empty() {
			return
		}
		s.used[k.role] = true
		at := func(x, y float64) (float64, float64) {
			return float64(part.Min.X) + (x-s.x0)*s.scale, float64(part.Min.Y) + (s.y1-y)*s.scale
		}
		x0, y0 := at(k.x0, k.y0)
		x1, y1 := at(k.x1, k.y1)
		s.canvas.line(part, colourOf(k.role), x0, y0, x1, y1, 0.45*k.width*s.scale)
	}
	for op, err := range j.Program(ctx) {
		if err != nil {
			return nil, err
		}
		if op.Kind == motion.BeginLayer {
			step(min(t.layer+1, j.Info().Layers))
			part = s.tile(t.layer)
			if !part.Empty() {
				s.canvas.text(part.Min.X+2, part.Min.Y-tileLabel+2, 1, fmt.Sprint(t.layer+1))
			}
		}
		t.op(op)
	}
	return s, nil
}

// layout divides a picture about as wide as is said among the layers.
func layout(i slicer.Info, set slicer.Settings, wide int) *sheet {
	margin := 1 + set.Width.MM()
	b := i.Bounds
	w, h := (b.Max.X-b.Min.X).MM()+2*margin, (b.Max.Y-b.Min.Y).MM()+2*margin
	s := &sheet{x0: b.Min.X.MM() - margin, y1: b.Max.Y.MM() + margin, used: map[motion.Role]bool{}}
	s.every = (i.Layers + mostTiles - 1) / mostTiles
	s.tiles = (i.Layers + s.every - 1) / s.every
	s.columns = max(1, int(math.Ceil(math.Sqrt(float64(s.tiles)*h/w))))
	s.wide = max(24, min(wide/s.columns, 800))
	s.scale = float64(s.wide) / w
	s.high = int(h*s.scale) + 1
	rows := (s.tiles + s.columns - 1) / s.columns
	s.mostHigh = rows * (s.high + tileLabel)
	// Room for a legend with every colour: what is not needed is cut off.
	all := map[motion.Role]bool{}
	for _, c := range colours {
		all[c.role] = true
	}
	s.canvas = newCanvas(max(s.columns*s.wide, legendWide), s.mostHigh+legendHigh(all))
	return s
}

// tile is where a layer is drawn, nothing if it is passed over.
func (s *sheet) tile(layer int) image.Rectangle {
	if layer%s.every != 0 || layer/s.every >= s.tiles {
		return image.Rectangle{}
	}
	n := layer / s.every
	at := image.Pt(n%s.columns*s.wide, n/s.columns*(s.high+tileLabel)+tileLabel)
	box := image.Rectangle{at, at.Add(image.Pt(s.wide, s.high))}
	grey := color.RGBA{0xf4, 0xf4, 0xf4, 0xff}
	s.canvas.fill(image.Rectangle{at, at.Add(image.Pt(s.wide-2, s.high-2))}, grey)
	return box
}

func (s *sheet) png(w io.Writer) error {
	title := fmt.Sprintf("%d layers", s.tiles)
	if s.every > 1 {
		title = fmt.Sprintf("one layer of %d", s.every)
	}
	s.canvas.legend(s.mostHigh, title, s.used)
	box := s.canvas.img.Rect
	box.Max.Y = s.mostHigh + legendHigh(s.used)
	fast := png.Encoder{CompressionLevel: png.BestSpeed} // it is large, and mostly white
	return fast.Encode(w, s.canvas.img.SubImage(box))
}
