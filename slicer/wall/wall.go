// Package wall lays the perimeters of a layer: closed lines that follow its
// contours, one inside the other, and the region that they leave for infill.
//
// A [Builder] keeps the scratch memory, a [Walls] the result; both are filled anew
// for each layer without allocating once they have warmed up. Wall 0 is the
// outermost: its centre line runs half a line width inside the contour, that of
// wall 1 a whole width farther in, and so on. Where the region is too narrow for a
// wall, that wall has no ring there. [Builder.Narrow] then makes lines narrower or
// wider, evenly along the ring, where two of them share less room than they take, or not
// enough more for a line of its own, and leaves out points of rows of very short pieces.
//
// A width is that of a bar: a line of width w and height h holds w × h, and its
// neighbour is w away. Where others speak of w as the width of a bead with round edges,
// their lines are w − h·(1 − π/4) apart and hold that times h: less each, and the
// same for each square millimetre.
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

// thinnest is the narrowest wall that is printed, in line widths⁻¹.
const thinnest = 4

// hair is how much farther in the outermost wall lies than half its width, 60 nm: programs
// are rounded to 1 µm, and half of what that moves would be outside.
const hair = 4

// ErrParams reports parameters that describe no wall.
var ErrParams = errors.New("wall parameters: the width must be between 0 and 100 mm, the count between 0 and 1000, " +
	"apart and wider between 0 and the width, the overlap no more than that either way")

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
	// Wider is how much room at most is shared out to the two lines beside it by
	// [Builder.Narrow], up to Width; more gets a line of its own. 0 shares none.
	Wider unit.Length
	// Join says how corners are rounded.
	Join geom.Join
	// Thin finds what is too narrow for the outermost wall, Gaps what is between the
	// others, and inside the innermost, and too narrow for one more.
	Thin, Gaps bool
}

// Walls holds the walls of one layer. The zero value is empty and ready.
type Walls struct {
	lines  []geom.Region   // centre lines by wall; at most those up to n are in use
	widths [][]unit.Length // of the same
	near   []bool          // of the same: two sides of it may be so close that widths change
	gaps   []geom.Region   // before wall i; one more than there are walls
	n      int
	inner  geom.Region
	rest   geom.Region

	pockets geom.Region
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

// Gap returns what wall i does not reach of the room that the walls before it leave,
// for i from 0 to Len; Gap(Len()) is inside the innermost wall and too narrow for
// one more. It is empty if Params did not ask for it. It shares the memory of w.
func (w *Walls) Gap(i int) *geom.Region { return &w.gaps[:w.n+1][i] }

// Inner returns the region that is left for infill, overlap included. It shares
// the memory of w.
func (w *Walls) Inner() *geom.Region { return &w.inner }

// Rest returns the region inside the innermost wall where a line fits; what is
// narrower is in the last Gap. It shares the memory of w.
func (w *Walls) Rest() *geom.Region { return &w.rest }

// level makes room for wall i and the gap before it.
func (w *Walls) level(i int) {
	if i == len(w.lines) {
		w.lines = append(w.lines, geom.Region{})
		w.widths = append(w.widths, nil)
		w.near = append(w.near, false)
		w.gaps = append(w.gaps, geom.Region{})
	}
	w.lines[i].Reset()
	w.widths[i] = w.widths[i][:0]
	w.near[i] = false
	w.gaps[i].Reset()
}

// Wipe empties w and overwrites its memory.
func (w *Walls) Wipe() {
	for i := range w.lines {
		w.lines[i].Wipe()
		w.gaps[i].Wipe()
		clear(w.widths[i][:cap(w.widths[i])])
		w.widths[i] = w.widths[i][:0]
	}
	w.inner.Wipe()
	w.rest.Wipe()
	w.pockets.Wipe()
	w.n = 0
}

// Builder lays walls. The zero value is ready; it must not be used by two
// goroutines at once.
type Builder struct {
	// Kernel combines the regions. It may be one that others use between two calls;
	// the builder makes its own if there is none.
	Kernel *geom.Kernel

	narrow  narrower
	room    geom.Region // that the walls so far leave
	next    geom.Region // that one more leaves
	ready   bool        // room is there
	reached geom.Region // of it by the next one
	large   geom.Region // parts of a gap
	compact geom.Region // those that are not long
}

// Wipe overwrites the builder's scratch memory.
func (b *Builder) Wipe() {
	if b.Kernel != nil {
		b.Kernel.Wipe()
	}
	b.narrow.wipe()
	b.room.Wipe()
	b.next.Wipe()
	b.reached.Wipe()
	b.large.Wipe()
	b.compact.Wipe()
}

// Walls sets dst to the walls of r, a region as [geom.Kernel.Union] leaves it.
func (b *Builder) Walls(dst *Walls, r *geom.Region, p Params) error {
	dst.Reset()
	if b.Kernel == nil {
		b.Kernel = new(geom.Kernel)
	}
	if p.Width <= 0 || p.Width > maxWidth || p.Count < 0 || p.Count > maxCount ||
		p.Overlap < -p.Width || p.Overlap > p.Width || p.Apart < 0 || p.Apart > p.Width ||
		p.Wider < 0 || p.Wider > p.Width {
		return ErrParams
	}
	if err := b.walls(dst, r, p); err != nil {
		dst.Reset()
		return fmt.Errorf("lay walls: %w", err)
	}
	return nil
}

// walls lays one wall after the other, and one more that is not printed: what that
// encloses, grown by half a line, is where a line fits inside the last wall. Whether
// anything of a wall is too narrow for the next one shows in what areas the two
// enclose; only then is the narrow part looked for.
func (b *Builder) walls(dst *Walls, r *geom.Region, p Params) error {
	if p.Count == 0 {
		dst.rest.Append(r)
		return b.Kernel.Offset(&dst.inner, r, p.Overlap, p.Join)
	}
	half := p.Width / 2
	if err := b.Kernel.Offset(&dst.lines[0], r, -half-hair, p.Join); err != nil {
		return err
	}
	least := float64(p.Width) * float64(p.Width) / 2
	suspect := lost(r, &dst.lines[0], half+hair) >= least
	b.ready = false
	for i := range p.Count {
		dst.level(i + 1)
		line, next := &dst.lines[i], &dst.lines[i+1]
		if line.Empty() && !suspect {
			return nil
		}
		if err := b.Kernel.Offset(next, line, -p.Width, p.Join); err != nil {
			return err
		}
		tight := lost(line, next, p.Width) >= least
		if tight {
			opened, err := b.crowd(dst, r, i, p)
			if err != nil {
				return err
			}
			suspect = suspect || opened
		}
		if suspect {
			if err := b.gap(dst, r, i, p); err != nil {
				return err
			}
		}
		if line.Empty() {
			return nil // nor is there anything left for infill
		}
		dst.n++
		suspect = tight
		b.room, b.next, b.ready = b.next, b.room, tight
	}
	return b.inside(dst, p, suspect)
}

// crowd looks at wall i where it is too narrow for another inside of it: it sets next
// to the room inside of it, notes whether two of its sides share room, and takes out
// what is too narrow even for that. It reports whether there was any.
func (b *Builder) crowd(dst *Walls, r *geom.Region, i int, p Params) (bool, error) {
	line, half := &dst.lines[i], p.Width/2
	if err := b.Kernel.Offset(&b.next, line, -half, geom.JoinMiter); err != nil {
		return false, err
	}
	least := float64(p.Width) * float64(p.Width) / 8
	near := lost(line, &b.next, half) >= least
	opened := false
	if near {
		var err error
		if opened, err = b.open(line, p); err != nil {
			return false, err
		}
		if opened && i == 0 && p.Join != geom.JoinMiter {
			if err := b.reopen(line, r, p); err != nil {
				return false, err
			}
		}
		near = !opened || lost(line, &b.next, half) >= least
	}
	dst.near[i] = near || !p.Gaps
	return opened, nil
}

// open takes out of line what is narrower than p.Apart, and reports whether there
// was any: moving it farther in by half of that makes a narrow ring vanish, and
// moving back restores all others.
func (b *Builder) open(line *geom.Region, p Params) (bool, error) {
	half := p.Apart / 2
	if half == 0 {
		return false, nil
	}
	if err := b.Kernel.Offset(&b.reached, line, -half, geom.JoinMiter); err != nil {
		return false, err
	}
	if lost(line, &b.reached, half) < float64(half)*float64(half) {
		return false, nil
	}
	return true, b.Kernel.Offset(line, &b.reached, half, geom.JoinMiter)
}

// reopen sets line, the outermost wall of r, to what open leaves of it where corners are
// pointed, with corners as they should be. Else there would be rings in the middle of
// crosses whose arms are too narrow for them.
func (b *Builder) reopen(line, r *geom.Region, p Params) error {
	if err := b.Kernel.Offset(line, r, -p.Width/2-hair, geom.JoinMiter); err != nil {
		return err
	}
	if _, err := b.open(line, p); err != nil {
		return err
	}
	if err := b.Kernel.Offset(&b.reached, line, p.Width/2, geom.JoinMiter); err != nil {
		return err
	}
	return b.Kernel.Offset(line, &b.reached, -p.Width/2, p.Join)
}

// gap finds what wall i does not reach of the room that the walls before it leave.
func (b *Builder) gap(dst *Walls, r *geom.Region, i int, p Params) error {
	if i == 0 && !p.Thin || i > 0 && !p.Gaps {
		return nil
	}
	switch {
	case i == 0:
		b.room.Reset()
		b.room.Append(r)
	case !b.ready:
		if err := b.Kernel.Offset(&b.room, &dst.lines[i-1], -p.Width/2, geom.JoinMiter); err != nil {
			return err
		}
	}
	if b.room.Empty() {
		return nil
	}
	return b.slim(dst, i, &dst.lines[i], p)
}

// slim sets gap i to what is in room and not reached from line, without what is so
// thin that no line is laid there. Between walls those that are beside it become wider
// for that.
func (b *Builder) slim(dst *Walls, i int, line *geom.Region, p Params) error {
	// A little more is reached, so that the two have no sides in common: where there is
	// no gap they do not even meet.
	if err := b.Kernel.Offset(&b.reached, line, p.Width/2+p.Width/64, geom.JoinMiter); err != nil {
		return err
	}
	gap := &dst.gaps[i]
	if err := b.Kernel.Difference(gap, &b.room, &b.reached); err != nil || gap.Empty() {
		return err
	}
	least := p.Width / thinnest
	if i > 0 {
		least = max(least, min(p.Wider, p.Width*3/10))
	}
	area := gap.Area2()
	if err := b.without(gap, least); err != nil {
		return err
	}
	if i > 0 && p.Wider > least {
		if err := b.pockets(dst, gap, p); err != nil {
			return err
		}
	}
	if i > 0 && p.Wider > 0 && area-gap.Area2() >= int64(p.Width)*int64(p.Width)/4 {
		dst.near[i-1] = true
	}
	return nil
}

// inside sets what is left for skin and infill. The wall after the last one is
// there; narrow says that it is not everywhere where the last one is.
func (b *Builder) inside(dst *Walls, p Params, narrow bool) error {
	n := dst.n
	last, beyond := &dst.lines[n-1], &dst.lines[n]
	half := p.Width / 2
	if !narrow || p.Overlap > 0 {
		if err := b.Kernel.Offset(&dst.rest, last, -half, p.Join); err != nil {
			return err
		}
		return b.Kernel.Offset(&dst.inner, last, p.Overlap-half, p.Join)
	}
	if err := b.Kernel.Offset(&dst.rest, beyond, half, geom.JoinMiter); err != nil {
		return err
	}
	if p.Gaps {
		if err := b.slim(dst, n, beyond, p); err != nil {
			return err
		}
	}
	return b.Kernel.Offset(&dst.inner, beyond, p.Overlap+p.Width-half, geom.JoinMiter)
}
