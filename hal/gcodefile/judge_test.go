package gcodefile_test

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"platen/hal/envelope"
	"platen/hal/motion"
)

// judge is a printer on paper: it reads the commands that an encoder writes, as a
// firmware would, and says where they leave the envelope. It is written from the
// printer's side and shares no code with the guard. Lengths are in mm, times in
// seconds, temperatures in °C.
type judge struct {
	l envelope.Limits

	at     [3]float64
	homed  [3]bool
	known  [3]bool // where the axis is can be told from here
	e      float64 // as counted since G92
	feed   float64 // mm/s
	tool   int
	target map[string]float64 // of heaters
	warm   [8]bool            // waited for since it was last cold

	filament float64 // driven in all
	most     float64 // its highest
	fresh    float64 // since the clock began
	clock    float64 // hot time in which less than one mm of fresh filament came
	waits    float64 // in the same time
	cold     float64 // paused while cold, without a move
	pattern  [26]float64
	given    [26]bool

	// What rounding to the decimals of a command may change, in mm.
	step, stepE float64
}

func newJudge(l envelope.Limits, compact bool) *judge {
	j := &judge{l: l, target: map[string]float64{}, step: 0.0006, stepE: 0.0002}
	if compact {
		j.step, j.stepE = 0.006, 0.002
	}
	return j
}

// slack is what rounding of a feed to whole mm/min may change.
const slack = 1.01

// obey reads one command and returns what is wrong with it, or "".
func (j *judge) obey(line []byte) string {
	code, ok := j.words(line)
	if !ok {
		return "no command: " + string(line)
	}
	if j.hot() {
		if why := j.pass(0.001, true); why != "" { // on the wire
			return why
		}
	}
	switch code {
	case "G21", "G90", "M82", "M400":
	case "G92":
		if j.given['X'-'A'] || j.given['Y'-'A'] || j.given['Z'-'A'] {
			return "the origin moved"
		}
		j.e = j.pattern['E'-'A']
	case "G28":
		j.home()
		return j.wait()
	case "G29", "G80", "G32", "M420":
		if !j.l.CanLevel || j.homed != [3]bool{true, true, true} {
			return "levelled before homing"
		}
		j.known = [3]bool{}
		if j.l.Levelled && code != "M420" {
			for i := range 3 {
				j.at[i], j.known[i] = j.l.LevelledAt[i].MM(), true
			}
		}
		return j.wait()
	case "G1":
		return j.move()
	case "G4":
		return j.pass(j.pattern['P'-'A']/1000, true)
	case "M104", "M109":
		tool := int(j.pattern['T'-'A'])
		if tool < 0 || tool >= j.l.Tools {
			return "a tool that is not there"
		}
		return j.heat("hot end "+strconv.Itoa(tool), j.l.HotEnd, code == "M109", &j.warm[tool])
	case "M140", "M190":
		return j.heat("bed", j.l.Bed, code == "M190", nil)
	case "M141", "M191":
		return j.heat("chamber", j.l.Chamber, code == "M191", nil)
	case "M106", "M107":
		if p := j.pattern['P'-'A']; p < 0 || int(p) >= j.l.Fans || j.pattern['S'-'A'] < 0 || j.pattern['S'-'A'] > 255 {
			return "a fan that is not there"
		}
	case "M204":
		if a := j.pattern['P'-'A']; a <= 0 || a > float64(j.l.MaxAccel) {
			return "acceleration"
		}
	case "M900":
		if k := j.pattern['K'-'A']; k < 0 || k > j.l.MaxAdvance.Seconds() {
			return "advance"
		}
	case "M84":
		j.rest()
	default:
		if code[0] == 'T' {
			tool, err := strconv.Atoi(code[1:])
			if err != nil || tool >= max(1, j.l.Tools) {
				return "a tool that is not there"
			}
			j.tool, j.known = tool, [3]bool{}
			return ""
		}
		return "a command that nobody asked for: " + code
	}
	return ""
}

// words splits a command, whether there are blanks or not.
func (j *judge) words(line []byte) (code string, ok bool) {
	j.pattern, j.given = [26]float64{}, [26]bool{}
	for len(line) > 0 {
		c := line[0]
		n := 1
		for n < len(line) && (line[n] < 'A' || line[n] > 'Z') {
			n++
		}
		text := bytes.TrimRight(line[1:n], " ")
		line = line[n:]
		if c < 'A' || c > 'Z' || bytes.IndexByte(text, ' ') >= 0 {
			return "", false
		}
		if code == "" {
			code = string(c) + string(text)
			continue
		}
		if j.given[c-'A'] {
			return "", false
		}
		j.given[c-'A'] = true
		if len(text) == 0 {
			continue
		}
		v, err := strconv.ParseFloat(string(text), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return "", false
		}
		j.pattern[c-'A'] = v
	}
	return code, len(code) > 1
}

func (j *judge) home() {
	all := !j.given['X'-'A'] && !j.given['Y'-'A'] && !j.given['Z'-'A']
	for i := range 3 {
		if all || j.given['X'-'A'+i] {
			j.at[i], j.homed[i], j.known[i] = j.l.HomedAt[i].MM(), true, true
		}
	}
	j.cold = 0
}

func (j *judge) rest() {
	all := !j.given['X'-'A'] && !j.given['Y'-'A'] && !j.given['Z'-'A'] && !j.given['E'-'A']
	for i := range 3 {
		if all || j.given['X'-'A'+i] {
			j.homed[i] = false
		}
	}
}

func (j *judge) heat(name string, within envelope.Range, wait bool, warm *bool) string {
	t := j.pattern['S'-'A'] + j.pattern['R'-'A']
	if t != 0 && (t > within.Max.Degrees() || t < within.Min.Degrees()) {
		return name + " out of its range"
	}
	j.target[name] = t
	if warm != nil {
		*warm = t >= j.l.MinExtrude.Degrees() && (*warm || wait)
	}
	if wait {
		return j.wait()
	}
	if !j.hot() {
		j.cold = 0
	}
	return ""
}

func (j *judge) hot() bool {
	for _, t := range j.target {
		if t > 0 {
			return true
		}
	}
	return false
}

// wait counts what takes an unknown time. The bound is twice that of the guard: it
// holds over any stretch, wherever it begins.
func (j *judge) wait() string {
	if !j.hot() {
		return ""
	}
	if j.waits++; j.waits > 2*envelope.MaxWaits+1 {
		return "hot and waiting without end"
	}
	return ""
}

// pass lets time go by.
func (j *judge) pass(seconds float64, still bool) string {
	if seconds < 0 {
		return "time runs backwards"
	}
	if !j.hot() {
		if j.cold += seconds; !still {
			j.cold = 0
		} else { // as much as it was hot it has to be off
			j.clock = max(0, j.clock-seconds)
			j.waits = max(0, j.waits-envelope.MaxWaits*seconds/j.l.MaxHotDwell.Seconds())
		}
		if j.cold > j.l.MaxDwell.Seconds()+1 {
			return "cold and paused without end"
		}
		return ""
	}
	if j.clock += seconds; j.clock > 2*j.l.MaxHotDwell.Seconds()*slack+1 {
		return "hot and idle without end"
	}
	return ""
}

// move is G1.
func (j *judge) move() string {
	if j.given['F'-'A'] {
		j.feed = j.pattern['F'-'A'] / 60
	}
	if !(j.feed > 0) {
		return "no feed"
	}
	var d [3]float64
	path, blind := 0.0, false
	for i := range 3 {
		if !j.given['X'-'A'+i] {
			continue
		}
		to := j.pattern['X'-'A'+i]
		if !j.homed[i] {
			return "moved blindly"
		}
		if to > j.l.Max[i].MM()+j.step || to < j.l.Min[i].MM()-j.step {
			return "outside the volume"
		}
		if !j.known[i] {
			blind = true
			if j.feed > j.l.MaxFeed[i].MMPerSecond()*slack {
				return "too fast from nowhere"
			}
		} else {
			d[i] = math.Abs(to - j.at[i])
		}
		path = math.Hypot(path, d[i])
		j.at[i], j.known[i] = to, true
	}
	e := 0.0
	if j.given['E'-'A'] {
		e = j.pattern['E'-'A'] - j.e
		j.e = j.pattern['E'-'A']
	}
	if why := j.speeds(d, path, e, blind); why != "" {
		return why
	}
	if why := j.extrude(e); why != "" {
		return why
	}
	if path == 0 {
		path = math.Abs(e)
	}
	if why := j.pass(path/j.feed, false); why != "" {
		return why
	}
	if j.filament > j.most {
		j.fresh += j.filament - j.most
		j.most = j.filament
		if j.fresh >= 1 {
			j.clock, j.waits, j.fresh = 0, 0, 0
		}
	}
	return ""
}

// speeds compares each axis with its fastest speed, with what rounding of the ends
// to a micrometre may add.
func (j *judge) speeds(d [3]float64, path, e float64, blind bool) string {
	long := path + 3*j.step
	for i := range 3 {
		if d[i] > 3*j.step && (d[i]-3*j.step)*j.feed > j.l.MaxFeed[i].MMPerSecond()*long*slack {
			return "axis " + string("XYZ"[i]) + " too fast"
		}
	}
	most := j.l.MaxFeedE.MMPerSecond() * slack
	switch e = math.Abs(e) - j.stepE; {
	case e <= 0:
	case blind:
		return "filament along a path that nobody knows"
	case path == 0 && j.feed > most && e > 5*j.stepE:
		return "filament too fast"
	case path > 0 && e*j.feed > most*long:
		return "filament too fast along the path"
	}
	return ""
}

func (j *judge) extrude(e float64) string {
	if e == 0 {
		return ""
	}
	if j.tool >= j.l.Tools || !j.warm[j.tool] {
		return "cold extrusion"
	}
	if j.homed != [3]bool{true, true, true} {
		return "extruded before homing"
	}
	if math.Abs(e) > j.l.MaxE.MM()+5*j.stepE {
		return "too much filament at once"
	}
	j.filament += e
	return ""
}

// watch runs what prog yields through the encoder and the judge. It returns how
// many operations were accepted and what was wrong, or "".
func watch(enc encoder, prog motion.Program, j *judge, buf []byte) (accepted int, why string, err error) {
	for op, e := range prog {
		if e != nil {
			return accepted, "", e
		}
		accepted++
		buf = enc.Append(buf[:0], op)
		for rest := buf; len(rest) > 0; {
			line, after, ended := bytes.Cut(rest, []byte("\n"))
			if !ended {
				return accepted, "half a command", nil
			}
			if why := j.obey(line); why != "" {
				return accepted, fmt.Sprintf("%s (%s)", why, line), nil
			}
			rest = after
		}
	}
	return accepted, "", nil
}

// encoder writes the commands of operations.
type encoder interface {
	Append(dst []byte, op motion.Op) []byte
}
