package geom

import (
	"testing"

	"platen/hal/unit"
)

// However tall the rings are and however they lie in each other, each is listed in a few
// strips, and what winds around each is found.
func TestTallRings(t *testing.T) {
	const n, top = 400, 32_000_000
	beside, within, steps := new(Region), new(Region), new(Region)
	for i := range unit.Length(n) {
		beside.Add(box(100*i, i, 100*i+50, top-i))
		if ring := box(100*i, 100*i, top-100*i, top-100*i); i%2 == 0 {
			within.Add(ring)
		} else {
			within.Add(reversed(ring))
		}
		steps.Add(box(100*i, 0, 100*i+50, 1<<(i%25))) // of every height
	}
	for _, c := range []struct {
		name string
		in   *Region
		want int
	}{
		{"beside each other", beside, n},
		{"within each other", within, n},
		{"of every height", steps, n},
	} {
		var k Kernel
		var dst Region
		if err := k.Union(&dst, c.in); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if dst.Len() != c.want {
			t.Errorf("%s: %d rings, want %d", c.name, dst.Len(), c.want)
		}
		if got, most := len(k.strips.list), mostStrips*c.in.Len(); got > most {
			t.Errorf("%s: %d entries for %d rings, more than %d", c.name, got, c.in.Len(), most)
		}
		if got, most := len(k.strips.starts), 3*c.in.Len(); got > most {
			t.Errorf("%s: %d strips for %d rings, more than %d", c.name, got, c.in.Len(), most)
		}
	}
}
