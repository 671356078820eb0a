package slicer

import (
	"fmt"

	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/pipe"
	"platen/slicer/support"
	"platen/slicer/vault"
)

// SupportKind says what support is made of.
type SupportKind = support.Kind

// The kinds of support.
const (
	SupportOff  = support.Off  // nothing is supported
	SupportGrid = support.Grid // upright props below every underside that needs them
	SupportTree = support.Tree // roofs that branches carry
)

// Support says what of a model is supported, and how.
type Support struct {
	Kind        SupportKind
	Angle       mesh.Angle   // from upright, beyond which an underside is supported
	BedOnly     bool         // nothing stands on the part
	Gap         unit.Length  // kept below an underside and above the part
	Aside       unit.Length  // kept to upright faces
	Density     fill.Percent // of what carries
	Pattern     Pattern      // of the same
	Loops       int          // lines around it
	RoofLayers  int          // dense ones below the underside
	FloorLayers int          // dense ones above the part
	RoofDensity fill.Percent
	Least       int         // mm² below which an underside that hangs on to something has none
	Bridge      unit.Length // longest way that is bridged without
	Branch      support.Branch
}

// defaultSupport is off, and else what PLA comes off from.
func defaultSupport() Support {
	return Support{
		Angle: 50 * mesh.Degree, Gap: um(200), Aside: um(400), Density: 15, RoofLayers: 2, RoofDensity: 75,
		Least: 2, Bridge: 10 * mm,
		Branch: support.Branch{
			Tip: um(1000), Stem: 2 * mm, Most: 8 * mm, Spread: 4 * mm, Lean: 40 * mesh.Degree, Taper: 5 * mesh.Degree,
		},
	}
}

// supportReach is how far support may be beyond a copy that is printed after others:
// what it takes to stand by itself.
const supportReach = 2 * mm

// planSupport finds what of a placed model needs support. Copies must not get in each
// other's way.
func planSupport(v *vault.Vault, m *mesh.Mesh, s Settings) (*support.Plan, error) {
	p := s.Support
	room := s.Build
	if s.Copies > 1 {
		b, half := m.Bounds(), s.Spacing/2
		if s.Sequence.On {
			half = supportReach
		}
		room.Min.X, room.Max.X = max(room.Min.X, b.Min.X-half), min(room.Max.X, b.Max.X+half)
		room.Min.Y, room.Max.Y = max(room.Min.Y, b.Min.Y-half), min(room.Max.Y, b.Max.Y+half)
	}
	plan, err := support.New(v, m, support.Params{
		Kind: p.Kind, Angle: p.Angle, BedOnly: p.BedOnly, Layer: s.Height, Gap: p.Gap, Aside: p.Aside, Width: s.Width,
		Roof: unit.Length(p.RoofLayers) * s.Height, Floor: unit.Length(p.FloorLayers) * s.Height,
		Least: mesh.Area(p.Least) * 1_000_000, Bridge: p.Bridge, Room: room, Branch: p.Branch,
	})
	if err != nil {
		return nil, fmt.Errorf("plan support: %w", err)
	}
	return plan, nil
}

// support is how it is printed.
func (s Settings) support(plan *support.Plan, moves []geom.Point) pipe.Support {
	p := s.Support
	return pipe.Support{
		Plan: plan, Copies: moves, Gap: p.Gap, Aside: p.Aside,
		Density: p.Density, Roof: p.RoofDensity, Pattern: p.Pattern, Loops: p.Loops,
	}
}
