// Package boards knows the controller boards that Platen runs on: how to reach the
// controller, what the machine can do, what to print with, where updates go and
// where the TPM is.
//
// A board is one TOML file in this folder, embedded into the binary. To add one,
// copy the nearest, change what differs, and say in a comment where each figure comes
// from; a figure without a source is marked "unsourced". Every value carries its unit
// ("220mm", "260C", "200mm/s", "250000baud"). [Parse] is strict: an unknown key, a
// missing one or a value that makes no sense is an error with its line. The tests load
// every file.
//
// A board also says in G-code what goes around a print (table macros: start, end,
// pause, resume, cancel, recover for after a power loss, and level for what G29 stands for); see [Macro] for what it
// does if it does not. Words in braces are filled in from the rest of the file, and
// temperatures from the profile of a job that has one:
// {first_hot_end}, {hot_end}, {first_bed}, {bed} in °C; {left}, {right}, {front},
// {back}, {top}, {retract} in mm; {lift}, {travel}, {retract_feed} in mm/min. Relative
// moves end where the volume ends. When a board is loaded each macro runs through the
// envelope as it is used, in the corners of the volume: one that a machine cannot do,
// that leaves a heater on or that leaves a machine which cannot print is an error with
// its line.
//
// An owner's own board is a file as well: the configuration names it by its path in place
// of an id, and no release has to know it. [Schema] describes such files to editors, from
// the same list of keys that [Parse] goes by.
//
// Start at [Open].
package boards

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platen/hal/envelope"
	"platen/hal/unit"
	"platen/hal/watch"
)

//go:embed *.toml
var files embed.FS

// ErrUnknown reports a board id that this release does not know.
var ErrUnknown = errors.New("unknown board")

// Board is one controller board with its machine.
type Board struct {
	ID      string
	Name    string
	Targets []string // what the agent is built for on this board, such as "linux/arm64"
	Tried   string   // on which hardware it has run, and when; "" is never
	Notes   []string // how to wire it

	Controller Controller
	Limits     envelope.Limits
	Bed        Bed
	Nozzle     unit.Length // diameter of its opening
	Filament   unit.Length // diameter
	Print      Print       // zero on a machine without a hot end
	Macros     Macros      // what is run around a sliced model
	Flash      Flash       // how its firmware is replaced
	Slots      Slots
	Watch      watch.Config // how the machine is supervised; Box, Acted and Logger are the caller's
	Sensors    []Sensor     // of the box
	TPM        string       // path of the TPM's resource manager; "" is none
	Chip       TPMChip      // how the TPM is wired
	Host       Host         // zero if the file does not say
	Dog        Watchdog     // zero if the file does not say
	Sum        [32]byte     // SHA-256 of the file

	written [macros]*string // macros as the file has them; nil is one that it does not have
}

// Prints reports whether the machine has what a model needs: a hot end.
func (b *Board) Prints() bool { return b.Limits.Tools > 0 }

// Controller is the motion controller and its port.
type Controller struct {
	Dialect string // "marlin", "repetier", "reprap", "grbl", or "none": its own software drives it
	Device  string // path or pattern of the serial device; "" if the configuration must name it
	Baud    int

	// What firmware does not tell of itself. All of it may be left out of a file.
	Link      string        // "uart" (what is assumed) or "usb": native USB, which neither loses nor damages bytes
	Reset     string        // "none" (what is assumed) or "dtr": lowering DTR restarts the controller
	Level     string        // the command that levels the bed: "G29", "G32", "G80"; "" if it cannot
	Emergency bool          // M112 is obeyed past the queue, though the firmware does not say so
	Watchdog  time.Duration // the firmware switches off by itself after so long without a command; 0 is never
	MCU       string        // its processor, for people
	ByHand    string        // how people flash it: "sd-card", "dfu", "uf2", "avrdude", "stm32flash", "bossa", "vendor"
	Models    []string      // names and numbers of printers whose pre-sliced files fit this one, for M862.2 and M862.3
}

// Bed is the printable area in machine coordinates.
type Bed struct {
	Width, Depth unit.Length // along X and Y
	X, Y         unit.Length // its front left corner
}

// Print is what to print with unless the owner says otherwise.
type Print struct {
	FirstLayerHeight, LayerHeight, LineWidth unit.Length

	FirstHotEnd, HotEnd unit.Celsius
	FirstBed, Bed       unit.Celsius
	Fan                 unit.Duty

	FirstLayer, OuterWall, InnerWall unit.Speed
	Skin, Infill, Travel, Lift       unit.Speed
	RetractSpeed                     unit.Speed
	Retract                          unit.Length
	Accel                            unit.Accel
}

// Slots says how the board keeps two versions of the agent and of the system.
type Slots struct {
	Agent string // directory with the two agent slots
	Root  string // how the root file system is kept twice: "none", "tryboot" or "uboot"
}

// List returns the ids of all boards, sorted.
func List() []string {
	names, err := fs.Glob(files, "*.toml")
	if err != nil { // the pattern is constant
		panic(err)
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, ".toml")
	}
	slices.Sort(names)
	return names
}

// Load returns the board of this release with the given id. An id that is not in List is
// [ErrUnknown].
func Load(id string) (*Board, error) {
	text, err := embedded(id)
	if err != nil {
		return nil, err
	}
	return Parse(id+".toml", text)
}

func embedded(id string) ([]byte, error) {
	if !slices.Contains(List(), id) {
		return nil, fmt.Errorf("%w %q: use one of %s, or a file whose name ends in .toml", ErrUnknown, id, strings.Join(List(), ", "))
	}
	text, err := files.ReadFile(id + ".toml")
	if err != nil {
		return nil, fmt.Errorf("read board %s: %w", id, err)
	}
	return text, nil
}

// Driven reports whether Platen drives the machine; else its own software does.
func (b *Board) Driven() bool { return b.Controller.Dialect != "none" }

// Find returns the one device that the pattern Device matches.
func (c Controller) Find() (string, error) {
	if c.Device == "" {
		return "", errors.New("the board does not name a serial device: name it in the configuration")
	}
	found, err := filepath.Glob(c.Device)
	if err != nil {
		return "", fmt.Errorf("look for the controller at %s: %w", c.Device, err)
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no controller at %s: connect it, or name its device in the configuration: %w", c.Device, fs.ErrNotExist)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d devices match %s: name the right one in the configuration", len(found), c.Device)
}
