package path

import (
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// A grid to which the same edges are added again stays as it is; with others, more or
// fewer, it tells of those.
func TestGridAgain(t *testing.T) {
	square := func(from, to unit.Length) *geom.Region {
		r := &geom.Region{}
		r.Add([]geom.Point{{X: from, Y: from}, {X: to, Y: from}, {X: to, Y: to}, {X: from, Y: to}})
		return r
	}
	both := square(0, 40*mm)
	both.Append(square(50*mm, 60*mm))
	at := func(x unit.Length) geom.Point { return geom.Point{X: x, Y: x} }
	var g grid
	for i, c := range []struct {
		r           *geom.Region
		again       bool
		near, apart bool // 20 mm and 55 mm are inside
	}{
		{square(0, 40*mm), false, true, false},
		{square(0, 40*mm), true, true, false},
		{both, false, true, true},
		{both, true, true, true},
		{square(0, 40*mm), false, true, false},
		{square(30*mm, 40*mm), false, false, false},
		{&geom.Region{}, false, false, false},
		{both, false, true, true},
	} {
		g.reset()
		g.add(c.r, 0)
		if again := g.ready && g.n == len(g.edges); again != c.again {
			t.Errorf("step %d: the same again %v, want %v", i, again, c.again)
		}
		if near, apart := g.inside(at(20*mm)), g.inside(at(55*mm)); near != c.near || apart != c.apart {
			t.Errorf("step %d: inside %v and %v, want %v and %v", i, near, apart, c.near, c.apart)
		}
	}
}
