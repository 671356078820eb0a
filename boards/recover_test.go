package boards

import (
	"strings"
	"testing"

	"platen/hal/envelope"
	"platen/hal/gcodefile"
	"platen/hal/motion"
	"platen/hal/unit"
)

// TestRecover takes up a broken print on every board that can: hot before anything moves,
// up before anything else does, X and Y homed and never Z, filament at the nozzle.
func TestRecover(t *testing.T) {
	can := 0
	for _, id := range List() {
		b, err := Load(id)
		if err != nil {
			t.Fatal(err)
		}
		if !b.Recovers() {
			if b.Macros[MacroRecover] != "" {
				t.Errorf("%s: a macro that nothing may use", id)
			}
			continue
		}
		can++
		const z = 20 * unit.Millimetre
		waited, moved, lifted, fed := false, false, false, unit.Length(0)
		for op, err := range envelope.Check(b.Limits, b.Sequence(gcodefile.State{}).Program(b.Stand(z)).Macro(MacroRecover).Ops()) {
			if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
			switch {
			case op.Kind == motion.WaitHeater && op.Heater == motion.HotEnd:
				waited = true
			case op.Kind == motion.Home:
				if moved = true; op.Axes != motion.X|motion.Y || !lifted {
					t.Errorf("%s: homes %v, lifted %v", id, op.Axes, lifted)
				}
			case op.Moves():
				lifted = lifted || op.Has(motion.Z) && op.To[motion.IZ] > z && waited && !moved
				fed += op.E
			}
		}
		if !waited || !moved || !lifted || fed <= 0 {
			t.Errorf("%s: waited %v, homed %v, lifted %v, fed %v", id, waited, moved, lifted, fed)
		}
	}
	if can == 0 {
		t.Fatal("no board can: this proves nothing")
	}
	sinks := strings.Replace(simText(t), "keeps_z = true", "", 1)
	if b, err := Parse("sim.toml", []byte(sinks)); err != nil || b.Recovers() {
		t.Errorf("a machine whose Z sinks: %v", err)
	}
}
