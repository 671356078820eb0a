package geom

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
)

// swept is what the sides of src sweep when they move by delta, and the joins between
// them: one ring for each, so that what is cut off, left out or put together on the
// way to an offset plays no part.
func swept(src *Region, delta unit.Length, join Join) *Region {
	var k Kernel
	out := &Region{}
	d := float64(delta)
	add := func() {
		ring := k.raw.Pts
		if Area2(ring) < 0 {
			ring = reversed(ring)
		}
		out.Add(ring)
		k.raw.Reset()
	}
	for i := range src.Ends {
		k.measure(src.Ring(i))
		for j, s := range k.sides {
			in := k.sides[(j+len(k.sides)-1)%len(k.sides)]
			next := k.sides[(j+1)%len(k.sides)]
			k.put(s.p, vector{})
			k.put(next.p, vector{})
			k.put(next.p, s.normal.times(d))
			k.put(s.p, s.normal.times(d))
			add()
			if turn := in.normal.cross(s.normal) * d; turn > 0 || turn == 0 && in.normal.dot(s.normal) < 0 {
				k.put(s.p, vector{})
				k.put(s.p, in.normal.times(d))
				k.joinOuter(s.p, in.normal, s.normal, d, join)
				k.put(s.p, s.normal.times(d))
				add()
			}
		}
	}
	return out
}

// drawWheel draws a ring around the origin with corners at random distances from it,
// in places much closer to each other than any offset.
func drawWheel(t *rapid.T) *Region {
	n := rapid.IntRange(4, 120).Draw(t, "corners")
	rough := rapid.SampledFrom([]float64{0.002, 0.03, 0.2, 0.7}).Draw(t, "rough")
	size := rapid.SampledFrom([]float64{0.8, 3, 10}).Draw(t, "size")
	r := &Region{}
	at := 0.0
	for range n {
		at += rapid.SampledFrom([]float64{0.01, 0.3, 1}).Draw(t, "step")
		d := size * (1 - rough*rapid.Float64Range(0, 1).Draw(t, "in"))
		r.Pts = append(r.Pts, Point{X: unit.Length(at * 1e6), Y: unit.Length(d * 1e6)})
	}
	for i, p := range r.Pts {
		w, d := float64(p.X)/1e6/(at+0.5)*2*math.Pi, float64(p.Y)/1e6
		r.Pts[i] = mmPoint(d*math.Cos(w), d*math.Sin(w))
	}
	r.Ends = append(r.Ends, int32(n))
	if rapid.Bool().Draw(t, "hole") {
		hole := reversed(r.Pts)
		r.Reset()
		r.Add(box(-15*unit.Millimetre, -15*unit.Millimetre, 15*unit.Millimetre, 15*unit.Millimetre))
		r.Add(hole)
	}
	return r
}

// An offset is what its sides sweep, to a few units: whatever is cut off, left out or
// joined on the way. The control counts the sides that were.
func TestOffsetIsWhatSidesSweep(t *testing.T) {
	var k Kernel
	rapid.Check(t, func(t *rapid.T) {
		var src, got, want, left Region
		if err := k.Union(&src, drawWheel(t)); err != nil {
			t.Fatal(err)
		}
		delta := unit.Micrometres(rapid.SampledFrom([]int64{20, 225, 900}).Draw(t, "delta"))
		if rapid.Bool().Draw(t, "shrink") {
			delta = -delta
		}
		join := rapid.SampledFrom([]Join{JoinRound, JoinMiter, JoinBlunt}).Draw(t, "join")
		err := k.Offset(&got, &src, delta, join)
		if delta > 0 {
			err = errors.Join(err, k.Union2(&want, &src, swept(&src, delta, join)))
		} else {
			err = errors.Join(err, k.Difference(&want, &src, swept(&src, delta, join)))
		}
		if err = errors.Join(err, k.Xor(&left, &got, &want)); err != nil {
			t.Fatal(err)
		}
		around := length(&src) + length(&want) + 1
		if off := float64(left.Area2()) / 2 / around; off > 16 {
			t.Fatalf("moved by %v, the offset is off by %.1f units on average: %d rings, want %d", delta, off, got.Len(), want.Len())
		}
		checkThin(t, &left, "the offset differs from what its sides sweep")
	})

	// The control: such wheels do lose sides, and have others joined anew.
	gone, far := 0, 0
	wheels := rapid.Custom(drawWheel)
	for seed := range 50 {
		var src, got Region
		err := k.Union(&src, wheels.Example(seed))
		if err = errors.Join(err, k.Offset(&got, &src, -unit.Micrometres(900), JoinRound)); err != nil {
			t.Fatal(err)
		}
		for i := range k.sides {
			switch k.sides[i].corner {
			case cornerGone:
				gone++
			case cornerFar:
				far++
			}
		}
	}
	if gone < 5 || far < 5 {
		t.Errorf("control: only %d sides were left out, and %d joined anew", gone, far)
	}
}
