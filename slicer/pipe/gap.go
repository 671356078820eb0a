package pipe

import (
	"cmp"
	"math"
	"slices"

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

// cut drops the lines from number lines on, which begin at point pts.
func (s *Strokes) cut(lines, pts int) {
	s.Ends, s.Widths, s.Pts = s.Ends[:lines], s.Widths[:lines], s.Pts[:pts]
}

// thinnest is the narrowest gap that is filled, in line widths⁻¹.
const thinnest = 4

// gapFiller fills what is narrower than a line: between walls, and where not even
// one fits.
//
// A gap gets one line along its middle, open or closed, cut into pieces where its
// width changes, so that the amount is right everywhere. A gap that branches has no
// such line: it gets closed lines of half its width along its edge; if they would be
// too thin, a line along each arm; and if it has none, short parallel ones.
type gapFiller struct {
	width   unit.Length
	bare    bool // nothing is around the gap
	reached geom.Region
	gap     geom.Region
	holes   []int32     // rings of gap, from left to right
	part    geom.Region // one gap: its outer ring, then its holes
	middle  geom.Region
	hatcher fill.Hatcher
	short   fill.Lines
	outer   []geom.Point // points along the outer ring of part
	hole    []geom.Point // and along its only hole
	mids    []geom.Point // of the gap, from one end to the other
	wide    []float64    // how wide it is there
}

func (g *gapFiller) wipe() {
	for _, r := range []*geom.Region{&g.reached, &g.gap, &g.part, &g.middle} {
		r.Wipe()
	}
	g.hatcher.Wipe()
	g.short.Wipe()
	for _, pts := range [][]geom.Point{g.outer, g.hole, g.mids} {
		clear(pts[:cap(pts)])
	}
	clear(g.wide[:cap(g.wide)])
	clear(g.holes[:cap(g.holes)])
}

// fill appends to dst what fills gap, in which there is nothing too thin for a line.
// bare says that it is not between walls.
func (g *gapFiller) fill(k *geom.Kernel, dst *Strokes, gap *geom.Region, width unit.Length, bare bool) error {
	if gap.Empty() {
		return nil
	}
	g.gap.Reset()
	g.gap.Append(gap)
	g.bare = bare
	err := g.lines(k, dst, width)
	g.bare = false
	return err
}

// strokes fills gap, after what is too thin for any line has been taken off it.
func (g *gapFiller) strokes(k *geom.Kernel, dst *Strokes, width unit.Length) error {
	if g.gap.Empty() {
		return nil
	}
	if err := open(k, &g.gap, &g.gap, width/thinnest); err != nil {
		return err
	}
	return g.lines(k, dst, width)
}

func (g *gapFiller) lines(k *geom.Kernel, dst *Strokes, width unit.Length) error {
	g.width = width
	g.sortHoles()
	for r := range g.gap.Len() {
		if ring := g.gap.Ring(r); geom.Area2(ring) >= int64(g.width)*int64(g.width) {
			if err := g.stroke(k, dst, ring); err != nil {
				return err
			}
		}
	}
	return nil
}

// sortHoles lists the holes of gap from left to right.
func (g *gapFiller) sortHoles() {
	g.holes = g.holes[:0]
	for r := range g.gap.Len() {
		if geom.Area2(g.gap.Ring(r)) < 0 {
			g.holes = append(g.holes, int32(r))
		}
	}
	slices.SortFunc(g.holes, func(a, b int32) int {
		return cmp.Or(cmp.Compare(g.gap.Ring(int(a))[0].X, g.gap.Ring(int(b))[0].X), cmp.Compare(a, b))
	})
}

// open sets dst to the parts of src in which a disc of the given width fits,
// corners kept.
func open(k *geom.Kernel, dst, src *geom.Region, width unit.Length) error {
	if err := k.Offset(dst, src, -width/2, geom.JoinMiter); err != nil || dst.Empty() {
		return err
	}
	return k.Offset(dst, dst, width/2, geom.JoinMiter)
}

// stroke fills the gap inside one outer ring.
func (g *gapFiller) stroke(k *geom.Kernel, dst *Strokes, outer []geom.Point) error {
	g.part.Reset()
	g.part.Add(outer)
	lo, hi := outer[0].X, outer[0].X
	for _, p := range outer {
		lo, hi = min(lo, p.X), max(hi, p.X)
	}
	from, _ := slices.BinarySearchFunc(g.holes, lo, func(r int32, x unit.Length) int { return cmp.Compare(g.gap.Ring(int(r))[0].X, x) })
	for _, r := range g.holes[from:] {
		ring := g.gap.Ring(int(r))
		if ring[0].X > hi {
			break
		}
		if geom.Inside(outer, ring[0]) {
			g.part.Add(ring)
		}
	}
	area := float64(g.part.Area2()) / 2
	if area < float64(g.width)*float64(g.width)/2 {
		return nil
	}
	edge := 0.0
	for r := range g.part.Len() {
		edge += around(g.part.Ring(r))
	}
	if g.bare && area < 3*float64(g.width)*float64(g.width) && g.part.Len() == 1 && g.dash(dst, outer, area) {
		return nil
	}
	if n := g.part.Len(); n == 1 && g.plain(dst, outer, area) || n == 2 && g.ring(dst, area) {
		return nil
	}
	if ok, err := g.loops(k, dst, area, edge); ok || err != nil {
		return err
	}
	if ok, err := g.arms(k, dst, area, edge); ok || err != nil {
		return err
	}
	return g.hatch(dst, area)
}

// around is the length of a ring.
func around(ring []geom.Point) float64 {
	return length(ring) + distance(ring[len(ring)-1], ring[0])
}

// plain lays a line along the middle of a gap without holes, and reports false if
// it branches.
func (g *gapFiller) plain(dst *Strokes, outer []geom.Point, area float64) bool {
	g.outer = sample(g.outer, outer, around(outer), g.width)
	a, b := tips(g.outer)
	n := len(g.outer)
	there := (b - a + n) % n
	return g.zip(side{g.outer, a, 1, there}, side{g.outer, a, -1, n - there}) && g.lay(dst, area, outer)
}

// ring lays a closed line along the middle of a gap with one hole, and reports
// false if it branches.
func (g *gapFiller) ring(dst *Strokes, area float64) bool {
	outer, hole := g.part.Ring(0), g.part.Ring(1)
	g.outer = sample(g.outer, outer, around(outer), g.width)
	g.hole = sample(g.hole, hole, around(hole), g.width)
	at := nearestTo(g.hole, g.outer[0])
	return g.zip(side{g.outer, 0, 1, len(g.outer)}, side{g.hole, at, -1, len(g.hole)}) && g.lay(dst, area, nil)
}

// dash lays one straight line along a gap that is hardly longer than it is wide, and
// reports false if it is longer.
func (g *gapFiller) dash(dst *Strokes, outer []geom.Point, area float64) bool {
	g.outer = sample(g.outer, outer, around(outer), g.width)
	var p, q geom.Point
	var x, y int64
	long := 0.0
	for i, a := range g.outer {
		x, y = x+int64(a.X), y+int64(a.Y)
		for _, b := range g.outer[:i] {
			if d := distance(a, b); d > long {
				p, q, long = a, b, d
			}
		}
	}
	if long == 0 || long*long > 5*area {
		return false
	}
	width := min(area/long, 1.5*float64(g.width))
	n := int64(len(g.outer))
	half := max((long-width)/2, width/8) / long
	dx, dy := unit.Length(math.Round(float64(q.X-p.X)*half)), unit.Length(math.Round(float64(q.Y-p.Y)*half))
	start := len(dst.Pts)
	m := geom.Point{X: unit.Length(x / n), Y: unit.Length(y / n)}
	dst.Pts = append(dst.Pts, geom.Point{X: m.X - dx, Y: m.Y - dy}, geom.Point{X: m.X + dx, Y: m.Y + dy})
	dst.end(start, unit.Length(width))
	return true
}

// loops lays closed lines of half the width of a gap that branches, along its edge,
// and reports false if it is too narrow for that, in all or in places.
func (g *gapFiller) loops(k *geom.Kernel, dst *Strokes, area, edge float64) (bool, error) {
	quarter := area / edge / 2
	// The lines are shorter than the edge, by about four times their width.
	quarter = area / (edge - float64(8*quarter*float64(2-g.part.Len()))) / 2
	if quarter < float64(g.width)*3/16 {
		return false, nil
	}
	if err := k.Offset(&g.middle, &g.part, -unit.Length(quarter), geom.JoinMiter); err != nil || g.middle.Empty() {
		return false, err
	}
	if err := k.Offset(&g.reached, &g.middle, unit.Length(quarter), geom.JoinMiter); err != nil {
		return false, err
	}
	if float64(g.reached.Area2())/2 < 0.85*area {
		return false, nil
	}
	long := 0.0
	for r := range g.middle.Len() {
		long += around(g.middle.Ring(r))
	}
	for r := range g.middle.Len() {
		ring := g.middle.Ring(r)
		start := len(dst.Pts)
		dst.Pts = append(append(dst.Pts, ring...), ring[0])
		dst.end(start, min(unit.Length(area/long), g.width))
	}
	return true, nil
}

// arms lays a line along every arm of a thin gap that branches: along what is left
// where the knots, in which arms meet, are taken out. It reports false if that does
// not leave most of the gap, or not in plain arms.
func (g *gapFiller) arms(k *geom.Kernel, dst *Strokes, area, edge float64) (bool, error) {
	// A knot has room for a disc a seventh wider than the arms; where three arms meet
	// that is a quarter. It is taken out with a margin, so that arms come apart.
	disc := unit.Length(area / edge * 8 / 7)
	if err := k.Offset(&g.middle, &g.part, -disc, geom.JoinRound); err != nil || g.middle.Empty() {
		return false, err
	}
	if err := k.Offset(&g.middle, &g.middle, disc+disc/8, geom.JoinRound); err != nil {
		return false, err
	}
	if err := k.Difference(&g.middle, &g.part, &g.middle); err != nil {
		return false, err
	}
	left := float64(g.middle.Area2()) / 2
	if left < 0.7*area {
		return false, nil
	}
	lines, pts := len(dst.Ends), len(dst.Pts)
	for r := range g.middle.Len() {
		arm := g.middle.Ring(r)
		own := float64(geom.Area2(arm)) / 2
		if own > 0 && own < float64(g.width)*float64(g.width)/thinnest {
			left -= own
			continue
		}
		if own < 0 || !g.plain(dst, arm, own) {
			dst.cut(lines, pts)
			return false, nil
		}
	}
	for i := range dst.Widths[lines:] { // the arms hold what the knots would
		w := &dst.Widths[lines+i]
		*w = min(unit.Length(float64(*w)*area/left), g.width)
	}
	return len(dst.Ends) > lines, nil
}

// hatch covers a gap that branches with short lines.
func (g *gapFiller) hatch(dst *Strokes, area float64) error {
	g.short.Reset()
	err := g.hatcher.Hatch(&g.short, &g.part, fill.Params{
		Angle: 45 * fill.Degree, Spacing: g.width, MinSpan: g.width / thinnest, MaxJoin: 2 * g.width,
	})
	if err != nil || g.short.Len() == 0 {
		return err
	}
	width := min(unit.Length(area/float64(g.short.Length())), g.width)
	for i := range g.short.Len() {
		start := len(dst.Pts)
		dst.Pts = append(dst.Pts, g.short.Line(i)...)
		dst.end(start, width)
	}
	return nil
}
