package marlin

import (
	"time"

	"platen/hal"
	"platen/hal/gcode"
)

// read deals with what the port said.
func (o *owner) read(chunk []byte, now time.Time) {
	for in := chunk; len(in) > 0; {
		text, rest, more := o.split.Next(in)
		in = rest
		if !more {
			break
		}
		gcode.Parse(text, &o.reply)
		if o.reply.Kind != gcode.Garbage && o.reply.Kind != gcode.Empty {
			o.heard = now // noise is not life
		}
		o.understand(&o.reply, now)
	}
	o.count()
}

func (o *owner) understand(r *gcode.Reply, now time.Time) {
	if r.NTemps > 0 {
		o.temperatures(r, now)
	}
	switch {
	case o.isDead:
		if r.Kind == gcode.Fault || r.Kind == gcode.Start {
			o.confirmed = true
		}
	case r.Kind == gcode.Fault:
		o.fail(r.Fault, nil)
	default:
		if err := o.link.Handle(r, now); err != nil {
			o.fail(faultOf(err), err)
		}
	}
}

// temperatures takes a report over into the state. What a report leaves out stays.
func (m *Machine) temperatures(r *gcode.Reply, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.state
	s.Reported = now
	for _, t := range r.Temps[:r.NTemps] {
		h := heater(s, t.ID)
		if h == nil {
			continue
		}
		h.Actual = t.Actual
		if t.HasTarget {
			h.Target = t.Target
		}
		if t.HasPower {
			h.Power = t.Power
		}
	}
}

// heater finds the entry of a heater, making one if there is room.
func heater(s *hal.State, id hal.HeaterID) *hal.HeaterState {
	for i := range s.Heaters[:s.NHeaters] {
		if s.Heaters[i].ID == id {
			return &s.Heaters[i]
		}
	}
	if s.NHeaters == len(s.Heaters) {
		return nil
	}
	s.NHeaters++
	h := &s.Heaters[s.NHeaters-1]
	*h = hal.HeaterState{ID: id}
	return h
}

// count takes the counters of the line engine over into the state.
func (o *owner) count() {
	stats, lines := o.link.Stats(), o.link.Accepted()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state.Lines, o.state.Resends, o.state.LinkError = lines, stats.Resends, stats.Spurious
}

// publish sets the phase unless the machine is dead.
func (m *Machine) publish(p hal.Phase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.state.Phase = p
	}
}
