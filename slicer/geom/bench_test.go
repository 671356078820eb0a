package geom

import (
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platen/hal/unit"
)

// gear is a smooth contour of n points around (x, y): a circle of radius r with
// waves of height a.
func gear(n int, x, y, r, a float64, waves int) []Point {
	ring := make([]Point, n)
	for i := range ring {
		w := 2 * math.Pi * float64(i) / float64(n)
		d := r + a*math.Sin(w*float64(waves))
		ring[i] = mmPoint(x+d*math.Cos(w), y+d*math.Sin(w))
	}
	return ring
}

func mmPoint(x, y float64) Point {
	const one = float64(unit.Millimetre)
	return Point{unit.Length(math.Round(x * one)), unit.Length(math.Round(y * one))}
}

// plate is a region of many smooth contours: an outer one and a field of holes.
func plate(points int) *Region {
	r := &Region{}
	r.Add(gear(points/2, 0, 0, 60, 3, 12))
	per := 60
	for i := range points / 2 / per {
		a := float64(i)
		rad := 5 * math.Sqrt(a)
		ring := gear(per, rad*math.Cos(a*2.4), rad*math.Sin(a*2.4), 1.8, 0.1, 3)
		for l, r := 0, len(ring)-1; l < r; l, r = l+1, r-1 {
			ring[l], ring[r] = ring[r], ring[l]
		}
		r.Add(ring)
	}
	return r
}

func benchRegions() map[string]*Region {
	smooth := &Region{}
	smooth.Add(gear(2000, 0, 0, 40, 2, 9))
	return map[string]*Region{"smooth": smooth, "plate": plate(8000)}
}

// perVertex reports the CPU time since start for each of n points, which others on
// the machine do not change.
func perVertex(b *testing.B, start time.Duration, n int) {
	b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/float64(n), "ns/vertex")
}

// cpu is the CPU time of the process.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkUnion(b *testing.B) {
	for name, r := range benchRegions() {
		b.Run(name, func(b *testing.B) {
			var k Kernel
			var dst Region
			start := cpu(b)
			for b.Loop() {
				if err := k.Union(&dst, r); err != nil {
					b.Fatal(err)
				}
			}
			perVertex(b, start, len(r.Pts))
		})
	}
}

func BenchmarkUnion2(b *testing.B) {
	for name, r := range benchRegions() {
		moved := &Region{}
		moved.Append(r)
		for i := range moved.Pts {
			moved.Pts[i].X += unit.Millimetre / 3
		}
		b.Run(name, func(b *testing.B) {
			var k Kernel
			var dst Region
			start := cpu(b)
			for b.Loop() {
				if err := k.Union2(&dst, r, moved); err != nil {
					b.Fatal(err)
				}
			}
			perVertex(b, start, 2*len(r.Pts))
		})
	}
}

func BenchmarkOffset(b *testing.B) {
	for name, r := range benchRegions() {
		for _, um := range []int64{-200, -800, 400} {
			b.Run(name+unit.Micrometres(um).String(), func(b *testing.B) {
				var k Kernel
				var dst Region
				start := cpu(b)
				for b.Loop() {
					if err := k.Offset(&dst, r, unit.Micrometres(um), JoinMiter); err != nil {
						b.Fatal(err)
					}
				}
				perVertex(b, start, len(r.Pts))
			})
		}
	}
}

func BenchmarkSimplify(b *testing.B) {
	for name, r := range benchRegions() {
		b.Run(name, func(b *testing.B) {
			var k Kernel
			var dst Region
			start := cpu(b)
			for b.Loop() {
				if err := k.Simplify(&dst, r, unit.Micrometres(5)); err != nil {
					b.Fatal(err)
				}
			}
			perVertex(b, start, len(r.Pts))
		})
	}
}
