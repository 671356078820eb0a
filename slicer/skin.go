package slicer

import (
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/pipe"
)

// Skin says what is solid and how solid and sparse fill is laid, besides counts of
// layers.
type Skin = pipe.Skin

// defaultSkin is what a nozzle of 0.4 mm wants.
func defaultSkin() Skin {
	const mm = unit.Millimetre
	return Skin{
		Overlap: 25, Angle: 45 * fill.Degree, Join: 20 * mm, LeastArea: 3 * mm,
		TopPattern: pipe.SkinLines, BottomPattern: pipe.SkinLines,
		Iron:   pipe.Iron{Flow: 15, Spacing: unit.Micrometres(100), Inset: unit.Micrometres(225)},
		Bridge: pipe.Bridge{On: true, Flow: 100, Anchor: mm},
	}
}

// skin is Skin with no more layers of infill at once than the nozzle can lay.
func (s Settings) skin() Skin {
	k := s.Skin
	k.Combine = min(k.Combine, int(s.Nozzle/max(s.Height, 1)))
	return k
}
