package boards

import (
	"fmt"
	"time"

	"platen/hal/unit"
	"platen/hal/watch"
)

// fileWatch is how the machine is supervised. Everything has a default; see package
// watch.
type fileWatch struct {
	Stale    duration   `toml:"stale" need:"optional"`
	HotIdle  duration   `toml:"hot_idle" need:"optional"`
	Door     string     `toml:"door" need:"optional" of:"ignore pause halt"`
	Filament string     `toml:"filament" need:"optional" of:"ignore pause"`
	HotEnd   fileTuning `toml:"hot_end" need:"optional"`
	Bed      fileTuning `toml:"bed" need:"optional"`
	Chamber  fileTuning `toml:"chamber" need:"optional"`
}

// fileTuning is watch.Tuning; off names rules that are not applied.
type fileTuning struct {
	Min       celsius  `toml:"min" need:"optional"`
	Max       celsius  `toml:"max" need:"optional"`
	Band      celsius  `toml:"band" need:"optional"`
	Gain      celsius  `toml:"gain" need:"optional"`
	GainTime  duration `toml:"gain_time" need:"optional"`
	Deficit   celsius  `toml:"deficit" need:"optional"`
	Over      celsius  `toml:"over" need:"optional"`
	Rise      celsius  `toml:"rise" need:"optional"`
	RiseTime  duration `toml:"rise_time" need:"optional"`
	Settle    duration `toml:"settle" need:"optional"`
	Rate      celsius  `toml:"rate" need:"optional"`
	Still     celsius  `toml:"still" need:"optional"`
	StillTime duration `toml:"still_time" need:"optional"`
	Swing     percent  `toml:"swing" need:"optional"`
	FullTime  duration `toml:"full_time" need:"optional"`
	HoldTime  duration `toml:"hold_time" need:"optional"`
	Hot       celsius  `toml:"hot" need:"optional"`
	CoolTime  duration `toml:"cool_time" need:"optional"`
	Apart     celsius  `toml:"apart" need:"optional"`
	Off       []string `toml:"off" need:"optional" of:"warm on jump still full hold cool apart"`
}

// Defaults of [watch].
const (
	defaultHotIdle = 15 * time.Minute
	overLimit      = 20 * unit.Degree // a reading that far above what the board may be set to is none
)

// watch is the supervision of the machine. limits are those of the board.
func (f *file) watch(b *Board) (watch.Config, error) {
	w := f.Watch
	c := watch.Config{Stale: time.Duration(w.Stale), HotIdle: time.Duration(w.HotIdle)}
	if c.HotIdle == 0 {
		c.HotIdle = defaultHotIdle
	}
	if c.HotIdle < time.Minute || c.Stale != 0 && c.Stale < 3*time.Second {
		return c, fmt.Errorf("watch.hot_idle is 1m or more, watch.stale 3s or more")
	}
	for _, v := range []struct {
		key, is string
		to      *watch.Action
	}{{"door", w.Door, &c.Door}, {"filament", w.Filament, &c.Filament}} {
		a, ok := action(v.is, watch.Pause)
		if !ok || v.key == "filament" && a == watch.Halt {
			return c, fmt.Errorf("watch.%s %q is not known: use ignore, pause or, for the door, halt", v.key, v.is)
		}
		*v.to = a
	}
	for _, v := range []struct {
		key  string
		from *fileTuning
		to   *watch.Tuning
		max  unit.Celsius
	}{
		{"hot_end", &w.HotEnd, &c.HotEnd, b.Limits.HotEnd.Max}, {"bed", &w.Bed, &c.Bed, b.Limits.Bed.Max},
		{"chamber", &w.Chamber, &c.Chamber, b.Limits.Chamber.Max},
	} {
		t, err := v.from.tuning(v.max)
		if err != nil {
			return c, fmt.Errorf("watch.%s: %w", v.key, err)
		}
		*v.to = t
	}
	return c, nil
}

// action reads the name of one; "" is the given one.
func action(name string, def watch.Action) (watch.Action, bool) {
	if name == "" {
		return def, true
	}
	for _, a := range []watch.Action{watch.Ignore, watch.Pause, watch.Halt} {
		if a.String() == name {
			return a, true
		}
	}
	return 0, false
}

// rules that a board may switch off, with the field that is below zero then.
var rules = map[string]func(*watch.Tuning){
	"warm":  func(t *watch.Tuning) { t.Deficit = -1 },
	"on":    func(t *watch.Tuning) { t.Rise = -1 },
	"jump":  func(t *watch.Tuning) { t.Rate = -1 },
	"still": func(t *watch.Tuning) { t.StillTime = -1 },
	"full":  func(t *watch.Tuning) { t.FullTime = -1 },
	"hold":  func(t *watch.Tuning) { t.HoldTime = -1 },
	"cool":  func(t *watch.Tuning) { t.CoolTime = -1 },
	"apart": func(t *watch.Tuning) { t.Apart = -1 },
}

// tuning is f, with the highest reading by the board's limit unless it is given.
func (f *fileTuning) tuning(limit unit.Celsius) (watch.Tuning, error) {
	t := watch.Tuning{
		Min: unit.Celsius(f.Min), Max: unit.Celsius(f.Max), Band: unit.Celsius(f.Band), Gain: unit.Celsius(f.Gain),
		GainTime: time.Duration(f.GainTime), Deficit: unit.Celsius(f.Deficit), Over: unit.Celsius(f.Over), Rise: unit.Celsius(f.Rise),
		RiseTime: time.Duration(f.RiseTime), Settle: time.Duration(f.Settle), Rate: unit.Celsius(f.Rate), Still: unit.Celsius(f.Still),
		StillTime: time.Duration(f.StillTime), Swing: unit.Duty(f.Swing), FullTime: time.Duration(f.FullTime), HoldTime: time.Duration(f.HoldTime), Hot: unit.Celsius(f.Hot),
		CoolTime: time.Duration(f.CoolTime), Apart: unit.Celsius(f.Apart),
	}
	if t.Max == 0 && limit > 0 {
		t.Max = limit + overLimit
	}
	if t.StillTime > watch.MaxLook || t.FullTime > watch.MaxLook || t.HoldTime > watch.MaxLook || t.RiseTime > watch.MaxLook {
		return t, fmt.Errorf("still_time, full_time, hold_time and rise_time are at most %v", watch.MaxLook)
	}
	for _, name := range f.Off { // it is one of the words of the key
		rules[name](&t)
	}
	return t, nil
}
