package boards

import (
	"errors"
	"fmt"
	"strings"

	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Macro names a macro of a board.
type Macro uint8

// The macros. What a file does not say is as follows.
const (
	MacroStart  Macro = iota // before a sliced model: heats up, homes, waits
	MacroEnd                 // after a sliced model: switches off, lifts, moves the bed to the front
	MacroPause               // when a print pauses: draws filament back, lifts
	MacroResume              // before a print goes on where it was: nothing
	MacroCancel              // after a print that was cancelled: as MacroEnd
	MacroLevel               // where G-code says G29, G32 or G80: the controller's own levelling
	// MacroRecover comes before a print that a power loss broke goes on, on a machine whose
	// Z stands where it stood: heats first, since the nozzle stands in what it printed,
	// lifts, homes X and Y, fills the nozzle. None without volume.keeps_z.
	MacroRecover
	macros = iota
)

// String is the key of the macro in a board file.
func (m Macro) String() string {
	names := [...]string{"start", "end", "pause", "resume", "cancel", "level", "recover"}
	if int(m) < len(names) {
		return names[m]
	}
	return "unknown"
}

// Macros are pieces of G-code, by Macro, ready to be parsed.
type Macros [macros]string

// defaults are the macros of a board that says nothing of its own. Lines of heaters
// that the board does not have are left out.
var defaults = Macros{
	MacroStart:   "M107\nM140 S{first_bed}\nM104 S{first_hot_end}\nG28\nM190 S{first_bed}\nM109 S{first_hot_end}\n",
	MacroEnd:     "M104 S0\nM140 S0\nG91\nG1 Z10 F{lift}\nG90\nG1 X{left} Y{back} F{travel}\nM107\nM84\n",
	MacroPause:   "G91\nM83\nG1 E-2 F{retract_feed}\nG1 Z5 F{lift}\nG90\n",
	MacroRecover: "M107\nM190 S{bed}\nM109 S{hot_end}\nG91\nG1 Z5 F{lift}\nG90\nG28 X Y\nM83\nG1 E12 F150\nG1 E-2 F{retract_feed}\n",
}

// Recovers reports whether a print that a power loss broke can go on.
func (b *Board) Recovers() bool { return b.Prints() && b.Limits.KeepsZ }

// GCode returns what the parser of pre-sliced files needs to know of the board.
func (b *Board) GCode() gcodefile.Options {
	return gcodefile.Options{Limits: b.Limits, Nozzle: b.Nozzle, Models: b.Controller.Models,
		Retract: b.Print.Retract, RetractFeed: b.Print.RetractSpeed, Level: b.Macros[MacroLevel]}
}

// fill puts what the board says into the texts of macros. written are those of the
// file; nil is one that it does not have.
func (b *Board) fill(written [macros]*string) error {
	b.written = written
	words := b.words()
	for m := range b.Macros {
		if Macro(m) == MacroRecover && !b.Recovers() {
			if written[m] != nil {
				return errors.New("macros.recover is for a machine that prints and whose Z stays where it is: write volume.keeps_z")
			}
			continue
		}
		text := defaults[m]
		switch {
		case written[m] != nil:
			text = *written[m]
		case Macro(m) == MacroCancel && written[MacroEnd] != nil:
			text = *written[MacroEnd]
		case Macro(m) == MacroCancel:
			text = defaults[MacroEnd]
		}
		if written[m] == nil {
			text = b.without(text)
		}
		filled, err := substitute(text, words)
		if err != nil {
			return fmt.Errorf("macros.%s, %w", Macro(m), err)
		}
		b.Macros[m] = filled
	}
	return nil
}

// Heated is the board with other temperatures to print at than those of its file: its
// macros heat to them. What the machine cannot do, or its macros cannot any more, is an
// error.
func (b *Board) Heated(firstHotEnd, hotEnd, firstBed, bed unit.Celsius) (*Board, error) {
	with := *b
	with.Print.FirstHotEnd, with.Print.HotEnd = firstHotEnd, hotEnd
	with.Print.FirstBed, with.Print.Bed = firstBed, bed
	if err := with.checkHeat(); err != nil {
		return nil, err
	}
	if err := with.fill(b.written); err != nil {
		return nil, err
	}
	if err := with.checkMacros(); err != nil {
		return nil, err
	}
	return &with, nil
}

// without leaves out the lines of a macro that are for what the board does not have.
func (b *Board) without(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, " ")
		switch strings.TrimSpace(code) {
		case "M140", "M190":
			if b.Limits.Bed == (envelope.Range{}) {
				continue
			}
		case "M104", "M109", "M83":
			if b.Limits.Tools == 0 {
				continue
			}
		case "M107":
			if b.Limits.Fans == 0 {
				continue
			}
		}
		if b.Limits.Tools == 0 && strings.Contains(line, " E") {
			continue
		}
		kept.WriteString(line)
	}
	return kept.String()
}

// words are what may stand in braces in a macro: temperatures in °C, positions in
// mm, speeds in mm/min.
func (b *Board) words() map[string]string {
	degrees := func(t unit.Celsius) string { return string(t.AppendDegrees(nil, 1)) }
	mm := func(l unit.Length) string { return string(l.AppendMM(nil, 3)) }
	feed := func(s unit.Speed) string { return string(s.AppendMMPerMin(nil)) }
	p, l := b.Print, b.Limits
	return map[string]string{
		"first_hot_end": degrees(p.FirstHotEnd), "hot_end": degrees(p.HotEnd), "first_bed": degrees(p.FirstBed), "bed": degrees(p.Bed),
		"left": mm(b.Bed.X), "right": mm(b.Bed.X + b.Bed.Width), "front": mm(b.Bed.Y), "back": mm(b.Bed.Y + b.Bed.Depth), "top": mm(l.Max[motion.IZ]),
		"lift": feed(p.Lift), "travel": feed(p.Travel), "retract_feed": feed(p.RetractSpeed), "retract": mm(p.Retract),
	}
}

// substitute replaces words in braces.
func substitute(text string, words map[string]string) (string, error) {
	var out strings.Builder
	line := 0
	for l := range strings.Lines(text) {
		line++
		for {
			before, rest, found := strings.Cut(l, "{")
			out.WriteString(before)
			if !found {
				break
			}
			name, after, closed := strings.Cut(rest, "}")
			value, known := words[name]
			if !closed || !known {
				return "", fmt.Errorf("line %d: {%s} is nothing that a board says", line, name)
			}
			out.WriteString(value)
			l = after
		}
	}
	return out.String(), nil
}
