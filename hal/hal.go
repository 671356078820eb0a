// Package hal is how Platen drives a printer: the interfaces of a machine and of
// its sensors, and the errors both share. A machine is a motion controller behind
// a driver; each firmware dialect has a room of its own (marlin and others), and
// the simulated printer in hal/sim answers like the real ones.
//
// Start at [Machine]. It pulls its work from a motion.Program, so that the
// controller sets the pace and nothing is queued twice. Whatever reaches a driver
// has passed hal/envelope; a driver trusts its caller with nothing else.
//
// Safe state, which [Machine.Halt] and every fault lead to: heaters off, motors
// as the board says, fans on.
package hal

import (
	"context"
	"errors"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

// Errors a caller branches on.
var (
	// ErrHalted reports that Halt was called, or that the controller stopped
	// itself; the machine takes no more work until it is opened again.
	ErrHalted = errors.New("machine is halted")
	// ErrDisconnected reports that the port is gone.
	ErrDisconnected = errors.New("controller is not connected")
	// ErrEnvelope reports an operation outside what the board can do. Nothing of
	// it was sent.
	ErrEnvelope = errors.New("operation outside the machine's envelope")
)

// Motion runs programs.
type Motion interface {
	// Run pulls prog and runs it to its end, and returns once the controller has
	// finished the last move. It returns ctx.Err() when ctx ends: the moves already
	// with the controller are finished, heaters are left as they are and the
	// caller decides what follows. An error of prog or of the controller puts the
	// machine into its safe state first. One Run at a time.
	Run(ctx context.Context, prog motion.Program) error
}

// Thermal sets heaters outside of a program.
type Thermal interface {
	// SetHeater sets a target and returns once the controller has taken it. Zero
	// switches the heater off.
	SetHeater(ctx context.Context, id HeaterID, t unit.Celsius) error
}

// Machine is a motion controller behind its driver. All methods may be called
// from any goroutine.
type Machine interface {
	Motion
	Thermal
	// Info says what the controller said of itself when it was opened.
	Info() Info
	// State is a snapshot of the last report; it never waits for the controller.
	State() State
	// Halt stops motion and heaters at once, past everything that is queued. It
	// returns when the stop has been written to the controller; Run then returns
	// ErrHalted. reason is a constant text for the log.
	Halt(reason string) error
	// Close brings the machine to its safe state and lets go of the port.
	Close() error
}

// HeaterID names a heater; see motion.Bed, motion.Chamber and motion.HotEnd.
type HeaterID = motion.Heater

// Info is what a controller says of itself.
type Info struct {
	Dialect  string   // "marlin", …
	Firmware string   // name and version, at most 64 bytes, printable ASCII
	Caps     []string // capabilities it names, for example "EMERGENCY_PARSER"
	Tools    int      // extruders
}

// Has reports whether the controller named the capability cap.
func (i Info) Has(cap string) bool {
	for _, c := range i.Caps {
		if c == cap {
			return true
		}
	}
	return false
}

// Phase is what a machine is doing.
type Phase uint8

// The phases.
const (
	PhaseUnknown Phase = iota
	PhaseIdle
	PhaseRunning
	PhaseHalted // Halt, a fault or a controller that stopped itself
	PhaseLost   // port gone or controller silent
)

// String names the phase in lower case.
func (p Phase) String() string {
	names := [...]string{"unknown", "idle", "running", "halted", "lost"}
	if int(p) < len(names) {
		return names[p]
	}
	return "unknown"
}

// MaxHeaters bounds the heaters of one machine.
const MaxHeaters = 8

// HeaterState is one heater as last reported.
type HeaterState struct {
	ID     HeaterID
	Actual unit.Celsius
	Target unit.Celsius
	Power  unit.Duty
}

// State is a snapshot of a machine. It carries machine data only, but for
// Lines, which is design data while a program runs and stays in the session.
type State struct {
	Phase     Phase
	Fault     Fault
	Heaters   [MaxHeaters]HeaterState
	NHeaters  int
	Reported  time.Time // when the controller last reported temperatures
	Lines     uint64    // lines the controller has accepted since it was opened
	Resends   uint64    // lines it asked for again
	LinkError uint64    // replies that could not be understood
}

// Heater returns the state of heater id.
func (s *State) Heater(id HeaterID) (HeaterState, bool) {
	for _, h := range s.Heaters[:s.NHeaters] {
		if h.ID == id {
			return h, true
		}
	}
	return HeaterState{}, false
}

// Fault is why a machine stopped, as a code: free text of a controller never
// leaves the driver.
type Fault uint8

// The faults.
const (
	FaultNone       Fault = iota
	FaultHost             // Halt was called
	FaultThermal          // thermal runaway, heating failed
	FaultSensor           // thermistor open, short or implausible
	FaultEndstop          // homing failed or an end stop was hit
	FaultReset            // the controller restarted by itself
	FaultProtocol         // replies that make no sense, too many resends
	FaultTimeout          // the controller went silent
	FaultPort             // the port failed
	FaultController       // any other stop of the controller
	FaultFan              // a fan that is to turn does not
	FaultDoor             // the door was opened
)

// String names the fault in kebab-case.
func (f Fault) String() string {
	names := [...]string{"none", "host", "thermal", "sensor", "endstop", "reset", "protocol", "timeout", "port", "controller", "fan", "door"}
	if int(f) < len(names) {
		return names[f]
	}
	return "unknown"
}

// FaultError is the error of a Run that a fault ended. It matches ErrHalted.
type FaultError struct{ Fault Fault }

// Error names the fault and what to do.
func (e *FaultError) Error() string {
	return "machine halted by fault " + e.Fault.String() + ": remove the cause, then open the machine again"
}

// Is matches ErrHalted.
func (e *FaultError) Is(target error) bool { return target == ErrHalted }

// Sensor is anything that can be sampled: a temperature, a fan, the host.
type Sensor interface {
	// AppendSamples appends the present values to dst. Samples that cannot be read
	// are left out and reported in the error; the others are still appended.
	AppendSamples(ctx context.Context, dst []Sample) ([]Sample, error)
}

// Sample is one value of one sensor. Name is an item of the catalogue.
type Sample struct {
	Name  string
	Value int64 // in the unit the catalogue gives the item
	At    time.Time
}
