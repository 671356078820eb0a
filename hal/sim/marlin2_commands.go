package sim

import (
	"strconv"
	"strings"
	"time"
)

// execute runs the command at the head of the queue and acknowledges it.
func (m *marlin2) execute() {
	text := m.queue.cmds[m.queue.head]
	c := parseCommand(text)
	m.busy = true
	m.stats.Lines++
	m.spend(m.cost(c.letter == 'G' && c.num <= 3))
	if c.letter == 'M' && c.num == 105 { // the ok is part of the answer
		m.busy = false
		m.reply("ok" + m.temperatures() + "\n")
	} else {
		m.dispatch(&c)
		m.busy = false
		if m.up() {
			m.ok(text)
		}
	}
	if m.up() {
		m.queue.pop()
		m.queue.last = m.now
	}
}

// dispatch runs a command.
func (m *marlin2) dispatch(c *command) {
	known := false
	switch c.letter {
	case 'G':
		known = m.commandG(c)
	case 'M':
		known = m.commandM(c)
	case 'T':
		known = true
		m.selectTool(c.num)
	default:
		known = m.status(c)
	}
	if !known {
		m.stats.Unknown++
		m.print("echo:Unknown command: \"" + c.raw + "\"\n")
	}
}

func (m *marlin2) commandG(c *command) bool {
	switch c.num {
	case 0, 1:
		m.linear(c)
	case 2, 3:
		m.arc(c)
	case 4:
		m.dwell(c)
	case 21:
	case 28:
		m.home(c)
	case 90, 91:
		m.pose.relative, m.pose.relE = c.num == 91, c.num == 91
	case 92:
		m.setPosition(c)
	default:
		return m.commandLevel(c)
	}
	return true
}

// commandUser runs the commands that a person has to do with, in builds that have
// them.
func (m *marlin2) commandUser(c *command) bool {
	switch {
	case (c.num == 0 || c.num == 1) && m.cfg.EmergencyParser:
		m.stopForUser(c)
	case c.num == 999: // a controller that lives has nothing to recover from
		m.requestResend()
	case !m.cfg.HostActions:
		return false
	case c.num == 154:
		if v, ok := c.value('S'); ok {
			m.notice.poseEvery = time.Duration(max(0, min(v, 60))) * time.Second
			m.notice.poseAt = m.now + m.notice.poseEvery
		}
	case c.num == filamentCommand:
		m.changeFilament(c)
	case c.num == unloadLoadCommand:
		m.loadLengths(c)
	case c.num == 876: // acted upon when it was received
	default:
		return false
	}
	return true
}

func (m *marlin2) commandM(c *command) bool {
	switch c.num {
	case 17, 85, 111, 117, 120, 121:
	case 18, 84, 400:
		m.synchronize()
	case 31:
		if m.cfg.HostActions {
			m.print("//action:notification " + strconv.Itoa(int(m.stats.PrintTime.Seconds())) + "s\r\n")
		}
		m.print("echo:Print time: " + strconv.Itoa(int(m.stats.PrintTime.Seconds())) + "s\n")
	case 82, 83:
		m.pose.relE = c.num == 83
	case 106:
		m.setFan(c)
	case 107:
		m.therm.fan = 0
	case 108:
		m.therm.waiting = false
	case 110:
		if v, ok := c.value('N'); ok {
			m.lastN = int64(v)
		}
	case 112:
		m.kill("M112 Shutdown")
	case 113:
		m.setKeepalive(c)
	case 114:
		m.reportPosition()
	case 115:
		m.identify()
	case 118:
		m.echo(c)
	case 119:
		m.endstops()
	case 155:
		m.setAutoReport(c)
	case 410: // done when it was read
	default:
		return m.commandHeat(c) || m.commandSetting(c) || m.commandUser(c) || m.commandLevel(c)
	}
	return true
}

func (m *marlin2) selectTool(n int) {
	switch {
	case n >= m.therm.tools:
		m.print("echo:T" + strconv.Itoa(n) + " Invalid extruder\n")
	case m.therm.tools > 1:
		m.synchronize()
		m.active = n
		m.print("echo:Active Extruder: " + strconv.Itoa(n) + "\n")
	}
}

// commandHeat runs the commands that set temperatures.
func (m *marlin2) commandHeat(c *command) bool {
	t := &m.therm
	switch c.num {
	case 104, 109:
		tool := m.active
		if v, ok := c.value('T'); ok {
			tool = int(v)
		}
		if tool < 0 || tool >= t.tools {
			m.print("echo:M" + strconv.Itoa(c.num) + " Invalid extruder " + strconv.Itoa(tool) + "\n")
			return true
		}
		m.heat(c, t.tool(tool), c.num == 109)
	case 140, 190:
		m.heat(c, t.bed(), c.num == 190)
	case 141, 191:
		if t.chamber() == nil {
			return false
		}
		m.heat(c, t.chamber(), c.num == 191)
	case 302:
		if v, ok := c.value('S'); ok {
			t.minExt = v
			t.cold = v == 0
		}
		if v, ok := c.value('P'); ok {
			t.cold = v != 0
		}
	default:
		return false
	}
	return true
}

func (m *marlin2) heat(c *command, h *heater, wait bool) {
	v, set := c.value('S')
	cooling := false
	if !set && wait {
		v, set = c.value('R')
		cooling = set
	}
	if set {
		h.set(v, m.now)
	}
	if wait && set {
		m.await(h, cooling)
	}
}

func (m *marlin2) softEndstops(c *command) {
	if v, ok := c.value('S'); ok {
		m.pose.soft = v != 0
	}
	state := "Off"
	if m.pose.soft {
		state = "On"
	}
	s := []byte("echo:Soft endstops: " + state + "  Min:  X0.00 Y0.00 Z0.00   Max: ")
	for i, name := range []string{" X", " Y", " Z"} {
		s = fixed(append(s, name...), m.cfg.Volume[i].MM())
	}
	m.print(string(append(s, '\n')))
}

func (m *marlin2) setKeepalive(c *command) {
	if v, ok := c.value('S'); ok {
		m.notice.busyEvery = time.Duration(max(0, min(v, 60))) * time.Second
		m.notice.busyAt = m.now + m.notice.busyEvery
		return
	}
	m.print("echo:M113 S" + strconv.Itoa(int(m.notice.busyEvery/time.Second)) + "\n")
}

func (m *marlin2) setAutoReport(c *command) {
	if v, ok := c.value('S'); ok {
		m.notice.tempEvery = time.Duration(max(0, min(v, 60))) * time.Second
		m.notice.tempAt = m.now + m.notice.tempEvery
	}
}

func (m *marlin2) dwell(c *command) {
	ms, _ := c.value('P')
	if s, ok := c.value('S'); ok {
		ms = s * 1000
	}
	m.synchronize()
	if m.cfg.HostActions {
		m.print("//action:notification Sleep...\n")
	}
	m.pause(time.Duration(max(0, min(ms, 1e9)) * float64(time.Millisecond)))
}

// echo is M118: A1 makes the text an action, E1 puts echo: before it, P0 names the
// port.
func (m *marlin2) echo(c *command) {
	text, before := c.args, ""
	for {
		switch {
		case strings.HasPrefix(text, "A1"):
			before = "//"
		case strings.HasPrefix(text, "E1"):
			before = "echo:"
		case len(text) > 1 && text[0] == 'P' && text[1] >= '0' && text[1] <= '9': // which port
		default:
			m.print(before + text + "\r\n")
			return
		}
		text = strings.TrimLeft(text[2:], " ")
	}
}
