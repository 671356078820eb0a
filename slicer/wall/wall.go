// Package wall lays the perimeters of a layer: closed lines that follow its
// contours, one inside the other, and the region that they leave for infill.
//
// A [Builder] keeps the scratch memory, a [Walls] the result; both are filled anew
// for each layer without allocating once they have warmed up. Wall 0 is the
// outermost: its centre line runs half a line width inside the contour, that of
// wall 1 a whole width farther in, and so on. Where the region is too narrow for a
// wall, that wall has no ring there. [Builder.Narrow] then makes lines narrower where
// two of them share less room than they take.
package wall

import (
	"errors"
	"fmt"
	"log/slog"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// maxCount is more walls than a nozzle lays in a region of 1 m with the finest
// nozzle in use.
const maxCount = 1000

// maxWidth is wider than any nozzle.
const maxWidth = 100 * unit.Millimetre

// ErrParams reports parameters that describe no wall.
var ErrParams = errors.New("wall parameters: the width must be between 0 and 100 mm, the count between 0 and 1000, " +
	"apart between 0 and the width, the overlap no more than that either way")

// Params says how walls are laid.
type Params struct {
	// Width of a line, from one side to the other; lines lie side by side.
	Width unit.Length
	// Count of walls; 0 leaves everything to infill.
	Count int
	// Overlap is how far infill reaches into the innermost wall, up to Width; below 0
	// it keeps that distance.
	Overlap unit.Length
	// Apart is how far the opposite sides of one ring must be from each other, centre
	// line to centre line. A wall is left out where they would be closer: there it
	// would be laid twice in one place, and a single line in the middle fits better.
	// 0 leaves nothing out.
	Apart unit.Length
	// Join says how corners are rounded.
	Join geom.Join
}

// Walls holds the walls of one layer. The zero value is empty and ready.
type Walls struct {
	lines  []geom.Region   // centre lines by wall; at most those up to n are in use
	widths [][]unit.Length // of the same
	n      int
	inner  geom.Region
}

// String says nothing of the walls.
func (w Walls) String() string { return "walls" }

// GoString says nothing of the walls.
func (w Walls) GoString() string { return "walls" }

// LogValue says nothing of the walls.
func (w Walls) LogValue() slog.Value { return slog.StringValue("walls") }

// Len is the number of walls that have at least one ring.
func (w *Walls) Len() int { return w.n }

// Wall returns the centre lines of wall i, 0 being the outermost: outer rings
// counter-clockwise, rings around holes clockwise. They share the memory of w.
func (w *Walls) Wall(i int) *geom.Region { return &w.lines[:w.n][i] }

// Widths tells how wide the lines of wall i are: the one that begins at point k of
// its region is Widths(i)[k] wide. It is nil where all are as wide as asked for,
// which they are before [Builder.Narrow]. It shares the memory of w.
func (w *Walls) Widths(i int) []unit.Length {
	if len(w.widths[:w.n][i]) == 0 {
		return nil
	}
	return w.widths[i]
}

// Inner returns the region that is left for infill, overlap included. It shares
// the memory of w.
func (w *Walls) Inner() *geom.Region { return &w.inner }

// Reset empties w and keeps its memory.
func (w *Walls) Reset() {
	w.n = 0
	w.inner.Reset()
}

// Wipe empties w and overwrites its memory.
func (w *Walls) Wipe() {
	for i := range w.lines {
		w.lines[i].Wipe()
		clear(w.widths[i][:cap(w.widths[i])])
		w.widths[i] = w.widths[i][:0]
	}
	w.inner.Wipe()
	w.n = 0
}

// Builder lays walls. The zero value is ready; it must not be used by two
// goroutines at once.
type Builder struct {
	kernel geom.Kernel
	narrow narrower
}

// Wipe overwrites the builder's scratch memory.
func (b *Builder) Wipe() {
	b.kernel.Wipe()
	b.narrow.wipe()
}

// Walls sets dst to the walls of r, a region as [geom.Kernel.Union] leaves it.
func (b *Builder) Walls(dst *Walls, r *geom.Region, p Params) error {
	dst.Reset()
	if p.Width <= 0 || p.Width > maxWidth || p.Count < 0 || p.Count > maxCount ||
		p.Overlap < -p.Width || p.Overlap > p.Width || p.Apart < 0 || p.Apart > p.Width {
		return ErrParams
	}
	from, step := r, p.Width/2
	for i := range p.Count {
		if i == len(dst.lines) {
			dst.lines = append(dst.lines, geom.Region{})
			dst.widths = append(dst.widths, nil)
		}
		dst.widths[i] = dst.widths[i][:0]
		line := &dst.lines[i]
		if err := b.lay(line, from, step, p); err != nil {
			dst.Reset()
			return fmt.Errorf("lay walls: %w", err)
		}
		if line.Empty() {
			return nil // nor is there anything left for infill
		}
		dst.n++
		from, step = line, p.Width
	}
	rest := p.Overlap
	if p.Count > 0 {
		rest -= p.Width - p.Width/2
	}
	if err := b.kernel.Offset(&dst.inner, from, rest, p.Join); err != nil {
		dst.Reset()
		return fmt.Errorf("leave room for infill: %w", err)
	}
	return nil
}

// lay sets line to the centre line step inside of from. Where that would be a
// narrow ring, moving farther in by half of Apart makes it vanish, and moving back
// restores all others.
func (b *Builder) lay(line, from *geom.Region, step unit.Length, p Params) error {
	half := p.Apart / 2
	if err := b.kernel.Offset(line, from, -step-half, p.Join); err != nil || half == 0 {
		return err
	}
	return b.kernel.Offset(line, line, half, geom.JoinMiter)
}
