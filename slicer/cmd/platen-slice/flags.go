package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"platen/hal/unit"
	"platen/slicer"
	"platen/slicer/fill"
	"platen/slicer/mesh"
)

// value is a flag whose text is parsed into a quantity.
type value struct {
	kind string
	text func() string
	set  func(string) error
}

func (v value) String() string {
	if v.text == nil { // pflag looks at the zero value
		return ""
	}
	return v.text()
}
func (v value) Type() string       { return v.kind }
func (v value) Set(s string) error { return v.set(s) }

// addSettings adds a flag for each setting.
func addSettings(fs *pflag.FlagSet, s *slicer.Settings) {
	length := func(p *unit.Length, name, usage string) { fs.Var(lengthFlag(p), name, usage) }
	speed := func(p *unit.Speed, name, usage string) { fs.Var(speedFlag(p), name, usage) }
	heat := func(p *unit.Celsius, name, usage string) { fs.Var(heatFlag(p), name, usage) }
	fs.Var(volumeFlag(&s.Build), "volume", "build volume")
	length(&s.Nozzle, "nozzle", "diameter of the nozzle")
	length(&s.Filament, "filament", "diameter of the filament")
	length(&s.Height, "layer-height", "height of layers")
	length(&s.FirstHeight, "first-layer-height", "height of the first layer")
	length(&s.Width, "line-width", "width of lines")
	fs.IntVar(&s.Walls, "walls", s.Walls, "lines around every contour")
	fs.IntVar(&s.TopLayers, "top-layers", s.TopLayers, "solid layers at the top")
	fs.IntVar(&s.BottomLayers, "bottom-layers", s.BottomLayers, "solid layers at the bottom")
	fs.Var(percentFlag(&s.Density), "infill", "share of the inside that infill covers")
	fs.Var(patternFlag(&s.Pattern), "pattern", "arrangement of infill")
	fs.BoolVar(&s.OuterFirst, "outer-first", s.OuterFirst, "print outer walls before inner ones")
	fs.BoolVar(&s.SeamAligned, "seam-aligned", s.SeamAligned, "begin rings above each other")
	fs.IntVar(&s.Skirts, "skirts", s.Skirts, "lines around the first layer")
	length(&s.SkirtGap, "skirt-gap", "distance of the innermost of them")
	fs.BoolVar(&s.PrimeLine, "prime-line", s.PrimeLine, "fill the nozzle with a line at the front edge")
	speed(&s.Speeds.OuterWall, "outer-wall-speed", "speed of outer walls")
	speed(&s.Speeds.InnerWall, "inner-wall-speed", "speed of inner walls")
	speed(&s.Speeds.Skin, "skin-speed", "speed of solid layers")
	speed(&s.Speeds.Infill, "infill-speed", "speed of infill")
	speed(&s.Speeds.FirstLayer, "first-layer-speed", "speed of the first layer")
	speed(&s.Speeds.Travel, "travel-speed", "speed between lines")
	speed(&s.Speeds.Lift, "lift-speed", "speed up and down")
	speed(&s.Speeds.Retract, "retract-speed", "speed of the filament")
	fs.Int32Var((*int32)(&s.Accel), "acceleration", int32(s.Accel), "acceleration in mm/s², 0 leaves the machine's own")
	length(&s.Retract, "retract", "filament drawn back before long travel")
	length(&s.RetractTravel, "retract-travel", "travel above which it is")
	length(&s.Wipe, "wipe", "way back along the line while it is drawn back")
	length(&s.Comb, "comb", "longest way through the inside of the part without drawing back, 0 for none")
	length(&s.Hop, "z-hop", "lift of the nozzle while it is drawn back")
	heat(&s.HotEnd, "hotend", "temperature of the hot end")
	heat(&s.Bed, "bed", "temperature of the bed, 0 leaves it off")
	heat(&s.FirstHotEnd, "first-layer-hotend", "temperature of the hot end on the first layer")
	heat(&s.FirstBed, "first-layer-bed", "temperature of the bed on the first layer")
	fs.Var(dutyFlag(&s.Fan), "fan", "power of the fan")
	fs.Var(scaleFlag(&s.Transform.Scale), "scale", "size of the model, for all axes or one by one")
	fs.Var(turnFlag(&s.Transform.Turn), "rotate", "turn about X, then Y, then Z, counter-clockwise; one angle is about Z")
	fs.IntVar(&s.Copies, "copies", s.Copies, "copies of the model on the bed")
	length(&s.Spacing, "spacing", "distance between copies")
	fs.DurationVar(&s.MinLayerTime, "min-layer-time", s.MinLayerTime, "print layers slower that would take less")
	fs.IntVar(&s.FanLayer, "fan-layer", s.FanLayer, "layers before the fan starts")
}

// follow lets the first layer have the temperatures of the others where only those
// were given.
func follow(fs *pflag.FlagSet, s *slicer.Settings) {
	if fs.Changed("hotend") && !fs.Changed("first-layer-hotend") {
		s.FirstHotEnd = s.HotEnd
	}
	if fs.Changed("bed") && !fs.Changed("first-layer-bed") {
		s.FirstBed = s.Bed
	}
}

// number parses a decimal that may end in one of the given units; scale is what
// the number is multiplied with.
func number(s string, units map[string]float64) (float64, error) {
	s = strings.TrimSpace(s)
	scale := 1.0
	longest := ""
	for u, f := range units {
		if strings.HasSuffix(s, u) && len(u) > len(longest) {
			longest, scale = u, f
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(s, longest)), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number with a unit", s)
	}
	return v * scale, nil
}

var lengthUnits = map[string]float64{"mm": 1, "um": 0.001, "µm": 0.001}

func parseLength(s string) (unit.Length, error) {
	v, err := number(s, lengthUnits)
	if err != nil {
		return 0, err
	}
	return unit.FromMM(v)
}

func lengthFlag(p *unit.Length) value {
	return value{"length", func() string { return p.String() }, func(s string) (err error) {
		*p, err = parseLength(s)
		return err
	}}
}

func speedFlag(p *unit.Speed) value {
	return value{"speed", func() string { return p.String() }, func(s string) error {
		v, err := number(s, map[string]float64{"mm/s": 1})
		if err != nil {
			return err
		}
		*p, err = unit.FromMMPerMin(v * 60)
		return err
	}}
}

func heatFlag(p *unit.Celsius) value {
	return value{"temperature", func() string { return p.String() }, func(s string) error {
		v, err := number(s, map[string]float64{"C": 1, "°C": 1})
		if err != nil {
			return err
		}
		*p, err = unit.FromDegrees(v)
		return err
	}}
}

// percent parses a share of 0 to 100 %.
func percent(s string) (float64, error) {
	v, err := number(s, map[string]float64{"%": 1})
	if err == nil && !(v >= 0 && v <= 100) {
		err = fmt.Errorf("%q is not between 0%% and 100%%", s)
	}
	return v, err
}

func percentFlag(p *fill.Percent) value {
	return value{"percent", func() string { return fmt.Sprintf("%d%%", *p) }, func(s string) error {
		v, err := percent(s)
		if err == nil {
			*p = fill.Percent(v + 0.5)
		}
		return err
	}}
}

func dutyFlag(p *unit.Duty) value {
	return value{"percent", func() string { return p.String() }, func(s string) error {
		v, err := percent(s)
		if err == nil {
			*p = unit.Duty(v*float64(unit.FullDuty)/100 + 0.5)
		}
		return err
	}}
}

var patterns = map[slicer.Pattern]string{slicer.PatternLines: "lines", slicer.PatternGrid: "grid"}

func patternFlag(p *slicer.Pattern) value {
	return value{"lines|grid", func() string { return patterns[*p] }, func(s string) error {
		for k, name := range patterns {
			if s == name {
				*p = k
				return nil
			}
		}
		return fmt.Errorf("%q is neither lines nor grid", s)
	}}
}

// volumeFlag takes 220x220x250mm, a volume with a corner at the origin.
func volumeFlag(p *slicer.Volume) value {
	text := func() string {
		mm := func(l unit.Length) string { return string(l.AppendMM(nil, 3)) }
		return mm(p.Max.X-p.Min.X) + "x" + mm(p.Max.Y-p.Min.Y) + "x" + mm(p.Max.Z-p.Min.Z) + "mm"
	}
	return value{"XxYxZ", text, func(s string) error {
		var size []unit.Length
		for _, part := range strings.Split(strings.TrimSuffix(s, "mm"), "x") {
			l, err := parseLength(part)
			if err != nil {
				return err
			}
			size = append(size, l)
		}
		if len(size) != 3 {
			return fmt.Errorf("%q is not three lengths like 220x220x250mm", s)
		}
		*p = slicer.Volume{Max: mesh.Vertex{X: size[0], Y: size[1], Z: size[2]}}
		return nil
	}}
}
