package geom

import (
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
)

// What several regions do not share of another one is what is left of it without
// their common part. The control: taken as one, they cover more.
func TestLacking(t *testing.T) {
	differs := 0
	rapid.Check(t, func(t *rapid.T) {
		var k Kernel
		draw := func(name string) *Region {
			var raw, clean Region
			for range rapid.IntRange(1, 3).Draw(t, name) {
				ring := make([]Point, rapid.IntRange(3, 6).Draw(t, "points"))
				for i := range ring {
					ring[i].X = unit.Length(rapid.Int32Range(-9, 9).Draw(t, "x") * 10_000)
					ring[i].Y = unit.Length(rapid.Int32Range(-9, 9).Draw(t, "y") * 10_000)
				}
				raw.Add(ring)
			}
			if err := k.Union(&clean, &raw); err != nil {
				t.Fatal(err)
			}
			return &clean
		}
		a := draw("a")
		var all, common, want, got, one Region
		n := rapid.IntRange(1, 4).Draw(t, "regions")
		for i := range n {
			b := draw("b")
			all.Append(b)
			if i == 0 {
				common.Append(b)
			} else if err := k.Intersect(&common, &common, b); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.Difference(&want, a, &common); err != nil {
			t.Fatal(err)
		}
		if err := k.Lacking(&got, a, &all, n); err != nil {
			t.Fatal(err)
		}
		if err := k.Difference(&one, a, &all); err != nil {
			t.Fatal(err)
		}
		// Rounding moves edges by up to half a unit a step.
		if d := want.Area2() - got.Area2(); d < -8_000_000 || d > 8_000_000 {
			t.Fatalf("areas differ by %d", d)
		}
		if d := one.Area2() - got.Area2(); d < -8_000_000 || d > 8_000_000 {
			differs++
		}
	})
	if differs < 1 {
		t.Errorf("control: only %d cases tell the two apart", differs)
	}
}
