package slicer

import (
	"context"
	"math"
	"testing"

	"platen/hal/motion"
	"platen/slicer/internal/solids"
)

// twice is the share of the body that lines cover twice. A line's own bends do not
// count: only what was covered more than 2 mm of way before does. Lines count
// without their outermost twentieth of a millimetre.
func twice(t *testing.T, prog motion.Program, s Settings, r *raster) float64 {
	t.Helper()
	area := math.Pi / 4 * s.Filament.MM() * s.Filament.MM()
	var at [2]float64
	var when []float64 // the way up to when a pixel was covered last, 0 for never
	again, body, layer := 0, 0, -1
	way := 10.0
	for op, err := range prog {
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == motion.BeginLayer {
			layer++
			when = make([]float64, r.w*r.h)
			for _, in := range r.layers[layer].in {
				if in {
					body++
				}
			}
		}
		if op.Kind != motion.Move || !op.Has(motion.X|motion.Y) {
			continue
		}
		to := [2]float64{op.To[0].MM(), op.To[1].MM()}
		long := math.Hypot(to[0]-at[0], to[1]-at[1])
		if op.Has(motion.E) && op.Role != motion.Skirt && op.Role != motion.Prime && long > 0 {
			half := op.E.MM()*area/long/s.stack().Thickness(layer).MM()/2 - 0.05
			n := math.Ceil(long / 0.5)
			for i := 0.0; i < n; i++ {
				p := [2]float64{at[0] + (to[0]-at[0])*i/n, at[1] + (to[1]-at[1])*i/n}
				q := [2]float64{at[0] + (to[0]-at[0])*(i+1)/n, at[1] + (to[1]-at[1])*(i+1)/n}
				way += long / n
				r.around(p, q, max(half, 0), func(k int, _ float64) {
					if when[k] > 0 && way-when[k] > 2 {
						again++
					}
					when[k] = way
				})
			}
		}
		at = to
	}
	return float64(again) / float64(body)
}

// Features between one line and two wide hold what the solid does, and are not
// covered twice. The control is a thicker filament: its lines do not fit.
func TestThin(t *testing.T) {
	s := Default()
	j := openFile(t, "thin.stl", s)
	r := newRaster(solids.Thin(), middles(j, s))
	solid := j.Info().Volume.MM3() - 0.7*0.7*4*1.5 // the cross and the angle hold their joints twice
	got := observe(t, j, s, r)
	t.Logf("%.1f mm³ of %.1f", got.volume, solid)
	if math.Abs(got.volume/solid-1) > 0.05 {
		t.Errorf("%.1f mm³ for %.1f", got.volume, solid)
	}
	share := twice(t, j.Program(context.Background()), s, r)
	thick := s
	thick.Filament += s.Filament / 4
	control := twice(t, j.Program(context.Background()), thick, r)
	t.Logf("covered twice: %.2f %%, control %.2f %%", 100*share, 100*control)
	if share > 0.01 {
		t.Errorf("%.2f %% are covered twice", 100*share)
	}
	if control < 0.02 {
		t.Errorf("control: %.2f %% are covered twice", 100*control)
	}
}

// A thin wall is one line from end to end: in each layer, nowhere along it is there
// a place where no line passes. The control is the same with every tenth line left
// out.
func TestThinIsContinuous(t *testing.T) {
	s := Default()
	j := openFile(t, "thin.stl", s)
	r := newRaster(solids.Thin(), middles(j, s))
	bare := func(skip int) int {
		worst, n := 0, 0
		var at [2]float64
		var on []bool
		layer := -1
		count := func() {
			left := 0
			for k, in := range r.layers[max(layer, 0)].in {
				if in && !on[k] {
					left++
				}
			}
			worst = max(worst, left)
		}
		for op, err := range j.Program(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Kind == motion.BeginLayer {
				if on != nil {
					count()
				}
				layer++
				on = make([]bool, r.w*r.h)
			}
			if op.Kind != motion.Move || !op.Has(motion.X|motion.Y) {
				continue
			}
			to := [2]float64{op.To[0].MM(), op.To[1].MM()}
			if op.Has(motion.E) && op.Role != motion.Skirt && op.Role != motion.Prime {
				if n++; skip == 0 || n%skip != 0 {
					r.paint(on, at, to, 0.6) // half of the thickest wall, and its corners
				}
			}
			at = to
		}
		count()
		return worst
	}
	if n := bare(0); n > 0 {
		t.Errorf("%d pixels of a layer are far from any line", n)
	}
	if n := bare(10); n < 20 {
		t.Errorf("control: %d pixels are far from any line", n)
	}
}
