package gcodefile

import (
	"bytes"

	"platen/hal/motion"
)

// roles are the names that slicers give to lines, behind ;TYPE: or ;FEATURE:.
var roles = map[string]motion.Role{
	// PrusaSlicer 2.x (ExtrusionRole.cpp), SuperSlicer, platen-slice
	"External perimeter": motion.OuterWall, "Perimeter": motion.InnerWall, "Overhang perimeter": motion.OverhangWall,
	"Internal infill": motion.Infill, "Solid infill": motion.SolidInfill, "Top solid infill": motion.TopSkin, "Bridge infill": motion.Bridge,
	"Internal bridge infill": motion.Bridge, "Thin wall": motion.ThinWall, "Gap fill": motion.ThinWall, "Ironing": motion.Ironing,
	"Skirt": motion.Skirt, "Skirt/Brim": motion.Skirt, "Brim": motion.Brim, "Support material": motion.Support,
	"Support material interface": motion.SupportInterface, "Wipe tower": motion.Prime,
	// OrcaSlicer
	"Outer wall": motion.OuterWall, "Inner wall": motion.InnerWall, "Overhang wall": motion.OverhangWall, "Sparse infill": motion.Infill,
	"Internal solid infill": motion.SolidInfill, "Top surface": motion.TopSkin, "Bottom surface": motion.BottomSkin, "Bridge": motion.Bridge,
	"Internal Bridge": motion.Bridge, "Gap infill": motion.ThinWall, "Support": motion.Support, "Support interface": motion.SupportInterface,
	"Support transition": motion.Support, "Prime tower": motion.Prime,
	// Cura
	"WALL-OUTER": motion.OuterWall, "WALL-INNER": motion.InnerWall, "SKIN": motion.SolidInfill, "FILL": motion.Infill,
	"SKIRT": motion.Skirt, "SUPPORT": motion.Support, "SUPPORT-INTERFACE": motion.SupportInterface, "PRIME-TOWER": motion.Prime,
}

// remark takes what a comment says of layers and lines. What it does not know is
// passed over: a comment changes nothing of what the machine does.
func (p *Parser) remark(note []byte) {
	name, value, _ := bytes.Cut(note, []byte(":"))
	switch string(name) {
	case "LAYER_CHANGE", "CHANGE_LAYER", "LAYER":
		if !p.layerDue {
			p.layerDue, p.layerZ = true, -1
		}
	case "Z", "Z_HEIGHT":
		if v, rest, ok := number(blank(value)); ok && len(rest) == 0 && v >= 0 && v <= maxLength {
			p.layerZ = v
		}
	case "TYPE", "FEATURE":
		if r, ok := roles[string(blank(value))]; ok {
			p.role = r
		}
	}
}

// beginLayer emits the mark of a layer that a comment announced, before the move op.
func (p *Parser) beginLayer(op motion.Op) bool {
	z := op.To[motion.IZ]
	switch {
	case p.layerZ >= 0:
		z = length(p.layerZ)
	case op.Has(motion.Z):
	case p.known&motion.Z != 0:
		z = length(p.at[motion.IZ])
	default:
		return true
	}
	if l := p.o.Limits; z < l.Min[motion.IZ] || z > l.Max[motion.IZ] {
		return true
	}
	mark := motion.Op{Kind: motion.BeginLayer, Tool: p.tool, Layer: p.layers}
	mark.To[motion.IZ] = z
	p.layerDue = false
	p.layers++
	return p.yield(mark, nil)
}
