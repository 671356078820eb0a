package sim

import (
	"strconv"
	"time"
)

// mk3 is Prusa-Firmware 3.14 of the MK3S (Marlin_main.cpp, cmdqueue.cpp,
// temperature.cpp). It acknowledges a command when it is done, reads on while one
// waits, refuses a checksum without a number, acts on M112 as soon as it is read, and
// after that, or after an error, wants somebody at its knob: until a reset it says
// that it is paused for the user and does nothing else.
type mk3 struct {
	*mcu
	queue   []mk3Command
	line    []byte
	lineAt  time.Duration // when a byte of it was read last
	comment bool
	lastN   int64
	notice  mk3Notice
	heat    mk3Heat
	kill    killNote
	progress
}

// mk3Command is a command in the queue, without number and checksum.
type mk3Command struct {
	text string
	n    int64 // its number, or -1
}

// killNote survives in EEPROM, to be shown after the restart.
type killNote bool

// progress is what M73 keeps, for the display.
type progress struct{ percent, silentPercent, minutes, silentMinutes int }

// The command queue (cmdqueue.h).
const (
	mk3Line    = 96 // MAX_CMD_SIZE
	mk3Buffer  = 4*(mk3Line+1) + mk3Reserve
	mk3Reserve = 5 * 21 // CMDBUFFER_RESERVE_FRONT
	mk3Header  = 3 + 1  // CMDHDRSIZE and the final zero
	mk3While   = 3      // it reads on while a command waits until there are so many
)

func newMK3(m *mcu) firmware {
	for i, h := range m.therm.all {
		h.openReads, h.shortReads, h.reach = 0, 738.8, 1000
		h.minTemp, h.maxSet = 10, 1000
		if i < m.therm.tools {
			h.kp, h.ki, h.kd, h.maxTemp = 16.13, 1.16, 56.23, 305
		} else {
			h.kp, h.ki, h.kd, h.maxTemp, h.skew = 126.13, 4.30, 924.76, 125, -0.3
		}
	}
	return &mk3{mcu: m}
}

func mk3Limits() limits {
	return limits{
		stepsPerMM: [axes]float64{100, 100, 400, 280},
		maxFeed:    [axes]float64{200, 200, 12, 120},
		maxAccel:   [axes]float64{1000, 1000, 200, 5000},
		accel:      1250, retract: 1250, travel: 1250,
		jerk: [axes]float64{10, 10, 0.4, 4.5}, minSegment: 0.02, minSteps: 6,
	}
}

const mk3BedZ = 0.15 // mm, Z_MIN_POS

// restart implements firmware.
func (m *mk3) restart() {
	m.queue, m.line, m.comment, m.lastN = m.queue[:0], m.line[:0], false, 0
	m.notice = mk3Notice{busyEvery: 2 * time.Second, mask: reportTemp}
	m.heat = mk3Heat{model: true}
	m.progress = progress{-1, -1, -1, -1}
	m.plan.lim = mk3Limits()
	m.therm.minExt = 175
	m.pose.at[axZ] = mk3BedZ
	m.pose.offset[axZ] -= mk3BedZ
	m.plan.setPosition(m.pose.at, 0)
}

// run implements firmware: setup and loop.
func (m *mk3) run() {
	m.boot()
	first := true
	for m.up() {
		m.readSerial(m.fits)
		if first {
			first = false
			m.spend(2040 * time.Millisecond) // it looks for an SD card once more
			m.print("echo:SD init fail\n")
		}
		if m.up() && len(m.queue) > 0 {
			m.execute()
		}
		due := m.idle()
		if m.up() && len(m.queue) == 0 && m.rx.n == 0 {
			m.rest(due)
		}
	}
	m.lieDead()
}

// boot is setup. A kill that has not been shown yet is shown now, for ever.
func (m *mk3) boot() {
	say := func(after time.Duration, text string) {
		m.spend(after)
		if m.up() {
			m.print(text)
			m.flush()
		}
	}
	cause := ""
	if m.cause == causeExternal || m.cause == causeBrownOut {
		cause = restartCause[m.cause]
	}
	say(80*time.Millisecond, "start\n")
	say(1770*time.Millisecond, "echo: 3.14.0-BETA1+7945_0\nMMU is Off\nSpoolJoin is Off\n"+cause+
		"echo: Last Updated: "+compiled+" 00:00:00 | Author: Unknown\n"+
		"echo: Free Memory: 2464  PlannerBufferBytes: 1760\necho:Hardcoded Default Settings Loaded\n")
	say(120*time.Millisecond, "adc_init\n")
	say(300*time.Millisecond, "Hotend fan type: ")
	say(700*time.Millisecond, "NOCTUA\nCrashDetect DISABLED\n")
	if !m.up() {
		return
	}
	if m.kill {
		m.kill, m.refusing = false, true
		for m.notice.state = mk3Paused; m.up(); {
			m.notice.tick(m)
			m.flush()
			m.sleep(m.notice.next(m))
		}
		return
	}
	say(2380*time.Millisecond, "echo:SD init fail\n")
}

// receive implements firmware.
func (m *mk3) receive(c byte) { m.store(c) }

// idle implements firmware: manage_heater and manage_inactivity.
func (m *mk3) idle() time.Duration {
	m.manageHeaters()
	if m.up() {
		m.readSerial(func() bool { return len(m.queue) < mk3While })
	}
	if m.up() {
		m.notice.tick(m)
	}
	due := m.notice.next(m)
	if t := m.lineTimeout(); t > m.now { // else it is looked at once there is room to read
		due = min(due, t)
	}
	return due
}

// fits reports whether another line fits into the queue.
func (m *mk3) fits() bool {
	used := 0
	for _, c := range m.queue {
		used += len(c.text) + mk3Header
	}
	return used+mk3Line-1+mk3Header+mk3Reserve <= mk3Buffer
}

func (m *mk3) lineTimeout() time.Duration {
	if len(m.line) == 0 {
		return never
	}
	return m.lineAt + 2*time.Second
}

// readSerial is get_command.
func (m *mk3) readSerial(room func() bool) {
	if !room() {
		return
	}
	if m.rx.room() == 0 {
		m.rx.clear()
		m.print("Full RX Buffer\n")
	}
	for m.up() && m.rx.n > 0 && room() {
		c := m.rx.get()
		m.lineAt = m.now
		if c >= 0x80 {
			continue
		}
		if c != '\n' && c != '\r' && len(m.line) < mk3Line-1 {
			m.comment = m.comment || c == ';'
			if !m.comment {
				m.line = append(m.line, c)
			}
			continue
		}
		if len(m.line) == 0 {
			m.comment = false
			return
		}
		text := cString(m.line)
		m.line = m.line[:0]
		if !m.comment && !m.accept(text) {
			return
		}
	}
	if len(m.line) > 0 && m.now >= m.lineTimeout() {
		m.line, m.comment = m.line[:0], false
		m.print("RX timeout\n")
	}
}

// accept checks number and checksum of a line and queues it. It returns false if the
// firmware reads no more for now.
func (m *mk3) accept(text string) bool {
	n, body, fault := mk3Check(text, m.lastN)
	switch {
	case fault != "":
		m.print("Error:" + fault + ", Last Line: " + strconv.FormatInt(m.lastN, 10) + "\n")
		m.rx.clear()
		m.reply("Resend: " + strconv.FormatInt(m.lastN+1, 10) + "\nok\n")
		m.stats.Resends++
		return false
	case body == "M112":
		m.halted("M112 called. Emergency Stop.")
		return false
	case m.refusing && (len(body) < 4 || body[:4] != "M310"): // dropped without a word
		return false
	}
	m.queue = append(m.queue, mk3Command{body, n})
	if n >= 0 {
		m.lastN = n
	}
	return true
}

// mk3Check takes a line apart: its number or -1, and what is behind it.
func mk3Check(text string, last int64) (n int64, body, fault string) {
	n, body = -1, text
	if text != "" && text[0] == 'N' {
		n = leadingInt(text[1:])
		body = skipNumber(text[1:])
	}
	for body != "" && body[0] == ' ' {
		body = body[1:]
	}
	star := indexByte(body, '*')
	switch {
	case n < 0 && star >= 0:
		return n, body, "No Line Number with checksum"
	case n < 0:
		return n, body, ""
	case n != last+1 && (len(body) < 4 || body[:4] != "M110"):
		return n, body, "Line Number is not Last Line Number+1"
	case star < 0:
		return n, body, "No Checksum with line number"
	}
	var sum byte
	for i := range len(text) - len(body) + star {
		sum ^= text[i]
	}
	if int16(leadingInt(body[star+1:])) != int16(sum) {
		return n, body, "checksum mismatch"
	}
	return n, body[:star], ""
}

// skipNumber is what strtol leaves.
func skipNumber(s string) string {
	i := 0
	for i < len(s) && s[i] == ' ' {
		i++
	}
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	from := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == from {
		return s
	}
	return s[i:]
}

func indexByte(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// halted is kill: everything off, and a restart that shows why.
func (m *mk3) halted(why string) {
	m.therm.off()
	m.abandon()
	m.print("Error:Printer halted. kill() called!\n" + why + "\n")
	m.flush()
	m.kill = true
	m.stats.Kills++
	m.refusing = true
	m.spend(4100 * time.Millisecond) // the watchdog, then the boot loader
	m.restartBy(causeSoftware)
}
