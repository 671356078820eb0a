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

// Seam says where outer walls begin.
type Seam = path.Seam

// The places of seams.
const (
	SeamNearest = path.SeamNearest // near the nozzle, in a corner if there is one
	SeamAligned = path.SeamAligned // above the seam of the layer below; a new one in a corner or at the rear
	SeamRear    = path.SeamRear    // at the point with the largest Y
	SeamRandom  = path.SeamRandom  // elsewhere on each layer
)

// Shell says what is done about walls besides how many there are.
type Shell = pipe.Shell

// Speeds by what is printed.
type Speeds = path.Speeds

// Accels are accelerations by what is printed.
type Accels = path.Accels

// Fans is the power of the fan where it is not the common one.
type Fans = path.Fans

// Flow is how much is melted in a time, in 1/1000 mm³/s.
type Flow = path.Flow

// Advance is a time by which the filament runs ahead, in 1/10000 s.
type Advance = path.Advance

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
	Heights     Heights     // layers with heights of their own

	Walls        int // lines around every contour
	TopLayers    int
	BottomLayers int
	Density      fill.Percent // sparse infill, 0 to 100
	Pattern      Pattern
	Skin         Skin
	OuterFirst   bool // outer wall before inner walls
	Seam         Seam // where outer walls begin
	Shell        Shell

	Support   Support
	Adhesion  Adhesion
	Skirts    int // lines around the first layer
	SkirtGap  unit.Length
	PrimeLine bool // fill the nozzle with a line at the front edge

	Speeds        Speeds
	Accel         unit.Accel // 0 leaves the machine's own
	Accels        Accels
	Arcs          unit.Length // how far arcs may be from the lines that they stand for; 0 makes none
	MaxFlow       Flow        // lines that would need more are slower; 0 is no bound
	Advance       Advance     // pressure advance; 0 leaves the machine's own
	Retract       unit.Length // filament drawn back before long travel
	RetractTravel unit.Length // travel above which it is
	Restart       unit.Length // that much more is given back than was drawn back
	RetractApart  unit.Length // filament that is fed at least before more is drawn back
	Wipe          unit.Length // way back along the line on which it is; 0 is in place
	Hop           unit.Length // lift of the nozzle while it is drawn back
	Comb          unit.Length // ways through the inside of the part, up to this length, need no retraction; 0 is none

	HotEnd, Bed           unit.Celsius
	FirstHotEnd, FirstBed unit.Celsius // on the first layer
	Fan                   unit.Duty
	Fans                  Fans
	FanLayer              int // index of the first layer with the fan on

	Transform Transform   // of the model, before it is placed
	Copies    int         // of the model, in rows
	Spacing   unit.Length // between copies
	Sequence  Sequence    // copies one after another

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
		Skin: defaultSkin(), Density: 20, Pattern: PatternLines, Seam: SeamAligned, Shell: Shell{Hangs: true, Thin: true, Gaps: true, FootLayers: 2},
		Support: defaultSupport(), Adhesion: defaultAdhesion(),
		Skirts: 1, SkirtGap: 3 * mm, PrimeLine: true,
		Speeds: Speeds{
			OuterWall: 40 * mms, InnerWall: 60 * mms, Skin: 60 * mms, Infill: 80 * mms,
			Overhang: [4]unit.Speed{0, 30 * mms, 20 * mms, 15 * mms}, Bridge: 25 * mms, Ironing: 15 * mms,
			FirstLayer: 20 * mms, Travel: 150 * mms, Lift: 8 * mms, Retract: 35 * mms,
		},
		Accel:   1000,
		Retract: unit.Micrometres(1500), RetractTravel: unit.Micrometres(1500),
		HotEnd: 210 * unit.Degree, Bed: 60 * unit.Degree,
		FirstHotEnd: 215 * unit.Degree, FirstBed: 60 * unit.Degree,
		Fan: unit.FullDuty, Fans: Fans{Least: unit.FullDuty}, FanLayer: 2,
		Comb: 30 * mm, Heights: Heights{Least: um(80), Most: um(280), Deviation: um(100)},
		Copies: 1, Spacing: 5 * mm, Sequence: Sequence{Radius: 45 * mm, Height: 25 * mm},
		MinLayerTime: 8 * time.Second,
	}
}

// Validate checks that the settings describe something that can be printed, and
// names everything that does not.
func (s Settings) Validate() error {
	var errs []error
	for i := range Table() {
		r := &Table()[i]
		if err := r.check(r.get(&s)); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errors.Join(errs...), s.relations())
}

// relations checks what depends on more than one setting.
func (s Settings) relations() error {
	var errs []error
	within := func(key string, v, lo, hi unit.Length) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%w: %s of %v is not between %v and %v", ErrSettings, key, v, lo, hi))
		}
	}
	within("layer_height", s.Height, 0, s.Nozzle)
	within("first_layer_height", s.FirstHeight, 0, s.Nozzle)
	within("line_width", s.Width, s.Nozzle/2, 3*s.Nozzle)
	errs = append(errs, s.heightsError(), s.volumeError(), s.adhesionError())
	return errors.Join(errs...)
}

func (s Settings) volumeError() error {
	b := s.Build
	for _, axis := range [][2]unit.Length{{b.Min.X, b.Max.X}, {b.Min.Y, b.Max.Y}, {b.Min.Z, b.Max.Z}} {
		if axis[0] >= axis[1] {
			return fmt.Errorf("%w: the build volume must have a size along every axis", ErrSettings)
		}
	}
	return nil
}

func (s Settings) stack() cut.Stack { return cut.Stack{First: s.FirstHeight, Height: s.Height} }

func (s Settings) pipe() pipe.Params {
	return pipe.Params{
		Stack: s.stack(), Width: s.Width, Apart: s.Width * 6 / 10, Walls: s.Walls, Shell: s.Shell,
		TopLayers: s.TopLayers, BottomLayers: s.BottomLayers,
		Density: s.Density, Pattern: s.Pattern, Skin: s.skin(),
		Skirts: s.Skirts, SkirtGap: s.SkirtGap, Adhesion: s.adhesion(), Volume: s.Build,
	}
}

func (s Settings) path() path.Params {
	return path.Params{
		Volume: s.Build, Raft: s.Adhesion.Raft.Layers, Width: s.Width, Filament: s.Filament,
		Speeds: s.Speeds, Accel: s.Accel, Accels: s.Accels, Arcs: s.Arcs, MaxFlow: s.MaxFlow, Advance: s.Advance,
		HotEnd: s.HotEnd, Bed: s.Bed, FirstHotEnd: s.FirstHotEnd, FirstBed: s.FirstBed,
		Retraction: path.Retraction{
			Length: s.Retract, Travel: s.RetractTravel, Restart: s.Restart, Apart: s.RetractApart, Wipe: s.Wipe, Hop: s.Hop,
		},
		Comb: s.Comb, Fan: s.Fan, Fans: s.Fans, FanLayer: s.FanLayer,
		OuterFirst: s.OuterFirst, Seam: s.Seam, PrimeLine: s.PrimeLine,
		MinLayerTime: s.MinLayerTime, Bare: s.Bare,
	}
}
