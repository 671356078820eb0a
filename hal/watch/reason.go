package watch

import "platen/hal"

// Reason is why a supervisor acted, as a constant.
type Reason uint8

// The reasons. Up to FanStopped they stop the machine; DoorOpen stops or pauses it, as
// the board says; the rest never stops it.
const (
	None            Reason = iota
	HeatingFailed          // a heater that is on does not warm
	Runaway                // a heater does not hold its target
	StuckOn                // a heater warms though it is to be off or lower
	SensorRange            // a reading below or above what the machine can have
	SensorJump             // a reading changes faster than anything warms or cools
	SensorStuck            // a reading does not follow the power
	SensorDrift            // a target takes more and more power to hold
	SensorDisagrees        // a cold reading is far from the others
	Stale                  // no temperatures are reported though a heater is on
	ForeignTarget          // the controller has a target that nobody asked for
	FanStopped             // a fan that is to turn does not
	DoorOpen               // the door is open
	FilamentOut            // no filament is left
	HotIdle                // heaters were on for too long with nothing to do
)

var reasons = [...]struct {
	name  string
	fault hal.Fault
}{
	None: {"none", hal.FaultNone}, HeatingFailed: {"heating-failed", hal.FaultThermal}, Runaway: {"thermal-runaway", hal.FaultThermal},
	StuckOn: {"heater-stuck-on", hal.FaultThermal}, SensorRange: {"sensor-range", hal.FaultSensor}, SensorJump: {"sensor-jump", hal.FaultSensor},
	SensorStuck: {"sensor-stuck", hal.FaultSensor}, SensorDrift: {"sensor-drift", hal.FaultSensor}, SensorDisagrees: {"sensor-disagrees", hal.FaultSensor}, Stale: {"stale-reports", hal.FaultTimeout},
	ForeignTarget: {"foreign-target", hal.FaultController}, FanStopped: {"fan-stopped", hal.FaultFan}, DoorOpen: {"door-open", hal.FaultDoor},
	FilamentOut: {"filament-out", hal.FaultNone}, HotIdle: {"hot-idle", hal.FaultNone},
}

// String names the reason in kebab-case.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r].name
	}
	return "unknown"
}

// Fault is the fault that the machine has by a trip for this reason; FaultNone if the
// reason never stops it.
func (r Reason) Fault() hal.Fault {
	if int(r) < len(reasons) {
		return reasons[r].fault
	}
	return hal.FaultController
}

// Action is what a board wants done.
type Action uint8

// The actions.
const (
	Ignore Action = iota // only reported
	Pause                // the program is held; heaters stay on for as long as HotIdle allows
	Halt                 // the machine is stopped
)

// String names the action as a board file writes it.
func (a Action) String() string {
	names := [...]string{"ignore", "pause", "halt"}
	if int(a) < len(names) {
		return names[a]
	}
	return "unknown"
}
