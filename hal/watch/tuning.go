package watch

import (
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

// Tuning is how one heater is judged. A zero field takes the default of
// [DefaultTuning]; a field below zero switches its rule off.
type Tuning struct {
	// Min and Max bound the reading: below Min counts while the heater is to be on,
	// above Max always.
	Min, Max unit.Celsius

	// While the reading is more than Band below its target it has to rise by Gain in
	// each GainTime; once it does not, or has been at its target before, its distance
	// from the band is summed up over seconds and may not reach Deficit. (As Klipper's
	// verify_heater does, klippy/extras/verify_heater.py.)
	Band, Gain unit.Celsius
	GainTime   time.Duration
	Deficit    unit.Celsius // times a second

	// A heater that has had its target for Settle may not be more than Over above it
	// and warm by Rise in RiseTime; one without a target may not warm by Rise in
	// RiseTime at all.
	Over, Rise       unit.Celsius
	RiseTime, Settle time.Duration

	// Rate is the fastest change, in a second, that the sensor can show.
	Rate unit.Celsius

	// A reading off its target that stays within Still for StillTime while the power of one half of
	// that time is more than Swing above that of the other does not follow the power.
	Still     unit.Celsius
	StillTime time.Duration
	Swing     unit.Duty

	// At full power for FullTime a reading near its target may not stay within Still: one
	// of a hot end at the end of its strength wavers, one that is frozen does not.
	FullTime time.Duration
	// Held at a target, with the fans as they are, it may not take Swing more power than
	// it did over the first HoldTime.
	HoldTime time.Duration
	// Without power, and Hot or more, it has to fall by Still in CoolTime.
	Hot      unit.Celsius
	CoolTime time.Duration

	// Apart is how far a cold reading may be from the coolest other one.
	Apart unit.Celsius
}

// DefaultTuning is what suits the heaters of most printers. The figures for Band, Gain,
// GainTime and Deficit are Klipper's defaults (docs/Config_Reference.md, verify_heater);
// Over is a little more than the overshoot that Marlin's own limits allow
// (HOTEND_OVERSHOOT, BED_OVERSHOOT in Configuration.h); Rate is twice that of the
// quickest hot ends sold; the others come from simulated prints (see the tests).
func DefaultTuning(id motion.Heater) Tuning {
	const deg = unit.Degree
	t := Tuning{
		Min: 2 * deg, Max: 300 * deg, Band: 5 * deg, Gain: 2 * deg, GainTime: 20 * time.Second, Deficit: 120 * deg,
		Over: 18 * deg, Rise: 6 * deg, RiseTime: 8 * time.Second, Settle: 15 * time.Second, Rate: 20 * deg,
		Still: deg / 5, StillTime: 30 * time.Second, Swing: 80, FullTime: 90 * time.Second, HoldTime: 60 * time.Second,
		Hot: 90 * deg, CoolTime: 60 * time.Second, Apart: 25 * deg,
	}
	if id < motion.HotEnd { // bed and chamber: heavy, and at full power for long
		t.Max, t.GainTime = 150*deg, 60*time.Second
		t.Over, t.Rise, t.RiseTime, t.Settle, t.Rate = 12*deg, 3*deg, 15*time.Second, 60*time.Second, 10*deg
		t.StillTime, t.FullTime, t.HoldTime, t.Hot, t.CoolTime = 120*time.Second, -1, -1, 60*deg, 15*time.Minute
	}
	if id == motion.Chamber { // it has no power of its own to speak of
		t.Max, t.GainTime, t.Over, t.Rise = 100*deg, 10*time.Minute, 20*deg, 10*deg
		t.StillTime, t.CoolTime = -1, -1
	}
	return t
}

// with fills zero fields from d.
func (t Tuning) with(d Tuning) Tuning {
	fill(&t.Min, d.Min)
	fill(&t.Max, d.Max)
	fill(&t.Band, d.Band)
	fill(&t.Gain, d.Gain)
	fill(&t.GainTime, d.GainTime)
	fill(&t.Deficit, d.Deficit)
	fill(&t.Over, d.Over)
	fill(&t.Rise, d.Rise)
	fill(&t.RiseTime, d.RiseTime)
	fill(&t.Settle, d.Settle)
	fill(&t.Rate, d.Rate)
	fill(&t.Still, d.Still)
	fill(&t.StillTime, d.StillTime)
	fill(&t.Swing, d.Swing)
	fill(&t.FullTime, d.FullTime)
	fill(&t.HoldTime, d.HoldTime)
	fill(&t.Hot, d.Hot)
	fill(&t.CoolTime, d.CoolTime)
	fill(&t.Apart, d.Apart)
	return t
}

func fill[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
