package support

import (
	"cmp"
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/vault"
)

// How good a place is for a branch to go on to, best first.
const (
	bedFree  = iota // from there it gets to the bed, and there is room for it
	bedTight        // … but it is thinner than it should be for a while
	free
	tight
	air // too near to the part for anything to be printed, but not in it
	within
)

// descend grows all branches, level by level from the top.
func (g *grower) descend(levels int) error {
	if levels == 0 {
		return nil
	}
	pieces, err := vault.Alloc[piece](g.v, 256)
	if err != nil {
		return err
	}
	used, begun := 0, 0
	for k := levels - 1; k >= 0; k-- {
		g.plan.levels[k+1] = int32(used)
		z0 := g.floor + unit.Length(k)*levelHeight
		for ; begun < len(g.tips) && g.tips[begun].z > z0; begun++ {
			g.begin(k, begun)
		}
		if g.n > 0 {
			if pieces, err = g.room(pieces, used); err != nil {
				return err
			}
			g.look(z0)
			g.aim(k)
			used = g.advance(k, pieces, used)
			g.merge()
		}
	}
	g.plan.levels[0] = int32(used)
	if used == 0 {
		return nil
	}
	g.plan.pieces, err = vault.Grow(g.v, pieces, used)
	for _, q := range g.plan.pieces {
		if q.z0 <= g.floor {
			g.plan.add(geom.Point{X: q.b.X - q.rb, Y: q.b.Y - q.rb})
			g.plan.add(geom.Point{X: q.b.X + q.rb, Y: q.b.Y + q.rb})
		}
	}
	return err
}

// look loads the field of a level as far around the branches as they can see.
func (g *grower) look(z unit.Length) {
	x0, y0, x1, y1 := g.w, g.h, int32(0), int32(0)
	for _, h := range g.heads[:g.n] {
		x, y := g.around(h.at)
		x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
	}
	far := int32((g.branch.Most/2+g.p.Aside+g.p.Width+g.step)>>cellBits) + 2
	g.field.load(g.rays, z, max(x0-far, 0), max(y0-far, 0), min(x1+far, g.w-1), min(y1+far, g.h-1))
}

// room makes room for one piece more of every branch.
func (g *grower) room(pieces []piece, used int) ([]piece, error) {
	n := len(pieces)
	for n < used+g.n {
		n *= 2
	}
	if n == len(pieces) {
		return pieces, nil
	}
	return vault.Grow(g.v, pieces, n)
}

// begin lets a branch begin at a tip, unless it had to stand on the part and must not.
func (g *grower) begin(k, tip int) {
	h := g.tips[tip]
	x, y := g.around(h.at)
	h.bed = k == 0 || g.reaches(k-1, x, y, 1) // what is at its own level is above it
	h.roots = int32(tip)
	if !h.bed && g.p.BedOnly {
		g.lost[tip] = true
		return
	}
	g.heads[g.n] = h
	g.n++
}

// aim lets every branch want to go to the one nearest to it, halfway, if they can meet
// before the bed.
func (g *grower) aim(k int) {
	heads := g.heads[:g.n]
	slices.SortFunc(heads, func(a, b head) int {
		return cmp.Or(cmp.Compare(a.at.X, b.at.X), cmp.Compare(a.at.Y, b.at.Y), cmp.Compare(a.roots, b.roots))
	})
	far := min(int64(20*unit.Millimetre), 2*int64(g.step)*int64(k+1))
	for i := range heads {
		h := &heads[i]
		h.to = h.at
		best := far * far
		for _, side := range [...]int{-1, 1} {
			for k := i + side; k >= 0 && k < len(heads); k += side {
				dx := int64(heads[k].at.X - h.at.X)
				if dx*dx >= best {
					break
				}
				if d := distance2(heads[k].at, h.at); d < best && (heads[k].bed == h.bed) {
					best = d
					h.to = geom.Point{X: (h.at.X + heads[k].at.X) / 2, Y: (h.at.Y + heads[k].at.Y) / 2}
				}
			}
		}
	}
}

// advance grows every branch through a level, writes the pieces and returns how many
// there are then. Branches that come to rest go.
func (g *grower) advance(k int, pieces []piece, used int) int {
	z0, z1 := g.floor+unit.Length(k)*levelHeight, g.floor+unit.Length(k+1)*levelHeight
	kept := 0
	for _, h := range g.heads[:g.n] {
		from, ra := h.at, h.r
		top := min(z1, h.z)
		// The level in which it begins is that of the underside as well.
		rests := false
		if top < z1 {
			x, y := g.around(h.at)
			rests = g.touches(g.cell(x, y), z0, top)
		} else {
			rests = g.move(k, &h)
		}
		h.r = g.thicker(h.r, top-z0)
		pieces[used] = piece{from, h.at, g.foot(ra, top), g.foot(h.r, z0), top, z0}
		used++
		if !rests {
			g.heads[kept] = h
			kept++
		}
	}
	g.n = kept
	return used
}

// thicker is the radius of a branch that has grown so much farther down.
func (g *grower) thicker(r, down unit.Length) unit.Length {
	if stem := g.branch.Stem / 2; r < stem {
		return min(r+down*widen/1000, stem)
	}
	return min(r+scaled(down, leanTan(g.branch.Taper)), g.branch.Most/2)
}

// foot is the radius at a height: branches are wider near the bed.
func (g *grower) foot(r, z unit.Length) unit.Length {
	return r + max(0, flare-(z-g.floor))*widen/1000
}

// move takes a branch to where it is at the bottom of a level, and reports whether it
// rests on the part there: nothing but the part is below it.
func (g *grower) move(k int, h *head) (rests bool) {
	best, at, cost := math.MaxInt, h.at, int64(0)
	try := func(p geom.Point) {
		grade := g.grade(k, h, p)
		// The wish counts where all is well; else it is room that does.
		c := distance2(p, h.to)
		if grade != bedFree && grade != free {
			x, y := g.around(p)
			if g.has(x, y) {
				c = -int64(g.field.clear(x, y))
			}
		}
		if grade < best || grade == best && c < cost {
			best, at, cost = grade, p, c
		}
	}
	try(h.at)
	here := best
	try(toward(h.at, h.to, g.step))
	if best > bedFree {
		for _, t := range turns {
			for _, far := range [...]unit.Length{g.step / 2, g.step} {
				try(geom.Point{X: h.at.X + far*(t.X>>4)>>10, Y: h.at.Y + far*(t.Y>>4)>>10})
			}
		}
	}
	if h.bed && best > bedTight { // the cells around are farther than a step, but lead on
		x, y := g.around(h.at)
		for _, d := range next8 {
			if g.has(x+d[0], y+d[1]) {
				try(g.middle(g.cell(x+d[0], y+d[1])))
			}
		}
	}
	if best > bedTight {
		h.bed = false
	}
	if here == within && !h.bed { // it stands
		return true
	}
	h.at = at
	return false
}

// grade tells how good a place at the bottom of a level is for a branch.
func (g *grower) grade(k int, h *head, p geom.Point) int {
	r := h.r
	room := g.p.Room
	x, y := g.around(p)
	if !g.has(x, y) || p.X-r < room.Min.X || p.X+r > room.Max.X || p.Y-r < room.Min.Y || p.Y+r > room.Max.Y {
		return within
	}
	if g.field.solid(x, y) {
		return within
	}
	clear := g.field.clear(x, y)
	bed := h.bed && g.reaches(k, x, y, 0)
	switch {
	case clear >= r+g.p.Aside && bed:
		return bedFree
	case clear >= g.p.Aside+g.p.Width && bed:
		return bedTight
	case clear >= r+g.p.Aside:
		return free
	case clear >= g.p.Aside+g.p.Width:
		return tight
	}
	return air
}

// toward is the place at most step from a on the way to b.
func toward(a, b geom.Point, step unit.Length) geom.Point {
	d := math.Sqrt(float64(distance2(a, b)))
	if d <= float64(step) {
		return b
	}
	f := float64(step) / d
	return geom.Point{
		X: a.X + unit.Length(math.Round(float64(b.X-a.X)*f)),
		Y: a.Y + unit.Length(math.Round(float64(b.Y-a.Y)*f)),
	}
}

// merge makes one of branches that are in one place, or one inside the other.
func (g *grower) merge() {
	heads := g.heads[:g.n]
	slices.SortFunc(heads, func(a, b head) int {
		return cmp.Or(cmp.Compare(a.at.X, b.at.X), cmp.Compare(a.at.Y, b.at.Y), cmp.Compare(a.roots, b.roots))
	})
	kept := 0
	for i := range heads {
		h := heads[i]
		into := -1
		for k := kept - 1; k >= 0 && h.at.X-heads[k].at.X <= g.branch.Most/2; k-- {
			o := &heads[k]
			apart := unit.Length(math.Sqrt(float64(distance2(o.at, h.at))))
			if o.bed == h.bed && apart+min(o.r, h.r) <= max(o.r, h.r)+g.p.Width/2 {
				into = k
				break
			}
		}
		if into < 0 {
			heads[kept] = h
			kept++
			continue
		}
		o := &heads[into]
		if h.r > o.r {
			o.at, o.r = h.at, h.r
		}
	}
	g.n = kept
}
