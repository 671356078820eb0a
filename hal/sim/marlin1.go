package sim

import (
	"strconv"
	"strings"
	"time"
)

// marlin1 is Marlin 1.0 as the Ultimaker 2 has it (Ultimaker2Marlin,
// Marlin_main.cpp). It acknowledges a move when it is read and everything else when
// it is done, reads nothing while a command waits, has no M112, and after an error
// stops heating and refuses moves until M999 but lives on.
type marlin1 struct {
	*mcu
	queue    [marlin1Queue]string
	head, n  int
	line     []byte
	comment  bool
	lastN    int64
	stoppedN int64         // lastN when an error stopped it
	started  time.Duration // of the print, for M31
	active   int           // extruder
}

const (
	marlin1Queue = 8  // BUFSIZE
	marlin1Line  = 96 // MAX_CMD_SIZE
)

func newMarlin1(m *mcu) firmware {
	for i, h := range m.therm.all {
		h.openReads, h.shortReads = 1100, 0
		if i < m.therm.tools {
			h.kp, h.ki, h.kd, h.reach = 10, 2.5, 100, 1000
			h.maxSet = 1000 // it is not limited when it is set
		} else {
			h.maxTemp, h.maxSet = 130, 1000
		}
	}
	m.urgent[':'] = true
	return &marlin1{mcu: m}
}

// restart implements firmware.
func (m *marlin1) restart() {
	m.head, m.n = 0, 0
	m.line, m.comment = m.line[:0], false
	m.lastN, m.refusing, m.stoppedN, m.started, m.active = 0, false, 0, m.now, 0
	m.plan.lim = marlin1Limits()
}

func marlin1Limits() limits {
	return limits{
		stepsPerMM: [axes]float64{80, 80, 200, 282},
		maxFeed:    [axes]float64{300, 300, 40, 45},
		maxAccel:   [axes]float64{9000, 9000, 100, 10000},
		accel:      3000, retract: 3000, travel: 3000,
		jerk: [axes]float64{20, 20, 0.4, 5}, minSegment: 0.02, minSteps: 6,
	}
}

// run implements firmware: setup and loop.
func (m *marlin1) run() {
	m.spend(5 * time.Millisecond)
	m.print("start\necho:" + strings.TrimSuffix(restartCause[m.cause], "\n") + "\nMarlin 1.0.0\n" +
		"echo: Last Updated: " + compiled + " 00:00:00 | Author: Version DEV\nCompiled: " + compiled + "\n" +
		"echo: Free Memory: 2256  PlannerBufferBytes: 1232\necho:Hardcoded Default Settings Loaded\n")
	m.reportSettings()
	m.spend(2250 * time.Millisecond) // it looks for an SD card
	m.print("echo:SD init fail\n")
	for m.up() {
		if m.n < marlin1Queue-1 {
			m.readSerial()
		}
		if m.n > 0 {
			m.execute()
		}
		due := m.idle()
		m.spend(m.cost(false)) // what it draws on its display
		if m.up() && m.n == 0 && m.rx.n == 0 {
			m.rest(due)
		}
	}
	m.lieDead()
}

// receive implements firmware.
func (m *marlin1) receive(c byte) { m.store(c) }

// idle implements firmware: it looks after the heaters. What has been received waits
// for the main loop.
func (m *marlin1) idle() time.Duration {
	for i, h := range m.therm.all {
		m.look(i, h)
	}
	return never
}

// regulate implements firmware.
func (m *marlin1) regulate() {
	m.therm.pidAndBang()
	for _, h := range m.therm.all {
		if r := h.reading(); r <= h.minTemp || r >= h.maxTemp {
			h.power = 0
		}
	}
}

// look stops the printer if a heater or its sensor fails (temperature.cpp).
func (m *marlin1) look(i int, h *heater) {
	r := h.reading()
	tool := i < m.therm.tools
	switch {
	case tool && r >= h.maxTemp:
		m.stop1(strconv.Itoa(i)+"\n", ": Extruder switched off. MAXTEMP triggered !\n")
	case tool && r <= h.minTemp:
		m.stop1(strconv.Itoa(i)+"\n", ": Extruder switched off. MINTEMP triggered !\n")
	case !tool && r >= h.maxTemp:
		m.stop1("Temperature heated bed switched off. MAXTEMP triggered !!\n")
	}
	if !tool {
		return
	}
	if h.power < fullPower {
		h.watchAt = 0
		return
	}
	if r-h.watchTemp > 10 || h.watchAt == 0 { // MAX_HEATING_TEMPERATURE_INCREASE
		h.watchAt, h.watchTemp = m.now+30*time.Second, r // MAX_HEATING_CHECK_MILLIS
	}
	if m.now > h.watchAt {
		m.stop1()
	}
}

// stop1 is Stop: heaters off, no more moves, and why, said once.
func (m *marlin1) stop1(why ...string) {
	m.therm.off()
	if m.refusing {
		return
	}
	m.refusing, m.stoppedN = true, m.lastN
	m.stats.Kills++
	for i, s := range why {
		if i == 0 {
			s = "Error:" + s
		}
		m.print(s)
	}
	m.print("Error:" + marlin1Stopped)
}

const marlin1Stopped = "Printer stopped due to errors. Fix the error and use M999 to restart. (Temperature is reset. Set it after restarting)\n"

// readSerial is get_command.
func (m *marlin1) readSerial() {
	for m.up() && m.rx.n > 0 && m.n < marlin1Queue {
		c := m.rx.get()
		if c != '\n' && c != '\r' && (c != ':' || m.comment) && len(m.line) < marlin1Line-1 {
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
		if m.comment { // it forgets the line, and that the comment has ended
			continue
		}
		if !m.accept(text) {
			return
		}
		m.queue[(m.head+m.n)%marlin1Queue] = text
		m.n++
	}
}

// cString is the bytes before the first zero.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// accept checks number and checksum of a line; a move is acknowledged at once.
func (m *marlin1) accept(text string) bool {
	switch n := strings.IndexByte(text, 'N'); {
	case n >= 0:
		num := leadingInt(text[n+1:])
		if fault := marlin1Check(text, num, m.lastN); fault != "" {
			m.print("Error:" + fault + ", Last Line: " + strconv.FormatInt(m.lastN, 10) + "\n")
			m.requestResend()
			return false
		}
		m.lastN = num
	case strings.IndexByte(text, '*') >= 0: // no ok, and no resend
		m.print("Error:No Line Number with checksum, Last Line: " + strconv.FormatInt(m.lastN, 10) + "\n")
		return false
	}
	if g := strings.IndexByte(text, 'G'); g >= 0 {
		if v := int(leadingFloat(text[g+1:], true)); v >= 0 && v <= 3 {
			if m.refusing {
				m.print(marlin1Stopped)
			} else {
				m.reply("ok\n")
			}
		}
	}
	return true
}

func marlin1Check(text string, num, last int64) (fault string) {
	if num != last+1 && !strings.Contains(text, "M110") {
		return "Line Number is not Last Line Number+1"
	}
	star := strings.IndexByte(text, '*')
	if star < 0 {
		return "No Checksum with line number"
	}
	var sum byte
	for i := range star {
		sum ^= text[i]
	}
	if int64(leadingFloat(text[star+1:], true)) != int64(sum) {
		return "checksum mismatch"
	}
	return ""
}

func (m *marlin1) requestResend() {
	m.rx.clear()
	m.print("Resend: " + strconv.FormatInt(m.lastN+1, 10) + "\n")
	m.reply("ok\n")
	m.stats.Resends++
}
