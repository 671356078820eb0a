package check

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"

	"platen/slicer/mesh"
)

// The colours of a picture.
var (
	inkNone    = color.RGBA{0xff, 0xff, 0xff, 0xff} // neither model nor line
	inkInside  = color.RGBA{0xdc, 0xdc, 0xdc, 0xff} // a line where the model goes on above and below
	inkTop     = color.RGBA{0x96, 0x96, 0xff, 0xff} // a line on what faces up
	inkBottom  = color.RGBA{0x96, 0xff, 0x96, 0xff} // a line on what faces down
	inkBare    = color.RGBA{0xff, 0xf0, 0xb4, 0xff} // no line inside
	inkBareTop = color.RGBA{0xff, 0x00, 0x00, 0xff} // no line on what faces up
	inkBareLow = color.RGBA{0xff, 0x00, 0xff, 0xff} // no line on what faces down
	inkOutside = color.RGBA{0x00, 0x00, 0x00, 0xff} // a line outside of the model
)

// Picture draws one layer of the part, from 1, as it is judged: what is covered and
// what is left bare of what faces up (blue, red), down (green, magenta) and of the
// inside (grey, yellow), and what is laid outside of the model (black). Size is that of
// the longer side in pixels. It is ErrNothing if there is no such layer.
func Picture(ctx context.Context, m *mesh.Mesh, r io.ReadSeeker, o Options, index, size int) (image.Image, error) {
	o = o.filled()
	all, err := survey(ctx, r, o)
	if err != nil {
		return nil, fmt.Errorf("read a program: %w", err)
	}
	if index < 1 || index > len(all.tops) {
		return nil, ErrNothing
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	j := newJudge(newSolid(m), all, o)
	j.fit()
	j.picked = make([]bool, len(all.tops))
	j.picked[index-1] = true
	if _, err := readLayers(ctx, r, o, j.layer); err != nil {
		return nil, fmt.Errorf("read a program: %w", err)
	}
	return j.picture(size), nil
}

// picture draws the layer that was judged last.
func (j *judge) picture(size int) image.Image {
	lo, hi := pt{math.Inf(1), math.Inf(1)}, pt{math.Inf(-1), math.Inf(-1)}
	for _, g := range j.here.raw {
		for _, p := range [2]pt{g.a.upright(), g.b.upright()} {
			lo = pt{min(lo.x, p.x), min(lo.y, p.y)}
			hi = pt{max(hi.x, p.x), max(hi.y, p.y)}
		}
	}
	if lo.x > hi.x { // nothing of the model
		lo, hi = pt{}, pt{1, 1}
	}
	lo, hi = lo.minus(pt{1, 1}), hi.plus(pt{1, 1})
	dot := max(hi.x-lo.x, hi.y-lo.y) / float64(size)
	img := image.NewRGBA(image.Rect(0, 0, int((hi.x-lo.x)/dot), int((hi.y-lo.y)/dot)))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			img.SetRGBA(x, y, j.ink(pt{lo.x + (float64(x)+0.5)*dot, hi.y - (float64(y)+0.5)*dot}.tilted()))
		}
	}
	return img
}

// ink is the colour of a place.
func (j *judge) ink(p pt) color.RGBA {
	in, laid := j.body.holds(p), j.laid.holds(p)
	up, down := in && !j.over.holds(p), in && !j.under.holds(p)
	switch {
	case !in && !laid:
		return inkNone
	case !in:
		return inkOutside
	case up && laid:
		return inkTop
	case up:
		return inkBareTop
	case down && laid:
		return inkBottom
	case down:
		return inkBareLow
	case laid:
		return inkInside
	}
	return inkBare
}
