package watch

import (
	"time"

	"platen/hal"
	"platen/hal/unit"
)

// heater is what is known of one heater. It is fed with one report after the other,
// on a clock that starts anywhere.
type heater struct {
	tune Tuning
	hist history

	target  unit.Celsius
	since   time.Duration // when the target was first seen
	at      time.Duration // of the last report
	last    unit.Celsius
	known   bool // there was a report
	climbs  bool // it is on its way up to a new target
	first   bool // it has not risen yet since the target was set
	goal    unit.Celsius
	goalBy  time.Duration
	deficit int64 // m°C ms
	held    bool  // it has been within the band of this target

	outside int // reports in a row beyond the bounds
	jumped  int // reports in a row far from the last believed one
	glitch  [3]time.Duration
	nGlitch int

	calm    time.Duration // since when nothing is known to have changed what it takes to hold the target
	usual   int           // mean power then, once it is known
	isUsual bool

	powered  bool         // the firmware has reported power
	coolFrom unit.Celsius // without a target it has to be cooler than that
	coolBy   time.Duration
}

// slack is how far a report may be from the one before whatever the time between.
const slack = 15 * unit.Degree

// reports in a row that a sudden or impossible reading must last.
const insist = 3

// What warms by creep in creepTime is slow but well.
const (
	creep     = unit.Degree
	creepTime = 10 * time.Second
)

// maxGap is the longest time that is summed up between two reports.
const maxGap = 5 * time.Second

// report takes in one report made at time at and says what is wrong, if anything.
func (h *heater) report(at time.Duration, st hal.HeaterState) Reason {
	if h.known && at <= h.at {
		return None
	}
	if r := h.jump(at, st); r != None || h.jumped > 0 {
		return r
	}
	gap := min(at-h.at, maxGap)
	if !h.known {
		h.known, h.since, gap = true, at, 0
	}
	h.at, h.last = at, st.Actual
	if st.Target != h.target {
		h.aim(at, st)
	}
	h.hist.add(at, st.Actual, st.Power)
	for _, r := range [...]Reason{h.bounds(st), h.warms(at, gap, st), h.stuckOn(at, st), h.follows(at, st), h.cools(at, st), h.holds(at, st)} {
		if r != None {
			return r
		}
	}
	return None
}

// aim starts anew for another target.
func (h *heater) aim(at time.Duration, st hal.HeaterState) {
	h.target, h.since = st.Target, at
	h.deficit, h.held = 0, false
	h.disturbed(at)
	h.climbs, h.first = true, true
	h.goal, h.goalBy = st.Actual+h.tune.Gain, at+h.tune.GainTime
}

// jump looks for readings that no sensor can have so soon after the one before. One
// that goes away again is forgotten, unless that happens often.
func (h *heater) jump(at time.Duration, st hal.HeaterState) Reason {
	if !h.known || h.tune.Rate < 0 {
		return None
	}
	room := int64(slack) + int64(h.tune.Rate)*(at-h.at).Milliseconds()/1000
	if d := int64(st.Actual) - int64(h.last); d <= room && d >= -room {
		h.jumped = 0
		return None
	}
	if st.Target <= 0 && h.target <= 0 { // somebody works on the plugs of a machine that is off
		h.hist, h.jumped = history{}, 0
		return None
	}
	if h.jumped++; h.jumped >= insist {
		return SensorJump
	}
	if h.jumped == 1 {
		copy(h.glitch[1:], h.glitch[:])
		h.glitch[0] = at
		h.nGlitch = min(h.nGlitch+1, len(h.glitch))
		if h.nGlitch == len(h.glitch) && at-h.glitch[len(h.glitch)-1] < time.Minute {
			return SensorJump // a loose plug
		}
	}
	return None
}

// bounds holds the reading against what the machine can have.
func (h *heater) bounds(st hal.HeaterState) Reason {
	low := h.tune.Min > 0 && st.Target > 0 && st.Actual < h.tune.Min
	high := h.tune.Max > 0 && st.Actual > h.tune.Max
	if !low && !high {
		h.outside = 0
		return None
	}
	if h.outside++; h.outside >= insist {
		return SensorRange
	}
	return None
}

// warms demands that a heater gets to its target and stays there.
func (h *heater) warms(at, gap time.Duration, st hal.HeaterState) Reason {
	if h.tune.Deficit < 0 {
		return None
	}
	below := st.Target - h.tune.Band - st.Actual
	switch {
	case st.Target <= 0 || below <= 0:
		h.climbs, h.first = false, false
		h.held = st.Target > 0
		h.deficit = 0
		return None
	case h.climbs && st.Actual >= h.goal:
		h.first = false
		h.goal, h.goalBy = st.Actual+h.tune.Gain, at+h.tune.GainTime
	case h.climbs && at >= h.goalBy:
		h.climbs = false
	case h.climbs && h.first: // what was hotter before falls at first
		h.goal = min(h.goal, st.Actual+h.tune.Gain)
	}
	if w := h.hist.last(creepTime); h.climbs || w.whole && st.Actual-w.first >= creep {
		return None
	}
	h.deficit += int64(below) * gap.Milliseconds()
	switch {
	case h.deficit < int64(h.tune.Deficit)*1000:
		return None
	case h.held:
		return Runaway
	}
	return HeatingFailed
}

// stuckOn looks for heat that nobody asked for.
func (h *heater) stuckOn(at time.Duration, st hal.HeaterState) Reason {
	t := &h.tune
	if t.Rise < 0 || at-h.since < t.Settle+t.RiseTime && st.Target == 0 || at-h.since < t.Settle {
		return None
	}
	if st.Target > 0 && st.Actual <= st.Target+t.Over {
		return None
	}
	w := h.hist.last(t.RiseTime)
	if w.whole && st.Actual-w.first >= t.Rise && st.Actual-w.min >= t.Rise {
		return StuckOn
	}
	return None
}

// follows demands that the reading answers to the power.
func (h *heater) follows(at time.Duration, st hal.HeaterState) Reason {
	t := &h.tune
	h.powered = h.powered || st.Power > 0
	if away := st.Actual - st.Target; t.StillTime > 0 && at-h.since >= t.StillTime && (away > t.Band || -away > t.Band) {
		w := h.hist.last(t.StillTime)
		if w.whole && w.max-w.min <= t.Still && max(w.early, w.late)-min(w.early, w.late) > int(t.Swing) {
			return SensorStuck
		}
	}
	if t.FullTime > 0 && st.Target > 0 && at-h.since >= t.FullTime {
		w := h.hist.last(t.FullTime)
		if w.whole && w.least >= nearlyFull && w.max-w.min <= t.Still && st.Actual >= st.Target-t.Band {
			return SensorStuck
		}
	}
	return None
}

// nearlyFull is what counts as full power: firmware limits it a little (PID_MAX).
const nearlyFull = unit.FullDuty - 8

// cools demands that what is hot and gets no power becomes cooler.
func (h *heater) cools(at time.Duration, st hal.HeaterState) Reason {
	t := &h.tune
	off := st.Target <= 0 || h.powered && st.Power == 0
	if t.CoolTime <= 0 || !off || st.Actual < t.Hot {
		h.coolBy = 0
		return None
	}
	if h.coolBy == 0 || st.Actual <= h.coolFrom-t.Still {
		h.coolFrom, h.coolBy = st.Actual, at+t.CoolTime
	}
	if at >= h.coolBy {
		return SensorStuck
	}
	return None
}

// disturbed notes that from now on it may take another power to hold the target.
func (h *heater) disturbed(at time.Duration) { h.calm, h.isUsual = at, false }

// holds demands that holding a target does not take more and more power: a thermistor
// that drifts down looks like that.
func (h *heater) holds(at time.Duration, st hal.HeaterState) Reason {
	t := &h.tune
	away := st.Actual - st.Target
	if t.HoldTime <= 0 || st.Target <= 0 || away > t.Band || -away > t.Band {
		h.disturbed(at)
		return None
	}
	if at-h.calm < t.HoldTime {
		return None
	}
	w := h.hist.last(t.HoldTime)
	if mean := (w.early + w.late) / 2; !h.isUsual {
		h.usual, h.isUsual = mean, w.whole
	} else if w.whole && mean > h.usual+int(t.Swing) {
		return SensorDrift
	}
	return None
}
