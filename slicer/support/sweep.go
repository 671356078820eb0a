package support

import (
	"log/slog"

	"platen/hal/unit"
)

// Sweep goes upward through a plan. It is design data.
type Sweep struct {
	plan  *Plan
	start int // the next prop to begin
	end   int // the next to end, in plan.ends
	masks [3]Mask
	level int // of branches
	z     unit.Length
}

// String says nothing of the sweep.
func (s *Sweep) String() string { return "support sweep" }

// GoString says nothing of the sweep.
func (s *Sweep) GoString() string { return "support sweep" }

// LogValue says nothing of the sweep.
func (s *Sweep) LogValue() slog.Value { return slog.StringValue("support sweep") }

// NewSweep begins below all of a plan.
func NewSweep(p *Plan) *Sweep {
	s := &Sweep{plan: p}
	if p.Empty() {
		return s
	}
	for i := range s.masks {
		s.masks[i].reset(p.grid)
	}
	return s
}

// Wipe overwrites what the sweep holds outside of the vault.
func (s *Sweep) Wipe() {
	for i := range s.masks {
		s.masks[i].Wipe()
	}
}

// Rise goes up to a height above the floor.
func (s *Sweep) Rise(z unit.Length) {
	p := s.plan
	if p.Empty() {
		return
	}
	z += p.floor
	s.z = z
	for {
		begins := s.start < len(p.props) && p.props[s.start].z0 <= z
		ends := s.end < len(p.ends) && p.props[p.ends[s.end]].z1 <= z
		// What ends first goes first: a cell may end one prop and begin the next.
		if ends && (!begins || p.props[p.ends[s.end]].z1 <= p.props[s.start].z0) {
			s.put(p.props[p.ends[s.end]], false)
			s.end++
		} else if begins {
			s.put(p.props[s.start], true)
			s.start++
		} else {
			break
		}
	}
	s.level = int((z - p.floor) / levelHeight)
}

func (s *Sweep) put(q prop, on bool) { s.masks[q.what&3].put(int32(q.what>>2), on) }

// most finds how many corners the outlines of one layer have at most.
func (p *Plan) most() (corners int) {
	s := NewSweep(p)
	defer s.Wipe()
	rise := func(z unit.Length) {
		s.Rise(z - p.floor)
		corners = max(corners, s.masks[body].rim+s.masks[roof].rim+s.masks[foot].rim)
	}
	for i := range p.props {
		for s.end < len(p.ends) && p.props[p.ends[s.end]].z1 <= p.props[i].z0 {
			rise(p.props[p.ends[s.end]].z1)
		}
		rise(p.props[i].z0)
	}
	pieces := int32(0)
	for k := 0; k+1 < len(p.levels); k++ {
		pieces = max(pieces, p.levels[k]-p.levels[k+1])
	}
	return corners + len(turns)*int(pieces)
}

// Body is the cells in which there is support at the height, dense or not. It is good
// until the next Rise.
func (s *Sweep) Body() *Mask { return &s.masks[body] }

// Roof is the cells in which there is a dense roof below an underside.
func (s *Sweep) Roof() *Mask { return &s.masks[roof] }

// Foot is the cells in which there is a dense part above what support stands on.
func (s *Sweep) Foot() *Mask { return &s.masks[foot] }
