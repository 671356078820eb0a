package sim

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Filament change (Configuration_adv.h, ADVANCED_PAUSE_FEATURE).
const (
	pauseRetract      = 2.0  // mm, PAUSE_PARK_RETRACT_LENGTH
	pauseRetractFeed  = 60.0 // mm/s, PAUSE_PARK_RETRACT_FEEDRATE
	unloadRetract     = 13.0 // mm, FILAMENT_UNLOAD_PURGE_RETRACT
	unloadPurge       = 8.0  // mm, FILAMENT_UNLOAD_PURGE_LENGTH
	unloadPurgeFeed   = 25.0 // mm/s
	unloadDelay       = 5 * time.Second
	unloadFeed        = 10.0 // mm/s, FILAMENT_CHANGE_UNLOAD_FEEDRATE
	loadFeed          = 6.0  // mm/s, FILAMENT_CHANGE_FAST_LOAD_FEEDRATE
	purgeLength       = 50.0 // mm, ADVANCED_PAUSE_PURGE_LENGTH
	purgeFeed         = 3.0  // mm/s
	parkRaise         = 20.0 // mm, NOZZLE_PARK_POINT
	parkEdge          = 10.0 // mm from X min and Y max
	parkFeed          = 100.0
	parkRaiseFeed     = 5.0
	defaultUnload     = 100.0 // mm, FILAMENT_CHANGE_UNLOAD_LENGTH
	filamentCommand   = 600
	unloadLoadCommand = 603
)

// user is what the firmware asks of a person.
type user struct {
	waiting bool
	asked   bool // with more than one answer
	answer  int  // of M876, once waiting has ended
}

// awaitUser waits until M108, M876 or the deadline.
func (m *marlin2) awaitUser(deadline time.Duration) {
	m.user.waiting, m.notice.paused = true, true
	for m.up() && m.user.waiting && m.now < deadline {
		m.hold(deadline)
	}
	m.user.waiting, m.notice.paused = false, false
}

// prompt shows a question with its answers on the host.
func (m *marlin2) prompt(title string, buttons ...string) {
	if !m.cfg.HostActions {
		return
	}
	m.print("//action:prompt_end\n//action:prompt_begin " + title + "\n")
	for _, b := range buttons {
		m.print("//action:prompt_button " + b + "\n")
	}
	m.print("//action:prompt_show\n")
}

// stopForUser is M0 and M1.
func (m *marlin2) stopForUser(c *command) {
	deadline, text := never, c.args
	if ms, ok := c.value('P'); ok && startsWithWord(c.args, 'P') {
		deadline, text = m.now+time.Duration(max(0, min(ms, 1e9))*float64(time.Millisecond)), ""
	} else if s, ok := c.value('S'); ok && startsWithWord(c.args, 'S') {
		deadline, text = m.now+time.Duration(max(0, min(s, 1e6))*float64(time.Second)), ""
	}
	m.synchronize()
	if text != "" {
		m.print("echo:" + text + "\r\n")
	}
	m.prompt("M"+strconv.Itoa(c.num)+" Stop", "Continue")
	m.awaitUser(deadline)
}

// startsWithWord reports whether args begin with the letter and a number, rather than
// with a text.
func startsWithWord(args string, w byte) bool {
	return len(args) > 1 && args[0] == w && (isNumeric(args[1]) || args[1] == '.')
}

// changeFilament is M600 (Marlin/src/feature/pause.cpp).
func (m *marlin2) changeFilament(c *command) {
	unload := m.unload
	if v, ok := c.value('U'); ok {
		unload = math.Abs(v)
	}
	load := m.load
	if v, ok := c.value('L'); ok {
		load = math.Abs(v)
	}
	m.print("//action:paused\n")
	m.synchronize()
	m.ownWay = true
	defer func() { m.ownWay = false }()
	was, e := m.pose.at, m.pose.e
	if m.hot() {
		m.feed(-pauseRetract, pauseRetractFeed)
	}
	parked := m.pose.homed == [3]bool{true, true, true}
	if parked {
		m.park()
	}
	if !m.ensureHot() {
		return
	}
	m.feed(-unloadRetract, pauseRetractFeed)
	m.pause(unloadDelay)
	m.feed(unloadRetract+unloadPurge, unloadPurgeFeed)
	m.feed(-unload, unloadFeed)
	m.pause(100 * time.Millisecond)
	m.print("echo:Insert filament and send M108\n")
	m.prompt("Nozzle Parked", "Continue")
	m.awaitUser(never)
	m.loadFilament(load)
	m.await(m.therm.tool(m.active), false)
	if parked && m.up() {
		m.drive([3]float64{was[0], was[1], m.pose.at[axZ]}, m.pose.e, parkFeed, -1)
		m.drive(was, m.pose.e, parkRaiseFeed, -1)
		m.synchronize()
	}
	if m.up() {
		m.pose.e = e
		m.plan.setE(e)
		m.print("//action:resumed\n")
		m.prompt("Resuming", "Dismiss")
	}
}

// loadFilament pushes new filament in and purges until the user has enough of it.
func (m *marlin2) loadFilament(load float64) {
	m.feed(load, loadFeed)
	for more := true; more && m.up(); {
		m.feed(purgeLength, purgeFeed)
		m.prompt("Paused", "PurgeMore", "Continue")
		m.user.asked, m.user.answer = true, 1
		m.awaitUser(never)
		m.user.asked = false
		more = m.user.answer == 0
	}
	if m.up() {
		m.print("//action:prompt_end\n")
	}
}

func (m *marlin2) hot() bool {
	return m.therm.tool(m.active).reading() >= m.therm.minExt || m.therm.cold
}

// ensureHot waits until the hot end is near its target, which it raises to where
// filament may be moved.
func (m *marlin2) ensureHot() bool {
	h := m.therm.tool(m.active)
	if h.target < m.therm.minExt && !m.therm.cold {
		h.set(m.therm.minExt, m.now)
	}
	m.therm.waiting = !m.therm.cold
	for m.up() && m.therm.waiting && math.Abs(h.reading()-h.target) > window {
		m.hold(never)
	}
	return m.up()
}

// feed moves filament and waits for it.
func (m *marlin2) feed(mm, speed float64) {
	if !m.up() || mm == 0 {
		return
	}
	m.drive(m.pose.at, m.pose.e+mm, speed, -1)
	m.synchronize()
}

// park lifts the head and drives it to the edge of the bed.
func (m *marlin2) park() {
	up := m.pose.at
	up[axZ] = min(up[axZ]+parkRaise, m.cfg.Volume[axZ].MM())
	m.drive(up, m.pose.e, parkRaiseFeed, -1)
	up[axX], up[axY] = parkEdge, m.cfg.Volume[axY].MM()-parkEdge
	m.drive(up, m.pose.e, parkFeed, -1)
	m.synchronize()
}

// loadLengths is M603.
func (m *marlin2) loadLengths(c *command) {
	u, setU := c.value('U')
	l, setL := c.value('L')
	if setU {
		m.unload = math.Abs(u)
	}
	if setL {
		m.load = math.Abs(l)
	}
	if !setU && !setL {
		m.print(m.loadSettings())
	}
}

func (m *marlin2) loadSettings() string {
	return "echo:; Filament load/unload:\necho:  M603 L" + two(m.load) + " U" + two(m.unload) + " ; (mm)\n"
}

// status is S000 of REALTIME_REPORTING_COMMANDS.
func (m *marlin2) status(c *command) bool {
	if !m.cfg.HostActions || strings.TrimRight(c.raw, " ") != "S000" {
		return false
	}
	m.reportPosition()
	state := "0"
	if m.plan.active() {
		state = "5"
	}
	m.print("S_XYZ:" + state + "\n")
	return true
}
