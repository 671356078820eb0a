package slicer

import (
	"errors"
	"fmt"
	"math"

	"platen/hal/unit"
	"platen/slicer/cut"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/pipe"
)

// Brim says where lines lie around the first layer that hold it down.
type Brim = pipe.Brim

// The places of brims.
const (
	BrimOff   = pipe.BrimOff
	BrimOuter = pipe.BrimOuter // around the part
	BrimInner = pipe.BrimInner // in its holes
	BrimBoth  = pipe.BrimBoth
	BrimEars  = pipe.BrimEars // at sharp corners
)

// Raft is layers below the part that are wider than it.
type Raft = pipe.Raft

// Adhesion says what holds the part on the bed, and what fills the nozzle before it.
type Adhesion struct {
	SkirtLayers int         // that have a skirt
	SkirtLength unit.Length // of filament that skirts take at least
	Brim        Brim
	BrimWidth   unit.Length // of all its lines, or the radius of ears
	BrimGap     unit.Length // between it and the part
	EarAngle    mesh.Angle  // corners sharper than this have ears
	Raft        Raft
}

// defaultAdhesion is one skirt, and what a brim or a raft would be like.
func defaultAdhesion() Adhesion {
	return Adhesion{
		SkirtLayers: 1, BrimWidth: 5 * mm, EarAngle: 125 * mesh.Degree,
		Raft: Raft{Margin: 3 * mm, Gap: um(200), Base: um(300), Height: um(200), Thickness: um(700)},
	}
}

// beside is how far beyond a copy, printed after others, the nozzle goes, and how far
// what is printed with those reaches towards it.
func (s Settings) beside() unit.Length {
	a := s.Adhesion
	out := unit.Length(0)
	switch {
	case a.Raft.Layers > 0:
		out = a.Raft.Margin
	case a.Brim == BrimOuter || a.Brim == BrimBoth || a.Brim == BrimEars:
		out = a.BrimGap + a.BrimWidth
	}
	if s.Skirts > 0 {
		out += s.SkirtGap + unit.Length(s.Skirts)*s.Width
	}
	if s.Support.Kind != SupportOff {
		out += 2 * supportReach
	}
	return out
}

// adhesion is how it is printed.
func (s Settings) adhesion() pipe.Adhesion {
	a := s.Adhesion
	// Filament to line: as much of it as a bar as wide and high as the line.
	height := s.FirstHeight
	if a.Raft.Layers > 0 {
		height = a.Raft.Base
	}
	d := float64(s.Filament)
	if s.Sequence.On && s.Copies > 1 { // there is room for so many only
		a.SkirtLength = 0
	}
	line := float64(a.SkirtLength) * (math.Pi / 4 * d * d) / (float64(s.Width) * float64(height))
	return pipe.Adhesion{
		SkirtLayers: a.SkirtLayers, SkirtLine: int64(math.Round(line)),
		Brim: a.Brim, BrimWidth: a.BrimWidth, BrimGap: a.BrimGap, EarAngle: a.EarAngle, Raft: a.Raft,
	}
}

// adhesionError checks what of it goes together.
func (s Settings) adhesionError() error {
	a := s.Adhesion
	var errs []error
	if a.Raft.Layers > 0 && a.Brim != BrimOff {
		errs = append(errs, fmt.Errorf("%w: a raft needs no brim: choose raft_layers or brim", ErrSettings))
	}
	if a.Raft.Layers > 0 && (a.Raft.Base > s.Nozzle || a.Raft.Height > s.Nozzle || a.Raft.Thickness < s.Nozzle/2 || a.Raft.Thickness > 3*s.Nozzle) {
		errs = append(errs, fmt.Errorf("%w: layers of a raft are at most as high as the nozzle is wide, their lines half to three times as wide", ErrSettings))
	}
	if s.Shell.Spiral && s.Support.Kind != SupportOff {
		errs = append(errs, fmt.Errorf("%w: a spiral vase cannot have support: choose spiral_vase or support", ErrSettings))
	}
	return errors.Join(errs...)
}

// misfit is what does not fit the build volume although the model does.
func misfit(what, how string) error {
	return fmt.Errorf("%w, or do without its %s: %s does not fit", ErrOutOfReach, what, how)
}

// fits checks that there is room for what is printed besides the model: c is at its
// lowest layer, and is there again afterwards. Skirts of one layer that have no room are
// left out.
func (j *Job) fits(c *cut.Cutter) error {
	s := j.settings
	a := s.Adhesion
	top := c.Stack().Top(c.Layers()-1) + a.Raft.Rise()
	if top > s.Build.Max.Z-s.Build.Min.Z {
		if a.Raft.Layers > 0 {
			return misfit("raft", "the model on top of its raft")
		}
		return ErrOutOfReach // the last layer would be higher than the model is
	}
	for k := range 1 + len(j.copies) {
		d := j.copy(k)
		for _, p := range j.shade {
			if !free(geom.Point{X: p.X + d.X, Y: p.Y + d.Y}, s.SkirtGap+unit.Length(max(s.Skirts, 1))*s.Width, s.Build) {
				return misfit("skirt", "a skirt of several layers around the model")
			}
		}
	}
	var foot geom.Region
	c.Next(&foot)
	c.Rewind()
	defer foot.Wipe()
	switch {
	case a.Raft.Layers > 0:
		if !j.stands(&foot, a.Raft.Margin) {
			return misfit("raft", "the raft below the model")
		}
	case a.Brim == BrimOuter || a.Brim == BrimBoth || a.Brim == BrimEars:
		if !j.stands(&foot, a.BrimGap+a.BrimWidth) {
			return misfit("brim", "the brim around the model")
		}
	}
	return nil
}

// stands reports whether there is so much room around all that stands on the bed.
func (j *Job) stands(foot *geom.Region, room unit.Length) bool {
	b := j.settings.Build
	lo, hi, some := j.support.Foot()
	for k := range 1 + len(j.copies) {
		d := j.copy(k)
		at := func(p geom.Point) geom.Point { return geom.Point{X: p.X + d.X, Y: p.Y + d.Y} }
		if some && !(free(at(lo), room, b) && free(at(hi), room, b)) {
			return false
		}
		if k > 0 && len(j.moves) > 0 { // foot has all of them
			continue
		}
		for _, p := range foot.Pts {
			if !free(at(p), room, b) {
				return false
			}
		}
	}
	return true
}

// free reports whether there is so much room around a point.
func free(p geom.Point, room unit.Length, b Volume) bool {
	return p.X-room >= b.Min.X && p.X+room <= b.Max.X && p.Y-room >= b.Min.Y && p.Y+room <= b.Max.Y
}
