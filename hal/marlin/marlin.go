// Package marlin drives controllers with Marlin firmware and its relatives: Marlin 2,
// Marlin 1 and forks of it such as Ultimaker's, and Prusa-Firmware.
//
// Start at [Open]. The machine behind it is that of package driver; here is what these
// firmwares say of themselves and how they differ from each other:
//
//   - Marlin 2 executes a line that has a checksum but no number, whether the checksum is
//     right or not. The others refuse it. So only with them may a line follow another
//     that is not known to be good; see the package comment of gcode.
//   - Marlin 1 as in the Ultimaker 2 reports no temperatures by itself, has no M113 and no
//     capabilities, refuses a line whose number is missing without asking for it again,
//     and halts for good on M112 only.
//   - Prusa-Firmware glues its first capability to its name.
//
// All of it was read off recordings of the real firmware.
package marlin

import (
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
}

// maxCaps bounds the capabilities kept; Marlin 2.1 names fewer than 50.
const maxCaps = 64

const (
	capAutoReport = "AUTOREPORT_TEMP"
	capChamber    = "CHAMBER_TEMPERATURE"
)

// Greeting asks by M115, which every Marlin answers. M999 brings back one that Stop()
// has stopped; one that kill() has stopped hears nothing.
func (f *firmware) Greeting() driver.Greeting {
	return driver.Greeting{Question: "\nM115\n", Revive: "\nM999\n"}
}

// Parse reads one line.
func (f *firmware) Parse(line []byte, r *gcode.Reply) { gcode.Parse(line, r) }

// Identify gathers the answer to M115: name, capabilities, ok.
func (f *firmware) Identify(line []byte, r *gcode.Reply) bool {
	switch r.Kind {
	case gcode.Firmware:
		name, tools, glued := gcode.ParseFirmware(line)
		f.info = hal.Info{Dialect: "marlin", Firmware: name, Tools: tools}
		f.named = true
		f.cap([]byte(glued))
		return false
	case gcode.Cap:
		f.cap(line)
	case gcode.OK:
		return f.named
	case gcode.Start:
		f.named = false
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
		Encoder: &encoder{gcode.Encoder{Level: f.opt.Pins.Level}},
		Safe:    "M106 S255\n",
		Rest:    "M107\nM84\nM155 S0\n",
		Stop:    "\nM112\n",
		Break:   "M108\n",
		Reports: f.info.Has(capAutoReport),
	}
	for _, h := range p.Heaters {
		p.Cool += string(gcode.AppendHeater(nil, h, 0, false))
	}
	// Cold, fans off, telling that it is busy every 2 s and its temperatures every second.
	p.Setup = p.Cool + "M107\nM113 S2\n"
	if p.Reports {
		p.Setup += "M155 S1\n"
	}
	p.Setup += "G21\nG90\nM82\n"
	return p, nil
}

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

// link bounds the line engine.
func (f *firmware) link() gcode.Config { return f.opt.Link }

// encoder is gcode.Encoder, which speaks Marlin already.
type encoder struct{ gcode.Encoder }

// Append appends the commands of op; see gcode.Encoder.
func (e *encoder) Append(dst []byte, op motion.Op) ([]byte, error) {
	return e.Encoder.Append(dst, op), nil
}
