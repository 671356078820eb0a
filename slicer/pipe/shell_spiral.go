package pipe

import (
	"context"
	"errors"
	"fmt"

	"platen/slicer/cut"
	"platen/slicer/geom"
	"platen/slicer/wall"
)

// ErrSpiral reports a layer that cannot be part of a spiral.
var ErrSpiral = errors.New("a spiral vase needs one contour without holes on every layer: this model has more, print it without spiral_vase")

// CheckSpiral returns [ErrSpiral] if p asks for a spiral and a layer that c cuts
// cannot be part of it. It costs about as much as cutting the model, and is for before
// anything is heated; where no spiral is asked for it costs nothing. No loop over c
// may be under way.
func CheckSpiral(ctx context.Context, c *cut.Cutter, p Params) error {
	if !p.Shell.Spiral {
		return nil
	}
	w := worker{p: p}
	l := &Layer{Width: p.Width}
	defer w.wipe()
	defer l.wipe()
	defer c.Wipe()
	c.Rewind()
	for l.Index = 0; c.Next(&l.raw); l.Index++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.Index < p.BottomLayers {
			continue
		}
		err := w.outline(l)
		if err == nil {
			err = w.shell(l)
		}
		if err != nil {
			return fmt.Errorf("look for a spiral: %w", err)
		}
	}
	return nil
}

// spiral lays the only wall of a layer that is part of a spiral.
func (w *worker) spiral(l *Layer) error {
	l.Spiral = true
	l.rest.Reset()
	l.inner.Reset()
	p := wall.Params{Width: w.p.Width, Count: 1, Join: geom.JoinMiter}
	if err := w.walls.Walls(&l.Walls, &l.Outline, p); err != nil {
		return err
	}
	if l.Walls.Len() != 1 || l.Walls.Wall(0).Len() != 1 || l.Outline.Len() != 1 {
		return ErrSpiral
	}
	return nil
}
