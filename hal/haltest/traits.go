package haltest

import (
	"platen/hal"
	"platen/hal/motion"
	"platen/hal/sim"
)

// Traits is what a machine has and has not. The zero value is a printer with Marlin 2.
type Traits struct {
	Firmware sim.Firmware // what runs on the simulated controller
	Settings string       // sim.Config.Settings

	Has, HasNot []string // capabilities that its Info has to name, and must not

	NoHeaters  bool // SetHeater is hal.ErrEnvelope, and programs do not heat
	NoFilament bool // no axis feeds filament
	NoFan      bool
	NoAccel    bool // acceleration is the firmware's own business
	Unchecked  bool // lines carry no checksum: nothing is damaged on their way
	Checked    bool // sim.Config.Checked
	NoBuilds   bool // the firmware knows no build options of sim.Config
	Quiet      bool // it reports nothing by itself
	Patient    bool // without EMERGENCY_PARSER a stop waits for the move under way

	// Faults that the firmware reports of a broken sensor and a dead heater, where they
	// are not hal.FaultSensor and hal.FaultThermal.
	SensorFault, HeaterFault hal.Fault
}

// config lays the firmware under a case's configuration.
func (tr Traits) config(cfg sim.Config) sim.Config {
	cfg.Firmware, cfg.Checked = tr.Firmware, tr.Checked
	if tr.Settings != "" {
		cfg.Settings = tr.Settings
	}
	return cfg
}

// fit takes out of a program what the machine does not have.
func (tr Traits) fit(ops []motion.Op) []motion.Op {
	var out []motion.Op
	for _, op := range ops {
		switch op.Kind {
		case motion.SetHeater, motion.WaitHeater:
			if tr.NoHeaters {
				continue
			}
		case motion.SetFan:
			if tr.NoFan {
				continue
			}
		case motion.SetAccel:
			if tr.NoAccel {
				continue
			}
		case motion.Move:
			if tr.NoFilament && op.Has(motion.E) {
				if op.Axes &^= motion.E; op.Axes == 0 {
					continue
				}
				op.E = 0
			}
		}
		out = append(out, op)
	}
	return out
}
