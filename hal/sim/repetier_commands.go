package sim

import (
	"math"
	"strconv"
	"strings"
	"time"

	"platen/hal/unit"
)

// repHoming is HOMING_FEEDRATE, ENDSTOP_BACK_MOVE and ENDSTOP_RETEST_REDUCTION.
var repHoming = homing{
	feed: [3]float64{40, 40, 40}, bump: [3]float64{6, 6, 6}, slow: [3]float64{13, 13, 13},
}

const repLongest = 160 // mm of filament in one move, EXTRUDE_MAXLENGTH

// execute is Commands::executeGCode.
func (r *repetier) execute() {
	c := &r.cmd
	r.stats.Lines++
	r.doing = "processing"
	switch {
	case c.has('G'):
		if c.get('G') <= 3 {
			r.spend(r.cfg.LineTime - r.cfg.LineTime/6)
		}
		r.commandG(c)
	case c.has('M'):
		if !r.commandM(c) {
			r.unknown(c)
		}
	case c.has('T'):
		r.synchronize()
		r.print("SelectExtruder:0\r\nFlowMultiply:100\r\n")
	default:
		r.unknown(c)
	}
}

func (r *repetier) unknown(c *repCommand) {
	r.stats.Unknown++
	r.print("Unknown command:" + c.words() + "\r\n")
}

func (r *repetier) commandG(c *repCommand) {
	switch c.get('G') {
	case 0, 1:
		r.linear(c)
	case 4:
		r.synchronize()
		wait := time.Duration(0)
		if ms, ok := c.number('P'); ok {
			wait = time.Duration(ms) * time.Millisecond
		}
		if s, ok := c.number('S'); ok {
			wait = time.Duration(s) * time.Second
		}
		r.pause(min(max(wait, 0), 2_000_000*time.Second))
	case 20, 21:
	case 28:
		r.home(c)
	case 90, 91:
		r.pose.relative = c.get('G') == 91
	case 92:
		r.setPosition(c)
	default:
		r.unknown(c)
	}
}

// commandM reports whether the command is known.
func (r *repetier) commandM(c *repCommand) bool {
	switch c.m() {
	case 18, 84, 400:
		r.synchronize()
	case 20:
		r.print("Begin file list\r\nEnd file list\r\n")
	case 23, 108, 110, 117:
	case 27:
		r.print("Not SD printing\r\n")
	case 42:
		r.print("Set output: " + strconv.Itoa(int(c.get('P'))) + " to " + strconv.Itoa(int(c.get('S'))) + "\r\n")
	case 82, 83:
		r.pose.relE = c.m() == 83
	case 106, 107:
		r.setFan(c)
	case 105:
		r.print(r.temperatures())
	case 111:
		r.setDebug(c)
	case 114:
		r.reportPosition()
	case 115:
		r.identify()
	case 118:
		r.print("Echo:" + c.text + "\r\n")
	case 119:
		r.synchronize()
		r.print("endstops hit: x_min:L x_max:L y_min:L y_max:L z_min:L z_max:L \r\n")
	case 155:
		r.report = !c.has('S') || c.get('S') != 0
		r.lastRep = r.now
	default:
		return r.commandHeat(c) || r.commandLimit(c)
	}
	return true
}

// commandLimit runs the commands that set what the planner allows. M204 is not among
// them: it sets the gains of a heater's controller.
func (r *repetier) commandLimit(c *repCommand) bool {
	lim := &r.plan.lim
	switch c.m() {
	case 201, 202:
		for i, w := range []byte("XYZE") {
			if c.has(w) && c.get(w) > 0 && (c.m() == 201 || w != 'E') {
				lim.maxAccel[i] = c.get(w)
			}
		}
		r.retune(c)
	case 203:
		for i, w := range []byte("XYZE") {
			if c.has(w) && c.get(w) > 0 {
				lim.maxFeed[i] = c.get(w) / 60
			}
		}
	case 204, 207, 302:
		r.therm.cold = r.therm.cold || c.m() == 302 && (!c.has('S') || c.get('S') != 0)
	case 220:
		if v, ok := c.number('S'); ok {
			r.pose.percent = max(25, min(float64(v), 500))
		}
		r.print("SpeedMultiply:" + strconv.Itoa(int(r.pose.percent)) + "\r\n")
	case 221:
		v, ok := c.number('S')
		if !ok {
			v = 100
		}
		r.print("FlowMultiply:" + strconv.Itoa(v) + "\r\n")
	case 999:
		r.recover()
	default:
		return false
	}
	return true
}

// retune gives printing (M201) or travelling (M202) moves the acceleration of X.
func (r *repetier) retune(c *repCommand) {
	v := c.get('X')
	switch {
	case !c.has('X') || v <= 0:
	case c.m() == 201:
		r.plan.lim.accel = v
	default:
		r.plan.lim.travel = v
	}
}

func (r *repetier) setDebug(c *repCommand) {
	if v, ok := c.number('S'); ok {
		r.debugLevel(v)
	}
	if v, ok := c.number('P'); ok && v > 0 {
		r.debugLevel(r.debug | v)
	} else if ok {
		r.debugLevel(r.debug &^ -v)
	}
}

func (r *repetier) debugLevel(v int) {
	r.debug = v & 0xff
	if r.debug&8 != 0 {
		r.therm.off()
	}
	r.print("DebugLevel:" + strconv.Itoa(r.debug) + "\r\n")
}

// linear is G0 and G1 (Printer::setDestinationStepsFromGCode). A cold hot end gets no
// filament, and nothing is said about it; nor about a move out of reach, which is
// left out.
func (r *repetier) linear(c *repCommand) {
	p := &r.pose
	to, e := p.at, p.e
	for i, w := range []byte("XYZ") {
		switch {
		case !c.has(w):
		case p.relative:
			to[i] = p.at[i] + c.get(w)
		default:
			to[i] = c.get(w) + p.shift[i]
		}
	}
	if c.has('E') && r.debug&8 == 0 {
		e = c.get('E')
		if p.relative || p.relE {
			e += p.e
		}
	}
	if f := c.get('F'); c.has('F') && f > 0.1 {
		p.feed = f / 60
	}
	for i := range to {
		if reach := r.cfg.Volume[i].MM(); p.homed[i] && (to[i] < -0.001 || to[i] > reach+0.001) {
			r.stats.Clamped++
			p.e = e
			r.plan.setE(e)
			return
		}
	}
	r.extrude(c, to, e)
}

func (r *repetier) extrude(c *repCommand, to [3]float64, e float64) {
	p := &r.pose
	cold := !r.therm.cold && r.therm.hotend().reading() < r.therm.minExt
	if e != p.e && (cold || math.Abs(e-p.e) > repLongest) {
		if cold {
			r.stats.Cold++
		}
		p.e = e
		r.plan.setE(e)
	}
	line := int64(-1)
	if c.has('N') {
		line = int64(c.line)
	}
	r.drive(to, e, p.feed*p.percent/100, line)
}

// home is G28.
func (r *repetier) home(c *repCommand) {
	r.synchronize()
	all := !c.has('X') && !c.has('Y') && !c.has('Z')
	p := &r.pose
	for i, w := range []byte("XYZ") {
		if !all && !c.has(w) {
			continue
		}
		r.pause(repHoming.time(i, p.at[i]+p.offset[i], r.plan.lim.maxAccel[i]))
		if !r.up() {
			return
		}
		p.at[i], p.shift[i], p.offset[i], p.homed[i] = 0, 0, 0, true
		r.plan.setPosition(p.at, p.e)
		r.stats.Homes++
	}
	clear(r.layers)
	r.reportPosition()
}

// setPosition is G92.
func (r *repetier) setPosition(c *repCommand) {
	p := &r.pose
	for i, w := range []byte("XYZ") {
		if c.has(w) {
			p.shift[i] = p.at[i] - c.get(w)
		}
	}
	if c.has('E') {
		p.e = c.get('E')
		r.plan.setE(p.e)
	}
	if c.has('X') || c.has('Y') || c.has('Z') {
		r.print("X_OFFSET:" + decimals(-p.shift[0], 3) + " Y_OFFSET:" + decimals(-p.shift[1], 3) +
			" Z_OFFSET:" + decimals(-p.shift[2], 3) + "\r\n")
	}
}

func (r *repetier) reportPosition() {
	p := &r.pose
	r.print("X:" + decimals(p.at[0]-p.shift[0], 2) + " Y:" + decimals(p.at[1]-p.shift[1], 2) +
		" Z:" + decimals(p.at[2]-p.shift[2], 3) + " E:" + decimals(p.e, 4) + "\r\n")
}

// setFan is M106 and M107: only a new speed is told, so that hosts do not answer it
// for ever.
func (r *repetier) setFan(c *repCommand) {
	if v, ok := c.number('P'); ok && v == 1 {
		return // there is no second fan
	}
	speed := 0
	if c.m() == 106 {
		speed = 255
		if v, ok := c.number('S'); ok {
			speed = max(0, min(v, 255))
		}
	}
	if speed == r.fanSays {
		return
	}
	r.fanSays = speed
	r.therm.fan = unit.Duty(speed)
	r.print("Fanspeed:" + strconv.Itoa(speed) + "\r\n")
}

// identify is M115.
func (r *repetier) identify() {
	r.print("FIRMWARE_NAME:Repetier_1.0.4 COMPILED:" + compiled +
		" FIRMWARE_URL:https://github.com/repetier/Repetier-Firmware/ PROTOCOL_VERSION:1.0 MACHINE_TYPE:STACKER" +
		" EXTRUDER_COUNT:" + strconv.Itoa(r.cfg.Extruders) + " REPETIER_PROTOCOL:3\r\n" +
		"Cap:PROGRESS:0\r\nCap:AUTOREPORT_TEMP:1\r\nCap:HOST_RESCUE:1\r\nCap:EEPROM:1\r\nCap:AUTOLEVEL:0\r\n" +
		"Cap:Z_PROBE:0\r\nCap:SOFTWARE_POWER:0\r\nCap:TOGGLE_LIGHTS:0\r\nCap:PAUSESTOP:1\r\nCap:PREHEAT:1\r\n" +
		"Cap:EMERGENCY_PARSER:1\r\nPrinted filament:0.00m Printing time:0 days 0 hours 0 min\r\nPrinterMode:FFF\r\n")
}

// decimals is v with n decimals, as Print::printFloat writes it.
func decimals(v float64, n int) string {
	if math.IsNaN(v) {
		return "NAN"
	}
	s := strconv.FormatFloat(v, 'f', n, 64)
	if v > -0.5 && v <= 0 && strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}
