package gcodefile

import (
	"errors"
	"strings"

	"platen/hal/envelope"
	"platen/hal/motion"
	"platen/hal/unit"
)

// travel is G0 and G1.
func (p *Parser) travel() Reason {
	to, axes, why := p.target()
	if why != 0 {
		return why
	}
	e, why := p.filament()
	if why != 0 {
		return why
	}
	if why := p.pace(); why != 0 {
		return why
	}
	if axes == 0 && e == 0 {
		return 0
	}
	return p.move(to, axes, e)
}

// scaled turns a number of the file into mm; why is set beyond ±most.
func (p *Parser) scaled(v, most int64) (int64, Reason) {
	if !within(v, most) {
		return 0, ReasonNumber
	}
	if p.inch {
		v = roundDiv(v*254, 10)
	}
	if !within(v, most) {
		return 0, ReasonNumber
	}
	return v, 0
}

// target reads X, Y and Z: where the head is to go, and which axes.
func (p *Parser) target() (to [3]int64, axes motion.Axes, why Reason) {
	to = p.at
	for i, a := range axisOf {
		c := "XYZ"[i]
		if !p.w.all.has(c) {
			continue
		}
		if p.w.bare.has(c) {
			return to, 0, ReasonWord
		}
		v, why := p.scaled(p.w.get(c), maxLength)
		if why != 0 {
			return to, 0, why
		}
		if p.relative {
			if p.known&a == 0 {
				return to, 0, ReasonRelative
			}
			v += p.at[i]
			if p.o.Macro {
				v = max(min(v, millimetres(p.o.Limits.Max[i])), min(p.at[i], millimetres(p.o.Limits.Min[i])))
			}
		}
		if !within(v, maxLength) {
			return to, 0, ReasonNumber
		}
		to[i] = v
		axes |= a
	}
	return to, axes, 0
}

// filament reads E: how much filament the file asks for, in mm.
func (p *Parser) filament() (int64, Reason) {
	if !p.w.all.has('E') {
		return 0, 0
	}
	if p.w.bare.has('E') {
		return 0, ReasonWord
	}
	v, why := p.scaled(p.w.get('E'), maxFilament)
	if why != 0 {
		return 0, why
	}
	// Marlin 1, Prusa and Repetier: relative if G91 or M83 says so. Marlin 2:
	// whatever came last.
	if (p.relative || p.eBase) != p.eLast {
		return 0, ReasonMode
	}
	if !p.eLast {
		v -= p.e
	}
	if !within(v, maxLength) || !within(p.e+v, maxFilament) {
		return 0, ReasonNumber
	}
	p.e += v
	if v = v * p.flow / 100; !within(v, maxLength) {
		return 0, ReasonNumber
	}
	return v, 0
}

// pace reads F.
func (p *Parser) pace() Reason {
	if !p.w.all.has('F') {
		return 0
	}
	v := p.w.get('F')
	if v <= 0 || v > maxFeed {
		return ReasonNumber
	}
	if p.inch {
		v = roundDiv(v*254, 10)
	}
	p.feed = v
	return 0
}

// move emits a move to to along axes with e mm of filament.
func (p *Parser) move(to [3]int64, axes motion.Axes, e int64) Reason {
	if p.feed == 0 {
		return ReasonWord // no move before the first feed
	}
	op := motion.Op{Kind: motion.Move, Axes: axes, Tool: p.tool, Feed: speed(p.feed, p.percent)}
	for i, a := range axisOf {
		if axes&a != 0 {
			op.To[i] = length(to[i])
			p.at[i] = to[i]
			p.known |= a
		}
	}
	if op.E = p.feeds(e); op.E != 0 {
		op.Axes |= motion.E
	}
	switch {
	case op.Axes == 0:
		return 0
	case op.E != 0 && axes == 0 || op.E < 0:
		op.Role = motion.Retraction
	case op.E > 0:
		op.Role = p.role
	}
	return p.do(op)
}

// feeds turns e mm of filament into a length. What rounding leaves is kept for the
// next move, so that it does not add up.
func (p *Parser) feeds(e int64) unit.Length {
	p.owed += e * int64(unit.Millimetre)
	l := roundDiv(p.owed, one)
	p.owed -= l * one
	return unit.Length(l)
}

// home is G28.
func (p *Parser) home() Reason {
	op := motion.Op{Kind: motion.Home, Tool: p.tool}
	for i, a := range axisOf {
		if p.w.all.has("XYZ"[i]) { // a number behind it means nothing
			op.Axes |= a
		}
	}
	return p.do(op)
}

// level is G29, G32, G80 and M420.
func (p *Parser) level(index uint8) Reason {
	if index == 0 && p.o.Level != "" {
		p.levelDue = true
		return 0
	}
	return p.do(motion.Op{Kind: motion.Level, Tool: p.tool, Index: index})
}

// inline takes the place of a command by other G-code, in modes of its own.
func (p *Parser) inline(text string) Reason {
	o := p.o
	o.Level, o.Macro = "", true
	o.At = State{Known: p.known, Tool: p.tool}
	for i := range o.At.At {
		o.At.At[i] = length(p.at[i])
	}
	sub := New(strings.NewReader(text), o)
	for op, err := range sub.Ops() {
		if r, ok := errors.AsType[*Refusal](err); ok {
			return r.Reason
		}
		if !p.yield(op, nil) {
			return 0
		}
	}
	p.at, p.known, p.tool = sub.at, sub.known, sub.tool
	return 0
}

// origin is G92. The position of the filament may be set; that of the axes only to
// what it is.
func (p *Parser) origin() Reason {
	given := p.w.all
	if given == 0 {
		given = set("XYZE") // Marlin: all to zero
	}
	for i, a := range axisOf {
		if c := "XYZ"[i]; given.has(c) {
			if v, why := p.scaled(p.w.get(c), maxLength); why != 0 || p.known&a == 0 || v != p.at[i] {
				return ReasonOffset
			}
		}
	}
	if given.has('E') {
		v, why := p.scaled(p.w.get('E'), maxFilament)
		if why != 0 {
			return why
		}
		p.e = v
	}
	return 0
}

// dwell is G4.
func (p *Parser) dwell() Reason {
	s, ms := p.w.get('S'), p.w.get('P')
	if s < 0 || ms < 0 || p.w.bare != 0 || p.w.all == set("SP") {
		return ReasonNumber
	}
	return p.do(motion.Op{Kind: motion.Dwell, Wait: seconds(s) + seconds(ms/1000)})
}

// draw is G10, and with back false G11: filament drawn back by the firmware, which
// this does itself.
func (p *Parser) draw(back bool) Reason {
	if int(p.tool) >= len(p.retracted) || p.retracted[p.tool] == back {
		return 0
	}
	p.retracted[p.tool] = back
	op := motion.Op{Kind: motion.Move, Axes: motion.E, Role: motion.Retraction, Tool: p.tool, E: p.retract, Feed: p.retractFeed}
	if back {
		op.E = -op.E
	}
	if op.E == 0 {
		return 0
	}
	return p.do(op)
}

// retraction is M207.
func (p *Parser) retraction() Reason {
	s, why := p.scaled(p.w.get('S'), maxLength)
	if why != 0 || s < 0 || p.w.get('Z') != 0 || p.w.get('F') < 0 || p.retracted != [envelope.MaxTools]bool{} {
		return ReasonWord
	}
	if p.w.has('S') {
		p.retract = length(s)
	}
	if p.w.has('F') && p.w.get('F') > 0 {
		p.retractFeed = speed(p.w.get('F'), 100)
	}
	return 0
}
