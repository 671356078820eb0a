package slicer

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
)

// bars is a heap of upright bars of 0.4 to 2.2 mm, some of them wedges, that cross
// each other anyhow: corners, junctions and gaps of every kind.
func bars(rng *rand.Rand) solids.Soup {
	const mm = unit.Millimetre
	var all solids.Soup
	for range 1 + rng.IntN(6) {
		from, long := 0.4+1.8*rng.Float64(), 5+15*rng.Float64()
		to := from
		if rng.IntN(3) == 0 {
			to = 0.4 + 1.8*rng.Float64()
		}
		x, y := 15*rng.Float64(), 15*rng.Float64()
		sin, cos := math.Sincos(math.Pi * rng.Float64())
		at := func(along, across float64) solids.Point {
			return solids.Point{
				X: unit.Length((x+along*cos-across*sin)*1024) * (mm / 1024),
				Y: unit.Length((y+along*sin+across*cos)*1024) * (mm / 1024),
			}
		}
		foot := []solids.Point{at(0, -from/2), at(long, -to/2), at(long, to/2), at(0, from/2)}
		all = solids.Join(all, solids.Loft(foot, solids.Raised(foot, mm)))
	}
	return all
}

// Whatever the shape, the amount is right, it lies where it belongs, and little
// lies elsewhere. The control is the account of another heap.
func TestBars(t *testing.T) {
	s := Default()
	other, noticed := 0.0, 0
	for seed := range uint64(24) {
		soup := bars(rand.New(rand.NewPCG(seed, 1)))
		var b bytes.Buffer
		if err := soup.WriteBinary(&b); err != nil {
			t.Fatal(err)
		}
		j := openBytes(t, b.Bytes(), s)
		r := newRaster(soup, middles(j, s))
		got := observe(t, j, s, r)
		want := r.volume(s)
		body, covered, spilt := 0, 0, 0
		for i, on := range got.painted {
			for k, in := range r.layers[i].in {
				switch {
				case in && on[k]:
					covered++
				case on[k]:
					spilt++
				}
				if in {
					body++
				}
			}
		}
		c, o := float64(covered)/float64(body), float64(spilt)/float64(body)
		if math.Abs(got.volume/want-1) > 0.05 || c < 0.93 || o > 0.05 {
			t.Errorf("seed %d: %.3f of the volume, %.3f covered, %.3f outside", seed, got.volume/want, c, o)
		}
		if math.Abs(got.volume/other-1) > 0.05 {
			noticed++
		}
		other = want
	}
	if noticed < 18 {
		t.Errorf("control: the account notices another heap %d times of 24", noticed)
	}
}
