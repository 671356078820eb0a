package sim

import (
	"strconv"
	"time"
)

// report runs the commands that only say something.
func (m *marlin1) report(num int) {
	switch num {
	case 20:
		m.print("Begin file list\nEnd file list\n")
	case 21:
		m.spend(2250 * time.Millisecond)
		m.print("echo:SD init fail\n")
	case 27:
		m.print("Not SD printing\nCard error:1\n")
	case 31:
		s := int((m.now - m.started) / time.Second)
		m.print("echo:" + strconv.Itoa(s/60) + " min, " + strconv.Itoa(s%60) + " sec\n")
	case 114:
		m.reportPosition()
	case 115:
		m.print("FIRMWARE_NAME:Marlin Ultimaker2; Sprinter/grbl mashup for gen6 FIRMWARE_URL:http://github.com/Ultimaker" +
			" PROTOCOL_VERSION:1.0 MACHINE_TYPE:Ultimaker EXTRUDER_COUNT:" + strconv.Itoa(m.therm.tools) + "\n")
	case 119: // the lines have no ends
		m.print("Reporting endstop status\n")
		for i, name := range []string{"x_min: ", "y_max: ", "z_max: "} {
			at, state := m.pose.at[i]+m.pose.offset[i], "open"
			if at <= 0 && i == axX || at >= m.cfg.Volume[i].MM() && i != axX {
				state = "TRIGGERED"
			}
			m.print(name + state)
		}
	case 500:
		saved := m.plan.lim
		m.eeprom = &saved
		m.print("echo:Settings Stored\n")
	case 501:
		if m.eeprom != nil {
			m.plan.lim = *m.eeprom
			m.print("echo:Stored settings retrieved\n")
		} else {
			m.print("echo:Hardcoded Default Settings Loaded\n")
		}
		m.reportSettings()
	case 502:
		m.plan.lim = marlin1Limits()
		m.print("echo:Hardcoded Default Settings Loaded\n")
	case 503:
		m.reportSettings()
	}
}

func (m *marlin1) reportPosition() {
	s := make([]byte, 0, 80)
	for i, name := range []string{"X:", "Y:", "Z:"} {
		s = fixed(append(s, name...), m.pose.at[i])
	}
	s = fixed(append(s, "E:"...), m.pose.e)
	at := m.plan.stepsAt(m.now)
	for i, name := range []string{" Count X: ", "Y:", "Z:"} {
		s = fixed(append(s, name...), float64(at[i])/m.plan.lim.stepsPerMM[i])
	}
	m.print(string(append(s, '\n')))
}

// reportSettings is Config_PrintSettings.
func (m *marlin1) reportSettings() {
	lim, h := &m.plan.lim, m.therm.hotend()
	m.print("echo:Steps per unit:\necho:  M92" + perAxis(lim.stepsPerMM) +
		"echo:Maximum feedrates (mm/s):\necho:  M203" + perAxis(lim.maxFeed) +
		"echo:Maximum Acceleration (mm/s2):\necho:  M201" + wholePerAxis(lim.maxAccel) +
		"echo:Acceleration: S=acceleration, T=retract acceleration\n" +
		"echo:  M204 S" + two(lim.accel) + " T" + two(lim.retract) + "\n" +
		"echo:Advanced variables: S=Min feedrate (mm/s), T=Min travel feedrate (mm/s), B=minimum segment time (ms)," +
		" X=maximum XY jerk (mm/s),  Z=maximum Z jerk (mm/s),  E=maximum E jerk (mm/s)\n" +
		"echo:  M205 S0.00 T0.00 B20000 X" + two(lim.jerk[axX]) + " Z" + two(lim.jerk[axZ]) + " E" + two(lim.jerk[axE]) + "\n" +
		"echo:Home offset (mm):\necho:  M206 X0.00 Y0.00 Z0.00\n" +
		"echo:PID settings:\necho:   M301 P" + two(h.kp) + " I" + two(h.ki) + " D" + two(h.kd) + "\n")
}

func wholePerAxis(v [axes]float64) string {
	s := ""
	for i, w := range []string{" X", " Y", " Z", " E"} {
		s += w + strconv.FormatFloat(v[i], 'f', 0, 64)
	}
	return s + "\n"
}
