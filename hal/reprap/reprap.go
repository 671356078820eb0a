// Package reprap drives controllers with RepRapFirmware 3 (Duet boards) over their
// native USB port or over a serial port in Marlin compatible mode.
//
// Start at [Open]. The machine behind it is that of package driver; here is what this
// firmware says of itself ([New]), how its replies read, how commands are put for it,
// and its line engine.
//
// # What the firmware does
//
// Read in its source, version 3.5 (GCodeBuffer/StringParser.cpp, GCodes.cpp,
// GCodes2.cpp); there are no recordings of it:
//
//   - A line with a bad checksum is thrown away without a word; nothing is ever asked for
//     again, and line numbers are not followed. A line without a checksum is obeyed,
//     unless M575 has been told to want one (S1) or a CRC (S4).
//   - Five digits behind the asterisk are a CRC-16 of the line, up to three an exclusive or.
//   - It reads one line at a time. What waits (for heat, for the last move, for room in
//     the queue of moves) keeps every line behind it unread, M112 included.
//   - While a line waits it reports temperatures every two seconds, on USB, if M105 was
//     the last status that was asked for.
//   - After an emergency stop it answers questions and takes M999, which restarts it.
//   - M106 takes S up to 1 for a share of full speed; M104 needs a tool, and extrusion a
//     tool that is selected; M204 P and T, M572 and M84 are as elsewhere.
//
// # What follows
//
// On native USB nothing is lost or damaged (every packet has a CRC and is repeated), and
// a full buffer makes the host wait. There the ok of a line is answer enough. One line is
// on its way at a time all the same, because M112 would come behind more of them.
//
// On any other link a lost line would go unnoticed, and a damaged one may be obeyed:
// one bit turns a digit into a quote or a semicolon, behind which the firmware no longer
// sees the asterisk. So there the board has to say that the link is USB, or the
// controller has to want checksums on this port (in config.g, M575 with S6 for CRCs on a
// raw serial port, or S3): the driver finds out by a question without one, and refuses
// to work if it is answered. Then every line carries a CRC and a second command whose
// answer repeats a number of ours (M409 with a key that does not exist), one line is on
// its way at a time, and is sent again until its number comes back. Obeying a line twice
// is the same as once: positions are absolute.
//
// M112 must find the controller reading. So the driver never has it wait for heat, for
// a dwell or for the last move: it asks for temperatures and for the state until they are
// what they should be. What is left is the line that waits for room in the queue of
// moves: M112 comes behind it, when one move more has ended; and homing and levelling,
// which cannot be interrupted on this port at all.
package reprap

import (
	"bytes"
	"context"
	"errors"
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
	opt     driver.Options
	info    hal.Info
	named   bool
	heaters []hal.HeaterID // that the answer to M105 names
	lax     bool           // it takes lines without a checksum
}

// Greeting asks who it is, which heaters it has and whether it is halted, in lines with a
// CRC, and without any check something that shows whether it wants one.
func (f *firmware) Greeting() driver.Greeting {
	q := append([]byte{'\n'}, appendLine(nil, 1, []byte("M115"))...)
	q = appendLine(appendLine(q, 2, []byte("M105")), 3, []byte(`M409 K"`+statusKey+`"`))
	q = append(q, "M409 K\""+laxKey+"\"\n"...)
	cold := appendLine([]byte{'\n'}, 5, []byte("M104 T0 S0"))
	return driver.Greeting{
		Cold:     string(appendLine(cold, 6, []byte("M140 S0"))),
		Question: string(q),
		Revive:   "\n" + string(appendLine(nil, 4, []byte("M999"))),
	}
}

// Identify gathers the answers.
func (f *firmware) Identify(line []byte, r *gcode.Reply) bool {
	switch r.Kind {
	case gcode.Start:
		*f = firmware{opt: f.opt}
	case gcode.Firmware:
		f.named = true
		f.info = hal.Info{Dialect: "reprap", Firmware: firmwareName(line)}
	case gcode.OK, gcode.Report:
		if r.NTemps > 0 && f.named {
			f.gather(r)
			return true
		}
	case gcode.Note:
		if bytes.HasPrefix(line, []byte(`{"key":"`+laxKey+`"`)) {
			f.lax = true
		}
	}
	return false
}

// gather notes the heaters of a report.
func (f *firmware) gather(r *gcode.Reply) {
	f.heaters, f.info.Tools, f.info.Caps = nil, 0, nil
	for _, t := range r.Temps[:r.NTemps] {
		f.heaters = append(f.heaters, t.ID)
		if t.ID >= motion.HotEnd {
			f.info.Tools = max(f.info.Tools, int(t.ID-motion.HotEnd)+1)
		}
		if t.ID == motion.Chamber {
			f.info.Caps = append(f.info.Caps, "CHAMBER_TEMPERATURE")
		}
	}
	if !f.lax {
		f.info.Caps = append(f.info.Caps, capChecked)
	}
}

// capChecked is the capability of a port that wants checksums. The firmware itself names
// none.
const capChecked = "CHECKSUM_REQUIRED"

// laxKey is the key of the question that is asked without a checksum.
const laxKey = "lax"

// firmwareName is "RepRapFirmware for Duet 3 MB6HC 3.5.3" of the answer to M115, at most
// 64 bytes.
func firmwareName(line []byte) string {
	name := between(line, "FIRMWARE_NAME:", "FIRMWARE_VERSION:")
	name = strings.TrimSpace(name + " " + between(line, "FIRMWARE_VERSION:", "ELECTRONICS:"))
	return name[:min(len(name), 64)]
}

func between(line []byte, from, to string) string {
	_, rest, _ := bytes.Cut(line, []byte(from))
	s, _, _ := bytes.Cut(rest, []byte(to))
	return string(bytes.TrimSpace(s))
}

// oldest is the first version that knows CRCs and M409.
var oldest = [2]int{3, 2}

func tooOld(name string) bool {
	i := strings.LastIndexByte(name, ' ')
	major, rest, _ := strings.Cut(name[i+1:], ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return err1 != nil || err2 != nil || a < oldest[0] || a == oldest[0] && b < oldest[1]
}

var errLax = errors.New("this controller takes lines without a checksum, so that a damaged one could move it: " +
	"say in the board file that the link is native USB, or have config.g require a CRC on this port (M575 S4, S6 for a raw serial port)")

// Profile says how to work with the controller that has answered.
func (f *firmware) Profile() (driver.Profile, error) {
	switch {
	case !strings.Contains(f.info.Firmware, "RepRapFirmware"):
		return driver.Profile{}, fmt.Errorf("%q is not RepRapFirmware: choose a board with another dialect", f.info.Firmware)
	case tooOld(f.info.Firmware):
		return driver.Profile{}, fmt.Errorf("%q is too old: needed is version %d.%d", f.info.Firmware, oldest[0], oldest[1])
	case f.lax && !f.opt.Pins.USB:
		return driver.Profile{}, errLax
	}
	p := driver.Profile{
		Info:    f.info,
		Heaters: f.heaters,
		Lines:   newLines(f.opt.Pins.USB, f.opt.Link),
		Encoder: &encoder{level: f.opt.Pins.Level, tools: f.info.Tools},
		Safe:    "M106 S1\n",
		Rest:    "M107\n" + opIdle + "M84\n",
		Stop:    "\n" + string(appendLine(nil, 5, []byte("M112"))),
		Break:   opBreak,
	}
	for _, h := range p.Heaters {
		p.Cool += string(appendHeater(nil, h, 0))
	}
	// Cold, fans off, at the speed and flow that are commanded, reporting temperatures
	// while it waits.
	p.Setup = p.Cool + "M107\nM220 S100\nM221 S100\nG21\nG90\nM82\nM105\n"
	return p, nil
}
