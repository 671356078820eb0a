package sim

import (
	"strconv"
	"strings"
	"time"
)

// system is system_execute_line: a line that begins with $.
func (g *grbl) system(s string) int {
	switch {
	case s == "$":
		g.print(g.help())
		return 0
	case strings.HasPrefix(s, "$J"):
		if g.state != grblIdle && g.state != grblJog {
			return 8
		}
		if len(s) < 3 || s[2] != '=' {
			return 3
		}
		return g.block(s[3:], true)
	case strings.HasPrefix(s, "$$"), strings.HasPrefix(s, "$G"), strings.HasPrefix(s, "$C"), strings.HasPrefix(s, "$X"):
		if len(s) != 2 {
			return 3
		}
		return g.systemOne(s[1])
	}
	if g.state != grblIdle && g.state != grblAlarm {
		return 8
	}
	return g.systemIdle(s)
}

// systemOne runs the commands of one letter that are taken in more states.
func (g *grbl) systemOne(c byte) int {
	switch c {
	case '$':
		if g.state == grblRun || g.state == grblHold {
			return 8
		}
		g.reportSettings()
	case 'G':
		g.print(g.modes())
	case 'C':
		if g.state == grblCheck {
			g.kick()
			g.print("[MSG:Disabled]\r\n")
			return 0
		}
		if g.state != grblIdle {
			return 8
		}
		g.state = grblCheck
		g.print("[MSG:Enabled]\r\n")
	case 'X':
		if g.state == grblAlarm {
			g.print("[MSG:Caution: Unlocked]\r\n")
			g.state = grblIdle
		}
	}
	return 0
}

// systemIdle runs the commands that need a machine at rest.
func (g *grbl) systemIdle(s string) int {
	switch {
	case s == "$#":
		g.print(g.parameters())
		return 0
	case strings.HasPrefix(s, "$H"):
		if !g.on(22) {
			return 5
		}
		if s != "$H" {
			return 3
		}
		return g.home()
	case s == "$SLP":
		g.wish.sleep = true
		return 0
	case s == "$I":
		g.print(g.build())
		return 0
	case s == "$N":
		for i, line := range g.startup {
			g.print("$N" + strconv.Itoa(i) + "=" + line + "\r\n")
		}
		return 0
	case strings.HasPrefix(s, "$N"):
		return g.storeStartup(s)
	}
	n, rest, ok := readFloat(s[1:])
	if !ok {
		return 2
	}
	if rest == "" || rest[0] != '=' {
		return 3
	}
	v, rest, ok := readFloat(rest[1:])
	if !ok {
		return 2
	}
	if rest != "" || n > 255 && !g.hal {
		return 3
	}
	return g.storeSetting(int(n), v)
}

// storeStartup is $N0= and $N1=: the line is executed, and kept if that went well.
func (g *grbl) storeStartup(s string) int {
	if g.state != grblIdle {
		return 8
	}
	n, rest, ok := readFloat(s[2:])
	if !ok {
		return 2
	}
	if rest == "" || rest[0] != '=' || n < 0 || int(n) >= len(g.startup) {
		return 3
	}
	if rest[1:] != "" {
		if status := g.block(rest[1:], false); status != 0 {
			return status
		}
	}
	g.startup[int(n)] = rest[1:]
	return 0
}

func (g *grbl) help() string {
	if g.hal {
		return "[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H $B ~ ! ? ctrl-x]\r\n"
	}
	return "[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]\r\n"
}

// build is the answer to $I.
func (g *grbl) build() string {
	if g.hal {
		return "[VER:1.1f.20260817:]\r\n[OPT:VNML+,100,1024,3,0]\r\n[AXS:3:XYZ]\r\n[NEWOPT:ENUMS,RT+,TC,SED]\r\n[FIRMWARE:grblHAL]\r\n" +
			"[SIGNALS:D]\r\n[NVS STORAGE:*EEPROM]\r\n[DRIVER:Simulator]\r\n[DRIVER VERSION:260324]\r\n"
	}
	return "[VER:1.1h.20190830:]\r\n[OPT:V,15,128]\r\n"
}

// parameters is the answer to $#.
func (g *grbl) parameters() string {
	s := make([]byte, 0, 512)
	for i, w := range g.gc.systems {
		s = g.axes(append(strconv.AppendInt(append(s, "[G"...), int64(54+i), 10), ':'), w)
		s = append(s, "]\r\n"...)
	}
	if g.hal {
		for _, n := range []string{"59.1", "59.2", "59.3"} {
			s = append(append(append(s, "[G"...), n...), ":0.000,0.000,0.000]\r\n"...)
		}
	}
	for i, name := range []string{"[G28:", "[G30:"} {
		s = append(g.axes(append(s, name...), g.gc.stored[i]), "]\r\n"...)
	}
	s = append(g.axes(append(s, "[G92:"...), g.gc.shift), "]\r\n"...)
	if g.hal {
		s = append(g.axes(append(s, "[TLO:"...), [3]float64{2: g.gc.tool}), "]\r\n"...)
	} else {
		s = append(strconv.AppendFloat(append(s, "[TLO:"...), g.gc.tool, 'f', 3, 64), "]\r\n"...)
	}
	return string(append(g.axes(append(s, "[PRB:"...), g.gc.probed), ":0]\r\n"...))
}

// modes is the answer to $G.
func (g *grbl) modes() string {
	c := &g.gc
	motion := strconv.Itoa(c.modal.motion)
	if c.modal.motion > 100 {
		motion = "38." + strconv.Itoa(c.modal.motion-380)
	}
	s := "[GC:G" + motion + " G" + strconv.Itoa(54+c.modal.system) + " G" + strconv.Itoa(17+c.modal.plane) + " G" + strconv.Itoa(21-c.modal.inches) +
		" G" + strconv.Itoa(90+c.modal.relative) + " G" + strconv.Itoa(94-c.modal.inverse)
	if g.hal {
		s += " G40 G49 G98 G50"
	}
	coolant := " M9"
	if c.modal.coolant != 0 {
		coolant = " M8"
	}
	s += " M" + strconv.Itoa(c.modal.spindle) + coolant + " T" + strconv.Itoa(c.selected) +
		" F" + strconv.FormatFloat(c.feed, 'f', 0, 64) + " S" + strconv.FormatFloat(c.speed, 'f', 0, 64)
	if g.hal {
		s += "."
	}
	return s + "]\r\n"
}

// home is $H: the axes are driven to their switches, Z first, and back a little. No
// real-time byte but a reset is heard on the way, and grblHAL answers "?".
func (g *grbl) home() int {
	g.state = grblHome
	at, t := g.place(), g.travel()
	off := g.setting(27)
	h := homing{}
	for i := range 3 {
		h.feed[i], h.slow[i], h.bump[i] = g.setting(25)/60, g.setting(24)/60, off
	}
	for _, axes := range [][]int{{2}, {0, 1}} {
		wait := int64(0)
		for _, i := range axes {
			away := t[i] - at[i]
			if g.bit(23, uint(i)) {
				away = at[i]
			}
			wait = max(wait, int64(h.time(i, away, g.setting(120+i))))
		}
		for end := g.now + time.Duration(wait); g.now < end && g.up() && !g.wish.reset; {
			if g.hal {
				g.system1()
			}
			g.flush()
			g.sleep(end)
		}
		if g.wish.reset || !g.up() {
			return 0
		}
		for _, i := range axes {
			at[i] = t[i] - off
			if g.bit(23, uint(i)) {
				at[i] = off
			}
			g.pose.homed[i] = true
			g.stats.Homes++
		}
	}
	g.plan.setPosition(at, 0)
	g.syncPosition()
	clear(g.layers)
	g.state = grblIdle
	g.runStartup()
	return 0
}
