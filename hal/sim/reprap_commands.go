package sim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"platen/hal/unit"
)

var rrfHoming = homing{
	feed: [3]float64{100, 100, 10}, bump: [3]float64{5, 5, 2}, slow: [3]float64{10, 10, 2},
}

// answer is what a command says: an error, or text of its own.
type answer struct {
	text  string
	error bool
	first bool // an ok comes before the text, as for M105
	model bool // of the object model: an ok follows wherever it stands
}

// execute runs the commands of a line, one after the other. The ok comes with the last
// (GCodes::HandleReplyPreserveResult, Marlin compatibility).
func (r *reprap) execute(line string) {
	r.reportAt = r.now
	for rest := line; rest != "" && r.up(); {
		var cmd string
		cmd, rest = rrfCut(rest)
		r.spend(r.cfg.LineTime / 6)
		r.stats.Lines++
		c := rrfParse(cmd)
		if c.letter == 'G' && c.num >= 28 && c.num <= 32 {
			rest = "" // its macro is read into the same buffer
		}
		a := r.obey(&c)
		if !r.up() {
			return
		}
		r.say(a, rest == "")
	}
}

func (r *reprap) say(a answer, last bool) {
	text := a.text
	if a.error {
		text = "Error: " + text
	}
	switch {
	case a.model:
		r.print(text + "\n")
		r.reply("ok\n")
	case !last && text != "":
		r.print(text + "\n")
	case !last:
	case a.first:
		r.reply("ok " + text + "\n")
	case text != "":
		r.print(text + "\n")
		r.reply("ok\n")
	default:
		r.reply("ok\n")
	}
}

func failed(text string) answer { return answer{text: text, error: true} }

// obey runs one command.
func (r *reprap) obey(c *rrfCommand) answer {
	name := string(c.letter) + strconv.Itoa(c.num)
	if c.letter == 'T' {
		name = "T"
	}
	if r.halted && !(c.letter == 'M' && rrfAlways(c.num)) {
		return failed(name + ": Machine is halted")
	}
	switch {
	case c.letter == 'G' && c.num >= 0:
		return r.commandG(c, name)
	case c.letter == 'M' && c.num >= 0:
		return r.commandM(c, name)
	case c.letter == 'T':
		return r.commandT(c)
	}
	r.stats.Unknown++
	return failed("Bad command: " + strings.TrimSpace(string(c.letter)+c.args))
}

// rrfAlways are the M codes that a halted machine obeys (GCodes::HandleMcode).
func rrfAlways(m int) bool {
	switch m {
	case 105, 112, 115, 122, 408, 409, 999:
		return true
	}
	return false
}

func (r *reprap) unsupported(name string) answer {
	r.stats.Unknown++
	return answer{text: "Warning: " + name + ": Command is not supported"}
}

func (r *reprap) commandG(c *rrfCommand, name string) answer {
	switch c.num {
	case 0, 1:
		r.spend(r.cfg.LineTime - r.cfg.LineTime/6)
		return r.linear(c, name)
	case 2, 3:
		r.spend(r.cfg.LineTime - r.cfg.LineTime/6)
		return r.arc(c, name)
	case 4:
		r.synchronize()
		wait := 0.0
		if s, ok := c.value('S'); ok {
			wait = s * 1000
		} else if ms, ok := c.value('P'); ok {
			wait = ms
		}
		r.pause(time.Duration(max(0, min(wait, 2e9))) * time.Millisecond)
	case 20, 21:
	case 28:
		r.home(c)
	case 90, 91:
		r.pose.relative = c.num == 91
	case 92:
		r.setPosition(c)
	default:
		return r.unsupported(name)
	}
	return answer{}
}

func (r *reprap) commandM(c *rrfCommand, name string) answer {
	switch c.num {
	case 17, 110, 117:
	case 18, 84:
		r.synchronize()
		if !c.seen('X') && !c.seen('Y') && !c.seen('Z') && !c.seen('E') {
			r.pose.homed = [3]bool{}
		}
	case 82, 83:
		r.pose.relE = c.num == 83
	case 105:
		r.reports, r.reportAt = true, r.now
		return answer{text: r.temperatures(), first: true}
	case 106, 107:
		r.setFan(c)
	case 108:
		r.cancel = true
	case 112:
		r.emergencyStop()
	case 114:
		return answer{text: r.position()}
	case 115:
		return answer{text: "FIRMWARE_NAME: RepRapFirmware for Duet 3 MB6HC FIRMWARE_VERSION: 3.5.3" +
			" ELECTRONICS: Duet 3 MB6HC v1.02 or later FIRMWARE_DATE: 2024-09-18 11:27:36"}
	case 118:
		return r.message(c)
	case 400:
		r.synchronize()
	case 408, 409:
		return r.query(c)
	case 575:
		return r.setChecks(c)
	case 999:
		r.pause(time.Second)
		if r.up() {
			r.restartBy(causeSoftware)
		}
	default:
		return r.commandSet(c, name)
	}
	return answer{}
}

// commandSet runs the commands that set heaters and limits.
func (r *reprap) commandSet(c *rrfCommand, name string) answer {
	lim := &r.plan.lim
	switch c.num {
	case 104, 109, 116, 140, 141, 190, 191, 562:
		return r.commandHeat(c)
	case 201, 203:
		for i, w := range []byte("XYZE") {
			v, ok := c.value(w)
			switch {
			case !ok || v <= 0:
			case c.num == 201:
				lim.maxAccel[i] = v
			default:
				lim.maxFeed[i] = v / 60
			}
		}
	case 204:
		if v, ok := c.value('P'); ok && v > 0 {
			lim.accel = v
		}
		if v, ok := c.value('T'); ok && v > 0 {
			lim.travel = v
		}
	case 220:
		if v, ok := c.value('S'); ok && v >= 1 {
			r.pose.percent = v
		}
	case 221, 302, 572:
		if v, ok := c.value('P'); ok && c.num == 302 {
			r.therm.cold = v > 0
		}
	default:
		return r.unsupported(name)
	}
	return answer{}
}

// commandT selects a tool. P0 keeps its macros from running; without it they are
// empty here.
func (r *reprap) commandT(c *rrfCommand) answer {
	r.synchronize()
	if c.num >= r.therm.tools {
		return failed("Tool " + strconv.Itoa(c.num) + " does not exist")
	}
	r.tool = c.num
	return answer{}
}

// message is M118. To USB (1) and everywhere (0) it is said here.
func (r *reprap) message(c *rrfCommand) answer {
	s, ok := c.quoted('S')
	if !ok {
		return failed("M118: missing parameter 'S'")
	}
	if p, _ := c.value('P'); p <= 1 {
		r.print(s + "\n")
	}
	return answer{}
}

// query is M408 and M409, as far as anybody asks: what the machine does.
func (r *reprap) query(c *rrfCommand) answer {
	r.reports = false // GCodeBuffer::RespondedToStatusRequest: reports of that kind go elsewhere
	status := "idle"
	switch {
	case r.halted:
		status = "halted"
	case r.plan.active():
		status = "busy"
	}
	if c.num == 408 {
		return answer{text: `{"status":"` + map[string]string{"idle": "I", "busy": "B", "halted": "H"}[status] + `"}`}
	}
	key, _ := c.quoted('K')
	result := "null"
	if key == "state.status" {
		result = `"` + status + `"`
	}
	if key == "move.axes[].homed" {
		h := r.pose.homed
		result = fmt.Sprintf("[%t,%t,%t]", h[0], h[1], h[2])
	}
	return answer{text: `{"key":"` + key + `","flags":"","result":` + result + "}\n", model: true}
}

// setChecks is M575.
func (r *reprap) setChecks(c *rrfCommand) answer {
	if v, ok := c.value('S'); ok {
		r.checks = int(v)
		return answer{}
	}
	needs := "does not require checksum or CRC"
	switch {
	case r.checks&4 != 0:
		needs = "requires CRC"
	case r.checks&1 != 0:
		needs = "requires checksum or CRC"
	}
	return answer{text: "Channel 0: baud rate " + strconv.Itoa(r.cfg.Baud) + ", " + needs + ", connected"}
}

// home is G28: homeall.g and its like.
func (r *reprap) home(c *rrfCommand) {
	r.synchronize()
	all := !c.seen('X') && !c.seen('Y') && !c.seen('Z')
	p := &r.pose
	for i, w := range []byte("XYZ") {
		if !all && !c.seen(w) {
			continue
		}
		r.pause(rrfHoming.time(i, p.at[i]+p.offset[i], r.plan.lim.maxAccel[i]))
		if !r.up() {
			return
		}
		p.at[i], p.shift[i], p.offset[i], p.homed[i] = 0, 0, 0, true
		r.plan.setPosition(p.at, p.e)
		r.stats.Homes++
	}
	clear(r.layers)
}

// setPosition is G92: for axes it says where the head is, which counts as homed.
func (r *reprap) setPosition(c *rrfCommand) {
	p := &r.pose
	for i, w := range []byte("XYZ") {
		if v, ok := c.value(w); ok {
			p.shift[i] = p.at[i] - v
			p.homed[i] = true
		}
	}
	if v, ok := c.value('E'); ok {
		p.e = v
		r.plan.setE(v)
	}
}

// position is the report of M114.
func (r *reprap) position() string {
	p := &r.pose
	s, steps, at := "", "", ""
	for i, w := range []string{"X:", "Y:", "Z:"} {
		s += w + decimals(p.at[i]-p.shift[i], 3) + " "
		steps += " " + strconv.FormatInt(r.plan.pos[i], 10)
		at += " " + decimals(p.at[i], 3)
	}
	return s + "E:" + decimals(p.e, 3) + " E0:" + decimals(p.e, 1) + " Count" + steps + " Machine" + at + " Bed comp 0.000"
}

// setFan is M106 and M107. S up to 1 is a share, above it of 255 (GetPwmValue).
func (r *reprap) setFan(c *rrfCommand) {
	if v, ok := c.value('P'); ok && v != 0 && c.num == 106 {
		return // there is one fan
	}
	v, ok := c.value('S')
	switch {
	case c.num == 107:
		v = 0
	case !ok:
		return
	case v > 1:
		v /= 255
	}
	r.therm.fan = unit.Duty(math.Round(max(0, min(v, 1)) * 255))
}
