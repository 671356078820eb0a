package boards

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"platen/hal/envelope"
	"platen/hal/unit"

	"github.com/BurntSushi/toml"
)

// file is a board file as it is written, and the one list of its keys: parser and schema
// go by it. Every key is needed, but for those tagged optional; the tag "of" lists the words
// that one may be, "doc" is what editors show.
type file struct {
	ID         string         `toml:"id" doc:"the name of the file, without .toml"`
	Name       string         `toml:"name" doc:"what people call it"`
	Targets    []string       `toml:"targets" of:"linux/amd64 linux/arm64 linux/arm/v7 linux/arm/v6 linux/mipsle" doc:"what the agent is built for on this board"`
	Tried      string         `toml:"tried" need:"optional" doc:"on which hardware it has run, and when; left out is never"`
	Notes      []string       `toml:"notes" need:"optional" doc:"how to wire it, for people"`
	Host       fileHost       `toml:"host" need:"optional" doc:"the computer that Platen runs on"`
	Controller fileController `toml:"controller" doc:"the motion controller and its port"`
	Volume     fileVolume     `toml:"volume" doc:"where the machine can go, in its own coordinates"`
	Bed        fileBed        `toml:"bed" doc:"what can be printed on"`
	Speed      fileSpeed      `toml:"speed" doc:"the most the machine is asked for"`
	Heat       fileHeat       `toml:"heat" need:"optional" doc:"lowest and highest temperature of each heater"`
	Tool       fileTool       `toml:"tool" doc:"hot ends and fans"`
	Pause      filePause      `toml:"pause" doc:"how long a program may wait"`
	Print      filePrint      `toml:"print" need:"optional" doc:"what to print with unless a job says otherwise"`
	Macros     fileMacros     `toml:"macros" need:"optional" doc:"G-code around a print"`
	Flash      fileFlash      `toml:"flash" need:"optional" doc:"how platen controller replaces the controller's firmware"`
	Slots      fileSlots      `toml:"slots" doc:"where two versions are kept"`
	TPM        fileTPM        `toml:"tpm" doc:"the TPM and its wiring"`
	Watchdog   fileWatchdog   `toml:"watchdog" need:"optional" doc:"the board's hardware watchdog"`
	Watch      fileWatch      `toml:"watch" need:"optional" doc:"how the machine is supervised"`
	Sensors    []fileSensor   `toml:"sensors" need:"optional" doc:"sensors of the box that are not the controller's"`
}

type fileController struct {
	Dialect string `toml:"dialect" of:"marlin repetier reprap grbl none" doc:"what its firmware speaks; none: its own software drives it, and Platen follows its logs"`
	Device  string `toml:"device" doc:"path or pattern of the serial device; \"\" if the configuration names it"`
	Baud    baud   `toml:"baud" doc:"bit rate"`

	Link      string   `toml:"link" need:"optional" of:"uart usb" doc:"usb: native USB, which neither loses nor damages bytes"`
	Reset     string   `toml:"reset" need:"optional" of:"none dtr" doc:"dtr: lowering DTR restarts it"`
	Level     string   `toml:"level" need:"optional" of:"G29 G32 G80" doc:"the command that levels the bed"`
	Arcs      bool     `toml:"arcs" need:"optional" doc:"it takes G2 and G3"`
	Emergency bool     `toml:"emergency_parser" need:"optional" doc:"M112 is obeyed past the queue"`
	Watchdog  duration `toml:"watchdog" need:"optional" doc:"it switches off by itself after so long without a command"`
	Models    []string `toml:"models" need:"optional" doc:"printers whose pre-sliced files fit, for M862.2 and M862.3"`
	MCU       string   `toml:"mcu" need:"optional" doc:"its processor"`
	ByHand    string   `toml:"by_hand" need:"optional" of:"sd-card dfu uf2 avrdude stm32flash bossa vendor" doc:"how people flash it"`
}

type fileVolume struct {
	Min     []length `toml:"min" doc:"corner with the lowest coordinates"`
	Max     []length `toml:"max" doc:"corner with the highest"`
	HomedAt []length `toml:"homed_at" doc:"where it is after homing"`

	LevelledAt []length `toml:"levelled_at" need:"optional" doc:"where it is after levelling"`
	KeepsZ     bool     `toml:"keeps_z" need:"optional" doc:"Z stays where it is without power"`
}

type fileBed struct {
	Size   []length `toml:"size" doc:"along X and Y"`
	Corner []length `toml:"corner" doc:"its front left corner"`
}

type fileSpeed struct {
	X     speed `toml:"x"`
	Y     speed `toml:"y"`
	Z     speed `toml:"z"`
	E     speed `toml:"e" need:"optional"`
	Accel accel `toml:"accel"`

	Advance duration `toml:"advance" need:"optional" doc:"the most for pressure advance"`
}

type fileHeat struct {
	HotEnd     []celsius `toml:"hot_end"`
	Bed        []celsius `toml:"bed"`
	Chamber    []celsius `toml:"chamber" need:"optional"`
	MinExtrude celsius   `toml:"min_extrude" doc:"below it nothing is extruded"`
}

type fileTool struct {
	Count    int    `toml:"count" doc:"hot ends, 0 to 4"`
	Fans     int    `toml:"fans" doc:"that programs may set"`
	Nozzle   length `toml:"nozzle" need:"optional" doc:"diameter of its opening"`
	Filament length `toml:"filament" need:"optional" doc:"diameter"`
	MaxFeed  length `toml:"max_feed" need:"optional" doc:"of filament in one move"`
}

type fileMacros struct {
	Start  *string `toml:"start" need:"optional" doc:"before a model"`
	End    *string `toml:"end" need:"optional" doc:"after it"`
	Pause  *string `toml:"pause" need:"optional"`
	Resume *string `toml:"resume" need:"optional"`
	Cancel *string `toml:"cancel" need:"optional"`
	Level  *string `toml:"level" need:"optional" doc:"what levelling stands for"`

	Recover *string `toml:"recover" need:"optional" doc:"after a power loss"`
}

type filePause struct {
	Cold duration `toml:"cold" doc:"with heaters off"`
	Hot  duration `toml:"hot" doc:"with a hot nozzle"`
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
	Agent string `toml:"agent" doc:"folder of the two agents"`
	Root  string `toml:"root" of:"none tryboot uboot" doc:"how the root file system is kept twice"`
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
	var b *Board
	if err = words(&meta, reflect.ValueOf(f), nil); err == nil {
		b, err = f.board(name)
	}
	if err != nil {
		return nil, fmt.Errorf("board file %s: %w", name, err)
	}
	b.Sum = sha256.Sum256(text)
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
		ID: f.ID, Name: f.Name, Targets: f.Targets, Tried: f.Tried, Notes: f.Notes,
		Controller: f.Controller.controller(),
		Nozzle:     unit.Length(f.Tool.Nozzle), Filament: unit.Length(f.Tool.Filament),
		Print: f.Print.settings(), Slots: Slots(f.Slots),
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
	case len(b.Targets) == 0:
		return nil, errors.New("targets is empty")
	}
	if err := errors.Join(f.host(b), b.check()); err != nil {
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
