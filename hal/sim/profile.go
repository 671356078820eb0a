package sim

import (
	"math"
	"time"
)

// profile is the speed of one block over its length: accelerate from the entry
// speed, cruise, brake to the exit speed. Lengths are mm, speeds mm/s.
type profile struct {
	accel            float64
	entry, top, exit float64
	length           float64
	upLen, flatLen   float64
	upTime, flatTime float64 // s
	downTime         float64
}

// trapezoid plans a block of the given length. If the length is too short for the
// nominal speed the block peaks below it; if it is too short even to reach the exit
// speed, the exit speed gives way, as it does in the firmware.
func trapezoid(length, entry, nominal, exit, accel float64) profile {
	p := profile{accel: accel, entry: min(entry, nominal), top: nominal, exit: min(exit, nominal), length: length}
	up := (nominal*nominal - p.entry*p.entry) / (2 * accel)
	down := (nominal*nominal - p.exit*p.exit) / (2 * accel)
	if up+down > length {
		p.top = math.Sqrt(max(0, (2*accel*length+p.entry*p.entry+p.exit*p.exit)/2))
		p.top = max(p.top, p.entry, p.exit)
		up = (p.top*p.top - p.entry*p.entry) / (2 * accel)
		if up > length { // it cannot even reach the exit speed
			up = length
			p.top = math.Sqrt(p.entry*p.entry + 2*accel*length)
			p.exit = p.top
		}
		down = length - up
		p.exit = math.Sqrt(max(0, p.top*p.top-2*accel*down))
	}
	p.upLen, p.flatLen = up, max(0, length-up-down)
	p.upTime = (p.top - p.entry) / accel
	p.downTime = (p.top - p.exit) / accel
	if p.flatLen > 0 {
		p.flatTime = p.flatLen / p.top
	}
	return p
}

// duration is how long the block takes.
func (p *profile) duration() time.Duration {
	return time.Duration((p.upTime + p.flatTime + p.downTime) * float64(time.Second))
}

// at is the length driven after t, at most the whole length.
func (p *profile) at(t time.Duration) float64 {
	s := t.Seconds()
	if s <= p.upTime {
		return min(p.length, p.entry*s+p.accel*s*s/2)
	}
	s -= p.upTime
	if s <= p.flatTime {
		return p.upLen + p.top*s
	}
	s = min(s-p.flatTime, p.downTime)
	return min(p.length, p.upLen+p.flatLen+p.top*s-p.accel*s*s/2)
}
