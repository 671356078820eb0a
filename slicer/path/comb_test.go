package path

import (
	"math"
	"math/rand/v2"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// teeth is a region shaped like a comb, with a hole in its back.
func teeth() *geom.Region {
	var r geom.Region
	ring := []geom.Point{{}, {X: 50 * mm}}
	for i := unit.Length(4); i >= 0; i-- {
		ring = append(ring, geom.Point{X: (10*i + 10) * mm, Y: 30 * mm}, geom.Point{X: (10*i + 4) * mm, Y: 30 * mm}, geom.Point{X: (10*i + 4) * mm, Y: 12 * mm}, geom.Point{X: 10 * i * mm, Y: 12 * mm})
	}
	r.Add(ring)
	hole := square(20*mm, 4*mm, 4*mm)
	for i, k := 0, len(hole)-1; i < k; i, k = i+1, k-1 {
		hole[i], hole[k] = hole[k], hole[i]
	}
	r.Add(hole)
	return &r
}

// Between any two places inside, whatever way is found stays inside and ends where it
// should; it is straight where that is possible. From tooth to tooth there is one.
func TestCombWays(t *testing.T) {
	var k geom.Kernel
	var c comb
	outline := teeth()
	var clean, rail geom.Region
	if err := k.Union(&clean, outline); err != nil {
		t.Fatal(err)
	}
	if err := k.Offset(&rail, &clean, -mm, geom.JoinMiter); err != nil {
		t.Fatal(err)
	}
	c.outline.add(&clean, 0)
	c.follow(&rail)
	c.on = true
	found, bent := 0, 0
	rng := rand.New(rand.NewPCG(2, 3))
	point := func() geom.Point {
		return geom.Point{X: unit.Length(rng.IntN(50_000)) * mm / 1000, Y: unit.Length(rng.IntN(30_000)) * mm / 1000}
	}
	for range 1000 {
		a, b := point(), point()
		if !c.inside(a) || !c.inside(b) || a == b {
			continue
		}
		way, long := c.find(a, b)
		if len(way) == 0 {
			continue
		}
		found++
		if len(way) > 1 {
			bent++
		}
		if way[len(way)-1] != b {
			t.Fatal("the way ends elsewhere")
		}
		sum, from := 0.0, a
		for _, p := range way {
			for i := range unit.Length(50) {
				q := geom.Point{X: from.X + (p.X-from.X)/50*i, Y: from.Y + (p.Y-from.Y)/50*i}
				if !c.inside(q) {
					t.Fatal("the way leaves the part")
				}
			}
			sum += toMM(from, p)
			from = p
		}
		if d := sum - long/float64(mm); d > 1e-6 || d < -1e-6 {
			t.Fatalf("%.4f mm long, not %.4f", sum, long/float64(mm))
		}
	}
	if found < 100 || bent < 10 {
		t.Errorf("control: %d ways, %d of them bent", found, bent)
	}
	if way, _ := c.find(geom.Point{X: 7 * mm, Y: 15 * mm}, geom.Point{X: 17 * mm, Y: 15 * mm}); len(way) < 4 {
		t.Errorf("from one tooth to the next: %d points", len(way))
	}
	c.outline.reset()
	if way, _ := c.find(geom.Point{}, geom.Point{X: mm}); len(way) != 0 {
		t.Error("control: a way where there is no part")
	}
}

func toMM(a, b geom.Point) float64 {
	dx, dy := (b.X - a.X).MM(), (b.Y - a.Y).MM()
	return math.Hypot(dx, dy)
}
