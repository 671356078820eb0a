package slicer

import (
	"bytes"
	"context"
	"math"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
)

// contoursOf are the outlines of all layers of a model.
func contoursOf(t *testing.T, m solids.Soup) []geom.Region {
	t.Helper()
	var file bytes.Buffer
	if err := m.WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	s := Default()
	s.Height, s.Walls, s.Density, s.TopLayers, s.BottomLayers = s.Nozzle, 0, 0, 0, 0
	var all []geom.Region
	for l, err := range openBytes(t, file.Bytes(), s).Layers(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		var r geom.Region
		r.Append(&l.Outline)
		all = append(all, r)
	}
	return all
}

// kept is the share of the contours in whole that part has within 0.1 mm.
func kept(whole, part []geom.Region) float64 {
	const step, near = 65536 / 2, 6554.0
	on, off := 0, 0
	for i := range whole {
		for r := range whole[i].Len() {
			ring := whole[i].Ring(r)
			for k, a := range ring {
				b := ring[(k+1)%len(ring)]
				n := 1 + int(math.Hypot(float64(b.X-a.X), float64(b.Y-a.Y))/step)
				for q := range n {
					f := float64(q) / float64(n)
					x, y := float64(a.X)+f*float64(b.X-a.X), float64(a.Y)+f*float64(b.Y-a.Y)
					if i < len(part) && beside(&part[i], x, y, near) {
						on++
					} else {
						off++
					}
				}
			}
		}
	}
	return float64(on) / float64(on+off)
}

// beside reports whether an edge of r is within near of x, y.
func beside(r *geom.Region, x, y, near float64) bool {
	for i := range r.Len() {
		ring := r.Ring(i)
		a := ring[len(ring)-1]
		for _, b := range ring {
			dx, dy := float64(b.X-a.X), float64(b.Y-a.Y)
			px, py := x-float64(a.X), y-float64(a.Y)
			if px > -near-math.Abs(dx) && px < near+math.Abs(dx) {
				f := max(0, min(1, (px*dx+py*dy)/(dx*dx+dy*dy)))
				if math.Hypot(px-f*dx, py-f*dy) <= near {
					return true
				}
			}
			a = b
		}
	}
	return false
}

// A body with holes, cracks, triangles that face inward and others that are missing is
// printed whole: nearly all of its contour is where that of the sound body is, and
// nearly nothing is where that has nothing. The control is half of the body.
func TestBrokenIsPrintedWhole(t *testing.T) {
	n, most := 160, 0.005
	if testing.Short() { // a coarser body: what is broken of it is larger
		n, most = 80, 0.01
	}
	sound := solids.Blob(20*unit.Millimetre, n)
	whole := contoursOf(t, sound)
	for seed := range uint64(3) {
		part := contoursOf(t, solids.Broken(sound, seed+1))
		lost, more := 1-kept(whole, part), 1-kept(part, whole)
		t.Logf("%.2f %% of the contour are lost, %.2f %% are new", 100*lost, 100*more)
		if lost > most || more > most {
			t.Errorf("%.2f %% of the contour are lost, %.2f %% are new", 100*lost, 100*more)
		}
	}
	if lost := 1 - kept(whole, whole[:len(whole)/2]); lost < 0.3 {
		t.Errorf("control: half of the layers are %.2f %% of the contour", 100*(1-lost))
	}
}
