// Package check judges a printed program by the model it came from: it reads the
// G-code of any slicer and measures how well its lines fill the model's layers.
//
// Nothing of the slicer's own geometry takes part. [Run] cuts the mesh by itself, in
// floating point; finds the edge of the union of all bodies piece by piece, by the
// winding number on either side; and compares areas along close rows, on each of
// which every line, every outline and every distance to an edge is an interval whose
// ends are exact. The rows are askew, so that no straight edge of a model lies along
// them. A second reading of the same file is all the memory it takes: layers are
// judged one by one.
//
// What is measured is in [Report]; what of it must hold is in [Report.Bars]. Files
// are understood if they say what their lines are, by comments in the manner of
// PrusaSlicer or Cura. Placement is found from the outer walls unless it is given.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"time"

	"platen/hal/unit"
	"platen/slicer/mesh"
)

// Share is a part of a whole; 1 is all of it.
type Share float64

// MM is a length in mm that may be far longer than a [unit.Length] reaches.
type MM float64

// ErrNothing reports a file in which no line of a part is printed.
var ErrNothing = errors.New("no printed line of a part in the file: is it G-code with ;TYPE: comments?")

// Point is a place on the bed.
type Point struct{ X, Y unit.Length }

// Options say how a file is judged. The zero value finds out what it can.
type Options struct {
	At       *Point      // where the middle of the box around the model is on the bed; nil finds the place
	Width    unit.Length // of the outer wall; 0 is what most of it has
	Walls    int         // whose band must be covered; 0 is 2
	Filament unit.Length // diameter; 0 is 1.75 mm
	Accel    unit.Accel  // for the time, whatever the file asks for; 0 is what it asks for
	Most     int         // layers that are judged, evenly spread; 0 is 40, less than 0 all
	Pitch    unit.Length // of rows; 0 is 20 µm
	Air      unit.Length // way through air that needs no retraction; 0 is 2 mm
}

func (o Options) filled() Options {
	set := func(p *unit.Length, um int64) {
		if *p == 0 {
			*p = unit.Micrometres(um)
		}
	}
	set(&o.Filament, 1750)
	set(&o.Pitch, 20)
	set(&o.Air, 2000)
	if o.Walls == 0 {
		o.Walls = 2
	}
	if o.Most == 0 {
		o.Most = 40
	}
	return o
}

// Report is what was measured. It is design data.
type Report struct {
	Layers, Judged int   // of the part
	At             Point // where the middle of the box around the model is on the bed
	Lines          int   // printed, all
	Filament       MM    // all
	Printed        MM    // way along printed lines
	Travel         MM    // way between them
	Retractions    int
	Air            int // travels through air with the filament not drawn back
	AirWay         MM  // the way of these through air
	Time           time.Duration
	Width          unit.Length // of outer walls

	// Of the judged layers:
	Extruded Share       // volume of the lines, by that of the sections
	WallP95  unit.Length // 95 % of the outer walls' centre lines are closer to the exact offset
	WallMax  unit.Length // all of them are
	Outside  Share       // of the sections' area, laid outside of them
	Twice    Share       // of the lines' area, over each other
	Shell    Share       // of the band of walls, left uncovered
	Top      Share       // of what faces up, left uncovered
	Bottom   Share       // of what faces down, left uncovered
	Kept     Share       // of the outline, where a wall is
}

// String says nothing of the program.
func (Report) String() string { return "report" }

// GoString says nothing of the program.
func (Report) GoString() string { return "report" }

// LogValue says nothing of the program.
func (Report) LogValue() slog.Value { return slog.StringValue("report") }

// Bar is a figure and what it may be at most.
type Bar struct {
	Name        string
	Value, Most Share // of µm for lengths: see Name
	OK          bool
}

// Bars are the figures that must hold whatever the model. If the part is solid, the
// volume is among them.
func (r Report) Bars(solid bool) []Bar {
	bars := []Bar{
		{Name: "outer wall p95 [µm]", Value: Share(r.WallP95.MM() * 1000), Most: 10},
		{Name: "outside", Value: r.Outside, Most: 0.0002},
		{Name: "shell uncovered", Value: r.Shell, Most: 0.005},
		{Name: "top uncovered", Value: r.Top, Most: 0.002},
		{Name: "bottom uncovered", Value: r.Bottom, Most: 0.002},
		{Name: "outline lost", Value: 1 - r.Kept, Most: 0.01},
		{Name: "travels through air", Value: Share(r.Air), Most: 0},
	}
	if solid {
		bars = append(bars, Bar{Name: "volume off", Value: Share(math.Abs(float64(r.Extruded) - 1)), Most: 0.02})
	}
	for i := range bars {
		bars[i].OK = bars[i].Value <= bars[i].Most
	}
	return bars
}

// Run judges the program in r by m. The model's lowest point is taken to be on the
// bed. It is ErrNothing if r holds no part.
func Run(ctx context.Context, m *mesh.Mesh, r io.ReadSeeker, o Options) (Report, error) {
	o = o.filled()
	all, err := survey(ctx, r, o)
	if err != nil {
		return Report{}, fmt.Errorf("read a program: %w", err)
	}
	if len(all.tops) == 0 {
		return Report{}, ErrNothing
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Report{}, err
	}
	j := newJudge(newSolid(m), all, o)
	j.fit()
	j.pick()
	rep := all.report
	rep.Layers = len(all.tops)
	middle := j.at.plus(j.m.middle())
	rep.At = Point{length(middle.x), length(middle.y)}
	rep.Width = length(j.width)
	if _, err := readLayers(ctx, r, o, j.layer); err != nil {
		return Report{}, fmt.Errorf("read a program: %w", err)
	}
	j.into(&rep)
	return rep, nil
}

// length is a number of mm as a Length, held within its range.
func length(mm float64) unit.Length {
	l, err := unit.FromMM(mm)
	if err != nil {
		return unit.MaxCoordinate
	}
	return l
}

// seen is what a first reading finds.
type seen struct {
	report  Report
	tops    []float64 // of the layers with parts
	first   float64   // thickness of the first of them, as the file says; 0 if it does not
	lo, hi  pt        // around outer walls, their centre lines
	widths  []float64 // of a sample of outer walls
	samples []sample
	every   int // layers from a sample to the next
}

// sample is a layer's outer walls.
type sample struct {
	index int
	lines []line
}

// mostSamples bounds the layers that are kept to find the place of the model.
const mostSamples = 16

// survey reads the whole program once.
func survey(ctx context.Context, r io.Reader, o Options) (*seen, error) {
	s := &seen{every: 1, lo: pt{math.Inf(1), math.Inf(1)}, hi: pt{math.Inf(-1), math.Inf(-1)}}
	rep, err := readLayers(ctx, r, o, s.layer)
	s.report = rep
	return s, err
}

func (s *seen) layer(l *layer) error {
	index := len(s.tops)
	if index == 0 {
		s.first = l.height
	}
	s.tops = append(s.tops, l.top)
	var outer []line
	for _, n := range l.lines {
		if n.kind != Outer {
			continue
		}
		for _, p := range [2]pt{n.a, n.b} {
			s.lo = pt{min(s.lo.x, p.x), min(s.lo.y, p.y)}
			s.hi = pt{max(s.hi.x, p.x), max(s.hi.y, p.y)}
		}
		outer = append(outer, n)
	}
	if index%s.every != 0 || len(outer) == 0 {
		return nil
	}
	for _, n := range outer[:min(len(outer), 200)] {
		if n.width > 0 {
			s.widths = append(s.widths, n.width)
		}
	}
	s.samples = append(s.samples, sample{index, outer})
	if len(s.samples) > mostSamples {
		s.every *= 2
		s.samples = slices.DeleteFunc(s.samples, func(m sample) bool { return m.index%s.every != 0 })
	}
	return nil
}

// bottom is where the part stands: on the bed, or on a raft.
func (s *seen) bottom() float64 {
	first := s.first
	if first == 0 {
		first = s.tops[0]
		if len(s.tops) > 1 && first > 2.5*(s.tops[1]-first) { // no first layer is that thick
			first = s.tops[1] - first
		}
	}
	return max(0, s.tops[0]-first)
}

// thickness of a layer is what it rises above the one below.
func (s *seen) thickness(i int) float64 {
	if i == 0 {
		return s.tops[0] - s.bottom()
	}
	return s.tops[i] - s.tops[i-1]
}

// middle is where the model is cut for a layer.
func (s *seen) middle(i int) float64 { return s.tops[i] - s.thickness(i)/2 - s.bottom() }

// width is what most of the outer walls have, in mm.
func (s *seen) width(o Options) float64 {
	if o.Width > 0 {
		return o.Width.MM()
	}
	if len(s.widths) == 0 {
		return 0.45
	}
	return quantile(s.widths, 0.5)
}

// quantile sorts v and returns the value below which a share of it is.
func quantile(v []float64, share float64) float64 {
	slices.Sort(v)
	return v[min(len(v)-1, int(share*float64(len(v))))]
}
