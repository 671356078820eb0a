package pipe

import (
	"slices"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
)

// A layer with the outline of the one before gets the shell that it would have got
// anyway. The controls are a layer of its own, and a kind that is not copied.
func TestAgain(t *testing.T) {
	p := params()
	p.Shell.Gaps, p.Shell.Thin, p.Shell.Extra = true, true, true
	c := cutter(t, solids.Thin(), p)
	same := worker{p: p, pitch: p.cellPitch()}
	copied := 0
	var kinds [4]int
	for i := 0; ; i++ {
		var l, m Layer
		if !c.Next(&l.raw) {
			break
		}
		m.raw.Append(&l.raw)
		l.Index, m.Index = i/2, i/2
		kind := p.Shell.kind(i/2, p.BottomLayers)
		kinds[kind]++
		var plain geom.Region
		alone := worker{p: p, pitch: p.cellPitch()}
		if err := alone.kernel.Simplify(&plain, &l.raw, simplify); err != nil {
			t.Fatal(err)
		}
		if kind != shellNone && kind == same.again.kind && sameRegion(&plain, &same.again.key) {
			copied++
		}
		for _, err := range []error{same.shape(&l), alone.shape(&m)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if !sameRegion(&l.Outline, &m.Outline) || !sameRegion(&l.rest, &m.rest) || !sameRegion(&l.inner, &m.inner) ||
			!slices.Equal(l.Gaps.Pts, m.Gaps.Pts) || !slices.Equal(l.Gaps.Widths, m.Gaps.Widths) || l.Walls.Len() != m.Walls.Len() {
			t.Fatalf("layer %d differs", i)
		}
		for k := range l.Walls.Len() {
			if !sameRegion(l.Walls.Wall(k), m.Walls.Wall(k)) || !slices.Equal(l.Walls.Widths(k), m.Walls.Widths(k)) {
				t.Fatalf("wall %d of layer %d differs", k, i)
			}
		}
	}
	if copied < 5 || kinds[shellPlain] < 5 || kinds[shellExtra] < 5 {
		t.Errorf("%d copies, kinds %v", copied, kinds)
	}
	if s := (Shell{Foot: unit.Micrometres(100), FootLayers: 3}); s.kind(2, 0) != shellNone || s.kind(3, 0) != shellPlain {
		t.Error("a layer that is pressed outward has a shell of its own")
	}
	if s := (Shell{Spiral: true}); s.kind(3, 4) != shellPlain || s.kind(4, 4) != shellSpiral {
		t.Error("a spiral begins above the bottom")
	}
}
