package sim

import (
	"math"
	"strconv"
	"time"
)

// What the firmware takes for a broken sensor or a heater that does not heat
// (Configuration.h).
const (
	repCold      = -10.0            // MIN_DEFECT_TEMPERATURE
	repHot       = 300.0            // MAX_DEFECT_TEMPERATURE
	repPreheat   = 30 * time.Second // MILLISECONDS_PREHEAT_TIME: that long a sensor may say anything
	repBad       = 10               // ticks in a row before it believes a fault
	repRange     = 20.0             // PID_CONTROL_RANGE
	repRise      = 1.0              // DECOUPLING_TEST_MIN_TEMP_RISE
	repHold      = 20.0             // DECOUPLING_TEST_MAX_HOLD_VARIANCE
	repToolTest  = 30 * time.Second // EXT0_DECOUPLE_TEST_PERIOD
	repBedTest   = 300 * time.Second
	repRoom      = 40.0 // MAX_ROOM_TEMPERATURE: below that nobody waits
	repLongWait  = 120 * time.Second
	repWatch     = time.Second // EXT0_WATCHPERIOD
	repBedFailed = 125.0       // HEATED_BED_MAX_TEMP + 5
)

// repGuard is what the firmware remembers of a heater to tell whether its sensor is
// on it.
type repGuard struct {
	since    time.Duration // preheating began; 0 is not
	full     bool          // heating with full power, or near the target
	holding  bool
	testAt   time.Duration
	testTemp float64
	defect   bool
	loose    bool
}

// manageTemperatures is Extruder::manageTemperatures.
func (r *repetier) manageTemperatures() {
	bad, found := false, ""
	for i, h := range r.therm.all {
		b, why := r.look(i, h)
		bad = bad || b
		if why != "" {
			found = why
		}
	}
	if !bad && r.errors > 0 {
		r.errors--
	}
	if found != "" {
		r.giveUp(found)
	}
	if r.up() && r.report && r.now-r.lastRep > time.Second {
		r.lastRep = r.now
		r.print(r.temperatures())
	}
}

// look looks after one heater: whether something is wrong, and if it is certain,
// what.
func (r *repetier) look(i int, h *heater) (bad bool, found string) {
	g, temp := &r.guards[i], h.reading()
	settled := g.since == 0 || r.now-g.since >= repPreheat
	if h.target > 0 && settled && (temp < repCold || temp > repHot) || h.id == "bed" && temp > repBedFailed {
		if r.errors < repBad {
			r.errors++
			return true, ""
		}
		g.defect = true
		if r.defect {
			return true, ""
		}
		return true, "Heater/sensor error"
	}
	if r.defect {
		return false, ""
	}
	bad, found = r.decoupled(i, h, g)
	g.follow(h, r.now)
	return bad, found
}

// decoupled tests whether the temperature follows the heater.
func (r *repetier) decoupled(i int, h *heater, g *repGuard) (bad bool, found string) {
	period := repToolTest
	if i >= r.therm.tools {
		period = repBedTest
	}
	temp := h.reading()
	switch {
	case !g.full && !g.holding || r.now-g.testAt <= period:
		return false, ""
	case g.full && temp-g.testTemp >= repRise:
		g.full = false
		return false, ""
	case g.full:
		found = "Heater decoupled during rising"
	case math.Abs(temp-h.target) <= repHold:
		g.testAt = r.now - period + time.Second
		return false, ""
	default:
		found = "Heater decoupled during hold"
	}
	if r.errors++; r.errors <= repBad {
		return true, ""
	}
	g.loose = true
	r.error("One heater seems decoupled from thermistor - disabling all for safety!")
	if g.full {
		r.print("Error:Temp. raised to slow. Rise = " + decimals(temp-g.testTemp, 2) + " after " +
			strconv.Itoa(int((r.now-g.testAt)/time.Millisecond)) + " ms\r\n")
	} else {
		r.print("Error:Could not hold temperature " + decimals(g.testTemp, 2) + " measured " + decimals(temp, 2) + " deg. C\r\n")
	}
	return true, found
}

// follow begins and ends the tests as the heater's power does.
func (g *repGuard) follow(h *heater, now time.Duration) {
	off := h.target - h.reading()
	switch {
	case h.target < 20:
		g.full, g.holding = false, false
	case off > repRange:
		if !g.full {
			g.testAt, g.testTemp = now, h.reading()
		}
		g.full, g.holding = true, false
	case off >= -repRange:
		if !g.holding {
			g.testAt, g.testTemp = now, h.target
		}
		g.full, g.holding = false, true
	}
}

// giveUp switches everything off for a fault of a heater (GCode::fatalError). Moves
// that were planned are still driven.
func (r *repetier) giveUp(why string) {
	if !r.defect {
		r.defect = true
		if why == "Heater/sensor error" {
			r.sensorReport()
		}
	}
	r.print("Disabling all heaters due to detected sensor defect.\r\n")
	r.therm.off()
	r.debugLevel(r.debug | 8)
	r.print("RequestStop:\r\n")
	if r.pose.at[axZ] < r.cfg.Volume[axZ].MM()-15 && !r.plan.full() {
		r.pose.at[axZ] += 10 // the nozzle leaves the part
		r.plan.add(r.now, r.pose.at, r.pose.e, repHoming.feed[axZ], -1)
	}
	for r.plan.active() && r.up() {
		r.prefetch()
		if r.up() {
			r.flush()
			r.sleep(r.now + repTick)
		}
	}
	if !r.up() {
		return
	}
	r.fatal = why
	for i := range r.pose.homed {
		r.pose.homed[i] = false
	}
	r.print("TargetExtr0:0\r\nTargetBed:0\r\n")
	r.stats.Kills++
	r.reportFatal()
}

// sensorReport is reportTempsensorError.
func (r *repetier) sensorReport() {
	for i, h := range r.therm.all {
		s := "heated bed"
		if i < r.therm.tools {
			s = "extruder " + strconv.Itoa(i)
		}
		state := ": working"
		if t := h.reading(); t < repCold || t > repHot {
			state = ": temp sensor defect"
		}
		if r.guards[i].defect {
			state += " marked defect"
		}
		if r.guards[i].loose {
			state += " marked decoupled"
		}
		r.print(s + state + "\r\n")
	}
	r.error("Printer set into dry run mode until restart!")
}

func (r *repetier) reportFatal() {
	r.print("fatal:" + r.fatal + " - Printer stopped and heaters disabled due to this error. Fix error and restart with M999.\r\n")
}

// recover is M999.
func (r *repetier) recover() {
	r.defect, r.fatal, r.errors = false, "", 0
	for i := range r.guards {
		r.guards[i] = repGuard{}
	}
	r.debugLevel(r.debug &^ 8)
	r.print("info:Continue from fatal state\r\n")
}

// commandHeat runs the commands that set temperatures. S is a whole number; R is not
// known.
func (r *repetier) commandHeat(c *repCommand) bool {
	switch c.m() {
	case 104, 109:
		if r.defect {
			r.sensorReport()
			return true
		}
		if c.m() == 109 || c.has('P') || c.has('S') && c.get('S') == 0 {
			r.synchronize()
		}
		i := 0
		if t, ok := c.number('T'); ok && t < r.therm.tools {
			i = t
		}
		if s, ok := c.number('S'); ok && r.debug&8 == 0 && r.up() {
			r.target(i, float64(s))
			r.print("TargetExtr" + strconv.Itoa(i) + ":" + strconv.Itoa(int(r.therm.all[i].target)) + "\r\n")
			if c.m() == 109 && float64(s) > repRoom {
				r.awaitTool(r.therm.all[i])
			}
		}
	case 140, 190:
		if r.defect && c.m() == 140 {
			r.sensorReport()
			return true
		}
		if c.m() == 190 {
			r.synchronize()
		}
		if s, ok := c.number('S'); ok && r.debug&8 == 0 && r.up() {
			r.target(r.therm.tools, float64(s))
			r.print("TargetBed:" + strconv.Itoa(int(r.therm.bed().target)) + "\r\n")
		}
		if c.m() == 190 && r.debug&8 == 0 {
			r.awaitBed(r.therm.bed())
		}
	default:
		return false
	}
	return true
}

func (r *repetier) target(i int, t float64) {
	h, g := r.therm.all[i], &r.guards[i]
	switch {
	case t < repRoom:
		g.since = 0
	case h.target == 0:
		g.since = r.now
	}
	h.set(t, r.now)
}

// awaitTool is the loop of M109: until the heater has been within a degree for
// EXT0_WATCHPERIOD, and never longer than two minutes near its target.
func (r *repetier) awaitTool(h *heater) {
	rising := h.target > h.reading()
	near := func(by float64) bool {
		if rising {
			return h.reading() >= h.target-by
		}
		return h.reading() <= h.target+by
	}
	var until, longest time.Duration
	r.waiting(func() bool {
		if longest == 0 && near(5) {
			longest = r.now + repLongWait
		}
		if until == 0 && near(1) {
			until = r.now + repWatch
		}
		return longest != 0 && r.now > longest || until != 0 && r.now > until
	})
}

// awaitBed is TemperatureController::waitForTargetTemperature.
func (r *repetier) awaitBed(h *heater) {
	if h.target >= 30 {
		r.waiting(func() bool { return math.Abs(h.target-h.reading()) <= 1 })
	}
}

// waiting reports temperatures until done says so, M108 comes, or all is lost.
func (r *repetier) waiting(done func() bool) {
	old := r.report
	r.report, r.doing = true, "heating"
	for r.up() && !done() && !r.cut && r.fatal == "" {
		r.hold(r.tick)
	}
	r.report, r.doing = old, "processing"
}

// temperatures is the report of M105.
func (r *repetier) temperatures() string {
	h, b := r.therm.hotend(), r.therm.bed()
	s := "T:" + decimals(h.reading(), 2) + " /" + decimals(h.target, 0) +
		" B:" + decimals(b.reading(), 2) + " /" + decimals(b.target, 0) +
		" B@:" + strconv.Itoa(int(b.power)) + " @:" + strconv.Itoa(int(h.power))
	if r.therm.tools > 1 {
		for i, h := range r.therm.all[:r.therm.tools] {
			n := strconv.Itoa(i)
			s += " T" + n + ":" + decimals(h.reading(), 2) + " /" + decimals(h.target, 0) + " @" + n + ":" + strconv.Itoa(int(h.power))
		}
	}
	for i := range r.therm.all {
		if state := r.guards[i].state(); state > 0 && i < r.therm.tools {
			s += " D" + strconv.Itoa(i) + ":" + strconv.Itoa(state)
		}
	}
	return s + "\r\n"
}

func (g *repGuard) state() int {
	switch {
	case g.defect:
		return 1
	case g.loose:
		return 2
	}
	return 0
}
