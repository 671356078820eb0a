// Package sim is a simulated printer: a controller that runs one of several
// firmwares ([Firmware]), seen from the far end of its serial line. It answers the
// way recordings of the real firmware do, and behind the answers stand a line that
// takes time for each byte, a receive buffer and a command queue that overrun, a
// planner that looks ahead and accelerates, heaters with thermal mass, and the ways
// all of these fail ([Faults]).
//
// Start with [New] and [Printer.Serve]:
//
//	p, err := sim.New(sim.Config{Firmware: sim.PrusaMK3, Speed: 20})
//	master, path, err := sim.OpenPTY()
//	go p.Serve(ctx, master) // a driver now opens path as its serial port
//
// The board (mcu) is one goroutine in simulated time; the firmware on it is plain
// sequential code, one type for each family, that embeds the board: its main loop,
// its command queue, its texts. Whenever it spends time ([Config.Speed] says how much
// real time that is), interrupts run on the way: bytes reach the receive buffer,
// blocks of motion end, heaters move. Given the same bytes at the same simulated
// times and the same seed it does the same. To add a firmware, implement the
// interface firmware and give it a row in makers.
//
// The journal judges a driver: [Config.OnMove] sees every move that the host asked
// for and that was driven (homing, probing and parking are the firmware's own), in
// order, and [Printer.Stats] what came of all of it. Both are design data of
// whatever is printed: they are for tests and rigs.
//
// # What is not like the real one
//
// There is no SD card, no display and nobody who presses a button: what waits for one
// (M0 on an Ultimaker, a Prusa after an error) waits until a reset. Extruders share
// their coordinates; tool offsets, inches, volumetric extrusion and the heater timeout
// of M600 are not there. The heaters are first-order models. The
// processor takes the same time for every move ([Config.LineTime]), so which byte an
// overrun eats differs by a few from the recordings. Ultimaker and Prusa change
// filament at the knob only; their M600 is acknowledged and does nothing. A cable
// that is pulled takes the power with it.
package sim

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"platen/hal/unit"
)

const maxExtruders = 5

// Fastest, as Config.Speed, lets simulated time jump to the next event while a
// command or a move is under way. A printer with nothing to do runs at the pace of
// real time.
const Fastest = -1

// Config describes a simulated printer. Its zero value is the default build of
// Marlin 2.0.9.5 on an 8-bit board with a 200 mm cube to print in.
type Config struct {
	Firmware Firmware // what runs on the controller

	Seed  uint64 // of the faults
	Speed int    // simulated seconds in a real one; 0 is 1, Fastest is as fast as it goes
	Baud  int    // simulated bit rate of the line; 0 is what the firmware is built for

	// Volume is how far the axes reach from zero; a zero axis is as long as that of
	// the machine the firmware is built for.
	Volume [3]unit.Length
	// Start is where the head stands at power-on, before it is homed.
	Start [3]unit.Length
	// Ambient is the temperature of everything that is not heated; 0 is what the
	// sensors of the machine read at 22 °C, for Marlin 2 21.87 °C.
	Ambient unit.Celsius
	// Hotend is how warm the hot end still is at power-on; 0 is Ambient.
	Hotend unit.Celsius
	// Noise is the standard deviation of what a temperature sensor says, and switches
	// on the steps of its converter; 0 is a perfect sensor.
	Noise unit.Celsius
	// Extruders is how many hot ends there are; 0 is one.
	Extruders int
	// Chamber says that the printer has a heated chamber.
	Chamber bool
	// LineTime is how long the processor works on one move; 0 is 2 ms, an 8-bit
	// controller. Other commands take a sixth of it.
	LineTime time.Duration

	// Build options of the firmware.
	EmergencyParser bool          // M108, M112 and M410 act while still in the receive buffer
	AdvancedOK      bool          // ok carries line number and free room
	HostActions     bool          // //action: lines and prompts, M600, M154, S000
	Leveling        bool          // a probe, G29 and M420
	Wait            time.Duration // say wait after so long without a line; 0 never does

	// Settings are those of grbl that differ from the defaults of its build, for example
	// "22=1,110=6000"; its travel ($130 to $132) is Volume.
	Settings string

	// Checked has RepRapFirmware want a CRC in every line, as its configuration should
	// (M575 S6) where its port is a UART and not USB.
	Checked bool

	// ResetOnOpen restarts the controller whenever the host opens the pty, as the
	// DTR line of most boards does.
	ResetOnOpen bool

	Faults Faults
	OnMove func(Move) // called on the goroutine of Serve for each move driven
	Log    *slog.Logger
}

// Move is one straight move that was driven, in machine coordinates.
type Move struct {
	From, To   [3]unit.Length
	Zero       [3]unit.Length // where the machine's zero really is; zero on axes that were homed
	E          unit.Length    // filament fed; negative was retracted
	Feed       unit.Speed     // nominal, after the limits of the axes
	Start, End time.Duration
	Line       int64 // its line number, -1 if it had none
	Cut        bool  // stopped on the way; To is where
}

// Stats is what a printer has done since it was made. Counters never restart.
type Stats struct {
	Lines     uint64 // commands executed, whatever they were
	Moves     uint64 // moves driven to their end
	Cuts      uint64 // moves stopped on the way
	Layers    int    // heights at which something was extruded along the bed, each counted once after a homing
	Homes     uint64 // axes homed
	Resends   uint64 // lines asked for again
	Unknown   uint64 // commands the firmware did not know
	Cold      uint64 // moves whose filament was held back because the hot end was cold
	Clamped   uint64 // moves cut short by the software end stops
	Unhomed   uint64 // moves of an axis that had not been homed
	Starved   uint64 // times the planner ran dry with more moves to come
	Overruns  uint64 // bytes lost because the receive buffer was full
	Kills     uint64 // times the firmware stopped itself for good
	Resets    uint64 // restarts, the first one not counted
	Injected  uint64 // faults that have happened
	Filament  int64  // µm of filament fed, retractions taken off
	SimTime   time.Duration
	PrintTime time.Duration // from the start of the first move to the end of the last
	Hotend    unit.Celsius
	HotendSet unit.Celsius
	Bed       unit.Celsius
	BedSet    unit.Celsius
	Fan       unit.Duty
	Z         unit.Length // height of the last move, in machine coordinates
	Moving    bool
	Killed    bool // it has stopped itself, or refuses to move after an error
	Hung      bool
	FanSpeed  int // turns a minute

	InjectedBy [faultKinds]uint64 // faults that have happened, by kind: see [Stats.Faults]
}

// Faults is how many faults of a kind have happened.
func (s *Stats) Faults(k Fault) uint64 {
	if k >= faultKinds {
		return 0
	}
	return s.InjectedBy[k]
}

// Printer is a simulated printer. Its methods may be called from any goroutine.
type Printer struct {
	cfg     Config
	serving sync.Mutex
	ctl     chan control // bound: requests beyond it mean the same as the ones waiting

	mcu *mcu // belongs to Serve

	mu    sync.Mutex
	stats Stats
}

type control uint8

const (
	ctlReset control = iota + 1
	ctlUnplug
)

// New makes a printer that stands idle and cold. It is powered while Serve runs.
func New(cfg Config) (*Printer, error) {
	if cfg.Speed < Fastest {
		return nil, errors.New("simulated printer: speed is below zero: use a factor or Fastest")
	}
	if cfg.Firmware >= firmwares || makers[cfg.Firmware].make == nil {
		return nil, errors.New("simulated printer: there is no such firmware")
	}
	if cfg.Extruders < 0 || cfg.Extruders > maxExtruders {
		return nil, errors.New("simulated printer: use 1 to 5 extruders")
	}
	if cfg.Baud < 0 || cfg.LineTime < 0 || cfg.Wait < 0 || cfg.Noise < 0 {
		return nil, errors.New("simulated printer: baud, line time, wait and noise cannot be negative")
	}
	if err := cfg.Faults.check(); err != nil {
		return nil, err
	}
	if _, err := parseSettings(cfg.Settings); err != nil {
		return nil, err
	}
	cfg.defaults()
	p := &Printer{cfg: cfg, ctl: make(chan control, 4)}
	p.mcu = newMCU(&p.cfg)
	p.mcu.publish = p.publish
	p.mcu.publish(p.mcu.snapshot())
	return p, nil
}

func (c *Config) defaults() {
	if c.Speed == 0 {
		c.Speed = 1
	}
	own := &makers[c.Firmware]
	if c.Baud == 0 {
		c.Baud = own.baud
	}
	for i := range c.Volume {
		if c.Volume[i] == 0 {
			c.Volume[i] = own.volume[i]
		}
	}
	if c.Start == ([3]unit.Length{}) {
		c.Start = [3]unit.Length{60 * unit.Millimetre, 40 * unit.Millimetre, 10 * unit.Millimetre}
	}
	if c.Ambient == 0 {
		c.Ambient = own.ambient
	}
	if c.Hotend == 0 {
		c.Hotend = c.Ambient
	}
	if c.Extruders == 0 {
		c.Extruders = 1
	}
	if c.LineTime == 0 {
		c.LineTime = 2 * time.Millisecond
	}
	if c.Faults.Action == "" {
		c.Faults.Action = "pause"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Serve powers the printer up and lets it talk on rw, the far end of the host's
// serial port, until ctx ends (then it returns ctx.Err()), the printer is
// unplugged or rw ends (then it returns nil). The power goes with it: what moves stops
// where it is. rw must have a SetDeadline or a
// Close method, so that reading can be ended; a pty of [OpenPTY] outlives the hosts
// that open and close it. Heat and position stay from one Serve to the next.
func (p *Printer) Serve(ctx context.Context, rw io.ReadWriter) error {
	if !p.serving.TryLock() {
		return errors.New("simulated printer: it is served already; a printer has one port")
	}
	defer p.serving.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	l, err := dial(ctx, rw, p)
	if err != nil {
		cancel()
		return err
	}
	if s := &p.mcu.stats; p.cfg.Faults.ReplugAt > 0 && s.InjectedBy[FaultUnplug] > s.InjectedBy[FaultReplug] {
		p.mcu.injected(FaultReplug)
	}
	p.mcu.run(l)
	end := ctx.Err()
	cancel()
	l.wait()
	p.mcu.publish(p.mcu.snapshot())
	return end
}

// Reset restarts the controller, as its reset button or a pulse on DTR does.
func (p *Printer) Reset() { p.control(ctlReset) }

// Unplug pulls the cable: rw of Serve is closed, if it can be, and Serve returns.
func (p *Printer) Unplug() { p.control(ctlUnplug) }

func (p *Printer) control(c control) {
	select {
	case p.ctl <- c:
	default: // as many requests wait as there can be reasons for
	}
}

// Place is where the head stands, as it would stand in [Config].Start once the power is
// back. It waits for Serve to end.
func (p *Printer) Place() [3]unit.Length {
	p.serving.Lock()
	defer p.serving.Unlock()
	var at [3]unit.Length
	for i := range at {
		at[i] = length(p.mcu.pose.at[i] + p.mcu.pose.offset[i])
	}
	return at
}

// Stats returns what the printer has done so far. What the host has been told is
// in it.
func (p *Printer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

func (p *Printer) publish(s Stats) {
	p.mu.Lock()
	p.stats = s
	p.mu.Unlock()
}
