package pipe

import (
	"math"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// mostSamples bounds the points that one side of a gap is looked at in.
const mostSamples = 1 << 14

// side is one side of a gap: n steps from point at of a closed line, in the
// direction of step.
type side struct {
	pts      []geom.Point
	at, step int
	n        int
}

func (s side) point(i int) geom.Point {
	k := (s.at + i*s.step) % len(s.pts)
	if k < 0 {
		k += len(s.pts)
	}
	return s.pts[k]
}

// sample sets dst to points at even distances of about a quarter of width along a
// ring of the given length.
func sample(dst []geom.Point, ring []geom.Point, long float64, width unit.Length) []geom.Point {
	n := int(min(max(4*long/float64(width), 12), mostSamples))
	dst = dst[:0]
	done := 0.0
	for i, p := range ring {
		q := ring[(i+1)%len(ring)]
		d := distance(p, q)
		for len(dst) < n {
			at := float64(len(dst)) * long / float64(n)
			if at >= done+d {
				break
			}
			f := (at - done) / d
			dst = append(dst, geom.Point{
				X: p.X + unit.Length(math.Round(f*float64(q.X-p.X))),
				Y: p.Y + unit.Length(math.Round(f*float64(q.Y-p.Y))),
			})
		}
		done += d
	}
	return dst
}

// tips are the two points of a closed line at which it turns back the most: the
// ends of a strip.
func tips(pts []geom.Point) (a, b int) {
	n := len(pts)
	arm := max(1, min(8, n/6))
	turn := func(i int) float64 { return distance(pts[(i+n-arm)%n], pts[(i+arm)%n]) }
	for i := range n {
		if turn(i) < turn(a) {
			a = i
		}
	}
	b = (a + n/2) % n
	for k := 2 * arm; k <= n-2*arm; k++ {
		if i := (a + k) % n; turn(i) < turn(b) {
			b = i
		}
	}
	return a, b
}

// nearestTo is the point of pts nearest to p.
func nearestTo(pts []geom.Point, p geom.Point) int {
	at := 0
	for i, q := range pts {
		if distance(p, q) < distance(p, pts[at]) {
			at = i
		}
	}
	return at
}

// zip goes along both sides of a gap at once, one to the left of the other, always
// on with the side that stays nearer to the other, and notes the middle and the
// width at each step. It reports false if that does not make sense: the gap
// branches, or is too wide for a line.
func (g *gapFiller) zip(one, two side) bool {
	g.mids, g.wide = g.mids[:0], g.wide[:0]
	most := 2.5 * float64(g.width)
	p, q := one.point(0), two.point(0)
	var area, back int64
	for i, j := 0, 0; ; {
		across := distance(p, q)
		if across > most {
			return false
		}
		g.mids = append(g.mids, geom.Point{X: p.X + (q.X-p.X)/2, Y: p.Y + (q.Y-p.Y)/2})
		g.wide = append(g.wide, across)
		if i == one.n && j == two.n {
			break
		}
		if j == two.n || i < one.n && distance(one.point(i+1), q) <= distance(p, two.point(j+1)) {
			i++
			a := geom.Cross(p, one.point(i), q)
			area, back = area+a, back+max(0, -a)
			p = one.point(i)
		} else {
			j++
			a := geom.Cross(p, two.point(j), q)
			area, back = area+a, back+max(0, -a)
			q = two.point(j)
		}
	}
	return back <= area/50
}

// lay appends the middle line that zip has found, as lines that follow each other
// wherever its width changes. They hold the given area, but for what is beyond the
// round ends of the line.
//
// ring is around the gap if it has two ends; else the line is closed.
func (g *gapFiller) lay(dst *Strokes, area float64, ring []geom.Point) bool {
	lo, hi := 0, len(g.mids)-1
	_, held := g.piece(lo, hi)
	if held <= 0 {
		return false
	}
	if ring != nil {
		lo, hi = g.trim()
		if mid := (lo + hi) / 2; mid > lo && mid < hi {
			g.prolong(ring, lo, g.after(lo, mid))
			g.prolong(ring, hi, g.before(hi, mid))
		}
	}
	scale := area / held
	for lo < hi {
		end := g.alike(lo, hi)
		_, part := g.piece(lo, end)
		start := len(dst.Pts)
		dst.Pts = append(dst.Pts, g.mids[lo:end+1]...)
		dst.Pts = dst.Pts[:start+len(straighten(dst.Pts[start:], g.slack()))]
		width := 0.0
		if long := length(dst.Pts[start:]); long > 0 {
			width = min(scale*part/long, 2*float64(g.width))
		}
		dst.end(start, unit.Length(width))
		lo = end
	}
	return true
}

// ends is how much of its width a line keeps away from the ends of a gap: half of it
// where it is free, less between walls, which it may touch.
func (g *gapFiller) ends() float64 {
	if g.bare {
		return 0.5
	}
	return 0.2
}

// slack is how far the line may be from the middle of a gap: less where it is seen.
func (g *gapFiller) slack() unit.Length {
	if g.bare {
		return simplify
	}
	return g.width / 16
}

// prolong moves the end of the middle line at point i straight on, as it comes from
// point from, to where it is as far from ring as it should be.
func (g *gapFiller) prolong(ring []geom.Point, i, from int) {
	p, q := g.mids[from], g.mids[i]
	d := distance(p, q)
	if d == 0 {
		return
	}
	ux, uy := float64(q.X-p.X)/d, float64(q.Y-p.Y)/d
	ahead := math.Inf(1)
	a := ring[len(ring)-1]
	for _, b := range ring {
		// In the frame of the line: s along it, t to its left.
		at := float64(float64(a.Y-q.Y)*ux) - float64(float64(a.X-q.X)*uy)
		bt := float64(float64(b.Y-q.Y)*ux) - float64(float64(b.X-q.X)*uy)
		if (at > 0) != (bt > 0) {
			as := float64(float64(a.X-q.X)*ux) + float64(float64(a.Y-q.Y)*uy)
			bs := float64(float64(b.X-q.X)*ux) + float64(float64(b.Y-q.Y)*uy)
			if s := as + float64((bs-as)*(at/(at-bt))); s > 0 {
				ahead = min(ahead, s)
			}
		}
		a = b
	}
	if on := ahead - float64(g.ends()*g.wide[i]); on > 0 && on < g.wide[i] {
		g.mids[i] = geom.Point{X: q.X + unit.Length(math.Round(on*ux)), Y: q.Y + unit.Length(math.Round(on*uy))}
	}
}

// trim returns the part of the middle line that keeps most of its width away from both
// ends of the gap, where it might turn into a corner, or a tenth of its length if that
// is less.
func (g *gapFiller) trim() (lo, hi int) {
	const share = 0.8
	last := len(g.mids) - 1
	long, _ := g.piece(0, last)
	away := func(a, b int) bool {
		d := distance(g.mids[a], g.mids[b])
		return d > share*g.wide[b] || d > long/10
	}
	lo, hi = 0, last
	for lo < last && !away(0, lo) {
		lo++
	}
	for hi > 0 && !away(last, hi) {
		hi--
	}
	if lo >= hi {
		return 0, last
	}
	return lo, hi
}

// piece measures the middle line from point lo to point hi.
func (g *gapFiller) piece(lo, hi int) (long, area float64) {
	for i := lo; i < hi; i++ {
		d := distance(g.mids[i], g.mids[i+1])
		long += d
		area += float64(d * (g.wide[i] + g.wide[i+1]) / 2)
	}
	return long, area
}

// alike is how far from point lo, at most to hi, the middle line is about as wide.
// It looks at blocks of the length of a line width, so that corners do not count.
func (g *gapFiller) alike(lo, hi int) int {
	const most = 1.2
	end := g.block(lo, hi)
	long, area := g.piece(lo, end)
	for end < hi {
		next := g.block(end, hi)
		l, a := g.piece(end, next)
		if a*long > most*area*l || area*l > most*a*long {
			return end
		}
		end = next
	}
	return end
}

// block is the end of a block that begins at point lo. No block is shorter than a
// line is wide, the last one included.
func (g *gapFiller) block(lo, hi int) int {
	end := g.after(lo, hi)
	if rest, _ := g.piece(end, g.after(end, hi)); rest < float64(g.width) {
		return hi
	}
	return end
}

// after is the first point at least a line width on from point lo, or hi.
func (g *gapFiller) after(lo, hi int) int {
	for long := 0.0; lo < hi && long < float64(g.width); lo++ {
		long += distance(g.mids[lo], g.mids[lo+1])
	}
	return lo
}

// before is the first point back at least a line width from point hi, or lo.
func (g *gapFiller) before(hi, lo int) int {
	for long := 0.0; hi > lo && long < float64(g.width); hi-- {
		long += distance(g.mids[hi], g.mids[hi-1])
	}
	return hi
}

// mostStraight is how many points are left out one after the other at most, which
// bounds the work: all of them are looked at again for each one more.
const mostStraight = 64

// straighten leaves out points of a line such that all of them are within tol of what
// is left.
func straighten(line []geom.Point, tol unit.Length) []geom.Point {
	if len(line) < 3 {
		return line
	}
	kept, from := 1, 1 // from is the first point left out since the last one kept
	for i := 1; i+1 < len(line); i++ {
		if i-from < mostStraight && along(line[kept-1], line[i+1], line[from:i+1], tol) {
			continue
		}
		line[kept] = line[i]
		kept++
		from = i + 1
	}
	line[kept] = line[len(line)-1]
	return line[:kept+1]
}

// along reports whether all points are within tol of the line from a to b.
func along(a, b geom.Point, pts []geom.Point, tol unit.Length) bool {
	most := float64(distance(a, b) * float64(tol))
	for _, p := range pts {
		if math.Abs(float64(geom.Cross(a, b, p))) > most {
			return false
		}
	}
	return true
}

// length is that of an open line.
func length(line []geom.Point) float64 {
	sum := 0.0
	for i := 1; i < len(line); i++ {
		sum += distance(line[i-1], line[i])
	}
	return sum
}

// distance rounds each product by itself, the same on every machine.
func distance(a, b geom.Point) float64 {
	dx, dy := float64(a.X-b.X), float64(a.Y-b.Y)
	return math.Sqrt(float64(dx*dx) + float64(dy*dy))
}
