// Package repetier drives controllers with Repetier-Firmware (0.92 and later) in its
// binary protocol.
//
// Start at [Open]. The machine behind it is that of package driver; here is what this
// firmware says of itself ([New]), how its replies read, how commands are put for it,
// and its line engine.
//
// # Why binary
//
// Text is not safe on this firmware, whatever the checksum. It takes a line without a
// checksum as it is, numbered or not, and a line may end with a zero byte: one bit
// flipped in the blank of "N12 G1 X10 Y20 *99" leaves "N12 G1 X10", which it executes
// and acknowledges. A lost asterisk makes the checksum a part of the number before it.
// The binary protocol has Fletcher's checksum of 16 bits over every command, and once
// the last command was binary, text without a checksum is refused (gcode.cpp,
// parseAscii: "Checksum required when switching back to ASCII protocol"). Commands are
// half as long as well.
//
// # What the firmware does
//
// Learned from recordings of Repetier-Firmware 1.0.4 (text) and from its source
// (gcode.cpp, Commands.cpp):
//
//   - It keeps one command beside its receive buffers, and says "ok N" with the number
//     of the line when it takes it, not when it is done. So the ok of line N says that
//     N-1 is done. M110 is answered by an ok without a number, so are lines that it
//     passes over ("skip N"), and every request to repeat.
//   - A line that is not the next one is asked for by "Resend:N", every 200 ms until it
//     comes. Behind a bad binary command everything is skipped until 31 zeros in a
//     row have been read. Lines that it has had before (the last 40) it passes over.
//   - A command without a number is answered by "ok" and a number that another line may
//     have had that it has only glanced at. So nothing is sent without a number, and no
//     ok without a name counts.
//   - EMERGENCY_PARSER looks for M108 and M112 in everything that has been received.
//     M112 resets the processor (KILL_METHOD 1); M999 brings back one that has stopped
//     because of a heater.
//   - M109 and M190 know S only, in whole degrees; M204 sets the gains of a heater's
//     controller, so that accelerations are set by M201.
//   - DEBUG_ECHO_ASCII repeats what it was sent as text behind "Got:", so that nothing
//     in such a line means anything.
package repetier

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
	"platen/hal/motion"
)

// Open identifies the controller at port, switches its heaters off, and takes the port
// over; see driver.Open.
func Open(ctx context.Context, port driver.Port, opt driver.Options) (*driver.Machine, error) {
	return driver.Open(ctx, port, New(opt), opt)
}

// New is the dialect on its own.
func New(opt driver.Options) driver.Firmware { return &firmware{opt: opt} }

// firmware is one controller as it says of itself.
type firmware struct {
	opt      driver.Options
	info     hal.Info
	protocol int // REPETIER_PROTOCOL
}

const maxCaps = 64

// Greeting asks by M115. The zeros end the skipping behind a bad command of an earlier
// session, which may have ended in the middle of it.
func (f *firmware) Greeting() driver.Greeting {
	return driver.Greeting{
		Cold:     strings.Repeat("\x00", zeros) + "\nM104 S0*59\nM140 S0*59\n",
		Question: strings.Repeat("\x00", zeros) + "\nM115*120\n",
		Revive:   strings.Repeat("\x00", zeros) + "\nM999*116\n",
	}
}

// Identify gathers the answer to M115. Its ok comes before it and nothing surely after
// it, so that it is complete with the name; what follows is still taken.
func (f *firmware) Identify(line []byte, r *gcode.Reply) bool {
	switch r.Kind {
	case gcode.Firmware:
		name, tools, _ := gcode.ParseFirmware(line)
		f.info = hal.Info{Dialect: "repetier", Firmware: name, Tools: tools}
		f.protocol = number(line, "REPETIER_PROTOCOL:")
		return true
	case gcode.Cap:
		if name, has := gcode.ParseCap(line); has && len(f.info.Caps) < maxCaps {
			f.info.Caps = append(f.info.Caps, name)
		}
	}
	return false
}

// number reads the digits behind key, or 0.
func number(line []byte, key string) int {
	i := bytes.Index(line, []byte(key))
	if i < 0 {
		return 0
	}
	rest := line[i+len(key):]
	end := 0
	for end < len(rest) && end < 6 && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(string(rest[:end])) // none is zero
	return n
}

const (
	capAutoReport = "AUTOREPORT_TEMP"
	oldest        = 2 // version of the protocol that has M codes beyond 255
)

// Profile says how to work with the controller that has answered.
func (f *firmware) Profile() (driver.Profile, error) {
	if !strings.Contains(f.info.Firmware, "Repetier") {
		return driver.Profile{}, fmt.Errorf("%q is not Repetier-Firmware: choose a board with another dialect", f.info.Firmware)
	}
	if f.protocol < oldest {
		return driver.Profile{}, fmt.Errorf("%q speaks version %d of its binary protocol, needed is %d: update the firmware",
			f.info.Firmware, f.protocol, oldest)
	}
	p := driver.Profile{
		Info:    f.info,
		Lines:   newLines(f.opt.Link),
		Encoder: &encoder{level: f.opt.Pins.Level, tools: f.info.Tools},
		Safe:    "M106 S255\n",
		Rest:    "M107\nM84\nM155 S0\n",
		Stop:    stopText,
		Break:   "M108\n",
		Reports: f.info.Has(capAutoReport),
	}
	for t := range f.info.Tools {
		p.Heaters = append(p.Heaters, motion.HotEnd+hal.HeaterID(t))
	}
	p.Heaters = append(p.Heaters, motion.Bed)
	for _, h := range p.Heaters {
		p.Cool += string(appendHeater(nil, h, 0, false))
	}
	// Cold, fans off, not in dry run, at the speed and flow that are commanded, telling
	// its temperatures every second.
	p.Setup = p.Cool + "M107\nM111 S6\nM220 S100\nM221 S100\n"
	if p.Reports {
		p.Setup += "M155 S1\n"
	}
	p.Setup += "G21\nG90\nM82\n"
	return p, nil
}

// stopText is the emergency stop. The line feeds before it end whatever command is
// only half there, and are no more than that because M112 has to fit into the buffer
// behind all that waits there; the checksum has it taken as text behind binary commands by builds
// without EMERGENCY_PARSER.
var stopText = strings.Repeat("\n", 27) + "M112*127\n"
