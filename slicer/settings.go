package slicer

import (
	"errors"
	"fmt"
	"time"

	"platen/hal/unit"
	"platen/slicer/cut"
	"platen/slicer/fill"
	"platen/slicer/mesh"
	"platen/slicer/path"
	"platen/slicer/pipe"
)

// Pattern is the arrangement of sparse infill.
type Pattern = fill.Pattern

// The patterns.
const (
	PatternLines = fill.PatternLines // parallel lines that turn by 90° from layer to layer
	PatternGrid  = fill.PatternGrid  // both directions on every layer
)

// Speeds by what is printed.
type Speeds = path.Speeds

// Volume is a box along the axes, in machine coordinates.
type Volume = mesh.Box

// Transform scales and turns a model.
type Transform = mesh.Transform

// Settings says how a model is sliced and printed. Start from [Default], put in what
// the board says, and Open checks the rest.
type Settings struct {
	Build Volume // where the machine can print

	Nozzle      unit.Length // diameter of its opening
	Filament    unit.Length // diameter
	FirstHeight unit.Length // of the first layer
	Height      unit.Length // of the others
	Width       unit.Length // of a line

	Walls        int // lines around every contour
	TopLayers    int
	BottomLayers int
	Density      fill.Percent // sparse infill, 0 to 100
	Pattern      Pattern
	OuterFirst   bool // outer wall before inner walls
	SeamAligned  bool // seams above each other; else where the nozzle is

	Skirts    int // lines around the first layer
	SkirtGap  unit.Length
	PrimeLine bool // fill the nozzle with a line at the front edge

	Speeds        Speeds
	Accel         unit.Accel  // 0 leaves the machine's own
	Retract       unit.Length // filament drawn back before long travel
	RetractTravel unit.Length // travel above which it is
	Wipe          unit.Length // way back along the line on which it is; 0 is in place
	Hop           unit.Length // lift of the nozzle while it is drawn back
	Comb          unit.Length // ways through the inside of the part, up to this length, need no retraction; 0 is none

	HotEnd, Bed           unit.Celsius
	FirstHotEnd, FirstBed unit.Celsius // on the first layer
	Fan                   unit.Duty
	FanLayer              int // index of the first layer with the fan on

	Transform Transform   // of the model, before it is placed
	Copies    int         // of the model, in rows
	Spacing   unit.Length // between copies

	MinLayerTime time.Duration // a layer that would take less is printed slower, not below 10 mm/s

	// Bare leaves heating up, homing, parking and switching off to whoever prints, as
	// a printer does whose board says how. The program begins on a hot, homed machine
	// and ends above the part with the filament drawn back.
	Bare bool
}

// Default is a start that prints PLA on most machines with a nozzle of 0.4 mm and a
// bed of 220 mm.
func Default() Settings {
	const mm, mms = unit.Millimetre, unit.MillimetrePerSecond
	return Settings{
		Build:       Volume{Max: mesh.Vertex{X: 220 * mm, Y: 220 * mm, Z: 250 * mm}},
		Nozzle:      unit.Micrometres(400),
		Filament:    unit.Micrometres(1750),
		FirstHeight: unit.Micrometres(200),
		Height:      unit.Micrometres(200),
		Width:       unit.Micrometres(450),
		Walls:       2, TopLayers: 4, BottomLayers: 4,
		Density: 20, Pattern: PatternLines, SeamAligned: true,
		Skirts: 1, SkirtGap: 3 * mm, PrimeLine: true,
		Speeds: Speeds{
			OuterWall: 40 * mms, InnerWall: 60 * mms, Skin: 60 * mms, Infill: 80 * mms,
			FirstLayer: 20 * mms, Travel: 150 * mms, Lift: 8 * mms, Retract: 35 * mms,
		},
		Accel:   1000,
		Retract: unit.Micrometres(1500), RetractTravel: unit.Micrometres(1500),
		HotEnd: 210 * unit.Degree, Bed: 60 * unit.Degree,
		FirstHotEnd: 215 * unit.Degree, FirstBed: 60 * unit.Degree,
		Fan: unit.FullDuty, FanLayer: 2,
		Comb: 30 * mm, Copies: 1, Spacing: 5 * mm,
		MinLayerTime: 8 * time.Second,
	}
}

// ErrSettings reports settings that cannot be printed with; the text names each.
var ErrSettings = errors.New("settings")

// Validate checks that the settings describe something that can be printed, and
// names everything that does not.
func (s Settings) Validate() error {
	var errs []error
	within := func(name string, v, lo, hi unit.Length) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%w: %s of %v is not between %v and %v", ErrSettings, name, v, lo, hi))
		}
	}
	count := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%w: %s of %d is not between %d and %d", ErrSettings, name, v, lo, hi))
		}
	}
	const mm = unit.Millimetre
	within("nozzle", s.Nozzle, mm/10, 2*mm)
	within("filament diameter", s.Filament, mm, 4*mm)
	within("first layer height", s.FirstHeight, mm/50, max(s.Nozzle, mm/50))
	within("layer height", s.Height, mm/50, max(s.Nozzle, mm/50))
	within("line width", s.Width, s.Nozzle/2, 3*s.Nozzle)
	within("skirt gap", s.SkirtGap, 0, 50*mm)
	within("retraction", s.Retract, 0, 20*mm)
	within("travel without retraction", s.RetractTravel, 0, 500*mm)
	within("wipe", s.Wipe, 0, 20*mm)
	within("hop", s.Hop, 0, 10*mm)
	within("comb", s.Comb, 0, 1000*mm)
	count("walls", s.Walls, 0, 50)
	count("top layers", s.TopLayers, 0, 100)
	count("bottom layers", s.BottomLayers, 0, 100)
	count("infill percentage", int(s.Density), 0, 100)
	count("pattern", int(s.Pattern), int(PatternLines), int(PatternGrid))
	count("skirts", s.Skirts, 0, 50)
	count("copies", s.Copies, 1, mostCopies)
	within("spacing of copies", s.Spacing, 0, 200*mm)
	for k := range s.Transform.Scale {
		count("scale in 1/10000", int(s.Transform.Scale[k]), 0, 10_000*int(mesh.Whole))
		count("turn in 1/1000 degree", int(s.Transform.Turn[k]), int(-360*mesh.Degree), int(360*mesh.Degree))
	}
	count("acceleration", int(s.Accel), 0, 100_000)
	if s.MinLayerTime < 0 || s.MinLayerTime > 10*time.Minute {
		errs = append(errs, fmt.Errorf("%w: a least time of %v for a layer is not between 0s and 10m", ErrSettings, s.MinLayerTime))
	}
	errs = append(errs, s.volumeError(), s.speedError(), s.heatError())
	return errors.Join(errs...)
}

func (s Settings) volumeError() error {
	const most = unit.MaxCoordinate
	b := s.Build
	for _, axis := range [][2]unit.Length{{b.Min.X, b.Max.X}, {b.Min.Y, b.Max.Y}, {b.Min.Z, b.Max.Z}} {
		if axis[0] < -most || axis[1] > most || axis[0] >= axis[1] {
			return fmt.Errorf("%w: the build volume must lie within ±%v and have a size along every axis", ErrSettings, most)
		}
	}
	return nil
}

func (s Settings) speedError() error {
	v := s.Speeds
	for _, speed := range []unit.Speed{v.OuterWall, v.InnerWall, v.Skin, v.Infill, v.FirstLayer, v.Travel, v.Lift, v.Retract} {
		if speed < unit.MillimetrePerSecond || speed > 2000*unit.MillimetrePerSecond {
			return fmt.Errorf("%w: a speed of %v is not between 1mm/s and 2000mm/s", ErrSettings, speed)
		}
	}
	return nil
}

func (s Settings) heatError() error {
	for _, t := range []unit.Celsius{s.HotEnd, s.FirstHotEnd} {
		if t < 150*unit.Degree || t > 500*unit.Degree {
			return fmt.Errorf("%w: a hot end at %v is not between 150°C and 500°C", ErrSettings, t)
		}
	}
	for _, t := range []unit.Celsius{s.Bed, s.FirstBed} {
		if t < 0 || t > 200*unit.Degree {
			return fmt.Errorf("%w: a bed at %v is not between 0°C and 200°C", ErrSettings, t)
		}
	}
	return nil
}

func (s Settings) stack() cut.Stack { return cut.Stack{First: s.FirstHeight, Height: s.Height} }

func (s Settings) pipe() pipe.Params {
	return pipe.Params{
		Stack: s.stack(), Width: s.Width, Apart: s.Width * 6 / 10, Walls: s.Walls,
		TopLayers: s.TopLayers, BottomLayers: s.BottomLayers,
		Density: s.Density, Pattern: s.Pattern,
		Skirts: s.Skirts, SkirtGap: s.SkirtGap, Volume: s.Build,
	}
}

func (s Settings) path() path.Params {
	return path.Params{
		Volume: s.Build, Width: s.Width, Filament: s.Filament,
		Speeds: s.Speeds, Accel: s.Accel,
		HotEnd: s.HotEnd, Bed: s.Bed, FirstHotEnd: s.FirstHotEnd, FirstBed: s.FirstBed,
		Retract: s.Retract, RetractTravel: s.RetractTravel, Wipe: s.Wipe, Hop: s.Hop, Comb: s.Comb,
		Fan: s.Fan, FanLayer: s.FanLayer,
		OuterFirst: s.OuterFirst, SeamAligned: s.SeamAligned, PrimeLine: s.PrimeLine,
		MinLayerTime: s.MinLayerTime, Bare: s.Bare,
	}
}
