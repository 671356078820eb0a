package path

import (
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// The index finds the island that a search through all of them finds, whatever is
// done in between.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) unit.Length { return unit.Length(rapid.IntRange(-60, 60).Draw(t, name)) * mm / 4 }
		islands := make([]island, rapid.IntRange(1, 40).Draw(t, "islands"))
		for i := range islands {
			lo := geom.Point{X: draw("x"), Y: draw("y")}
			size := unit.Length(rapid.IntRange(0, 40).Draw(t, "size")) * mm / 4
			islands[i] = island{lo: lo, hi: geom.Point{X: lo.X + size, Y: lo.Y + size}, end: int32(rapid.IntRange(0, 3).Draw(t, "items"))}
		}
		var x index
		x.build(islands)
		for range len(islands) + 2 {
			p := geom.Point{X: 2 * draw("px"), Y: 2 * draw("py")}
			around := 0
			for i := range islands {
				if islands[i].boxDistance2(p) == 0 && !islands[i].done && islands[i].end > 0 {
					around++
				}
			}
			for _, i := range x.at(x.strip(p)) {
				if islands[i].boxDistance2(p) == 0 && !islands[i].done && islands[i].end > 0 {
					around--
				}
			}
			if around != 0 {
				t.Fatalf("a strip misses %d islands", around)
			}
			best, want := int64(-1), -1
			for i := range islands {
				if islands[i].done || islands[i].end == 0 {
					continue
				}
				if d := islands[i].boxDistance2(p); want < 0 || d < best {
					best, want = d, i
				}
			}
			if got := x.nearest(p, islands); got != want {
				t.Fatalf("island %d is nearest, the index says %d", want, got)
			}
			if want >= 0 {
				islands[want].done = true
			}
		}
	})
}
