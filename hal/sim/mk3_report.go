package sim

import (
	"math"
	"strconv"
	"time"
)

// report runs the commands that only say something.
func (m *mk3) report(num int, l *oldLine) (known bool) {
	switch num {
	case 20:
		m.print("Begin file list\nEnd file list\n")
	case 27:
		m.print("Not SD printing\n")
	case 31:
		s := int(m.stats.PrintTime / time.Second)
		m.print("echo:" + strconv.Itoa(s/60) + " min, " + strconv.Itoa(s%60) + " sec\nLCD status changed\n")
	case 73:
		m.reportProgress(l)
	case 114:
		m.reportPosition()
	case 115:
		m.print("FIRMWARE_NAME:Prusa-Firmware 3.14.0-BETA1+7945_0 based on Marlin FIRMWARE_URL:https://github.com/prusa3d/Prusa-Firmware" +
			" PROTOCOL_VERSION:1.0 MACHINE_TYPE:Prusa i3 MK3S EXTRUDER_COUNT:1Cap:AUTOREPORT_TEMP:1\n" +
			"Cap:AUTOREPORT_FANS:1\nCap:AUTOREPORT_POSITION:1\nCap:EXTENDED_M20:1\nCap:PRUSA_MMU2:1\n")
	case 117:
		m.print("LCD status changed\n")
	case 118:
		m.echo(l.text[len("M118"):])
	case 119:
		z := "open"
		if m.pose.homed[axZ] && m.pose.at[axZ]+m.pose.offset[axZ] <= mk3BedZ {
			z = "TRIGGERED"
		}
		m.print("Reporting endstop status\nx_min: TRIGGERED\nx_max: TRIGGERED\ny_min: TRIGGERED\ny_max: TRIGGERED\n" +
			"z_min: " + z + "\nz_max: open\n")
	case 123:
		m.reportFans()
	case 500, 501, 502, 503:
		m.settings(num)
	case 862:
		m.check(l)
	default:
		return false
	}
	return true
}

// settings is M500 to M503.
func (m *mk3) settings(num int) {
	switch num {
	case 500:
		saved := m.plan.lim
		m.eeprom = &saved
		m.print("echo:Settings Stored\n")
	case 501:
		if m.eeprom == nil {
			m.print("echo:Hardcoded Default Settings Loaded\n")
			return
		}
		m.plan.lim = *m.eeprom
		m.print("echo:Stored settings retrieved\n")
	case 502:
		m.plan.lim = mk3Limits()
		m.print("echo:Hardcoded Default Settings Loaded\n")
	case 503:
		m.reportSettings()
	}
}

func (m *mk3) reportFans() {
	m.print("E0:0 RPM PRN1:" + strconv.Itoa(int(math.Round(m.therm.rpm))) + " RPM E0@:0 PRN1@:" + strconv.Itoa(int(m.therm.fan)) + "\n")
}

func (m *mk3) reportPosition() {
	s := make([]byte, 0, 96)
	for i, name := range []string{"X:", " Y:", " Z:"} {
		s = fixed(append(s, name...), m.pose.at[i])
	}
	s = fixed(append(s, " E:"...), m.pose.e)
	at := m.plan.stepsAt(m.now)
	for i, name := range []string{" Count X: ", " Y:", " Z:", " E:"} {
		s = fixed(append(s, name...), float64(at[i])/m.plan.lim.stepsPerMM[i])
	}
	m.print(string(append(s, '\n')))
}

// reportProgress is M73.
func (m *mk3) reportProgress(l *oldLine) {
	for w, dst := range map[byte]*int{'P': &m.percent, 'R': &m.minutes, 'Q': &m.silentPercent, 'S': &m.silentMinutes} {
		if v, ok := l.value(w); ok {
			*dst = int(max(-1, min(v, 1e6)))
		}
	}
	mode := func(name string, percent, minutes int) {
		m.print(name + " MODE: Percent done: " + strconv.Itoa(percent) + "; print time remaining in mins: " + strconv.Itoa(minutes) +
			"; Change in mins: -1\n")
	}
	mode("NORMAL", m.percent, m.minutes)
	mode("SILENT", m.silentPercent, m.silentMinutes)
}

// echo is M118.
func (m *mk3) echo(text string) {
	before := ""
	for {
		for text != "" && text[0] == ' ' {
			text = text[1:]
		}
		switch {
		case len(text) > 1 && text[:2] == "A1":
			before = "//"
		case len(text) > 1 && text[:2] == "E1":
			before = "echo:"
		default:
			m.print(before + text + "\n")
			return
		}
		text = text[2:]
	}
}

// prusa answers the PRUSA commands that ask something.
func (m *mk3) prusa(what string) {
	switch what {
	case "Fir":
		m.print("3.14.0-BETA1+7945\n")
	case "Rev":
		m.print("1_75mm_MK3S-EINSy_10a-E3Dv6full\n")
	case "SN":
		m.print("CZPX0000X000XX00000\n")
	}
}

// check is M862: a file asks whether it was made for this printer.
func (m *mk3) check(l *oldLine) {
	if !l.seen('Q') || l.seen('P') {
		return // a difference is shown on the display
	}
	v, _ := l.value('M')
	switch int(math.Round(v*10)) - 8620 {
	case 1:
		m.print("0.40\n")
	case 2:
		m.print("302\n")
	case 3:
		m.print("MK3S\n")
	case 4:
		m.print("3.14.0-BETA1\n")
	case 5:
		m.print("1\n")
	}
}

// mk3Model is the table of the thermal model that M310 prints: resistance at each
// sixteenth of the fan's speed, K/W.
var mk3Model = [16]float64{20.5, 18.4, 16.7, 15.2, 14.1, 13.3, 12.7, 12.1, 11.7, 11.3, 11, 10.8, 10.6, 10.4, 10.2, 10.1}

// reportSettings is Config_PrintSettings.
func (m *mk3) reportSettings() {
	lim, h, b := &m.plan.lim, m.therm.hotend(), m.therm.bed()
	stealth := lim.maxAccel
	stealth[axX], stealth[axY] = min(stealth[axX], 960), min(stealth[axY], 960)
	slow := lim.maxFeed
	slow[axX], slow[axY] = min(slow[axX], 100), min(slow[axY], 100)
	m.print("echo:Steps per unit:\necho:  M92" + perAxis(lim.stepsPerMM) +
		"echo:UStep resolution: \necho: M350 X16 Y16 Z16 E32\n" +
		"echo:Maximum feedrates - normal (mm/s):\necho:  M203" + perAxis(lim.maxFeed) +
		"echo:Maximum feedrates - stealth (mm/s):\necho:  M203" + perAxis(slow) +
		"echo:Maximum acceleration - normal (mm/s2):\necho:  M201" + wholePerAxis(lim.maxAccel) +
		"echo:Maximum acceleration - stealth (mm/s2):\necho:  M201" + wholePerAxis(stealth) +
		"echo:Acceleration: P=print, R=retract, T=travel\n" +
		"echo:  M204 P" + two(lim.accel) + " R" + two(lim.retract) + " T" + two(lim.travel) + "\n" +
		"echo:Advanced variables: S=Min feedrate (mm/s), T=Min travel feedrate (mm/s), B=minimum segment time (us)," +
		" X=maximum XY jerk (mm/s),  Z=maximum Z jerk (mm/s),  E=maximum E jerk (mm/s)\n" +
		"echo:  M205 S0.00 T0.00 B20000 X" + two(lim.jerk[axX]) + " Y" + two(lim.jerk[axY]) + " Z" + two(lim.jerk[axZ]) +
		" E" + two(lim.jerk[axE]) + "\n" +
		"echo:Home offset (mm):\necho:  M206 X0.00 Y0.00 Z0.00\n" +
		"echo:PID settings:\necho:   M301" + pid(h) + "echo:PID heatbed settings:\necho:   M304" + pid(b) +
		"echo:Retract: S=Length (mm) F:Speed (mm/m) Z: ZLift (mm)\necho:   M207 S3.00 F2700.00 Z0.00\n" +
		"echo:Recover: S=Extra length (mm) F:Speed (mm/m)\necho:   M208 S0.00 F480.00\n" +
		"echo:Auto-Retract: S=0 to disable, 1 to interpret extrude-only moves as retracts or recoveries\necho:   M209 S0\n" +
		"echo:Filament settings: Disabled\n" +
		"echo:Arc Settings: P:Max length(mm) S:Min length (mm) N:Corrections R:Min segments F:Segments/sec.\n" +
		"echo:  M214 P1.00 S0.50 N25 R20 F0\necho:Thermal Model settings:\n")
	for i, r := range mk3Model {
		m.print("echo:  M310 I" + strconv.Itoa(i) + " R" + two(r) + "\n")
	}
	on := "0"
	if m.heat.model {
		on = "1"
	}
	m.print("echo:  M310 P38.00 U0.0000 V1.00 C12.10 D0.0650 L2160 S" + on + " B1 E1.74 W1.20 T-7.00\n")
}

func pid(h *heater) string { return " P" + two(h.kp) + " I" + two(h.ki) + " D" + two(h.kd) + "\n" }
