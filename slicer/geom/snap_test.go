package geom

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"platen/hal/unit"
)

// TestScaleIsExact compares rounded crossings with big integers, ties included.
func TestScaleIsExact(t *testing.T) {
	check := func(t rapid.TB, v, n, d int64) {
		// floor(v·n/d + 1/2) = floor((2·v·n + d) / (2·d))
		num := new(big.Int).Mul(big.NewInt(2*v), big.NewInt(n))
		num.Add(num, big.NewInt(d))
		want := new(big.Int).Div(num, big.NewInt(2*d)).Int64()
		if got := int64(scale(v, n, d)); got != want {
			t.Fatalf("scale(%d, %d, %d) = %d, want %d", v, n, d, got, want)
		}
		if got := int64(scale(v, -n, -d)); got != want {
			t.Fatalf("scale(%d, %d, %d) = %d, want %d", v, -n, -d, got, want)
		}
	}
	for v := int64(-7); v <= 7; v++ {
		for d := int64(1); d <= 12; d++ {
			for n := int64(0); n <= d; n++ {
				check(t, v, n, d)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(-1<<26+1, 1<<26-1).Draw(t, "v")
		d := rapid.Int64Range(1, 1<<54-1).Draw(t, "d")
		n := rapid.Int64Range(0, d).Draw(t, "n")
		check(t, v, n, d)
		check(t, v, d/2, d/2*2+1)
		check(t, v|1, 1<<52, 1<<53)
	})
}

// TestPassesIsExact compares with cutting the edge by the square's sides in
// rational numbers: all short edges near the square, and some long ones.
func TestPassesIsExact(t *testing.T) {
	hits, near := 0, []Point{}
	for x := int32(-3); x <= 3; x++ {
		for y := int32(-3); y <= 3; y++ {
			near = append(near, pt(x, y))
		}
	}
	check := func(t rapid.TB, p, q, c Point) {
		e := edge{p: p, q: q}
		if p == q {
			return
		}
		want := passesSlowly(p, q, c)
		if e.passes(c) != want {
			t.Fatalf("%v to %v passes through the square around %v: %v, want %v", p, q, c, !want, want)
		}
		if want {
			hits++
		}
	}
	for _, p := range near {
		for _, q := range near {
			check(t, p, q, Point{})
		}
	}
	if hits < 100 {
		t.Fatalf("only %d hits", hits)
	}
	rapid.Check(t, func(t *rapid.T) {
		const w = 1 << 24
		draw := func(name string) Point {
			return pt(rapid.Int32Range(-w, w).Draw(t, name), rapid.Int32Range(-w, w).Draw(t, name))
		}
		p, q := draw("p"), draw("q")
		s := rapid.Int64Range(0, 1000).Draw(t, "share")
		c := Point{p.X + unit.Length(int64(q.X-p.X)*s/1000), p.Y + unit.Length(int64(q.Y-p.Y)*s/1000)}
		check(t, p, q, c)
	})
}

// passesSlowly tries the places where the edge meets the lines through the sides of
// the square and one place between each two of them: the square contains part of
// the edge only if it contains one of these.
func passesSlowly(p, q, c Point) bool {
	half := big.NewRat(1, 2)
	at := []*big.Rat{new(big.Rat), big.NewRat(1, 1)}
	for _, axis := range [][3]int64{
		{int64(p.X), int64(q.X), int64(c.X)}, {int64(p.Y), int64(q.Y), int64(c.Y)},
	} {
		if axis[0] == axis[1] {
			continue
		}
		for _, side := range []int64{2*axis[2] - 1, 2*axis[2] + 1} {
			r := big.NewRat(side-2*axis[0], 2*(axis[1]-axis[0]))
			if r.Sign() >= 0 && r.Cmp(big.NewRat(1, 1)) <= 0 {
				at = append(at, r)
			}
		}
	}
	for _, a := range at {
		for _, b := range at {
			m := new(big.Rat).Mul(new(big.Rat).Add(a, b), half)
			if contains(p.X, q.X, c.X, m) && contains(p.Y, q.Y, c.Y, m) {
				return true
			}
		}
	}
	return false
}

func contains[T ~int32](p, q, c T, at *big.Rat) bool {
	v := new(big.Rat).Mul(at, big.NewRat(int64(q)-int64(p), 1))
	v.Add(v, big.NewRat(int64(p)-int64(c), 1))
	return v.Cmp(big.NewRat(-1, 2)) >= 0 && v.Cmp(big.NewRat(1, 2)) < 0
}
