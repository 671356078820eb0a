package slicer

import (
	"context"
	"fmt"
	"log/slog"
	"math"

	"platen/hal/unit"
	"platen/slicer/cut"
	"platen/slicer/geom"
	"platen/slicer/mesh"
)

// Inspection is what is hard to print in a model. It is design data.
type Inspection struct {
	Thin           unit.Volume // of what is narrower than a line
	ThinLayers     int         // layers with some of that
	Overhang       mesh.Area   // seen from below, of what is less than 45° steep, not on the bed and no bridge
	OverhangLayers int         // layers with some of that
	Bridge         mesh.Area   // seen from below, of what lines can span from one side to the other
	BridgeLayers   int         // layers with some of that
	Overlap        unit.Volume // of what lies in more than one body: it is printed once
	OverlapLayers  int         // layers with some of that
	Afloat         int         // parts of layers with nothing at all below them
}

// String says nothing of the model.
func (Inspection) String() string { return "inspection" }

// GoString says nothing of the model.
func (Inspection) GoString() string { return "inspection" }

// LogValue says nothing of the model.
func (Inspection) LogValue() slog.Value { return slog.StringValue("inspection") }

// Inspect goes through all layers and says what of them is hard to print with the
// settings of the job. Errors are those of Layers, and it counts as a loop.
func (j *Job) Inspect(ctx context.Context) (Inspection, error) {
	if !j.busy.CompareAndSwap(false, true) {
		return Inspection{}, ErrBusy
	}
	defer j.busy.Store(false)
	in := inspector{s: j.settings, stack: j.cutter.Stack()}
	defer in.wipe()
	j.cutter.Rewind()
	defer j.cutter.Wipe()
	for i := 0; j.cutter.Next(&in.raw); i++ {
		if err := ctx.Err(); err != nil {
			return Inspection{}, err
		}
		if err := in.layer(i); err != nil {
			return Inspection{}, fmt.Errorf("inspect a layer: %w", err)
		}
	}
	return in.found, nil
}

// inspector looks at layers from below.
type inspector struct {
	stack              cut.Stack
	s                  Settings
	k                  geom.Kernel
	raw, outline, last geom.Region
	a, b, c            geom.Region
	spans              spans
	found              Inspection
}

func (in *inspector) wipe() {
	in.k.Wipe()
	in.spans.wipe()
	for _, r := range []*geom.Region{&in.raw, &in.outline, &in.last, &in.a, &in.b, &in.c} {
		r.Wipe()
	}
}

// slack is what two outlines that should be the same may differ by, 20 µm: what
// rounding and flattened corners come to.
const slack = 20 * unit.Millimetre / 1000

func (in *inspector) layer(i int) error {
	// As fine as the layers that are printed.
	if err := in.k.Simplify(&in.outline, &in.raw, 5*unit.Millimetre/1000); err != nil {
		return err
	}
	in.overlap(i)
	if err := in.thin(i); err != nil {
		return err
	}
	if i > 0 {
		if err := in.overhang(i); err != nil {
			return err
		}
	}
	in.last, in.outline = in.outline, in.last
	return nil
}

// overlap measures by how much the bodies of a layer are more than their union. Less
// than 0.3 % is what simplifying may take.
func (in *inspector) overlap(i int) {
	area := float64(in.raw.Area2()-in.outline.Area2()) / 2
	if area > max(float64(in.s.Width)*float64(in.s.Width)/100, 0.003*float64(in.outline.Area2())/2) {
		in.found.OverlapLayers++
		in.found.Overlap += unit.Volume(math.Round(cubed(area * float64(in.s.stack().Thickness(i)))))
	}
}

// thin finds what vanishes if the outline is drawn in by half a line and let out
// again.
func (in *inspector) thin(i int) error {
	half := in.s.Width / 2
	if err := in.k.Offset(&in.a, &in.outline, -half, geom.JoinMiter); err != nil {
		return err
	}
	if err := in.k.Offset(&in.b, &in.a, half+slack, geom.JoinMiter); err != nil {
		return err
	}
	if err := in.k.Difference(&in.c, &in.outline, &in.b); err != nil {
		return err
	}
	// Tips of sharp corners are no thin walls.
	if area := large(&in.c, float64(in.s.Width)*float64(in.s.Width)); area > 0 {
		in.found.ThinLayers++
		in.found.Thin += unit.Volume(math.Round(cubed(area * float64(in.stack.Thickness(i)))))
	}
	return nil
}

// overhang finds what lies farther out than the layer is high.
func (in *inspector) overhang(i int) error {
	if err := in.k.Offset(&in.a, &in.last, in.stack.Thickness(i)+slack, geom.JoinMiter); err != nil {
		return err
	}
	if err := in.k.Difference(&in.b, &in.outline, &in.a); err != nil {
		return err
	}
	least := float64(in.s.Width) * float64(in.s.Width) / 4
	area := large(&in.b, least)
	if area > 0 {
		in.spans.below(&in.last)
		bridged, err := in.spans.bridged(&in.b, least, in.stack.Thickness(i)+in.s.Width)
		if err != nil {
			return err
		}
		if bridged > 0 {
			in.found.BridgeLayers++
			in.found.Bridge += mesh.Area(math.Round(squared(bridged)))
		}
		area -= bridged
	}
	// Less than a speck is what rounding leaves of a bridge.
	if area > least {
		in.found.OverhangLayers++
		in.found.Overhang += mesh.Area(math.Round(squared(area)))
	}
	return in.afloat()
}

// afloat counts contours that have nothing below them. All of such a one is
// overhang, so that none is larger than the largest piece of that.
func (in *inspector) afloat() error {
	most := int64(0)
	for i := range in.b.Len() {
		most = max(most, geom.Area2(in.b.Ring(i)))
	}
	for n := range in.outline.Len() {
		ring := in.outline.Ring(n)
		if area := geom.Area2(ring); area <= 0 || area > most {
			continue
		}
		in.c.Reset()
		in.c.Add(ring)
		if err := in.k.Intersect(&in.a, &in.c, &in.last); err != nil {
			return err
		}
		if in.a.Empty() {
			in.found.Afloat++
		}
	}
	return nil
}

// large sums up the area of contours that are larger than least, with their holes,
// in units².
func large(r *geom.Region, least float64) float64 {
	sum := 0.0
	for i := range r.Len() {
		if a := float64(geom.Area2(r.Ring(i))) / 2; a > least || a < 0 {
			sum += a
		}
	}
	return max(sum, 0)
}

// squared and cubed turn units² and units³ into µm² and µm³.
func squared(a float64) float64 { return a * umPerUnit * umPerUnit }
func cubed(v float64) float64   { return v * umPerUnit * umPerUnit * umPerUnit }

const umPerUnit = 1000.0 / float64(unit.Millimetre)
