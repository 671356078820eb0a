package sim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Chance is a probability in parts per million.
type Chance uint32

// Always is the chance of what always happens.
const Always Chance = 1_000_000

// Faults is what goes wrong, and when. Chances are drawn from the seed of the
// Config, for each line in each direction unless said otherwise; times are
// simulated, from power-on, and zero means never. [FaultKinds] says what each does.
type Faults struct {
	Corrupt      Chance
	CorruptReply Chance
	DropByte     Chance
	Burst        Chance
	Garbage      Chance
	HalfLine     Chance
	Delay        Chance
	DropOK       Chance
	DupOK        Chance
	FakeOK       Chance
	ResendStorm  Chance

	ResetAt           time.Duration
	BrownOutAt        time.Duration
	SilentAt          time.Duration
	WrongBaudAt       time.Duration
	ActionAt          time.Duration
	UnplugAt          time.Duration
	ReplugAt          time.Duration
	ThermistorOpenAt  time.Duration
	ThermistorShortAt time.Duration
	ThermistorStuckAt time.Duration
	ThermistorDriftAt time.Duration
	HeaterDeadAt      time.Duration
	HeaterOnAt        time.Duration
	FanDeadAt         time.Duration
	SlipAt            time.Duration

	Action string // what ActionAt asks for; empty is pause
}

// Fault is a kind of fault.
type Fault uint8

// The kinds of faults: first those that a line suffers by chance, then those that
// come at a time.
const (
	FaultCorrupt Fault = iota
	FaultCorruptReply
	FaultDropByte
	FaultBurst
	FaultGarbage
	FaultHalfLine
	FaultDelay
	FaultDropOK
	FaultDupOK
	FaultFakeOK
	FaultResendStorm
	FaultReset
	FaultBrownOut
	FaultSilent
	FaultWrongBaud
	FaultAction
	FaultUnplug
	FaultReplug
	FaultThermistorOpen
	FaultThermistorShort
	FaultThermistorStuck
	FaultThermistorDrift
	FaultHeaterDead
	FaultHeaterOn
	FaultFanDead
	FaultSlip
	faultKinds
)

// faultTable says how each kind is called, where its chance or its time is kept,
// and what it does.
var faultTable = [faultKinds]struct {
	name   string
	chance func(*Faults) *Chance
	at     func(*Faults) *time.Duration
	doc    string
}{
	FaultCorrupt:         {"corrupt", func(f *Faults) *Chance { return &f.Corrupt }, nil, "a line to the firmware has one bit flipped"},
	FaultCorruptReply:    {"corrupt-reply", func(f *Faults) *Chance { return &f.CorruptReply }, nil, "a line to the host has one bit flipped"},
	FaultDropByte:        {"drop-byte", func(f *Faults) *Chance { return &f.DropByte }, nil, "a line loses one byte, either way"},
	FaultBurst:           {"burst", func(f *Faults) *Chance { return &f.Burst }, nil, "two to twenty bytes in a row are damaged, either way"},
	FaultGarbage:         {"garbage", func(f *Faults) *Chance { return &f.Garbage }, nil, "up to eight bytes of noise come before a line, either way"},
	FaultHalfLine:        {"half-line", func(f *Faults) *Chance { return &f.HalfLine }, nil, "a line pauses in its middle for 50 to 500 ms, either way"},
	FaultDelay:           {"delay", func(f *Faults) *Chance { return &f.Delay }, nil, "what the firmware says is held up for 0.1 to 2 s"},
	FaultDropOK:          {"drop-ok", func(f *Faults) *Chance { return &f.DropOK }, nil, "an ok is lost"},
	FaultDupOK:           {"dup-ok", func(f *Faults) *Chance { return &f.DupOK }, nil, "an ok arrives twice"},
	FaultFakeOK:          {"fake-ok", func(f *Faults) *Chance { return &f.FakeOK }, nil, "up to a second after an ok comes one that answers nothing"},
	FaultResendStorm:     {"resend-storm", func(f *Faults) *Chance { return &f.ResendStorm }, nil, "twenty lines to the firmware in a row are damaged"},
	FaultReset:           {"reset", nil, func(f *Faults) *time.Duration { return &f.ResetAt }, "the controller restarts"},
	FaultBrownOut:        {"brown-out", nil, func(f *Faults) *time.Duration { return &f.BrownOutAt }, "the supply sags: the controller restarts and says why"},
	FaultSilent:          {"silent", nil, func(f *Faults) *time.Duration { return &f.SilentAt }, "the firmware hangs: no answers, heaters stay as they are"},
	FaultWrongBaud:       {"wrong-baud", nil, func(f *Faults) *time.Duration { return &f.WrongBaudAt }, "the two ends disagree about the bit rate from then on"},
	FaultAction:          {"action", nil, func(f *Faults) *time.Duration { return &f.ActionAt }, "the firmware asks for a pause; action:cancel@T asks for that instead"},
	FaultUnplug:          {"unplug", nil, func(f *Faults) *time.Duration { return &f.UnplugAt }, "the cable is pulled"},
	FaultReplug:          {"replug", nil, func(f *Faults) *time.Duration { return &f.ReplugAt }, "the cable is back, after unplug"},
	FaultThermistorOpen:  {"thermistor-open", nil, func(f *Faults) *time.Duration { return &f.ThermistorOpenAt }, "the wire of the hot end's sensor breaks"},
	FaultThermistorShort: {"thermistor-short", nil, func(f *Faults) *time.Duration { return &f.ThermistorShortAt }, "the hot end's sensor is shorted"},
	FaultThermistorStuck: {"thermistor-stuck", nil, func(f *Faults) *time.Duration { return &f.ThermistorStuckAt }, "the hot end's sensor goes on saying what it says"},
	FaultThermistorDrift: {"thermistor-drift", nil, func(f *Faults) *time.Duration { return &f.ThermistorDriftAt }, "the hot end's sensor says half a kelvin less with every second"},
	FaultHeaterDead:      {"heater-dead", nil, func(f *Faults) *time.Duration { return &f.HeaterDeadAt }, "the hot end's heater stops heating"},
	FaultHeaterOn:        {"heater-stuck-on", nil, func(f *Faults) *time.Duration { return &f.HeaterOnAt }, "the hot end's heater cannot be switched off"},
	FaultFanDead:         {"fan-dead", nil, func(f *Faults) *time.Duration { return &f.FanDeadAt }, "the fan stands still"},
	FaultSlip:            {"slip", nil, func(f *Faults) *time.Duration { return &f.SlipAt }, "the belt of X slips: of each way away from zero a thousandth is lost (not with grbl)"},
}

// FaultKinds lists every kind of fault.
func FaultKinds() []Fault {
	all := make([]Fault, faultKinds)
	for i := range all {
		all[i] = Fault(i)
	}
	return all
}

// String is the name of the fault in the lists of [ParseFaults].
func (k Fault) String() string {
	if k < faultKinds {
		return faultTable[k].name
	}
	return fmt.Sprintf("fault %d", uint8(k))
}

// Usage is how the fault is written, and what it does, for a person.
func (k Fault) Usage() (form, does string) {
	if k >= faultKinds {
		return "", ""
	}
	e := &faultTable[k]
	if e.chance != nil {
		return e.name + ":P", e.doc
	}
	return e.name + "@T", e.doc
}

// check refuses what cannot be meant.
func (f *Faults) check() error {
	for k := range faultTable {
		e := &faultTable[k]
		if e.chance != nil && *e.chance(f) > Always {
			return fmt.Errorf("simulated printer: the chance of %s is above one", e.name)
		}
		if e.at != nil && *e.at(f) < 0 {
			return fmt.Errorf("simulated printer: the time of %s is below zero", e.name)
		}
	}
	if f.ReplugAt > 0 && (f.UnplugAt == 0 || f.ReplugAt <= f.UnplugAt) {
		return errors.New("simulated printer: a cable can be plugged in again only after it was pulled: give unplug an earlier time")
	}
	return nil
}

// lines reports whether a fault could damage a line, to the firmware or to the host.
func (f *Faults) lines() (in, out bool) {
	both := f.DropByte | f.Burst | f.Garbage | f.HalfLine
	return both|f.Corrupt|f.ResendStorm > 0, both|f.CorruptReply|f.Delay > 0
}

// ParseFaults reads a list such as "corrupt:0.001,drop-ok:1/5000,reset@120s": a
// fault by chance has a number or a fraction from 0 to 1, a fault at a time has
// seconds or a Go duration.
func ParseFaults(s string) (Faults, error) {
	var f Faults
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if err := f.parse(item); err != nil {
			return Faults{}, fmt.Errorf("fault %q: %w", item, err)
		}
	}
	return f, f.check()
}

func (f *Faults) parse(item string) error {
	word, at, timed := strings.Cut(item, "@")
	name, arg, chance := strings.Cut(word, ":")
	for k := range faultTable {
		e := &faultTable[k]
		switch {
		case e.name != name:
		case e.chance != nil && chance && !timed:
			return parseChance(arg, e.chance(f))
		case e.at != nil && timed && (!chance || Fault(k) == FaultAction):
			if chance {
				f.Action = arg
			}
			return parseTime(at, e.at(f))
		default:
			form, _ := Fault(k).Usage()
			return fmt.Errorf("use %s", form)
		}
	}
	return errors.New("not known: the help of platen-sim lists the faults there are")
}

func parseChance(s string, c *Chance) error {
	if *c != 0 {
		return errors.New("it is there twice")
	}
	top, bottom, fraction := strings.Cut(s, "/")
	p, err := strconv.ParseFloat(top, 64)
	if err == nil && fraction {
		var q float64
		q, err = strconv.ParseFloat(bottom, 64)
		p /= q
	}
	if err != nil || !(p >= 0 && p <= 1) {
		return errors.New("its chance has to be a number from 0 to 1, or a fraction such as 1/5000")
	}
	*c = Chance(p*float64(Always) + 0.5)
	return nil
}

func parseTime(s string, d *time.Duration) error {
	if *d != 0 {
		return errors.New("it is there twice")
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		v, err = time.ParseDuration(s + "s")
	}
	if err != nil || v <= 0 {
		return errors.New("its time has to be above zero, in seconds or like 1m30s")
	}
	*d = v
	return nil
}
