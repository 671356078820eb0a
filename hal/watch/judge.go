package watch

import (
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// Contact is a switch: a filament sensor or a door.
type Contact uint8

// The states of a contact.
const (
	Unknown Contact = iota // there is none, or it cannot be read
	Good                   // filament is there, the door is shut
	Bad                    // filament is out, the door is open
)

// MaxFans bounds the fans with a tachometer.
const MaxFans = 4

// Box is what the sensors of the box say at one moment.
type Box struct {
	Ambient    unit.Celsius // of the room or the case
	HasAmbient bool
	Filament   Contact
	Door       Contact
	Fans       [MaxFans]Tach // as Config.Fans
}

// Tach is what the tachometer of a fan says.
type Tach struct {
	RPM   int32
	Known bool // false: it cannot be read, and is not judged
}

// Fan is a fan with a tachometer. It is judged while it is to turn: one that a program
// sets while its duty is LeastDuty or more, one that cools a heater while that is hot.
type Fan struct {
	Of        motion.Heater // it cools this heater, if Cools
	Cools     bool
	Index     uint8 // it is this fan of programs, unless Cools
	LeastDuty unit.Duty
	LeastRPM  int32
	Action    Action
}

// Times that a condition of the box must last.
const (
	spinUp   = 20 * time.Second // of a fan that is to turn: programs are sent ahead of what is done
	slowFor  = 3 * time.Second
	fanHot   = 50 * unit.Degree // above which a hot end's fan runs on every printer
	contact  = 300 * time.Millisecond
	restTime = 30 * time.Minute // after which what is off counts as cold
	restStep = time.Minute
	restMost = unit.Degree // change in a restStep of what is cold
)

// judge is the supervisor without a clock and without a machine: it is told what there
// is, and says what is wrong.
type judge struct {
	cfg     *Config
	heaters [hal.MaxHeaters]heater
	wanted  [hal.MaxHeaters]wanted
	ids     [hal.MaxHeaters]motion.Heater
	n       int

	reported time.Time
	fresh    time.Duration // when a report came last
	hot      time.Duration // since when a heater is to be on without a break
	isHot    bool
	idle     time.Duration // since when heaters are on and nothing is done
	isIdle   bool

	fans     [MaxFans]turning
	duty     [8]unit.Duty
	blown    bool // a fan was set since the last report
	door     lasting
	filament lasting

	cold     time.Duration // since when everything is off
	restAt   time.Duration // next look at what is cold
	resting  [hal.MaxHeaters]unit.Celsius
	suspects [hal.MaxHeaters]bool
}

// turning is a fan that is to turn.
type turning struct {
	on    bool
	since time.Duration
	bad   lasting
}

// lasting is a condition that counts once it has lasted.
type lasting struct {
	is   bool
	from time.Duration
}

// lasts reports whether the condition has lasted for d.
func (l *lasting) lasts(at time.Duration, is bool, d time.Duration) bool {
	if !is {
		l.is = false
		return false
	}
	if !l.is {
		l.is, l.from = true, at
	}
	return at-l.from >= d
}

// index is where heater id is kept, -1 if there is no room for another.
func (j *judge) index(id motion.Heater) int {
	for i := range j.n {
		if j.ids[i] == id {
			return i
		}
	}
	if j.n == len(j.ids) {
		return -1
	}
	j.ids[j.n] = id
	j.heaters[j.n].tune = j.cfg.tuning(id)
	j.n++
	return j.n - 1
}

// ask notes that a target was asked for.
func (j *judge) ask(id motion.Heater, t unit.Celsius) {
	if i := j.index(id); i >= 0 {
		j.wanted[i].ask(t)
	}
}

// taken notes that everything asked of a heater has been executed.
func (j *judge) taken(id motion.Heater) {
	if i := j.index(id); i >= 0 {
		w := &j.wanted[i]
		w.have, w.n = w.newest(), 0
	}
}

// refused takes the last ask of a heater back.
func (j *judge) refused(id motion.Heater) {
	if i := j.index(id); i >= 0 && j.wanted[i].n > 0 {
		j.wanted[i].n--
	}
}

// setFan notes what a program sets a fan to.
func (j *judge) setFan(index uint8, duty unit.Duty) {
	if int(index) < len(j.duty) && j.duty[index] != duty {
		j.duty[index], j.blown = duty, true
	}
}

// doing is what goes on with the machine while it is looked at.
type doing struct {
	running bool // a program is
	held    bool // and is paused
}

// look judges the machine and the box at time at. A reason that does not stop the
// machine comes with its action.
func (j *judge) look(at time.Duration, st *hal.State, box *Box, d doing) (Reason, Action) {
	if !st.Reported.IsZero() && !st.Reported.Equal(j.reported) {
		j.reported, j.fresh = st.Reported, at
		if r := j.temperatures(at, st, box, d); r != None {
			return r, Halt
		}
	}
	if r := j.stale(at); r != None {
		return r, Halt
	}
	if r, a := j.box(at, box); r != None {
		if a == Halt && (j.anyWanted() || d.running) || a == Pause && d.running && !d.held {
			return r, a
		}
	}
	busy := d.running && !d.held
	if !j.anyWanted() || busy {
		j.isIdle = false
	} else if !j.isIdle {
		j.isIdle, j.idle = true, at
	} else if j.cfg.HotIdle > 0 && at-j.idle >= j.cfg.HotIdle {
		j.isIdle = false
		return HotIdle, Ignore
	}
	return None, Ignore
}

// temperatures judges one report.
func (j *judge) temperatures(at time.Duration, st *hal.State, box *Box, d doing) Reason {
	calm := !j.blown && !d.held
	j.blown = false
	for _, h := range st.Heaters[:st.NHeaters] {
		i := j.index(h.ID)
		if i < 0 {
			continue
		}
		if !calm {
			j.heaters[i].disturbed(at)
		}
		if r := j.wanted[i].reported(at, h.Target, d.running && !d.held); r != None {
			return r
		}
		if r := j.heaters[i].report(at, h); r != None {
			return r
		}
	}
	j.rest(at, box)
	for i := range j.n {
		if j.suspects[i] && j.heaters[i].target > 0 {
			return SensorDisagrees
		}
	}
	return None
}

// anyWanted reports whether a heater is on, or is to be.
func (j *judge) anyWanted() bool {
	for i := range j.n {
		if j.wanted[i].highest() > 0 || j.heaters[i].target > 0 {
			return true
		}
	}
	return false
}

// stale demands reports while a heater is on.
func (j *judge) stale(at time.Duration) Reason {
	if !j.anyWanted() {
		j.isHot = false
		return None
	}
	if !j.isHot {
		j.isHot, j.hot = true, at
	}
	if j.cfg.Stale > 0 && at-max(j.fresh, j.hot) >= j.cfg.Stale {
		return Stale
	}
	for i := range j.n { // a heater that is asked to heat and that the reports leave out
		if j.wanted[i].highest() > 0 && j.cfg.Stale > 0 && !j.heaters[i].known && at-j.hot >= 2*j.cfg.Stale {
			return Stale
		}
	}
	return None
}

// box judges fans, door and filament.
func (j *judge) box(at time.Duration, box *Box) (Reason, Action) {
	door := j.door.lasts(at, box.Door == Bad, contact)
	filament := j.filament.lasts(at, box.Filament == Bad, contact)
	r, a := j.fansTurn(at, box)
	switch {
	case door && j.cfg.Door >= a && j.cfg.Door != Ignore:
		return DoorOpen, j.cfg.Door
	case r != None:
		return r, a
	case filament && j.cfg.Filament != Ignore:
		return FilamentOut, Pause // the part is not worth less for it
	}
	return None, Ignore
}

// fansTurn judges the fans that have a tachometer.
func (j *judge) fansTurn(at time.Duration, box *Box) (Reason, Action) {
	act := Ignore
	for i := range j.cfg.Fans {
		f, t := &j.cfg.Fans[i], &j.fans[i]
		on := !f.Cools && int(f.Index) < len(j.duty) && j.duty[f.Index] >= max(f.LeastDuty, 1)
		if f.Cools {
			k := j.index(f.Of)
			on = k >= 0 && j.heaters[k].last > fanHot
		}
		if on && !t.on {
			t.since = at
		}
		t.on = on
		slow := on && at-t.since >= spinUp && box.Fans[i].Known && box.Fans[i].RPM < f.LeastRPM
		if t.bad.lasts(at, slow, slowFor) && f.Action > act {
			act = f.Action
		}
	}
	if act != Ignore {
		return FanStopped, act
	}
	return None, Ignore
}

// rest compares the readings of what has been off for so long that it is as cold as
// the rest, and suspects one that is not.
func (j *judge) rest(at time.Duration, box *Box) {
	if j.anyWanted() {
		j.cold, j.restAt = at, 0
		return
	}
	if at-j.cold < restTime || at < j.restAt {
		return
	}
	settled := j.restAt > 0
	j.restAt = at + restStep
	coolest := unit.Celsius(1 << 30)
	for i := range j.n {
		t := j.heaters[i].last
		settled = settled && t-j.resting[i] <= restMost && j.resting[i]-t <= restMost
		j.resting[i] = t
		coolest = min(coolest, t)
	}
	if !settled {
		return
	}
	if box.HasAmbient {
		coolest = box.Ambient
	}
	for i := range j.n {
		apart := j.heaters[i].tune.Apart
		off := j.heaters[i].last - coolest
		j.suspects[i] = apart > 0 && (off > apart || -off > apart)
	}
}
