package slicer

import (
	"fmt"

	"platen/hal/unit"
	"platen/slicer/cut"
)

// HeightRange gives all layers that begin between two heights above the bed a height
// of their own; a Height of 0 leaves them.
type HeightRange = cut.Range

// Heights says which layers have heights of their own.
type Heights struct {
	Adaptive    bool        // low layers on flat slopes, high ones on steep walls
	Least, Most unit.Length // of adaptive ones
	Deviation   unit.Length // how far the steps of layers may be from a slope, if they need not be lower than Least for that
	Ranges      [3]HeightRange
}

// on reports whether not all layers are alike.
func (h *Heights) on() bool {
	if h.Adaptive {
		return true
	}
	for _, r := range h.Ranges {
		if r.Height > 0 && r.To > r.From {
			return true
		}
	}
	return false
}

// heightsError refuses heights that the nozzle cannot print, or that need all layers
// to be alike.
func (s Settings) heightsError() error {
	h := &s.Heights
	most := s.Nozzle
	for _, r := range h.Ranges {
		if r.Height > most || r.Height > 0 && r.Height < um(20) {
			return fmt.Errorf("%w: a height_range must be 0, or 0.02mm to the diameter of the nozzle", ErrSettings)
		}
	}
	switch {
	case h.Adaptive && (h.Most > most || h.Least > h.Most):
		return fmt.Errorf("%w: adaptive_max_height must be between adaptive_min_height and the diameter of the nozzle", ErrSettings)
	case h.on() && s.Skin.Combine > 1:
		return fmt.Errorf("%w: infill can be combined over layers only where they are all of one height: choose that or adaptive_layers and height ranges", ErrSettings)
	}
	return nil
}

// adapt is how layers get their heights.
func (s Settings) adapt() cut.Adapt {
	a := cut.Adapt{First: s.FirstHeight, Height: s.Height, Least: s.Heights.Least, Most: s.Heights.Most, Ranges: s.Heights.Ranges[:]}
	if s.Heights.Adaptive {
		a.Deviation = s.Heights.Deviation
	}
	return a
}

// heightRows are the settings of heights.
func heightRows() []Setting {
	rows := []Setting{
		toggle("adaptive_layers", func(s *Settings) *bool { return &s.Heights.Adaptive }, "lower layers on flat slopes, higher ones on steep walls"),
		length("adaptive_min_height", func(s *Settings) *unit.Length { return &s.Heights.Least }, um(20), 2*mm, "height of the lowest adaptive layers"),
		length("adaptive_max_height", func(s *Settings) *unit.Length { return &s.Heights.Most }, um(20), 2*mm, "height of the highest adaptive layers, up to the nozzle's diameter"),
		length("adaptive_deviation", func(s *Settings) *unit.Length { return &s.Heights.Deviation }, um(10), mm, "how far the steps of adaptive layers may be from a slope"),
	}
	for i := range (Heights{}).Ranges {
		key := fmt.Sprintf("height_range_%d", i+1)
		rows = append(rows,
			length(key, func(s *Settings) *unit.Length { return &s.Heights.Ranges[i].Height }, 0, 2*mm, "height of layers between two heights of the part; 0 leaves them"),
			length(key+"_from", func(s *Settings) *unit.Length { return &s.Heights.Ranges[i].From }, 0, 511*mm, "height above the bed at which layers of "+key+" begin"),
			length(key+"_to", func(s *Settings) *unit.Length { return &s.Heights.Ranges[i].To }, 0, 511*mm, "height above the bed at which they end"),
		)
	}
	return rows
}
