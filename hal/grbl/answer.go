package grbl

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// point is a place in µm, in machine coordinates of grbl or of an Op.
type point [3]int32

// settings are those of $$ that matter here. grbl 1.1h doc/markdown/settings.md.
type settings struct {
	homing, inches, soft, hard bool
	invert                     int   // $23: axes that are homed at their lower end
	pulloff                    int32 // $27, µm
	touch, seek                int32 // $24, $25, mm/min
	status                     int   // $10
	steps, rate, travel        point // $100: thousandths of a step a mm; $110: mm/min; $130: µm
	seen                       int   // axes of which the travel was told
}

// answer is what a controller has said to the greeting.
type answer struct {
	version string
	options string
	hal     bool
	blocks  int // of the planner
	buffer  int // receive buffer in bytes
	offset  point
	told    bool // offsets
	oks     int  // since then: of $# and $X
	settings
}

func (a *answer) complete() bool { return a.version != "" && a.seen == 3 && a.oks >= 2 }

// name is the firmware and its version.
func (a *answer) name() string {
	name := "Grbl "
	if a.hal {
		name = "grblHAL "
	}
	return name + a.version
}

// caps are the capabilities that were read.
func (a *answer) caps() []string {
	var caps []string
	add := func(on bool, name string) {
		if on {
			caps = append(caps, name)
		}
	}
	add(a.homing, "HOMING")
	add(a.soft, "SOFT_LIMITS")
	add(a.hard, "HARD_LIMITS")
	add(strings.Contains(a.options, "N"), "LINE_NUMBERS")
	add(strings.Contains(a.options, "H"), "HOME_SINGLE_AXIS")
	add(a.hal, "REFUSES_AFTER_ERROR")
	return caps
}

// read reads one line of the answer.
func (a *answer) read(line []byte) {
	switch {
	case line[0] == '$':
		a.setting(line[1:])
	case line[0] != '[' || line[len(line)-1] != ']':
	case bytes.HasPrefix(line, []byte("[VER:")):
		version, _, _ := bytes.Cut(line[5:len(line)-1], []byte(":"))
		a.version = string(version[:min(len(version), 40)])
	case bytes.HasPrefix(line, []byte("[OPT:")):
		a.option(string(line[5 : len(line)-1]))
	case bytes.HasPrefix(line, []byte("[FIRMWARE:grblHAL")):
		a.hal = true
	case bytes.HasPrefix(line, []byte("[G54:")):
		if p, ok := readPoint(line[5 : len(line)-1]); ok {
			a.offset, a.told = p, true
		}
	}
}

// option reads "V,15,128": build options, blocks of the planner, receive buffer.
func (a *answer) option(s string) {
	parts := strings.Split(s, ",")
	a.options = parts[0]
	if len(parts) < 3 {
		return
	}
	blocks, ok := number([]byte(parts[1]))
	buffer, fine := number([]byte(parts[2]))
	if ok && fine {
		a.blocks, a.buffer = blocks, buffer
	}
}

func (a *answer) setting(b []byte) {
	name, value, ok := bytes.Cut(b, []byte("="))
	n, named := number(name)
	v, valued := micro(value)
	if !ok || !named || !valued {
		return
	}
	switch {
	case n == 10:
		a.status = int(v / 1000)
	case n == 13:
		a.inches = v != 0
	case n == 20:
		a.soft = v != 0
	case n == 21:
		a.hard = v != 0
	case n == 22:
		a.homing = v/1000&1 == 1
	case n == 23:
		a.invert = int(v / 1000)
	case n == 24:
		a.touch = v / 1000
	case n == 25:
		a.seek = v / 1000
	case n == 27:
		a.pulloff = v
	case n >= 100 && n < 103:
		a.steps[n-100] = v
	case n >= 110 && n < 113:
		a.rate[n-110] = v / 1000
	case n >= 130 && n < 133:
		if a.travel[n-130] == 0 {
			a.seen++
		}
		a.travel[n-130] = v
	}
}

func readPoint(b []byte) (p point, ok bool) {
	for i := range p {
		var part []byte
		part, b, _ = bytes.Cut(b, []byte(","))
		if p[i], ok = micro(part); !ok {
			return point{}, false
		}
	}
	return p, true
}

// machine is what encoder and guard have to know of a controller.
type machine struct {
	travel point         // µm, from zero
	shift  point         // added to a position of an Op it is one of the machine
	work   point         // work offset: taken off that, it is what a command says
	near   int32         // µm that a report may be off its path
	home   time.Duration // longest homing
	blocks int
	homed  *atomic.Bool // the controller has homed since it was opened
}

// errTravel reports settings that no machine has.
var errTravel = errors.New("travel, steps or buffers are not set: check $100 to $132 and $I")

// machine works out coordinates. After homing grbl calls the upper ends of the axes
// zero, or with HOMING_FORCE_SET_ORIGIN the end where the switch is.
func (a *answer) machine() (machine, error) {
	m := machine{travel: a.travel, work: a.offset, blocks: a.blocks}
	for i := range m.travel {
		if m.travel[i] <= 0 || a.steps[i] <= 0 {
			return m, errTravel
		}
		m.shift[i] = -m.travel[i]
		if strings.Contains(a.options, "Z") && a.invert>>i&1 == 1 {
			m.shift[i] = 0
		}
		m.near = max(m.near, 2*1_000_000/a.steps[i]+2)
	}
	m.home = a.longestHoming()
	if a.blocks < 2 || a.buffer < 64 {
		return m, fmt.Errorf("%w (the controller names %d blocks and %d bytes)", errTravel, a.blocks, a.buffer)
	}
	return m, nil
}

// longestHoming bounds how long $H takes, in which grbl says nothing: Z, then X and Y
// look for their switches over half more than their travel (limits.c,
// HOMING_AXIS_SEARCH_SCALAR), back off, and touch them again over five times the
// pull-off (HOMING_AXIS_LOCATE_SCALAR).
func (a *answer) longestHoming() time.Duration {
	minutes := func(um int64, rate int32) time.Duration {
		return time.Duration(um) * time.Minute / time.Duration(max(rate, 1)) / 1000
	}
	farthest := int64(max(a.travel[0], a.travel[1], a.travel[2]))
	each := minutes(farthest*3/2+2*int64(a.pulloff), a.seek) + minutes(5*int64(a.pulloff), a.touch)
	return 2*each + 10*time.Second
}
