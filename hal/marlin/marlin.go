// Package marlin drives controllers with Marlin firmware and its relatives: Marlin 2,
// Marlin 1 and forks of it such as Ultimaker's, and Prusa-Firmware.
//
// Start at [Open]. The machine behind it is that of package driver; here is what these
// firmwares say of themselves and how they differ from each other:
//
//   - Marlin 2 executes a line that has a checksum but no number, whether the checksum is
//     right or not. The others refuse it. So only with them may a line follow another
//     that is not known to be good; see the package comment of gcode. Which it is, and
//     whether it edits its line buffer by backspaces, is not taken from its name: it is
//     asked.
//   - Marlin 1 as in the Ultimaker 2 reports no temperatures by itself, has no M113 and no
//     capabilities, refuses a line whose number is missing without asking for it again,
//     obeys M112 only in its turn (so that where the port can, a stop resets it), and knows
//     S alone for waiting and for acceleration.
//   - Prusa-Firmware glues its first capability to its name.
//
// All of it was read off recordings of the real firmware.
package marlin

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
	"platen/hal/motion"
)

// Machine is a Marlin controller. It implements hal.Machine.
type Machine = driver.Machine

// Options are the timeouts of a Machine, and what the board pins.
type Options = driver.Options

// ErrRunning reports that a program is running already.
var ErrRunning = driver.ErrRunning

// Open identifies the controller at port, switches its heaters off, and takes the port
// over; see driver.Open.
func Open(ctx context.Context, port driver.Port, opt Options) (*Machine, error) {
	return driver.Open(ctx, port, New(opt), opt)
}

// New is the dialect on its own.
func New(opt Options) driver.Firmware { return &firmware{opt: opt} }

// firmware is one controller as it says of itself.
type firmware struct {
	opt   Options
	info  hal.Info
	named bool
	oks   int // since it has named itself

	// What the probes have shown.
	refuses bool // it refuses a checksum without a number
	obeys   bool // it executes one, whether it is right or not
	edits   bool // a backspace takes a character back
}

// maxCaps bounds the capabilities kept; Marlin 2.1 names fewer than 50.
const maxCaps = 64

const (
	capAutoReport = "AUTOREPORT_TEMP"
	capChamber    = "CHAMBER_TEMPERATURE"
)

// Greeting asks by M115, which every Marlin answers, and probes what decides how lines
// may follow each other: first a checksum without a number, and wrong at that; if that
// is executed, whether a backspace takes a character back. Both commands ask for
// temperatures and do nothing else. M999 brings back a controller that Stop() has
// stopped; one that kill() has stopped hears nothing.
func (f *firmware) Greeting() driver.Greeting {
	question := "\nM115\nM105*1\n"
	if f.obeys {
		question = "\nM1055\b\n"
	}
	// M108 ends a wait for heat, behind which the others would not come to their turn.
	return driver.Greeting{Cold: "\nM108\nM104 S0\nM140 S0\n", Question: question, Revive: "\nM999\n"}
}

// Parse reads one line.
func (f *firmware) Parse(line []byte, r *gcode.Reply) { gcode.Parse(line, r) }

// Identify gathers the answers: name, capabilities, ok, and what the probes bring.
func (f *firmware) Identify(line []byte, r *gcode.Reply) bool {
	switch r.Kind {
	case gcode.Firmware:
		name, tools, glued := gcode.ParseFirmware(line)
		f.info = hal.Info{Dialect: "marlin", Firmware: name, Tools: tools}
		f.named, f.oks, f.obeys = true, 0, false
		f.cap([]byte(glued))
	case gcode.Cap:
		f.cap(line)
	case gcode.Start:
		f.named, f.obeys, f.refuses = false, false, false
	case gcode.Refusal:
		f.refuses = bytes.Contains(line, []byte("No Line Number"))
	case gcode.OK:
		return f.named && f.answered(r)
	}
	return f.named && f.refuses && f.oks > 0
}

// answered counts an ok: the first is that of M115, the second that of the checksum
// without a number, the third that of the backspace.
func (f *firmware) answered(r *gcode.Reply) bool {
	f.oks++
	switch {
	case f.refuses || !strings.Contains(f.info.Firmware, "Marlin"):
		return true
	case f.obeys:
		f.edits = r.NTemps > 0
		return true
	case f.oks == 2:
		f.obeys = true
	}
	return false
}

func (f *firmware) cap(text []byte) {
	if name, has := gcode.ParseCap(text); has && len(f.info.Caps) < maxCaps {
		f.info.Caps = append(f.info.Caps, name)
	}
}

// Profile says how to work with the controller that has answered.
func (f *firmware) Profile() (driver.Profile, error) {
	if !strings.Contains(f.info.Firmware, "Marlin") {
		return driver.Profile{}, fmt.Errorf("%q is not Marlin: choose a board with another dialect", f.info.Firmware)
	}
	p := driver.Profile{
		Info:    f.info,
		Heaters: f.heaters(),
		Lines:   gcode.NewLink(f.link()),
		Encoder: &encoder{
			Encoder: gcode.Encoder{Level: f.opt.Pins.Level, Compact: true, Apart: !f.edits},
			old:     f.old(),
		},
		Safe:    "M106 S255\n",
		Rest:    "M107\nM84\nM155 S0\n",
		Stop:    "\nM112\n",
		Break:   "M108\n",
		Reports: f.info.Has(capAutoReport),
	}
	for _, h := range p.Heaters {
		p.Cool += string(gcode.AppendHeater(nil, h, 0, false))
	}
	if f.old() { // knows neither M113 nor M155 nor inches
		p.Setup, p.Rest, p.Deaf = p.Cool+"M107\nG90\nM82\n", "M107\nM84\n", true
		return p, nil
	}
	// Cold, fans off, telling that it is busy every 2 s and its temperatures every second.
	p.Setup = p.Cool + "M107\nM113 S2\n"
	if p.Reports {
		p.Setup += "M155 S1\n"
	}
	p.Setup += "G21\nG90\nM82\n"
	return p, nil
}

// old reports whether this is Marlin 1: it refuses a checksum without a number and names
// no capabilities.
func (f *firmware) old() bool { return f.refuses && len(f.info.Caps) == 0 }

// heaters are those that the controller has, in the order in which they are switched
// off.
func (f *firmware) heaters() []hal.HeaterID {
	var ids []hal.HeaterID
	for t := range f.info.Tools {
		ids = append(ids, motion.HotEnd+hal.HeaterID(t))
	}
	ids = append(ids, motion.Bed)
	if f.info.Has(capChamber) {
		ids = append(ids, motion.Chamber)
	}
	return ids
}

// link bounds the line engine. Lines follow each other at once where no byte is ever lost
// or damaged. Where a checksum without a number is refused, no end of a line is executed;
// but that firmware swallows what is behind an asterisk, and reads words there if those
// before leave any out, so that nothing goes behind a line that is not answered: noise
// that takes all line feeds between two lines would make one of them.
func (f *firmware) link() gcode.Config {
	c := f.opt.Link
	switch {
	case f.opt.Pins.USB: // its flow control holds back what the receive buffer does not take
		c.Window, c.Lines, c.Bytes = gcode.WindowOpen, max(c.Lines, 5), max(c.Bytes, 160)
	case f.refuses:
		c.Window, c.Lines = gcode.WindowOpen, 1
	case f.edits && c.Window == gcode.WindowSpaced:
		c.Window = gcode.WindowTail
	}
	c.Loose = c.Loose || f.refuses
	return c
}

// encoder is gcode.Encoder, which speaks Marlin already. Whatever edits its line buffer has
// the parser of Marlin 2 (parser.h, value_float), which knows that no number goes on
// with an E.
type encoder struct {
	gcode.Encoder
	old bool // Marlin 1: M109, M190 and M204 know S alone, and M109 waits for cooling down as well
}

// AppendStart appends what a program relies on. Marlin 1 knows millimetres only.
func (e *encoder) AppendStart(dst []byte) []byte {
	start := len(dst)
	dst = e.Encoder.AppendStart(dst)
	if e.old {
		dst = append(dst[:start], bytes.TrimPrefix(dst[start:], []byte("G21\n"))...)
	}
	return dst
}

// Append appends the commands of op; see gcode.Encoder.
func (e *encoder) Append(dst []byte, op motion.Op) ([]byte, error) {
	start := len(dst)
	dst = e.Encoder.Append(dst, op)
	word := ""
	switch {
	case !e.old:
	case op.Kind == motion.WaitHeater:
		word = " R"
	case op.Kind == motion.SetAccel:
		word = " P"
	}
	if i := bytes.LastIndex(dst[start:], []byte(word)); word != "" && i >= 0 {
		dst[start+i+1] = 'S'
	}
	return dst, nil
}
