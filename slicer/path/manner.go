package path

import (
	"platen/hal/motion"
	"platen/hal/unit"
)

// Speeds by what is printed. One that is 0 is as said beside it.
type Speeds struct {
	OuterWall        unit.Speed
	InnerWall        unit.Speed
	ThinWall         unit.Speed    // 0: as InnerWall
	Overhang         [4]unit.Speed // of a wall of which at least a quarter, half, … hangs over; 0: as what it belongs to
	Skin             unit.Speed    // solid, wherever nothing else is said
	TopSkin          unit.Speed    // 0: as Skin
	Bridge           unit.Speed    // 0: as Skin
	Ironing          unit.Speed    // 0: as TopSkin
	Infill           unit.Speed
	Support          unit.Speed // 0: as Infill
	SupportInterface unit.Speed // 0: as Skin
	Raft             unit.Speed // but for its first layer; 0: as Support
	FirstLayer       unit.Speed // everything on the first layer
	Travel           unit.Speed
	Lift             unit.Speed // up and down
	Retract          unit.Speed // of the filament
}

// of is the speed of a line whose role and hang are given, above the first layer.
func (s *Speeds) of(r motion.Role, hang uint8) unit.Speed {
	v := s.role(r)
	if hang > 0 {
		if slow := s.Overhang[min(hang, 4)-1]; slow > 0 {
			v = min(v, slow)
		}
	}
	return v
}

// role is the speed of a role, hanging over or not.
func (s *Speeds) role(r motion.Role) unit.Speed {
	switch r {
	case motion.OuterWall, motion.OverhangWall, motion.Vase:
		return s.OuterWall
	case motion.InnerWall:
		return s.InnerWall
	case motion.ThinWall:
		return first(s.ThinWall, s.InnerWall)
	case motion.Infill:
		return s.Infill
	case motion.SolidInfill, motion.BottomSkin:
		return s.Skin
	case motion.TopSkin:
		return first(s.TopSkin, s.Skin)
	case motion.Bridge:
		return first(s.Bridge, s.Skin)
	case motion.Ironing:
		return first(s.Ironing, first(s.TopSkin, s.Skin))
	case motion.Support:
		return first(s.Support, s.Infill)
	case motion.SupportInterface:
		return first(s.SupportInterface, s.Skin)
	case motion.Raft:
		return first(s.Raft, first(s.Support, s.Infill))
	}
	return s.FirstLayer
}

// first is v, or other if v is nothing.
func first(v, other unit.Speed) unit.Speed {
	if v > 0 {
		return v
	}
	return other
}
