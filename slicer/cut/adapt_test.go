package cut

import (
	"math"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
)

// steps is how far the steps of a stack are from the slopes of a mesh at most, but for
// those of layers that are as low as they may be.
func steps(m *mesh.Mesh, s Stack, n int, least unit.Length) (worst unit.Length) {
	v := m.Vertices()
	for i := 1; i < n; i++ {
		h := s.Thickness(i)
		if h <= least {
			continue
		}
		lo, hi := m.Bounds().Min.Z+s.Top(i-1), m.Bounds().Min.Z+s.Top(i)
		for _, t := range m.Triangles() {
			a, b, c := v[t[0]], v[t[1]], v[t[2]]
			if max(a.Z, b.Z, c.Z) <= lo || min(a.Z, b.Z, c.Z) >= hi {
				continue
			}
			u := [3]float64{float64(b.X - a.X), float64(b.Y - a.Y), float64(b.Z - a.Z)}
			w := [3]float64{float64(c.X - a.X), float64(c.Y - a.Y), float64(c.Z - a.Z)}
			x, y, z := u[1]*w[2]-u[2]*w[1], u[2]*w[0]-u[0]*w[2], u[0]*w[1]-u[1]*w[0]
			if x != 0 || y != 0 {
				worst = max(worst, unit.Length(float64(h)*math.Abs(z)/math.Sqrt(x*x+y*y+z*z)))
			}
		}
	}
	return worst
}

// Adaptive layers keep their steps near to every slope, within their heights, and are
// as high as they may be on upright walls. The control is that even ones do not.
func TestAdapt(t *testing.T) {
	um := unit.Micrometres
	for _, model := range solids.Models() {
		v, m := load(t, model.Make())
		a := Adapt{First: um(200), Height: um(200), Least: um(80), Most: um(320), Deviation: um(60)}
		high := m.Bounds().Max.Z - m.Bounds().Min.Z
		s, err := a.Stack(v, m)
		if err != nil {
			t.Fatal(err)
		}
		n := s.Count(high)
		if n != len(s.Tops) {
			t.Errorf("%s: %d layers, %d tops", model.File, n, len(s.Tops))
		}
		if d := steps(m, s, n, a.Least); d > a.Deviation+um(2) {
			t.Errorf("%s: a step is %v from its slope", model.File, d)
		}
		for i := 1; i < n; i++ {
			if h := s.Thickness(i); h < a.Least-um(10) || h > a.Most {
				t.Errorf("%s: a layer of %v", model.File, h)
			}
		}
		if h := s.Thickness(n / 2); model.File == "cube.stl" && (h < a.Most-um(1) || h > a.Most) {
			t.Errorf("upright walls get layers of %v", s.Thickness(n/2))
		}
		even := Stack{First: um(200), Height: um(320)}
		if d := steps(m, even, even.Count(high), 0); model.File == "hollow-sphere.stl" && d <= a.Deviation {
			t.Errorf("control: %s: even layers are %v from slopes", model.File, d)
		}
		c, err := New(v, m, s)
		if err != nil || c.Layers() != n {
			t.Errorf("%s: %d layers: %v", model.File, c.Layers(), err)
		}
	}
}

// Ranges give layers their height where they begin.
func TestRanges(t *testing.T) {
	um := unit.Micrometres
	v, m := load(t, solids.Cube())
	a := Adapt{First: um(300), Height: um(200), Ranges: []Range{{From: 2 * mm, To: 4 * mm, Height: um(100)}, {From: 6 * mm, To: 5 * mm, Height: um(50)}, {}}}
	s, err := a.Stack(v, m)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < s.Count(m.Bounds().Max.Z-m.Bounds().Min.Z); i++ {
		want := um(200)
		if z := s.Top(i - 1); z >= 2*mm && z < 4*mm {
			want = um(100)
		}
		if h := s.Thickness(i); h < want-1 || h > want+1 {
			t.Errorf("at %v a layer of %v", s.Top(i-1), h)
		}
	}
	a.Ranges = a.Ranges[1:]
	if s, err := a.Stack(v, m); err != nil || s.Tops != nil {
		t.Errorf("control: no range, but %d layers of their own: %v", len(s.Tops), err)
	}
}
