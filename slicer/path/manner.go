package path

import (
	"time"

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
	Restart          unit.Speed // of the filament as it is given back; 0: as Retract
	Least            unit.Speed // no line is slowed below it so that a layer takes long enough; 0: 10 mm/s
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
		return either(s.ThinWall, s.InnerWall)
	case motion.Infill:
		return s.Infill
	case motion.SolidInfill, motion.BottomSkin:
		return s.Skin
	case motion.TopSkin:
		return either(s.TopSkin, s.Skin)
	case motion.Bridge:
		return either(s.Bridge, s.Skin)
	case motion.Ironing:
		return either(s.Ironing, either(s.TopSkin, s.Skin))
	case motion.Support:
		return either(s.Support, s.Infill)
	case motion.SupportInterface:
		return either(s.SupportInterface, s.Skin)
	case motion.Raft:
		return either(s.Raft, either(s.Support, s.Infill))
	}
	return s.FirstLayer
}

// either is v, or other if v is nothing.
func either[T ~int32 | ~uint8](v, other T) T {
	if v > 0 {
		return v
	}
	return other
}

// Accels are accelerations by what is printed; 0 is that of all other lines.
type Accels struct {
	FirstLayer unit.Accel // everything on the first layer
	OuterWall  unit.Accel
	InnerWall  unit.Accel
	Skin       unit.Accel // solid, seen or not
	TopSkin    unit.Accel // 0: as Skin
	Infill     unit.Accel
	Bridge     unit.Accel // and walls that hang over with all of their width
}

// accel is the acceleration of a line; 0 leaves what the machine has.
func (p *Params) accel(r motion.Role, hang uint8, firstLayer bool) unit.Accel {
	if p.Accel == 0 { // there is none to go back to
		return 0
	}
	a := &p.Accels
	v := unit.Accel(0)
	switch {
	case firstLayer && a.FirstLayer > 0:
		v = a.FirstLayer
	case r == motion.Bridge || hang >= 4:
		v = a.Bridge
	case r == motion.OuterWall || r == motion.Vase:
		v = a.OuterWall
	case r == motion.InnerWall || r == motion.ThinWall:
		v = a.InnerWall
	case r == motion.TopSkin || r == motion.Ironing:
		v = either(a.TopSkin, a.Skin)
	case r == motion.SolidInfill || r == motion.BottomSkin:
		v = a.Skin
	case r == motion.Infill:
		v = a.Infill
	}
	return either(v, p.Accel)
}

// Fans is the power of the fan where it is not the common one.
type Fans struct {
	// Least is the power for a layer that takes FullTime or longer: one that takes
	// the least time gets all of it, one in between a share.
	Least    unit.Duty
	FullTime time.Duration // 0 gives every layer the same
	Bridge   unit.Duty     // on bridges; 0: as everything else
	Overhang [4]unit.Duty  // on walls of which at least a quarter, half, … hangs over; 0: as everything else
	Support  unit.Duty     // on the interface of support; 0: as everything else
}

// fan is the power for a line in a layer whose common power is given.
func (f *Fans) fan(r motion.Role, hang uint8, common unit.Duty) unit.Duty {
	switch {
	case r == motion.Bridge:
		return either(f.Bridge, common)
	case hang > 0:
		return either(f.Overhang[min(hang, 4)-1], common)
	case r == motion.SupportInterface:
		return either(f.Support, common)
	}
	return common
}

// varies reports whether lines of one layer can have different fans.
func (f *Fans) varies() bool {
	return f.Bridge > 0 || f.Overhang != [4]unit.Duty{} || f.Support > 0
}

// Flow is how much is melted in a time, in 1/1000 mm³/s.
type Flow int32

// Advance is a time by which the filament runs ahead, in 1/10000 s.
type Advance int32
