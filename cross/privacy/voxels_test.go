package privacy

import (
	"math"
	"math/rand/v2"
	"time"
)

// layerGap is how long the head takes from one layer to the next.
const layerGap = 4 * time.Second

// voxels is a synthetic part, whose bounding box is full of nothing else.
type voxels struct {
	nx, ny, nz int
	in         []bool
	cellTime   time.Duration // to fill one of them
	path       []int         // the cells in the order in which they are printed
	starts     []time.Duration
	took       time.Duration
}

func (v *voxels) at(x, y, z int) bool { return v.in[(z*v.ny+y)*v.nx+x] }

// drawVoxels makes a part by chance: lobes, a taper and holes in a box of its own.
func drawVoxels(r *rand.Rand) *voxels {
	v := &voxels{nx: 10 + r.IntN(15), ny: 10 + r.IntN(15), nz: 8 + r.IntN(20)}
	v.in = make([]bool, v.nx*v.ny*v.nz)
	var wave [4][2]float64
	for i := range wave {
		wave[i] = [2]float64{r.Float64() * 0.22, r.Float64() * 2 * math.Pi}
	}
	hole, hx, hy := 0.15+0.35*r.Float64(), 0.5*(r.Float64()-0.5), 0.5*(r.Float64()-0.5)
	top, bend, square := 0.35+0.65*r.Float64(), r.Float64()*2, r.Float64() < 0.3
	for z := range v.nz {
		h := float64(z) / float64(v.nz)
		scale := 1 - (1-top)*math.Pow(h, 0.5+bend)
		for y := range v.ny {
			for x := range v.nx {
				px, py := (2*float64(x)+1)/float64(v.nx)-1, (2*float64(y)+1)/float64(v.ny)-1
				a, d := math.Atan2(py, px), math.Hypot(px, py)
				edge := 0.85
				if square {
					edge = 0.9 / max(math.Abs(math.Cos(a)), math.Abs(math.Sin(a)))
				}
				for n, w := range wave {
					edge *= 1 + w[0]*math.Cos(float64(n+2)*a+w[1])
				}
				v.in[(z*v.ny+y)*v.nx+x] = d < edge*scale && math.Hypot(px-hx, py-hy) > hole*scale
			}
		}
	}
	v.plan(time.Duration(200+r.IntN(9000)) * time.Millisecond)
	return v
}

// plan lays the path: layer by layer, line by line, back and forth.
func (v *voxels) plan(perCell time.Duration) {
	v.cellTime, v.path, v.starts = perCell, nil, nil
	t := 10 * time.Minute // of heating up
	for z := range v.nz {
		for y := range v.ny {
			for i := range v.nx {
				x := i
				if y%2 == 1 {
					x = v.nx - 1 - i
				}
				if v.at(x, y, z) {
					v.path, v.starts = append(v.path, (z*v.ny+y)*v.nx+x), append(v.starts, t)
					t += perCell
				}
			}
		}
		t += layerGap
	}
	v.took = t
}

// place is where the head is at a time since the job began.
func (v *voxels) place(t time.Duration) (x, y, z int) {
	lo, hi := 0, len(v.starts)
	for lo < hi {
		if mid := (lo + hi) / 2; v.starts[mid] <= t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if len(v.path) == 0 {
		return 0, 0, 0
	}
	c := v.path[max(lo-1, 0)]
	return c % v.nx, c / v.nx % v.ny, c / v.nx / v.ny
}

// iou is how well a guess, given for each cell, is the part: what both have over what
// either has.
func (v *voxels) iou(guess func(x, y, z int) bool) float64 {
	both, either := 0, 0
	for z := range v.nz {
		for y := range v.ny {
			for x := range v.nx {
				a, b := v.at(x, y, z), guess(x, y, z)
				if a && b {
					both++
				}
				if a || b {
					either++
				}
			}
		}
	}
	return float64(both) / float64(max(either, 1))
}

// mean is the guess of whoever knows a part's bounding box, and that it is like one of
// others: what most of them have at a place, stretched to that box.
func (v *voxels) mean(others []*voxels) func(x, y, z int) bool {
	return func(x, y, z int) bool {
		n := 0
		for _, o := range others {
			if o.at(x*o.nx/v.nx, y*o.ny/v.ny, z*o.nz/v.nz) {
				n++
			}
		}
		return 2*n >= len(others)
	}
}

// spot is a place at which the head was seen.
type spot struct{ x, y, z int }

// around is the guess of whoever has seen the head at spots: in each layer, what lies
// within the hull of what was seen there and in the layers next to it.
func around(spots []spot) func(x, y, z int) bool {
	by := map[int][]spot{}
	for _, s := range spots {
		for d := -1; d <= 1; d++ {
			by[s.z+d] = append(by[s.z+d], s)
		}
	}
	return func(x, y, z int) bool { return within(by[z], x, y) }
}

// within reports whether a point lies in the convex hull of spots, or one cell beside it:
// seen from it, no half of the plane is without one of them.
func within(spots []spot, x, y int) bool {
	const half = 16
	for k := range half * 2 {
		a := math.Pi * float64(k) / half
		cos, sin := math.Cos(a), math.Sin(a)
		some := false
		for _, s := range spots {
			if float64(s.x-x)*cos+float64(s.y-y)*sin > -0.75 {
				some = true
				break
			}
		}
		if !some {
			return false
		}
	}
	return len(spots) > 0
}
