package pipe

import (
	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
)

// Head says how a line is printed.
type Head struct {
	// Width is that of a bar, as high as Height, that holds what the line takes of
	// filament.
	Width unit.Length
	// Height is that of the layer if it is 0: lines that fill several layers at once
	// say more.
	Height unit.Length
	// Role is what the line is for: speed, acceleration, fan, and when it is printed.
	Role motion.Role
	// Hang is how far the line hangs over the layer below, in quarters of its width,
	// 1 to 4; 0 not at all. It is for walls and whatever else hangs.
	Hang uint8
	// Follow prints the line straight after the one before it in the list, from its
	// first point to its last, as the others that follow each other; without it
	// lines of one role are printed nearest first, from either end.
	Follow bool
}

// Runs is a list of lines that each have a role and a width of their own. A line
// whose ends meet is closed.
type Runs struct {
	fill.Lines
	Heads []Head // of line i
}

// Reset empties the list and keeps its memory.
func (r *Runs) Reset() {
	r.Lines.Reset()
	r.Heads = r.Heads[:0]
}

// Wipe empties the list and overwrites its memory.
func (r *Runs) Wipe() {
	r.Lines.Wipe()
	clear(r.Heads[:cap(r.Heads)])
	r.Heads = r.Heads[:0]
}

// Add appends one line; one of less than two points, or without a width, is left
// out.
func (r *Runs) Add(line []geom.Point, h Head) {
	if len(line) < 2 || h.Width <= 0 {
		return
	}
	r.Pts = append(r.Pts, line...)
	r.Ends = append(r.Ends, int32(len(r.Pts)))
	r.Heads = append(r.Heads, h)
}

// Give gives all lines that have none yet the same head, as after a hatch straight
// into r.Lines.
func (r *Runs) Give(h Head) {
	for len(r.Heads) < len(r.Ends) {
		r.Heads = append(r.Heads, h)
	}
}

// Hangs tells how far the edges of walls hang over the layer below.
type Hangs struct {
	walls [][]uint8
	n     int
}

// Reset empties h and keeps its memory.
func (h *Hangs) Reset() { h.n = 0 }

// Wipe empties h and overwrites its memory.
func (h *Hangs) Wipe() {
	for _, w := range h.walls {
		clear(w[:cap(w)])
	}
	h.n = 0
}

// Add makes room for the next wall, from the outermost in, whose region has points
// points, and returns what to set: for the edge that begins at each point how many
// quarters of its width hang over, 0 to 4. They begin as 0.
func (h *Hangs) Add(points int) []uint8 {
	if h.n == len(h.walls) {
		h.walls = append(h.walls, nil)
	}
	w := h.walls[h.n][:0]
	for range points {
		w = append(w, 0)
	}
	h.walls[h.n] = w
	h.n++
	return w
}

// Wall returns what Add returned for wall i; nil if nothing of it hangs over.
func (h *Hangs) Wall(i int) []uint8 {
	if i >= h.n {
		return nil
	}
	return h.walls[i]
}
