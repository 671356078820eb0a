package hal

import (
	"errors"
	"fmt"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
)

func TestFaultErrorIsAHalt(t *testing.T) {
	err := fmt.Errorf("running: %w", &FaultError{FaultThermal})
	if !errors.Is(err, ErrHalted) || errors.Is(err, ErrDisconnected) {
		t.Errorf("%v matches the wrong sentinel", err)
	}
	if e, ok := errors.AsType[*FaultError](err); !ok || e.Fault != FaultThermal {
		t.Errorf("the fault is lost in %v", err)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for f := FaultNone; f <= FaultController; f++ {
		if s := f.String(); s == "" || s == "unknown" || seen[s] {
			t.Errorf("fault %d is %q", f, s)
		}
		seen[f.String()] = true
	}
	if Fault(99).String() != "unknown" || Phase(99).String() != "unknown" || PhaseLost.String() != "lost" {
		t.Error("names are off by some")
	}
}

func TestStateHeater(t *testing.T) {
	s := State{NHeaters: 1}
	s.Heaters[0] = HeaterState{ID: motion.HotEnd, Actual: 20 * unit.Degree}
	s.Heaters[1] = HeaterState{ID: motion.Bed} // beyond the count
	if h, ok := s.Heater(motion.HotEnd); !ok || h.Actual != 20*unit.Degree {
		t.Errorf("hot end: %+v, %t", h, ok)
	}
	if _, ok := s.Heater(motion.Bed); ok {
		t.Error("a heater beyond the count is there")
	}
}

func TestInfoHas(t *testing.T) {
	i := Info{Caps: []string{"AUTOREPORT_TEMP", "EMERGENCY_PARSER"}}
	if !i.Has("EMERGENCY_PARSER") || i.Has("EMERGENCY") {
		t.Error("Has is wrong")
	}
}
