package boards

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"platen/hal/envelope"
	"platen/hal/unit"

	"github.com/BurntSushi/toml"
)

// file is a board file as it is written. Every key is needed, but for those tagged
// optional.
type file struct {
	ID         string         `toml:"id"`
	Name       string         `toml:"name"`
	Targets    []string       `toml:"targets"`
	Controller fileController `toml:"controller"`
	Volume     fileVolume     `toml:"volume"`
	Bed        fileBed        `toml:"bed"`
	Speed      fileSpeed      `toml:"speed"`
	Heat       fileHeat       `toml:"heat" need:"optional"`
	Tool       fileTool       `toml:"tool"`
	Pause      filePause      `toml:"pause"`
	Print      filePrint      `toml:"print" need:"optional"`
	Macros     fileMacros     `toml:"macros" need:"optional"`
	Flash      fileFlash      `toml:"flash" need:"optional"`
	Slots      fileSlots      `toml:"slots"`
	TPM        fileTPM        `toml:"tpm"`
	Watch      fileWatch      `toml:"watch" need:"optional"`
	Sensors    []fileSensor   `toml:"sensors" need:"optional"`
}

type fileController struct {
	Dialect string `toml:"dialect"`
	Device  string `toml:"device"`
	Baud    baud   `toml:"baud"`

	Link      string   `toml:"link" need:"optional"`
	Reset     string   `toml:"reset" need:"optional"`
	Level     string   `toml:"level" need:"optional"`
	Arcs      bool     `toml:"arcs" need:"optional"`
	Emergency bool     `toml:"emergency_parser" need:"optional"`
	Watchdog  duration `toml:"watchdog" need:"optional"`
	Models    []string `toml:"models" need:"optional"`
}

type fileVolume struct {
	Min     []length `toml:"min"`
	Max     []length `toml:"max"`
	HomedAt []length `toml:"homed_at"`

	LevelledAt []length `toml:"levelled_at" need:"optional"`
	KeepsZ     bool     `toml:"keeps_z" need:"optional"`
}

type fileBed struct {
	Size   []length `toml:"size"`
	Corner []length `toml:"corner"`
}

type fileSpeed struct {
	X     speed `toml:"x"`
	Y     speed `toml:"y"`
	Z     speed `toml:"z"`
	E     speed `toml:"e" need:"optional"`
	Accel accel `toml:"accel"`

	Advance duration `toml:"advance" need:"optional"`
}

type fileHeat struct {
	HotEnd     []celsius `toml:"hot_end"`
	Bed        []celsius `toml:"bed"`
	Chamber    []celsius `toml:"chamber" need:"optional"`
	MinExtrude celsius   `toml:"min_extrude"`
}

type fileTool struct {
	Count    int    `toml:"count"`
	Fans     int    `toml:"fans"`
	Nozzle   length `toml:"nozzle" need:"optional"`
	Filament length `toml:"filament" need:"optional"`
	MaxFeed  length `toml:"max_feed" need:"optional"`
}

type fileMacros struct {
	Start  *string `toml:"start" need:"optional"`
	End    *string `toml:"end" need:"optional"`
	Pause  *string `toml:"pause" need:"optional"`
	Resume *string `toml:"resume" need:"optional"`
	Cancel *string `toml:"cancel" need:"optional"`
	Level  *string `toml:"level" need:"optional"`

	Recover *string `toml:"recover" need:"optional"`
}

type filePause struct {
	Cold duration `toml:"cold"`
	Hot  duration `toml:"hot"`
}

type filePrint struct {
	FirstLayerHeight length  `toml:"first_layer_height"`
	LayerHeight      length  `toml:"layer_height"`
	LineWidth        length  `toml:"line_width"`
	FirstHotEnd      celsius `toml:"first_hot_end"`
	HotEnd           celsius `toml:"hot_end"`
	FirstBed         celsius `toml:"first_bed"`
	Bed              celsius `toml:"bed"`
	Fan              percent `toml:"fan"`
	FirstLayer       speed   `toml:"first_layer"`
	OuterWall        speed   `toml:"outer_wall"`
	InnerWall        speed   `toml:"inner_wall"`
	Skin             speed   `toml:"skin"`
	Infill           speed   `toml:"infill"`
	Travel           speed   `toml:"travel"`
	Lift             speed   `toml:"lift"`
	RetractSpeed     speed   `toml:"retract_speed"`
	Retract          length  `toml:"retract"`
	Accel            accel   `toml:"accel"`
}

type fileSlots struct {
	Agent string `toml:"agent"`
	Root  string `toml:"root"`
}

type fileTPM struct {
	Device string `toml:"device"`
}

// Parse reads the board file text; name is its name, for messages, and must be the
// board's id followed by ".toml".
func Parse(name string, text []byte) (*Board, error) {
	var f file
	meta, err := toml.Decode(string(text), &f)
	if err != nil {
		if p, ok := errors.AsType[toml.ParseError](err); ok {
			return nil, fmt.Errorf("board file %s, line %d, key %q: %s", name, p.Position.Line, p.LastKey, p.Message)
		}
		return nil, fmt.Errorf("board file %s: %w", name, err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("board file %s, line %d: unknown key %q", name, lineOf(text, extra[0]), extra[0].String())
	}
	if key := missing(&meta, reflect.TypeFor[file](), nil); key != "" {
		return nil, fmt.Errorf("board file %s: key %q is missing", name, key)
	}
	b, err := f.board(name)
	if err != nil {
		return nil, fmt.Errorf("board file %s: %w", name, err)
	}
	return b, nil
}

// missing returns the first key of t that the file does not define, or "".
func missing(meta *toml.MetaData, t reflect.Type, above []string) string {
	for i := range t.NumField() {
		field := t.Field(i)
		key := append(above[:len(above):len(above)], field.Tag.Get("toml"))
		if !meta.IsDefined(key...) {
			if field.Tag.Get("need") == "optional" {
				continue
			}
			return strings.Join(key, ".")
		}
		if field.Type.Kind() == reflect.Struct {
			if below := missing(meta, field.Type, key); below != "" {
				return below
			}
		}
	}
	return ""
}

// lineOf finds the line on which key stands: the reader does not keep it. It looks
// for the table header, if any, and then for the last part of the key.
func lineOf(text []byte, key toml.Key) int {
	table, last := strings.Join(key[:len(key)-1], "."), key[len(key)-1]
	inside := table == ""
	for i, line := range bytes.Split(text, []byte("\n")) {
		trimmed := strings.TrimSpace(string(line))
		if header, ok := strings.CutPrefix(trimmed, "["); ok {
			header, _, _ = strings.Cut(strings.TrimLeft(header, "["), "]")
			inside = header == table
			if header == key.String() {
				return i + 1
			}
			continue
		}
		name, _, ok := strings.Cut(trimmed, "=")
		if name = strings.Trim(strings.TrimSpace(name), `"'`); ok && (inside && name == last || name == key.String()) {
			return i + 1
		}
	}
	return 0
}

// board checks f as a whole and turns it into a Board.
func (f *file) board(name string) (*Board, error) {
	id := strings.TrimSuffix(filepath.Base(name), ".toml")
	b := &Board{
		ID: f.ID, Name: f.Name, Targets: f.Targets,
		Controller: f.Controller.controller(),
		Nozzle:     unit.Length(f.Tool.Nozzle), Filament: unit.Length(f.Tool.Filament),
		Print: f.Print.settings(), Slots: Slots(f.Slots), TPM: f.TPM.Device,
	}
	limits, err := f.limits()
	if err != nil {
		return nil, err
	}
	b.Limits = limits
	if len(f.Bed.Size) != 2 || len(f.Bed.Corner) != 2 {
		return nil, errors.New("bed.size and bed.corner need two values, X and Y")
	}
	b.Bed = Bed{Width: unit.Length(f.Bed.Size[0]), Depth: unit.Length(f.Bed.Size[1]),
		X: unit.Length(f.Bed.Corner[0]), Y: unit.Length(f.Bed.Corner[1])}
	switch {
	case f.ID != id:
		return nil, fmt.Errorf("id %q is not the name of the file", f.ID)
	case f.Name == "":
		return nil, errors.New("name is empty")
	case !slices.Contains([]string{"none", "tryboot", "uboot"}, b.Slots.Root):
		return nil, fmt.Errorf("slots.root %q is not none, tryboot or uboot", b.Slots.Root)
	}
	if err := errors.Join(checkTargets(b.Targets), b.Controller.check()); err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	if b.Flash, err = f.Flash.flash(); err != nil {
		return nil, err
	}
	if b.Watch, err = f.watch(b); err != nil {
		return nil, err
	}
	if b.Sensors, err = f.sensors(b); err != nil {
		return nil, err
	}
	return b, b.macros(f.Macros)
}

// macros fills in and checks what goes around a print.
func (b *Board) macros(f fileMacros) error {
	if !b.Prints() { // what moves it between two operations
		b.Print.Lift, b.Print.Travel = b.Limits.MaxFeed[2], min(b.Limits.MaxFeed[0], b.Limits.MaxFeed[1])
	}
	if err := b.fill([macros]*string{f.Start, f.End, f.Pause, f.Resume, f.Cancel, f.Level, f.Recover}); err != nil {
		return err
	}
	return b.checkMacros()
}

func checkTargets(targets []string) error {
	known := []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6"}
	for _, t := range targets {
		if !slices.Contains(known, t) {
			return fmt.Errorf("targets: %q is not one of %s", t, strings.Join(known, ", "))
		}
	}
	if len(targets) == 0 {
		return errors.New("targets is empty")
	}
	return nil
}

func (f *file) limits() (envelope.Limits, error) {
	l := envelope.Limits{
		MaxFeed:  [3]unit.Speed{unit.Speed(f.Speed.X), unit.Speed(f.Speed.Y), unit.Speed(f.Speed.Z)},
		MaxFeedE: unit.Speed(f.Speed.E), MaxAccel: unit.Accel(f.Speed.Accel), MaxE: unit.Length(f.Tool.MaxFeed),
		MinExtrude: unit.Celsius(f.Heat.MinExtrude), Tools: f.Tool.Count, Fans: f.Tool.Fans,
		Arcs: f.Controller.Arcs, CanLevel: f.Controller.Level != "", Levelled: f.Volume.LevelledAt != nil, KeepsZ: f.Volume.KeepsZ, MaxAdvance: time.Duration(f.Speed.Advance),
		MaxDwell: time.Duration(f.Pause.Cold), MaxHotDwell: time.Duration(f.Pause.Hot),
	}
	for _, v := range []struct {
		name string
		from []length
		to   *[3]unit.Length
	}{{"volume.min", f.Volume.Min, &l.Min}, {"volume.max", f.Volume.Max, &l.Max}, {"volume.homed_at", f.Volume.HomedAt, &l.HomedAt},
		{"volume.levelled_at", f.Volume.LevelledAt, &l.LevelledAt}} {
		if v.from == nil && v.name == "volume.levelled_at" {
			continue
		}
		if len(v.from) != 3 {
			return l, fmt.Errorf("%s needs three values, X, Y and Z", v.name)
		}
		for i, x := range v.from {
			if unit.Length(x) > unit.MaxCoordinate || unit.Length(x) < -unit.MaxCoordinate {
				return l, fmt.Errorf("%s lies beyond %v", v.name, unit.MaxCoordinate)
			}
			v.to[i] = unit.Length(x)
		}
	}
	for _, v := range []struct {
		name string
		from []celsius
		to   *envelope.Range
	}{{"heat.hot_end", f.Heat.HotEnd, &l.HotEnd}, {"heat.bed", f.Heat.Bed, &l.Bed}, {"heat.chamber", f.Heat.Chamber, &l.Chamber}} {
		if len(v.from) == 0 && (v.name == "heat.chamber" || f.Tool.Count == 0) {
			continue
		}
		if len(v.from) != 2 || v.from[0] <= 0 || v.from[0] >= v.from[1] {
			return l, fmt.Errorf("%s needs two temperatures above zero, lowest and highest", v.name)
		}
		*v.to = envelope.Range{Min: unit.Celsius(v.from[0]), Max: unit.Celsius(v.from[1])}
	}
	return l, nil
}

func (p filePrint) settings() Print {
	return Print{
		FirstLayerHeight: unit.Length(p.FirstLayerHeight), LayerHeight: unit.Length(p.LayerHeight), LineWidth: unit.Length(p.LineWidth),
		FirstHotEnd: unit.Celsius(p.FirstHotEnd), HotEnd: unit.Celsius(p.HotEnd),
		FirstBed: unit.Celsius(p.FirstBed), Bed: unit.Celsius(p.Bed), Fan: unit.Duty(p.Fan),
		FirstLayer: unit.Speed(p.FirstLayer), OuterWall: unit.Speed(p.OuterWall), InnerWall: unit.Speed(p.InnerWall),
		Skin: unit.Speed(p.Skin), Infill: unit.Speed(p.Infill), Travel: unit.Speed(p.Travel), Lift: unit.Speed(p.Lift),
		RetractSpeed: unit.Speed(p.RetractSpeed), Retract: unit.Length(p.Retract), Accel: unit.Accel(p.Accel),
	}
}
