package boards

import (
	"errors"
	"fmt"

	"platen/hal/envelope"
	"platen/hal/unit"
)

// check holds the parts of a board against each other: what it prints with must lie
// inside what it can do.
func (b *Board) check() error {
	l, p := b.Limits, b.Print
	for i, name := range [...]string{"X", "Y", "Z"} {
		if l.Min[i] >= l.Max[i] {
			return fmt.Errorf("volume has no size along %s", name)
		}
	}
	if b.Bed.Width <= 0 || b.Bed.Depth <= 0 || b.Bed.X < l.Min[0] || b.Bed.Y < l.Min[1] ||
		int64(b.Bed.X)+int64(b.Bed.Width) > int64(l.Max[0]) || int64(b.Bed.Y)+int64(b.Bed.Depth) > int64(l.Max[1]) {
		return errors.New("bed does not lie inside volume")
	}
	if l.Levelled && !l.CanLevel {
		return errors.New("volume.levelled_at needs controller.level")
	}
	if l.Tools < 0 || l.Tools > envelope.MaxTools || l.Fans < 0 || l.Fans > 8 {
		return fmt.Errorf("tool.count must be 0 to %d and tool.fans 0 to 8", envelope.MaxTools)
	}
	if !b.Prints() {
		return b.checkBare()
	}
	if l.MinExtrude < l.HotEnd.Min || l.MinExtrude > l.HotEnd.Max {
		return errors.New("heat.min_extrude lies outside heat.hot_end")
	}
	if b.Nozzle < unit.Micrometres(100) || b.Nozzle > 2*unit.Millimetre || b.Filament < unit.Millimetre || b.Filament > 4*unit.Millimetre {
		return errors.New("tool.nozzle must be 0.1mm to 2mm and tool.filament 1mm to 4mm")
	}
	if l.MaxE <= 0 || p.Retract < 0 || p.Retract > l.MaxE {
		return errors.New("tool.max_feed must be above zero, and print.retract no more than that")
	}
	return errors.Join(b.checkHeat(), b.checkSpeeds(), b.checkLayers())
}

// checkBare checks a machine without a hot end: what belongs to one must not be
// there.
func (b *Board) checkBare() error {
	l := b.Limits
	if l.HotEnd != (envelope.Range{}) || l.Bed != (envelope.Range{}) || l.Chamber != (envelope.Range{}) || l.MinExtrude != 0 ||
		l.MaxE != 0 || l.MaxFeedE != 0 || b.Print != (Print{}) || b.Nozzle != 0 || b.Filament != 0 {
		return errors.New("tool.count is 0: leave out heat, print, speed.e and all of tool but count and fans")
	}
	if l.Arcs && b.Controller.Dialect == "grbl" {
		return errors.New("controller.arcs: programs for this dialect have none")
	}
	return nil
}

func (b *Board) checkHeat() error {
	within := func(r envelope.Range, t unit.Celsius) bool { return t >= r.Min && t <= r.Max }
	for _, t := range [...]unit.Celsius{b.Print.FirstHotEnd, b.Print.HotEnd} {
		if !within(b.Limits.HotEnd, t) || t < b.Limits.MinExtrude {
			return fmt.Errorf("print: a hot end of %v lies outside heat", t)
		}
	}
	for _, t := range [...]unit.Celsius{b.Print.FirstBed, b.Print.Bed} {
		if t != 0 && !within(b.Limits.Bed, t) {
			return fmt.Errorf("print: a bed of %v lies outside heat", t)
		}
	}
	return nil
}

func (b *Board) checkSpeeds() error {
	p := b.Print
	most := min(b.Limits.MaxFeed[0], b.Limits.MaxFeed[1])
	for _, s := range [...]unit.Speed{p.FirstLayer, p.OuterWall, p.InnerWall, p.Skin, p.Infill, p.Travel} {
		if s > most {
			return fmt.Errorf("print: %v is faster than speed allows", s)
		}
	}
	if p.Lift > b.Limits.MaxFeed[2] || p.RetractSpeed > b.Limits.MaxFeedE {
		return errors.New("print: lift or retract_speed is faster than speed allows")
	}
	if p.Accel > b.Limits.MaxAccel {
		return fmt.Errorf("print: %v is more than speed.accel", p.Accel)
	}
	return nil
}

func (b *Board) checkLayers() error {
	p := b.Print
	for _, h := range [...]unit.Length{p.FirstLayerHeight, p.LayerHeight} {
		if h <= 0 || h > b.Nozzle {
			return fmt.Errorf("print: a layer of %v does not suit a nozzle of %v", h, b.Nozzle)
		}
	}
	if p.LineWidth < b.Nozzle/2 || p.LineWidth > 3*b.Nozzle {
		return fmt.Errorf("print: a line of %v does not suit a nozzle of %v", p.LineWidth, b.Nozzle)
	}
	return nil
}
