package support

import (
	"cmp"
	"math"
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/vault"
)

// prop is an upright piece of a cell.
type prop struct {
	z0, z1 unit.Length // where it begins and ends
	what   uint32      // cell × 4 + layerPart
}

// layerPart is what of a support a prop belongs to.
type layerPart uint32

const (
	body layerPart = iota
	roof
	foot
)

// grown is how many cells the support of the smallest patches is wider than they are,
// on every side: a prop has to stand by itself.
const grown = 3

// growth is by how many cells that of a patch is wider.
func growth(t *patch) int32 {
	switch {
	case t.size < 24:
		return grown
	case t.size < 200:
		return grown - 1
	}
	return 1
}

// post is a prop before it is united with others of its cell.
type post struct{ base, top unit.Length }

// builder makes props from spots.
type builder struct {
	*rays
	p       Params
	floor   unit.Length
	list    []spot
	patches []patch
	posts   []post
	ends    []int32 // by cell
	counts  bool
	discs   [grown + 1][][2]int32
}

// build makes the props of a plan, and its branches.
func (p *Plan) build(v *vault.Vault, r *rays, list []spot) error {
	patches, err := r.choose(v, list, p.p)
	if err != nil {
		return err
	}
	b := builder{rays: r, p: p.p, floor: p.floor, list: list, patches: patches}
	for i := range b.discs {
		b.discs[i] = disc(int32(i))
	}
	if b.ends, err = vault.Scratch[int32](v, r.cells()+1); err != nil {
		return err
	}
	b.counts = true
	b.place()
	n := sums(b.ends)
	if n == 0 {
		return nil
	}
	if b.posts, err = vault.Scratch[post](v, n); err != nil {
		return err
	}
	b.counts = false
	b.place()
	if p.props, err = vault.Alloc[prop](v, 3*n); err != nil {
		return err
	}
	if n = b.props(p.props); n > 0 {
		if p.props, err = vault.Grow(v, p.props, n); err != nil {
			return err
		}
	} else {
		p.props = nil
	}
	p.measure()
	if p.p.Kind == Tree {
		return p.grow(v, &b)
	}
	return p.sort(v)
}

// place puts a post under every spot that needs one, and around it.
func (b *builder) place() {
	for i := range b.list {
		s := &b.list[i]
		if s.flags&needed == 0 {
			continue
		}
		base, inside := b.stand(s.cell, s.hi)
		if inside { // of something that is thinner than a cell
			base, inside = b.stand(s.cell, s.lo)
		}
		if inside {
			continue
		}
		if !b.put(s.cell, base, s.hi) {
			continue
		}
		x, y := b.at(s.cell)
		for _, d := range b.discs[growth(&b.patches[s.patch])] {
			if d == [2]int32{} || !b.has(x+d[0], y+d[1]) {
				continue
			}
			c := b.cell(x+d[0], y+d[1])
			// What is beside a support stands where that does, or not at all.
			if at, inside := b.stand(c, s.hi); !inside && at <= base+unit.Millimetre {
				b.put(c, at, s.hi)
			}
		}
	}
}

// stand is where a post below z would stand.
func (b *builder) stand(c int32, z unit.Length) (base unit.Length, inside bool) {
	base, inside = b.below(c, z)
	return max(base, b.floor), inside
}

// put adds a post, unless it would be too low or may not be there, which it reports.
func (b *builder) put(c int32, base, top unit.Length) bool {
	least := b.p.Gap + b.p.Layer
	if base > b.floor {
		if b.p.BedOnly && b.p.Kind != Tree { // a branch may find a way
			return false
		}
		least += b.p.Gap
	}
	if top-base < least {
		return false
	}
	if !b.counts {
		b.posts[b.ends[c]] = post{base, top}
	}
	b.ends[c]++
	return true
}

// props writes the props of all posts to out and returns how many there are. What
// overlaps in a cell is united.
func (b *builder) props(out []prop) int {
	n := 0
	for c := range int32(b.cells()) {
		posts := part32(b.posts, b.ends, c)
		slices.SortFunc(posts, func(s, t post) int { return cmp.Compare(s.top, t.top) })
		first := [3]int{n, n, n}
		add := func(what layerPart, z0, z1 unit.Length) {
			for k := n - 1; k >= first[what]; k-- {
				if q := &out[k]; layerPart(q.what&3) == what && q.z1 >= z0 {
					q.z0, q.z1 = min(q.z0, z0), max(q.z1, z1)
					return
				}
			}
			out[n] = prop{z0, z1, uint32(c)<<2 | uint32(what)}
			n++
		}
		for i, s := range posts {
			if i > 0 && s == posts[i-1] {
				continue
			}
			if b.p.Roof > 0 {
				add(roof, max(s.base, s.top-b.p.Gap-b.p.Roof), s.top)
			}
			if b.p.Kind == Tree { // which carry no more than that
				continue
			}
			add(body, s.base, s.top)
			if b.p.Floor > 0 && s.base > b.floor {
				add(foot, s.base, min(s.top, s.base+b.p.Gap+b.p.Floor))
			}
		}
	}
	return n
}

// part32 is part for posts.
func part32(list []post, ends []int32, c int32) []post {
	from := int32(0)
	if c > 0 {
		from = ends[c-1]
	}
	return list[from:ends[c]]
}

// sort puts the props in the order in which a sweep meets them.
func (p *Plan) sort(v *vault.Vault) (err error) {
	slices.SortFunc(p.props, func(a, b prop) int { return cmp.Or(cmp.Compare(a.z0, b.z0), cmp.Compare(a.what, b.what)) })
	if p.ends, err = vault.Alloc[int32](v, len(p.props)); err != nil {
		return err
	}
	for i := range p.ends {
		p.ends[i] = int32(i)
	}
	slices.SortFunc(p.ends, func(i, k int32) int { return cmp.Or(cmp.Compare(p.props[i].z1, p.props[k].z1), cmp.Compare(i, k)) })
	return nil
}

// measure sets the box around all props that stand on the bed.
func (p *Plan) measure() {
	p.lo = geom.Point{X: math.MaxInt32, Y: math.MaxInt32}
	p.hi = geom.Point{X: math.MinInt32, Y: math.MinInt32}
	for _, q := range p.props {
		if q.z0 > p.floor {
			continue
		}
		m := p.grid.middle(int32(q.what >> 2))
		p.add(geom.Point{X: m.X - cell/2, Y: m.Y - cell/2})
		p.add(geom.Point{X: m.X + cell/2, Y: m.Y + cell/2})
	}
}

func (p *Plan) add(q geom.Point) {
	p.lo = geom.Point{X: min(p.lo.X, q.X), Y: min(p.lo.Y, q.Y)}
	p.hi = geom.Point{X: max(p.hi.X, q.X), Y: max(p.hi.Y, q.Y)}
}
