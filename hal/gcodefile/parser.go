package gcodefile

import (
	"io"
	"log/slog"
	"slices"

	"platen/hal/envelope"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Options is what a parser needs to know of the machine and of where a file begins.
type Options struct {
	Limits      envelope.Limits
	Nozzle      unit.Length // diameter, for M862.1
	Models      []string    // names and numbers of the printers that M862.2 and M862.3 may ask for
	Retract     unit.Length // filament that G10 draws back, unless M207 says otherwise
	RetractFeed unit.Speed  // of G10 and G11, unless M207 says otherwise
	Level       string      // G-code that G29, G32 and G80 stand for; "" is the controller's own levelling
	At          State       // where the machine is; the zero State is nowhere
	Macro       bool        // relative moves end where the volume ends, for a macro that is used anywhere
}

// State is where a machine is between two programs.
type State struct {
	At    [3]unit.Length // of axes in Known
	Known motion.Axes
	Tool  uint8
}

// Follow takes the effect of op on a machine with the limits l.
func (s *State) Follow(op motion.Op, l *envelope.Limits) {
	switch op.Kind {
	case motion.Move, motion.ArcLeft, motion.ArcRight:
		if op.Tool != s.Tool {
			s.Tool, s.Known = op.Tool, 0
		}
		for i, a := range axisOf {
			if op.Has(a) {
				s.At[i] = op.To[i]
				s.Known |= a
			}
		}
	case motion.Home:
		for i, a := range axisOf {
			if op.Axes == 0 || op.Has(a) {
				s.At[i] = l.HomedAt[i]
				s.Known |= a
			}
		}
	case motion.Level:
		if s.Known = 0; l.Levelled && op.Index == 0 {
			s.Known, s.At = linear, l.LevelledAt
		}
	case motion.Stand:
		s.At[motion.IZ], s.Known = op.To[motion.IZ], s.Known|motion.Z
	case motion.MotorsOff:
		if s.Known &^= op.Axes; op.Axes == 0 {
			s.Known = 0
		}
	}
}

const linear = motion.X | motion.Y | motion.Z

var axisOf = [3]motion.Axes{motion.X, motion.Y, motion.Z}

// Parser turns one file into operations. It is design data.
type Parser struct {
	o    Options
	in   *scanner
	w    words
	emit func(motion.Op, error) bool
	more bool // emit wants more

	inch     bool
	relative bool // axes, by G91
	eBase    bool // filament is relative, by M83
	eLast    bool // filament is relative, by whichever of G90, G91, M82 and M83 came last

	at    [3]int64 // in mm with nine decimals, of axes in known
	known motion.Axes
	e     int64 // position of the filament as the file counts it
	owed  int64 // filament not emitted yet, in 10^-9 units of length

	feed    int64 // mm/min with nine decimals
	percent int64 // of M220
	flow    int64 // of M221
	tool    uint8
	heat    [1 + envelope.MaxTools]unit.Celsius // last targets: bed, hot ends

	levelDue    bool // the board's own G-code for levelling comes next
	retract     unit.Length
	retractFeed unit.Speed
	retracted   [envelope.MaxTools]bool // by G10, each tool for itself

	role     motion.Role
	layers   int32
	layerDue bool
	layerZ   int64 // -1 if the file does not say
}

// New returns a parser of r. It reads as it is ranged over, one line at a time.
func New(r io.Reader, o Options) *Parser {
	p := &Parser{o: o, in: newScanner(r), percent: 100, flow: 100, retract: o.Retract, retractFeed: o.RetractFeed,
		role: motion.Infill, tool: o.At.Tool, known: o.At.Known & linear}
	for i, l := range o.At.At {
		p.at[i] = millimetres(l)
	}
	return p
}

// String says nothing of the file.
func (p *Parser) String() string { return "gcode file" }

// GoString says nothing of the file.
func (p *Parser) GoString() string { return "gcode file" }

// LogValue says nothing of the file.
func (p *Parser) LogValue() slog.Value { return slog.StringValue("gcode file") }

// Line is the number of the line that was read last, from 1.
func (p *Parser) Line() int { return p.in.line }

// Ops returns the operations of the file, as they are written: neither slowed down
// nor checked against the machine; see [Program]. It can be ranged over once. A
// refused line ends it with a *[Refusal].
func (p *Parser) Ops() motion.Program {
	return func(yield func(motion.Op, error) bool) {
		p.emit, p.more = yield, true
		for p.more {
			why, err := p.in.next()
			if err == io.EOF {
				return
			}
			if why == 0 {
				why = p.take(p.in.code)
			}
			if p.levelDue {
				p.levelDue = false
				why = p.inline(p.o.Level)
			}
			if why != 0 {
				if p.more {
					yield(motion.Op{}, &Refusal{Line: p.in.line, Reason: why, err: err})
				}
				return
			}
			if len(p.in.note) > 0 {
				p.remark(p.in.note)
			}
		}
	}
}

// yield emits op; it reports whether more are wanted.
func (p *Parser) yield(op motion.Op, err error) bool {
	if p.more {
		p.more = p.emit(op, err)
	}
	return p.more
}

// do emits op and follows where the head goes by it.
func (p *Parser) do(op motion.Op) Reason {
	if op.Kind == motion.Move && p.layerDue && !p.beginLayer(op) {
		return 0
	}
	switch op.Kind {
	case motion.Home:
		for i, a := range axisOf {
			if op.Axes == 0 || op.Has(a) {
				p.at[i] = millimetres(p.o.Limits.HomedAt[i])
				p.known |= a
			}
		}
	case motion.Level:
		p.known = 0
		if l := p.o.Limits; l.Levelled && op.Index == 0 {
			p.known = linear
			for i := range axisOf {
				p.at[i] = millimetres(l.LevelledAt[i])
			}
		}
	case motion.MotorsOff:
		if p.known &^= op.Axes; op.Axes == 0 {
			p.known = 0
		}
	}
	p.yield(op, nil)
	return 0
}

// take obeys the command of one line.
func (p *Parser) take(code []byte) Reason {
	if len(code) == 0 {
		return 0
	}
	letter, n, rest, why := command(code)
	if why != 0 {
		return why
	}
	switch letter {
	case 'G':
		return p.g(n, rest)
	case 'M':
		return p.m(n, rest)
	}
	if why := p.w.parse(rest, 0); why != 0 {
		return why
	}
	if n%10 != 0 || n/10 >= max(1, p.o.Limits.Tools) {
		return ReasonMachine
	}
	if p.tool != uint8(n/10) {
		p.tool, p.known = uint8(n/10), 0 // tools have offsets
	}
	return 0
}

// g obeys a G command; n is its number times ten.
func (p *Parser) g(n int, rest []byte) Reason {
	c, ok := gCommands[n]
	if !ok {
		return ReasonCommand
	}
	if c.why != 0 {
		return c.why
	}
	if why := p.w.parse(rest, c.words); why != 0 {
		return why
	}
	return c.do(p)
}

// m obeys an M command; n is its number times ten.
func (p *Parser) m(n int, rest []byte) Reason {
	c, ok := mCommands[n]
	switch {
	case !ok && n%10 == 0 && slices.Contains(dangers, n/10):
		return ReasonDanger
	case !ok:
		return ReasonCommand
	case c.why != 0:
		return c.why
	case c.text != nil:
		return c.text(p, blank(rest))
	}
	if why := p.w.parse(rest, c.words); why != 0 {
		return why
	}
	return c.do(p)
}
