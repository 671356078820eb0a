package pipe

import (
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
)

// Strokes is a list of lines that each have a width of their own.
type Strokes struct {
	fill.Lines
	Widths []unit.Length // of line i; a line whose ends meet is closed
}

// Reset empties the list and keeps its memory.
func (s *Strokes) Reset() {
	s.Lines.Reset()
	s.Widths = s.Widths[:0]
}

// Wipe empties the list and overwrites its memory.
func (s *Strokes) Wipe() {
	s.Lines.Wipe()
	clear(s.Widths[:cap(s.Widths)])
	s.Widths = s.Widths[:0]
}

// gapFiller finds what walls leave open between them.
type gapFiller struct{}

func (g *gapFiller) wipe() {}

func (g *gapFiller) fill(*geom.Kernel, *Layer) error { return nil }
