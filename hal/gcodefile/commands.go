package gcodefile

import (
	"bytes"

	"platen/hal/motion"
	"platen/hal/unit"
)

// row is one command: what it takes and does, or why it is refused.
type row struct {
	words letters
	do    func(*Parser) Reason
	text  func(*Parser, []byte) Reason // instead of both, for commands that take text
	why   Reason
}

// drop leaves a command out: it shows, reports or tunes something that no move
// depends on. What it names is never passed on.
func drop(*Parser) Reason { return 0 }

func dropText(*Parser, []byte) Reason { return 0 }

// gCommands are the G commands, by their number times ten. References: Marlin 2.1
// src/gcode, Prusa-Firmware Marlin_main.cpp, RepRapFirmware GCodes2.cpp.
var gCommands = map[int]row{
	0:   {words: set("XYZEF"), do: (*Parser).travel},
	10:  {words: set("XYZEF"), do: (*Parser).travel},
	20:  {words: set("XYZEFIJRP"), do: func(p *Parser) Reason { return p.circle(true) }},
	30:  {words: set("XYZEFIJRP"), do: func(p *Parser) Reason { return p.circle(false) }},
	40:  {words: set("SP"), do: (*Parser).dwell},
	100: {words: set(""), do: func(p *Parser) Reason { return p.draw(true) }},
	110: {words: set(""), do: func(p *Parser) Reason { return p.draw(false) }},
	170: {do: drop}, // arcs in the plane of X and Y, as everywhere
	200: {do: func(p *Parser) Reason { p.inch = true; return 0 }},
	210: {do: func(p *Parser) Reason { p.inch = false; return 0 }},
	280: {words: set("XYZWO"), do: (*Parser).home}, // W: Prusa, without levelling; O: if not homed yet
	290: {do: func(p *Parser) Reason { return p.level(0) }},
	320: {do: func(p *Parser) Reason { return p.level(0) }},
	800: {words: set("XYWHN"), do: func(p *Parser) Reason { return p.level(0) }}, // Prusa; an area given is less than all of the bed
	900: {do: func(p *Parser) Reason { p.relative, p.eLast = false, false; return 0 }},
	910: {do: func(p *Parser) Reason { p.relative, p.eLast = true, true; return 0 }},
	920: {words: set("XYZE"), do: (*Parser).origin},

	330: {why: ReasonDanger}, // calibration of a delta
	530: {why: ReasonOffset}, 540: {why: ReasonOffset}, 550: {why: ReasonOffset}, 560: {why: ReasonOffset},
	570: {why: ReasonOffset}, 580: {why: ReasonOffset}, 590: {why: ReasonOffset}, 921: {why: ReasonOffset},
}

// mCommands are the M commands, by their number times ten.
var mCommands = map[int]row{
	0:    {text: pause},
	10:   {text: pause},
	6000: {words: set("BELRTUXYZ"), do: func(p *Parser) Reason { return pause(p, nil) }}, // change of filament, by hand
	6010: {do: func(p *Parser) Reason { return pause(p, nil) }},

	170:  {words: set("XYZE"), do: drop}, // motors come on with the next move
	180:  {words: set("XYZE"), do: (*Parser).motorsOff},
	840:  {words: set("XYZE"), do: (*Parser).motorsOff},
	820:  {do: func(p *Parser) Reason { p.eBase, p.eLast = false, false; return 0 }},
	830:  {do: func(p *Parser) Reason { p.eBase, p.eLast = true, true; return 0 }},
	4000: {do: func(p *Parser) Reason { return p.do(motion.Op{Kind: motion.Dwell}) }},
	4200: {words: set("S"), do: (*Parser).stored},

	1040: {words: set("ST"), do: func(p *Parser) Reason { return p.hotEnd(motion.SetHeater) }},
	1090: {words: set("SRT"), do: func(p *Parser) Reason { return p.hotEnd(motion.WaitHeater) }},
	1400: {words: set("S"), do: func(p *Parser) Reason { return p.heater(motion.SetHeater, motion.Bed) }},
	1900: {words: set("SR"), do: func(p *Parser) Reason { return p.heater(motion.WaitHeater, motion.Bed) }},
	1410: {words: set("S"), do: func(p *Parser) Reason { return p.heater(motion.SetHeater, motion.Chamber) }},
	1910: {words: set("SR"), do: func(p *Parser) Reason { return p.heater(motion.WaitHeater, motion.Chamber) }},
	1060: {words: set("SP"), do: func(p *Parser) Reason { return p.fan(true) }},
	1070: {words: set("P"), do: func(p *Parser) Reason { return p.fan(false) }},

	2040: {words: set("SPRT"), do: (*Parser).accel},
	2070: {words: set("SFZ"), do: (*Parser).retraction},
	2200: {words: set("S"), do: func(p *Parser) Reason { return p.share(&p.percent) }},
	2210: {words: set("ST"), do: func(p *Parser) Reason { return p.share(&p.flow) }},
	9000: {words: set("KT"), do: func(p *Parser) Reason { return p.advance('K', 'T') }},
	5720: {words: set("SD"), do: func(p *Parser) Reason { return p.advance('S', 'D') }},

	// Limits of the firmware: those of the board hold, whatever a file says.
	2010: {words: set("XYZEFS"), do: drop}, 2030: {words: set("XYZE"), do: drop}, 2050: {words: set("XYZEBSTJ"), do: drop},
	5660: {words: set("XYZE"), do: drop}, 2090: {words: set("S"), do: drop},
	// Displays, reports, beeps and marks.
	730: {words: set("PRQSCD"), do: drop}, 740: {words: set("W"), do: drop}, 750: {text: dropText}, 760: {do: drop}, 770: {do: drop},
	1050: {words: set("T"), do: drop}, 1140: {do: drop}, 1150: {text: dropText}, 1170: {text: dropText}, 1180: {text: dropText},
	1500: {words: set("RUBWPIS"), do: drop}, 2400: {do: drop}, 3000: {words: set("SP"), do: drop}, 4860: {text: dropText},
	2000: {words: set("DST"), do: (*Parser).lengths}, 9070: {words: set("E"), do: drop}, // the motor's current stays what it is
	5550: {words: set("XYWH"), do: drop},

	// For whom the file was made.
	8621: {words: set("PTAF"), do: (*Parser).nozzle}, 8622: {text: (*Parser).model}, 8623: {text: (*Parser).model},
	8624: {text: dropText}, 8625: {text: dropText}, 8626: {text: dropText}, // the firmware's version: only what is known here is used of it

	2060: {why: ReasonOffset}, 2180: {why: ReasonOffset}, 4280: {why: ReasonOffset}, 2900: {why: ReasonOffset},
	8510: {why: ReasonOffset}, 6650: {why: ReasonOffset}, 6660: {why: ReasonOffset},
}

// dangers are M commands that reach past a print: protections off, settings kept
// or changed, files, power, firmware, the wire itself.
var dangers = []int{
	3, 4, 5, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 42, 43, 48, 80, 81, 85, 86, 87, 92, 98, 108, 110, 111, 112, 113,
	120, 121, 122, 154, 155, 202, 211, 226, 250, 260, 261, 280, 281, 282, 301, 302, 303, 304, 305, 306, 307, 308, 350, 355, 360, 364, 401, 402,
	410, 412, 413, 421, 422, 425, 493, 500, 501, 502, 503, 504, 505, 540, 550, 551, 552, 553, 554, 554, 556, 557, 558, 559, 560,
	561, 562, 563, 564, 567, 568, 569, 570, 571, 573, 574, 575, 576, 577, 578, 579, 580, 581, 582, 584, 585, 586, 587, 588, 589, 591,
	592, 593, 603, 604, 605, 667, 668, 669, 670, 672, 701, 702, 703, 704, 705, 706, 707, 708, 709, 808, 810, 852, 860, 861,
	906, 908, 909, 910, 911, 912, 913, 914, 915, 916, 917, 918, 919, 928, 929, 950, 951, 993, 994, 995, 997, 998, 999,
}

// motorsOff is M84 and M18 without a time.
func (p *Parser) motorsOff() Reason {
	op := motion.Op{Kind: motion.MotorsOff, Tool: p.tool}
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z, motion.E} {
		if p.w.all.has("XYZE"[i]) {
			op.Axes |= a
		}
	}
	return p.do(op)
}

// pause is M0, M1, M600 and M601: someone has to come.
func pause(p *Parser, _ []byte) Reason { return p.do(motion.Op{Kind: motion.Pause, Tool: p.tool}) }

// stored is M420 S1: the bed as it was probed some day.
func (p *Parser) stored() Reason {
	if p.w.get('S') != one {
		return ReasonDanger
	}
	return p.level(1)
}

// hotEnd is M104 and M109.
func (p *Parser) hotEnd(kind motion.Kind) Reason {
	tool := p.tool
	if p.w.all.has('T') {
		t, why := p.w.index('T', int64(max(1, p.o.Limits.Tools))-1)
		if why != 0 {
			return ReasonMachine
		}
		tool = t
	}
	return p.heater(kind, motion.HotEnd+motion.Heater(tool))
}

// heater sets a heater, or waits for it. Waiting without a temperature waits for
// the one that was set last.
func (p *Parser) heater(kind motion.Kind, h motion.Heater) Reason {
	op := motion.Op{Kind: kind, Tool: p.tool, Heater: h}
	last := &p.heat[0]
	if h >= motion.HotEnd {
		last = &p.heat[1+h-motion.HotEnd]
	}
	switch {
	case p.w.all.has('S') && p.w.all.has('R') || p.w.bare != 0:
		return ReasonWord
	case p.w.all.has('S') || p.w.all.has('R'):
		t, ok := celsius(p.w.get('S') + p.w.get('R'))
		if !ok {
			return ReasonNumber
		}
		op.Temp = t
		if kind == motion.WaitHeater && p.w.all.has('S') {
			op.Index = motion.WaitWarm
		}
	case kind == motion.WaitHeater && h != motion.Chamber && *last != 0:
		op.Temp = *last
	default:
		return ReasonWord
	}
	l := p.o.Limits
	if op.Temp == 0 && (h == motion.Bed && l.Bed.Max == 0 || h == motion.Chamber && l.Chamber.Max == 0) {
		return 0 // there is none to switch off
	}
	*last = op.Temp
	return p.do(op)
}

// fan is M106 and M107.
func (p *Parser) fan(on bool) Reason {
	index, why := p.w.index('P', 255)
	if why != 0 || p.w.bare != 0 {
		return ReasonNumber
	}
	op := motion.Op{Kind: motion.SetFan, Tool: p.tool, Index: index}
	if on {
		op.Fan = unit.FullDuty
		if p.w.has('S') {
			v := p.w.get('S')
			if v < 0 || v > int64(unit.FullDuty)*one {
				return ReasonNumber
			}
			op.Fan = unit.Duty(roundDiv(v, one))
		}
	}
	if op.Fan == 0 && int(index) >= p.o.Limits.Fans {
		return 0 // there is none to switch off
	}
	return p.do(op)
}

// accel is M204. Of its accelerations that of printing moves counts.
func (p *Parser) accel() Reason {
	c := byte('P')
	if p.w.has('S') {
		c = 'S'
	}
	if p.w.bare != 0 || p.w.has('S') && p.w.has('P') {
		return ReasonWord
	}
	if !p.w.has(c) {
		return 0
	}
	v := roundDiv(p.w.get(c), one)
	if v < 1 || v > 1_000_000 {
		return ReasonNumber
	}
	return p.do(motion.Op{Kind: motion.SetAccel, Tool: p.tool, Accel: unit.Accel(v)})
}

// share is M220 and M221: feeds and filament in percent of what the file says.
func (p *Parser) share(of *int64) Reason {
	if t, why := p.w.index('T', 15); why != 0 || p.w.has('T') && t != p.tool {
		return ReasonWord
	}
	v := p.w.get('S')
	if v < one || v > 999*one {
		return ReasonNumber
	}
	*of = roundDiv(v, one)
	return 0
}

// advance is M900 and M572.
func (p *Parser) advance(value, tool byte) Reason {
	op := motion.Op{Kind: motion.SetAdvance, Tool: p.tool}
	if p.w.has(tool) {
		t, why := p.w.index(tool, int64(max(1, p.o.Limits.Tools))-1)
		if why != 0 {
			return ReasonMachine
		}
		op.Tool = t
	}
	v := p.w.get(value)
	if !p.w.has(value) || v < 0 {
		return ReasonNumber
	}
	if v > 10*one {
		return 0 // K of Linear Advance 1.0, which was in other units
	}
	op.Wait = seconds(v)
	return p.do(op)
}

// lengths is M200, which must say that filament is given as a length.
func (p *Parser) lengths() Reason {
	if p.w.get('D') != 0 || p.w.get('S') != 0 {
		return ReasonWord
	}
	return 0
}

// nozzle is M862.1 P: the file was sliced for a nozzle of this diameter; A1 and F1 for
// one that is hardened or high-flow, of which boards say nothing.
func (p *Parser) nozzle() Reason {
	v, why := p.scaled(p.w.get('P'), maxLength)
	if why != 0 || !p.w.has('P') {
		return ReasonWord
	}
	if p.w.get('A') != 0 || p.w.get('F') != 0 {
		return ReasonMachine
	}
	if d := length(v) - p.o.Nozzle; d > unit.Micrometres(10) || d < -unit.Micrometres(10) {
		return ReasonMachine
	}
	return 0
}

// model is M862.2 and M862.3 P: the file was sliced for this printer.
func (p *Parser) model(text []byte) Reason {
	name, ok := bytes.CutPrefix(text, []byte("P"))
	if !ok {
		return ReasonWord
	}
	name = bytes.Trim(blank(name), "\" \t")
	for _, m := range p.o.Models {
		if string(name) == m {
			return 0
		}
	}
	return ReasonMachine
}
