package session

import (
	"sync"

	"platen/agent/seam"
	"platen/hal"
	"platen/hal/unit"
)

// duty counts how much power heaters have while a job runs. Only the shares of the whole job
// leave the session: as a series they would follow what is printed.
type duty struct {
	mu      sync.Mutex
	n       int
	heaters [hal.MaxHeaters]heaterDuty
}

// heaterDuty is one heater: seconds in which it was on, by its power.
type heaterDuty struct {
	id      hal.HeaterID
	powered bool // firmware tells of its power
	seconds [seam.DutyBins]uint32
}

// note takes the state of one second.
func (d *duty) note(st *hal.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range st.Heaters[:st.NHeaters] {
		if h.Target <= 0 {
			continue
		}
		i := 0
		for i < d.n && d.heaters[i].id != h.ID {
			i++
		}
		if i == len(d.heaters) {
			continue
		}
		d.n = max(d.n, i+1)
		e := &d.heaters[i]
		e.id = h.ID
		e.powered = e.powered || h.Power > 0
		e.seconds[bin(h.Power)]++
	}
}

// bin is the share that a power counts for.
func bin(p unit.Duty) int { return (4*int(p) + int(unit.FullDuty) - 1) / int(unit.FullDuty) }

// told is what is said of the job. A heater whose power firmware does not tell is left out.
func (d *duty) told() (m seam.Duty) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.heaters[:d.n] {
		if !e.powered {
			continue
		}
		all := uint32(0)
		for _, s := range e.seconds {
			all += s
		}
		h := seam.HeaterDuty{ID: uint8(e.id), Hours: seam.HoursBucket(all)}
		for i, s := range e.seconds {
			h.Share[i] = uint8((10*s + all/2) / all)
		}
		m.Heaters[m.N] = h
		m.N++
	}
	return m
}
