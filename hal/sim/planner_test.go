package sim

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drain runs a planner to its end and returns its blocks as they were driven.
func drain(p *planner) []block {
	var done []block
	p.start(p.first)
	for p.active() {
		done = append(done, p.finish())
	}
	return done
}

func newPlanner() *planner {
	p := &planner{lim: defaultLimits()}
	p.resize(plannerBlocks)
	return p
}

func seconds(blocks []block) float64 {
	return (blocks[len(blocks)-1].end - blocks[0].start).Seconds()
}

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if math.Abs(got-want) > tol {
		t.Errorf("%s is %.6f, want %.6f ± %.6f", what, got, want, tol)
	}
}

func TestPlannerTimes(t *testing.T) {
	for _, c := range []struct {
		name  string
		moves [][5]float64 // x, y, z, e, feed
		want  float64      // s, worked out by hand
		tol   float64
	}{
		// 100 mm at 100 mm/s and 3000 mm/s²: 1/30 s up, as much down, 1 s - 1/30 s in all
		{"trapezoid", [][5]float64{{100, 0, 0, 0, 100}}, 1 + 100.0/3000, 0.002},
		// 3 mm never reaches 100 mm/s: twice sqrt(3/3000)
		{"triangle", [][5]float64{{3, 0, 0, 0, 100}}, 2 * math.Sqrt(3.0/3000), 0.002},
		// a straight line in two halves takes as long as in one
		{"straight", [][5]float64{{50, 0, 0, 0, 100}, {100, 0, 0, 0, 100}}, 1 + 100.0/3000, 0.002},
		// there and back: two moves that both stop
		{"reversal", [][5]float64{{50, 0, 0, 0, 100}, {0, 0, 0, 0, 100}}, 2 * (0.5 + 100.0/3000), 0.003},
		// Z is limited to 5 mm/s and 100 mm/s²; it starts at 120 steps/s, 0.3 mm/s
		{"z limit", [][5]float64{{0, 0, 10, 0, 100}}, 2 + 5.0/100 - 2*0.3/100, 0.001},
		// filament alone: 25 mm/s, 3000 mm/s²
		{"retraction", [][5]float64{{0, 0, 0, -5, 100}}, 0.2 + 25.0/3000, 0.002},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlanner()
			for _, m := range c.moves {
				if !p.add(0, [3]float64{m[0], m[1], m[2]}, m[3], m[4], -1) {
					t.Fatal("move was dropped")
				}
			}
			near(t, "time", seconds(drain(p)), c.want, c.tol)
		})
	}
}

// TestCorner checks the speed at a right angle against the junction deviation
// formula: v² = a·d·sin(θ/2)/(1 − sin(θ/2)), with a as far as both axes allow.
func TestCorner(t *testing.T) {
	p := newPlanner()
	p.add(0, [3]float64{20, 0, 0}, 0, 50, -1)
	p.add(0, [3]float64{20, 20, 0}, 0, 50, -1)
	blocks := drain(p)
	half := math.Sqrt(0.5)
	want := math.Sqrt(3000 * p.lim.deviation * half / (1 - half))
	near(t, "corner speed", blocks[1].shape.entry, want, 0.01)
	near(t, "exit before it", blocks[0].shape.exit, want, 0.01)
}

func TestShortMovesAddUp(t *testing.T) {
	p := newPlanner()
	made := 0
	for i := 1; i <= 60; i++ { // 0.0125 mm is one step of 80 steps/mm
		if p.add(0, [3]float64{float64(i) * 0.0125, 0, 0}, 0, 10, -1) {
			made++
		}
		if p.full() {
			t.Fatal("too many blocks")
		}
	}
	if made != 10 {
		t.Errorf("60 steps made %d blocks, want 10 of six steps", made)
	}
	if p.pos[axX] != 60 {
		t.Errorf("planner stands at step %d, want 60", p.pos[axX])
	}
}

// TestPlannerKeepsLimits drives random paths: no block may exceed its speed, change
// speed faster than it may, jump in speed at a corner, or lose length.
func TestPlannerKeepsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPlanner()
		var done []block
		n := rapid.IntRange(1, 60).Draw(t, "moves")
		now := time.Duration(0)
		for range n {
			if p.full() {
				if !p.running {
					p.start(now)
				}
				done = append(done, p.finish())
				now = done[len(done)-1].end
			}
			to := [3]float64{
				rapid.Float64Range(0, 40).Draw(t, "x"), rapid.Float64Range(0, 40).Draw(t, "y"), p.posMM[2],
			}
			p.add(now, to, p.posE+rapid.Float64Range(-1, 3).Draw(t, "e"), rapid.Float64Range(1, 200).Draw(t, "feed"), -1)
		}
		if p.active() {
			if !p.running {
				p.start(now)
			}
			for p.active() {
				done = append(done, p.finish())
			}
		}
		for i := range done {
			checkBlock(t, &done[i])
			if i > 0 {
				jump := math.Abs(done[i].shape.entry - done[i-1].shape.exit)
				if done[i].start == done[i-1].end && jump > 3 {
					t.Fatalf("speed jumps by %.3f mm/s between blocks", jump)
				}
			}
		}
	})
}

func checkBlock(t *rapid.T, b *block) {
	s := &b.shape
	if s.top > b.nominal+1e-6 || s.entry > b.nominal+1e-6 {
		t.Fatalf("block runs at %.3f mm/s, nominal is %.3f", s.top, b.nominal)
	}
	if got := s.at(s.duration()); math.Abs(got-b.length) > 1e-4*b.length+1e-4 {
		t.Fatalf("block drives %.6f mm of %.6f", got, b.length)
	}
	const pieces = 20
	last := 0.0
	for i := 1; i <= pieces; i++ {
		at := s.at(s.duration() * time.Duration(i) / pieces)
		if at < last-1e-9 {
			t.Fatalf("block runs backwards")
		}
		last = at
	}
	for i, d := range b.dir {
		if share := math.Abs(d); share*s.top > defaultLimits().maxFeed[i]+1e-6 || share*b.accel > defaultLimits().maxAccel[i]+1e-6 {
			t.Fatalf("axis %d exceeds its limits", i)
		}
	}
}

// TestCut stops a block halfway and checks where the machine stands.
func TestCut(t *testing.T) {
	p := newPlanner()
	p.add(0, [3]float64{100, 0, 0}, 10, 100, -1)
	p.add(0, [3]float64{100, 50, 0}, 15, 100, -1)
	p.start(0)
	b, ran := p.cut(p.at(0).end / 2)
	if !ran || p.active() {
		t.Fatalf("ran %v, active %v", ran, p.active())
	}
	near(t, "x", b.to[0], 50, 1)
	near(t, "e", b.toE, 5, 0.1)
	near(t, "planner x", p.posMM[0], b.to[0], 1e-9)
	if _, ran := p.cut(0); ran {
		t.Error("an empty planner had something to cut")
	}
}
