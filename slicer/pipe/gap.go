package pipe

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
)

// Strokes is a list of lines that each have a width of their own.
type Strokes struct {
	fill.Lines
	Widths []unit.Length // of line i; a line whose ends meet is closed
}

// Reset empties the list and keeps its memory.
func (s *Strokes) Reset() {
	s.Lines.Reset()
	s.Widths = s.Widths[:0]
}

// Wipe empties the list and overwrites its memory.
func (s *Strokes) Wipe() {
	s.Lines.Wipe()
	clear(s.Widths[:cap(s.Widths)])
	s.Widths = s.Widths[:0]
}

// end closes the line that begins at point start; a width of 0 drops it.
func (s *Strokes) end(start int, width unit.Length) {
	if len(s.Pts) < start+2 || width <= 0 {
		s.Pts = s.Pts[:start]
		return
	}
	s.Ends = append(s.Ends, int32(len(s.Pts)))
	s.Widths = append(s.Widths, width)
}

// thinnest is the narrowest gap that is filled, in line widths⁻¹.
const thinnest = 4

// gapFiller fills what is narrower than a line: between the innermost walls that
// fit, and where not even one does. Level k is what the walls before k leave; what
// a wall of full width does not reach of it is a gap.
//
// A gap gets one line along its middle, as wide as it is on average, so that the
// amount is right: of a ring-shaped gap, its outer side moved inward by half that
// width; of a plain one, the mean of its two sides. Gaps that branch have no such
// line; they are hatched.
type gapFiller struct {
	width   unit.Length
	level   geom.Region
	reached geom.Region
	gap     geom.Region
	part    geom.Region // one gap: its outer ring, then its holes
	middle  geom.Region
	hatcher fill.Hatcher
	lines   fill.Lines
}

func (g *gapFiller) wipe() {
	for _, r := range []*geom.Region{&g.level, &g.reached, &g.gap, &g.part, &g.middle} {
		r.Wipe()
	}
	g.hatcher.Wipe()
	g.lines.Wipe()
}

// fill appends to l.Gaps what the walls of l leave open. beyond is the next wall
// after the last one: the region it would enclose.
func (g *gapFiller) fill(k *geom.Kernel, l *Layer, beyond *geom.Region) error {
	g.width = l.Width
	n := l.Walls.Len()
	for i := range n + 1 {
		level, line := &l.Outline, beyond
		if i > 0 {
			level = &g.level
			if err := k.Offset(level, l.Walls.Wall(i-1), -g.width/2, geom.JoinMiter); err != nil {
				return err
			}
		}
		if i < n {
			line = l.Walls.Wall(i)
		}
		if err := g.find(k, level, line); err != nil {
			return err
		}
		if err := g.strokes(k, &l.Gaps, l.Width); err != nil {
			return err
		}
	}
	return nil
}

// strokes fills gap, after what is too thin for any line has been taken off it.
func (g *gapFiller) strokes(k *geom.Kernel, dst *Strokes, width unit.Length) error {
	if g.gap.Empty() {
		return nil
	}
	g.width = width
	if err := open(k, &g.gap, &g.gap, width/thinnest); err != nil {
		return err
	}
	for r := range g.gap.Len() {
		if ring := g.gap.Ring(r); geom.Area2(ring) > 0 {
			if err := g.stroke(k, dst, ring); err != nil {
				return err
			}
		}
	}
	return nil
}

// open sets dst to the parts of src in which a disc of the given width fits,
// corners kept.
func open(k *geom.Kernel, dst, src *geom.Region, width unit.Length) error {
	if err := k.Offset(dst, src, -width/2, geom.JoinMiter); err != nil || dst.Empty() {
		return err
	}
	return k.Offset(dst, dst, width/2, geom.JoinMiter)
}

// find sets gap to what a wall along line does not reach of level.
func (g *gapFiller) find(k *geom.Kernel, level, line *geom.Region) error {
	g.gap.Reset()
	if level.Empty() {
		return nil
	}
	if err := k.Offset(&g.reached, line, g.width/2, geom.JoinMiter); err != nil {
		return err
	}
	if level.Area2()-g.reached.Area2() < int64(g.width)*int64(g.width)/thinnest {
		return nil
	}
	return k.Difference(&g.gap, level, &g.reached)
}

// stroke fills the gap inside one outer ring.
func (g *gapFiller) stroke(k *geom.Kernel, dst *Strokes, outer []geom.Point) error {
	g.part.Reset()
	g.part.Add(outer)
	for r := range g.gap.Len() {
		if ring := g.gap.Ring(r); geom.Area2(ring) < 0 && inside(outer, ring[0]) {
			g.part.Add(ring)
		}
	}
	area := float64(g.part.Area2()) / 2
	around := 0.0
	for r := range g.part.Len() {
		ring := g.part.Ring(r)
		around += length(ring) + distance(ring[len(ring)-1], ring[0])
	}
	if area < float64(g.width)*float64(g.width) {
		return nil
	}
	switch g.part.Len() {
	case 1:
		if g.plain(dst, outer, area, around) {
			return nil
		}
	case 2:
		if ok, err := g.ring(k, dst, area, around); ok || err != nil {
			return err
		}
	}
	return g.hatch(dst, area)
}

// ring lays one closed line along the middle of a gap with one hole.
func (g *gapFiller) ring(k *geom.Kernel, dst *Strokes, area, around float64) (bool, error) {
	width := 2 * area / around
	g.middle.Reset()
	g.middle.Add(g.part.Ring(0))
	if err := k.Offset(&g.middle, &g.middle, -unit.Length(width/2), geom.JoinMiter); err != nil {
		return false, err
	}
	if g.middle.Len() != 1 {
		return false, nil
	}
	ring := g.middle.Ring(0)
	for _, p := range ring {
		if !g.within(p) {
			return false, nil
		}
	}
	start := len(dst.Pts)
	dst.Pts = append(append(dst.Pts, ring...), ring[0])
	dst.end(start, unit.Length(area/length(dst.Pts[start:])))
	return true, nil
}

// plain lays one line along the middle of a gap without holes, and reports false
// if it branches.
func (g *gapFiller) plain(dst *Strokes, outer []geom.Point, area, around float64) bool {
	a := farthest(outer, 0)
	b := farthest(outer, a)
	n := len(outer)
	root := around*around - 16*area // of a strip of that area and perimeter
	if a == b || root <= 0 {
		return false
	}
	long := (around + math.Sqrt(root)) / 4
	steps := int(min(max(2*long/float64(g.width), 1), 1000))
	one := walker{ring: outer, at: a, left: (b - a + n) % n, step: 1}
	two := walker{ring: outer, at: a, left: (a - b + n) % n, step: n - 1}
	one.measure()
	two.measure()
	start := len(dst.Pts)
	for i := range steps + 1 {
		f := float64(i) / float64(steps)
		p, q := one.to(f), two.to(f)
		m := geom.Point{X: p.X + (q.X-p.X)/2, Y: p.Y + (q.Y-p.Y)/2}
		if i > 0 && i < steps && !g.within(m) {
			dst.end(start, 0)
			return false
		}
		dst.Pts = append(dst.Pts, m)
	}
	dst.Pts = dst.Pts[:start+len(straighten(dst.Pts[start:]))]
	dst.end(start, unit.Length(area/length(dst.Pts[start:])))
	return true
}

// hatch covers a gap that branches with short lines.
func (g *gapFiller) hatch(dst *Strokes, area float64) error {
	g.lines.Reset()
	err := g.hatcher.Hatch(&g.lines, &g.part, fill.Params{
		Angle: evenAngle, Spacing: g.width, MinSpan: g.width / thinnest, MaxJoin: 2 * g.width,
	})
	if err != nil || g.lines.Len() == 0 {
		return err
	}
	width := min(unit.Length(area/float64(g.lines.Length())), g.width)
	for i := range g.lines.Len() {
		start := len(dst.Pts)
		dst.Pts = append(dst.Pts, g.lines.Line(i)...)
		dst.end(start, width)
	}
	return nil
}

// within reports whether p lies in the gap at hand.
func (g *gapFiller) within(p geom.Point) bool {
	in := false
	for r := range g.part.Len() {
		if inside(g.part.Ring(r), p) {
			in = !in
		}
	}
	return in
}
