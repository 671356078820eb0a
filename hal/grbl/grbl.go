// Package grbl drives controllers with grbl 1.1 and grblHAL: machines with three axes,
// without heaters and without an axis for filament (a laser, a plotter, a pump on a
// print head of its own).
//
// Start at [Open]. The machine behind it is that of package driver; here are the
// commands, the status reports, and a guard over what the machine does.
//
// # What protects a line
//
// Nothing. grbl has no checksum, and it reads over a line number (N words are stored
// for its reports, where a build has them at all). What is damaged and still G-code is
// executed: a lost digit is another place. This was looked for and not found: a
// command that stores a move without driving it (check mode drives nothing ever; a
// feed hold keeps grbl from reading; what is planned cannot be read back), an echo
// before the move (REPORT_ECHO_LINE_RECEIVED tells of a line when it is executed), an
// assertion that costs no motion and fails before it (G38 with a target that is where
// it stands does that, but the move before it has begun by then, and a damaged one
// probes). grblHAL keeps lines behind a refused one from being executed, which is
// better, but a damaged line need not be refused.
//
// So a link that can damage bytes cannot be made safe by a host, and [Open] refuses to
// drive a controller unless its board says that the link is one that cannot
// (driver.Pins.USB): native USB, where each packet has a CRC and is sent again, or a
// bridge on the same board as the controller.
//
// Over such a link the driver still verifies what it can, and stops the machine at the
// first difference:
//
//   - Moves say how far they lead, not where (G91, and G90 once in 256 of them), so that
//     whatever damages one displaces all that follow.
//   - Five times a second the controller is asked where it is. That has to lie on the
//     path of the lines sent and not surely driven, within two steps; its feed must be
//     none above what was sent.
//   - A program has ended, and what was set has been taken, only once the controller
//     says that it is idle, every line is answered, and it stands where the last one
//     leads.
//   - An answer too many or too few, a work offset that changed, an alarm, a restart or
//     4 s without a report end the machine.
//
// Of 1,000 programs of moves of 2 mm at 60 mm/s with one byte of one line damaged or
// lost, 809 were stopped by this, 191 drove what they should, and none went on unnoticed
// (TestNoticed; with absolute moves one in nine did). But what is noticed has been
// driven, for up to a fifth of a second: hence the pin.
//
// # Coordinates
//
// Positions of an Op are distances from the corner of the volume where every axis is
// least. grbl counts from where it was homed: mostly from the upper ends, so that its
// positions are negative. The driver reads how ($22, $23, $27, $130 to $132, the build
// options) and shifts. A machine that cannot be homed ($22=0) does not know where it
// is, and is refused; so is a program that moves before it has homed.
//
// # What it has not
//
// Heaters, filament, fans and levelling are hal.ErrEnvelope. Acceleration is a setting
// of the controller: SetAccel is ignored, as is MotorsOff ($1 releases the motors).
package grbl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/gcode"
)

// Machine is a grbl controller. It implements hal.Machine.
type Machine = driver.Machine

// Options are the timeouts of a Machine, and what the board pins.
type Options = driver.Options

// Errors of Open.
var (
	// ErrUnsafeLink reports that the board does not say that its link cannot damage
	// bytes; see the package comment.
	ErrUnsafeLink = errors.New(`grbl does not check its lines, so that a damaged one would be executed: connect it by native USB and say link = "usb" in the board file`)
	// ErrNoHoming reports a controller that cannot find out where it is.
	ErrNoHoming = errors.New("homing is switched off in the controller ($22=0), so that it does not know where it is: fit end stops and set $22=1")
	errInches   = errors.New("the controller reports inches: set $13=0")
)

// Open identifies the controller at port, unlocks it and takes the port over; see
// driver.Open.
func Open(ctx context.Context, port driver.Port, opt Options) (*Machine, error) {
	return driver.Open(ctx, port, New(opt), opt)
}

// New is the dialect on its own.
func New(opt Options) driver.Firmware { return &firmware{opt: opt} }

// pollEvery is how often the controller is asked where it is.
const pollEvery = 200 * time.Millisecond

// firmware is one controller as it says of itself.
type firmware struct {
	opt    Options
	opened bool // Profile was asked
	known  answer
	status status // of the newest report, for the guard
	homed  atomic.Bool
}

// Greeting asks for version, settings and offsets, and ends an alarm lock. That comes
// last: a controller that restarts loses the beginning of what it is sent, and whoever
// has its version has unlocked it. A soft reset brings back a controller that is in the
// middle of something.
func (f *firmware) Greeting() driver.Greeting {
	return driver.Greeting{Question: "\n$I\n$$\n$#\n$X\n", Revive: "\x18"}
}

// Parse reads one line.
func (f *firmware) Parse(line []byte, r *gcode.Reply) {
	*r = gcode.Reply{Line: -1, Queue: -1}
	line = bytes.TrimSpace(line)
	for _, b := range line {
		if b < ' ' || b >= 0x7f {
			r.Kind = gcode.Garbage
			return
		}
	}
	switch {
	case len(line) == 0:
	case string(line) == "ok":
		r.Kind = gcode.OK
	case line[0] == '<':
		f.parseStatus(line, r)
	case bytes.HasPrefix(line, []byte("error:")):
		r.Kind = gcode.Refusal
		if n, ok := number(line[6:]); !f.opened && ok && (n == 8 || n == 9) {
			r.Kind, r.Fault = gcode.Fault, hal.FaultController // it is at something, or locked
		}
	case bytes.HasPrefix(line, []byte("ALARM:")):
		r.Kind, r.Fault = gcode.Fault, alarmFault(line[6:])
	case bytes.HasPrefix(line, []byte("Grbl")):
		r.Kind = gcode.Start
	default:
		r.Kind = gcode.Note
	}
}

// alarmFault says what an alarm means (grbl 1.1h report.h, grblHAL alarms.h).
func alarmFault(code []byte) hal.Fault {
	switch n, _ := number(code); n {
	case 1, 2, 6, 7, 8, 9, 10, 12, 14, 15: // limits and homing
		return hal.FaultEndstop
	}
	return hal.FaultController
}

func (f *firmware) parseStatus(line []byte, r *gcode.Reply) {
	s, ok := readStatus(line)
	if !ok {
		r.Kind = gcode.Garbage
		return
	}
	f.status = s
	r.Kind, r.Idle = gcode.Report, s.state == stateIdle
	if s.state == stateStopped {
		r.Kind, r.Fault = gcode.Fault, hal.FaultController
	}
}

// Identify gathers the answers to the greeting.
func (f *firmware) Identify(line []byte, r *gcode.Reply) bool {
	switch r.Kind {
	case gcode.Start:
		f.known = answer{}
	case gcode.Note:
		f.known.read(bytes.TrimSpace(line))
	case gcode.OK:
		if f.known.told {
			f.known.oks++
		}
		return f.known.complete()
	}
	return false
}

// Profile says how to work with the controller that has answered.
func (f *firmware) Profile() (driver.Profile, error) {
	a := &f.known
	switch {
	case !f.opt.Pins.USB:
		return driver.Profile{}, ErrUnsafeLink
	case !a.settings.homing:
		return driver.Profile{}, ErrNoHoming
	case a.settings.inches:
		return driver.Profile{}, errInches
	}
	m, err := a.machine()
	if err != nil {
		return driver.Profile{}, fmt.Errorf("%s: %w", a.name(), err)
	}
	f.opened = true
	m.homed = &f.homed
	return driver.Profile{
		Info:      hal.Info{Dialect: "grbl", Firmware: a.name(), Caps: a.caps()},
		Lines:     newGuard(f, m, a.buffer),
		Encoder:   &encoder{machine: m},
		Setup:     setup,
		Safe:      settle,
		Rest:      settle,
		Stop:      "\x18",
		Poll:      "?",
		PollEvery: pollEvery,
		Quiet:     m.home,
	}, nil
}

// setup puts the parser into a known state: millimetres, absolute, feed in mm/min, the
// first work system, no offsets.
const setup = "G21G90G94G17G54\nG49\nG92.1\nM5M9\n"

// settle waits until the last move has ended.
const settle = "G4P0.01\n"

// number reads a decimal without sign or point.
func number(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > 1e6 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(b) > 0
}

// micro reads a decimal such as "-12.345" in millionths of a metre, rounding towards
// zero what is finer.
func micro(b []byte) (v int32, ok bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	whole, frac, point := b, []byte(nil), bytes.IndexByte(b, '.')
	if point >= 0 {
		whole, frac = b[:point], b[point+1:]
	}
	n, ok := number(whole)
	if !ok || n > 1e6 {
		return 0, false
	}
	v = int32(n) * 1000
	for i, scale := 0, int32(100); i < len(frac); i, scale = i+1, scale/10 {
		if frac[i] < '0' || frac[i] > '9' {
			return 0, false
		}
		v += int32(frac[i]-'0') * scale
	}
	if neg {
		v = -v
	}
	return v, true
}
