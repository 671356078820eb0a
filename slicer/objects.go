package slicer

import (
	"fmt"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/path"
)

// Sequence says whether copies are printed one after another, each to its top, and
// what room that takes.
type Sequence struct {
	On     bool
	Radius unit.Length // what of the hot end is around the nozzle: copies are at least that far apart
	Height unit.Length // room below the axis that carries the hot end: no copy but the last may be higher
}

// sequenceError refuses what the hot end would run into.
func (s Settings) sequenceError(height unit.Length) error {
	if s.Sequence.On && s.Copies > 1 && height > s.Sequence.Height {
		return fmt.Errorf("%w: a copy would be higher than sequential_height, and the axis would run into it: print layer by layer, or correct the height", ErrSettings)
	}
	return nil
}

// apart is the distance between copies.
func (s Settings) apart() unit.Length {
	if s.Sequence.On {
		return max(s.Spacing, s.Sequence.Radius+s.beside())
	}
	return s.Spacing
}

// boxes are around each object of a job: each part of a build, in each copy. One
// alone is none in particular.
func boxes(m *mesh.Mesh, moves []geom.Point) []mesh.Box {
	parts := m.Items()
	if len(parts) < 2 {
		parts = []mesh.Box{m.Bounds()}
	}
	n := min(len(parts)*(1+len(moves)), path.MostObjects)
	if n < 2 {
		return nil
	}
	all := make([]mesh.Box, 0, n)
	for k := range 1 + len(moves) {
		d := geom.Point{}
		if k > 0 {
			d = moves[k-1]
		}
		for _, b := range parts[:min(len(parts), n-len(all))] {
			b.Min.X, b.Max.X = b.Min.X+d.X, b.Max.X+d.X
			b.Min.Y, b.Max.Y = b.Min.Y+d.Y, b.Max.Y+d.Y
			all = append(all, b)
		}
	}
	return all
}

// Objects is how many parts of a job can be told apart and left out, numbered from 1:
// those of its build, copy by copy. One alone counts as one.
func (j *Job) Objects() int { return max(1, len(j.objects)) }

// Skip leaves out object n from the next layer on that is not planned yet. It may be
// used while the job is printed, and reports whether there is such an object.
func (j *Job) Skip(n int) bool { return n >= 1 && n <= len(j.objects) && j.skips.Add(n) }
