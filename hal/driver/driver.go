// Package driver is the machine behind every firmware dialect: it opens a port,
// finds out what is there, streams programs, keeps the state, and stops.
//
// A dialect is a small room of its own (marlin, repetier, reprap, grbl) that says
// only what its firmware does differently, as a [Firmware]: how to ask who it is,
// how to read what it says, and, once it is known, a [Profile]: the line engine with
// its bounds, the encoder, and the commands that set up, cool, break off and stop.
// Start at [Open].
//
// # What a dialect has to give
//
//   - [Firmware.Greeting]: the question that every build answers, and the text that
//     brings back a controller that has stopped itself (M999, soft reset and $X).
//   - [Firmware.Parse]: one line into a gcode.Reply. Most dialects let gcode.Parse do
//     the work and put right what differs. A Reply of kind Fault ends the machine, one
//     of kind Start outside of opening is a controller that restarted by itself.
//   - [Firmware.Identify]: gathers the answer; true once it is complete.
//   - [Firmware.Profile]: judges the answer and says how to work with it. The line
//     engine is a gcode.Link (numbers and checksums) or a gcode.Counter (characters);
//     any [Lines] will do.
//
// # Goroutines
//
// One goroutine, the owner, reads the port, has the line engine and the state, and
// writes what may be sent, so that an answer leads to the next line without a change
// of goroutine, nor of thread: it is locked to one, in which a port such as hal/serial
// blocks, and which goes before others where [Options.Urgent] asks for that and the system
// allows it. A line costs one write and one read of the kernel and little else.
//
// Others leave commands, requests and stops in an inbox and end the owner's read by a
// deadline in the past. What a port does not take at once goes to a second goroutine, the
// hand, so that a port that is stuck never keeps the owner from hearing. Run encodes ahead
// into a bounded ring on its caller's goroutine. Close waits for both. A process that works
// on all processors beside the machine should give Go more of them than there are cores
// (GOMAXPROCS): the owner's would else be taken for other work whenever it waits.
//
// # Stops
//
// Whatever ends the work (Halt, a fault the controller reports, a controller that
// restarts, falls silent or does not follow, a port that fails) makes the machine
// dead: Run and SetHeater return the error, nothing is sent any more but
// [Profile.Stop], repeated until the controller confirms it by a fault or a restart
// (after a restart [Profile.Cool] without numbers instead, since a stop would keep a
// healthy controller from being opened again). If a stop is never confirmed and the
// port can reset the controller, it does. Halt writes the stop itself, past the owner.
// Whatever follows a Halt counts as the host's doing, whichever is noticed first.
//
// A dead machine is brought back by opening its port anew: a controller that is silent
// is reset by the port's DTR line, one that says that it has stopped is sent
// [Greeting.Revive] or reset.
package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"platen/hal"
	"platen/hal/gcode"
	"platen/hal/motion"
)

// Port is the line to a controller: hal/serial, or the end of a pipe. A read that is
// under way ends when its deadline is set to the past.
//
// A port may also have
//
//	Reset() error                        resets the controller, as the DTR line does
//	WriteNow(b []byte) (n int, err error) writes what fits without waiting
//	Own()                                says that from now on the calling goroutine alone reads, on a thread of its own
//
// Without WriteNow every write takes a detour through another goroutine.
type Port interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
}

// Firmware is one family of firmware. A value serves one Open, and after that the
// machine that came of it. Its methods are called by one goroutine at a time.
type Firmware interface {
	// Greeting says how to begin. It is asked before each question, so that a dialect can
	// ask one thing after the other.
	Greeting() Greeting
	// Parse reads one line of the controller into r, whatever the bytes; it resets r
	// first. It must not keep line, and allocate nothing in steady state.
	Parse(line []byte, r *gcode.Reply)
	// Identify is given each line that is said while the machine is opened, with its
	// Reply, and reports whether the controller has now said all of who it is. A
	// restart (gcode.Start) begins the answer anew.
	Identify(line []byte, r *gcode.Reply) (complete bool)
	// Profile is asked once Identify has reported true. Its error says why this
	// controller cannot be worked with.
	Profile() (Profile, error)
}

// Greeting is what is said to a controller of which nothing is known.
type Greeting struct {
	Cold     string // switches heaters off, whoever is there: said before anything else; "" if nothing does
	Question string // asks who it is; begins with a line feed, which ends any half line
	Revive   string // brings back a controller that says it has stopped, if no reset can; "" if nothing does
}

// Profile is how to work with a controller that has been identified. Texts are
// commands, each ended by a line feed; those sent as numbered lines are at most
// gcode.MaxCommand bytes long each.
type Profile struct {
	Info    hal.Info
	Heaters []hal.HeaterID // what SetHeater may set
	Lines   Lines
	Encoder Encoder

	Setup string // puts the controller into a known state: cold, units, reports
	Cool  string // switches every heater off
	Safe  string // after Cool when a program fails: fans on
	Rest  string // after Cool when the machine is closed: fans, motors and reports off

	Stop  string // the emergency stop, written as it is past everything; begins so that it ends a half line
	Deaf  bool   // Stop is obeyed only in its turn: where the port can, the controller is reset at once
	Break string // ends a wait for heat, written beside the numbered lines and answered by one ok; "" if nothing does

	Reports   bool          // it reports temperatures by itself, so that silence means it is lost
	Poll      string        // written as it is every PollEvery, answered without an ok; "" asks by Lines.Ask if it does not report
	PollEvery time.Duration // 2 s
	Quiet     time.Duration // how long a command may keep it from saying anything, if that is more than Options.Silence allows
}

// Encoder turns operations into commands, each ended by a line feed and at most
// gcode.MaxCommand bytes long. It is called by one goroutine at a time: Run, and
// SetHeater with an operation of that kind even before AppendStart.
type Encoder interface {
	AppendStart(dst []byte) []byte                   // what a program relies on; resets the encoder
	Append(dst []byte, op motion.Op) ([]byte, error) // an error (hal.ErrEnvelope) ends the program
	AppendEnd(dst []byte) []byte                     // waits for the last move
}

// Lines is a line engine: gcode.Link or gcode.Counter. It has no goroutine and no
// clock; see the package comment of gcode.
type Lines interface {
	Sender
	Follower
	Prover
}

// Sender is the half of a line engine that sends.
type Sender interface {
	Restart(now time.Time)                               // begins anew; what was in flight is forgotten
	Ready() bool                                         // whether Add may be called
	Add(cmd []byte) (seq uint64)                         // takes a command; sequence numbers rise for ever
	AppendWire(dst []byte, now time.Time) []byte         // what may be written now
	AppendBare(dst, text []byte, oks int) ([]byte, bool) // text beside the lines, answered by oks; false if it cannot be now
}

// Follower is the half of a line engine that listens.
type Follower interface {
	Handle(r *gcode.Reply, now time.Time) error // gcode.ErrReset, gcode.ErrLost
	Tick(now time.Time) error                   // at Deadline at the latest; the same, and ErrSilent
	Deadline() time.Time                        // zero if there is none
}

// ErrSilent is what a line engine returns that hears nothing although it should.
var ErrSilent = errors.New("controller fell silent")

// Prover says how far the controller is.
type Prover interface {
	Accepted() uint64 // lines up to here were answered, as far as can be told
	Proven() uint64   // lines up to here were surely executed
	RequestSync()     // asks for proof of all lines added so far
	Ask()             // asks for a report of temperatures
	Stats() gcode.Stats
}

// Options are the timeouts of a Machine, and what its board pins. Zero fields take the
// defaults named.
type Options struct {
	Logger  *slog.Logger  // nil logs nothing
	Pins    Pins          // what firmware does not tell
	Link    gcode.Config  // bounds of the line engine that differ from what the dialect would take
	Connect time.Duration // most time until the controller is identified: 30 s
	Settle  time.Duration // how long the port is silent before a question is asked: 300 ms
	Retry   time.Duration // time between two questions when opening: 2 s
	Silence time.Duration // most silence of a controller that reports: 8 s
	Closing time.Duration // most time for switching off when closing: 5 s
	Halting time.Duration // most time for writing a stop: 1 s
	Urgent  bool          // the owner's thread goes before others, as far as the system allows
}

// Pins is what a board file says of a controller that its firmware does not.
type Pins struct {
	USB       bool   // the link is native USB, which neither loses nor damages bytes
	Emergency bool   // a stop is obeyed past the queue
	Level     string // the command that levels the bed; "" if it cannot
}

func (o *Options) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Connect, 30*time.Second)
	def(&o.Settle, 300*time.Millisecond)
	def(&o.Retry, 2*time.Second)
	def(&o.Silence, 8*time.Second)
	def(&o.Closing, 5*time.Second)
	def(&o.Halting, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// ErrRunning reports that a program is running already.
var ErrRunning = errors.New("a program is already running on this machine")

// Open identifies the controller at port, brings it back if it had stopped, switches
// its heaters off, and takes the port over. It fails if ctx ends first, if nothing
// that fw knows answers in time, or if the controller reports a fault that does not go
// away; the port is closed then.
func Open(ctx context.Context, port Port, fw Firmware, opt Options) (*Machine, error) {
	opt.defaults()
	m := newMachine(port, fw, opt)
	m.wg.Go(m.hand)
	o := &owner{Machine: m}
	err := o.identify(ctx)
	if err == nil {
		m.profile, err = fw.Profile()
	}
	if err != nil {
		m.end()
		return nil, fmt.Errorf("open controller: %w", err)
	}
	m.info = m.profile.Info
	m.wg.Go(o.loop)
	setup, cancel := context.WithTimeout(ctx, opt.Connect)
	defer cancel()
	if err := m.do(setup, &request{cmds: []byte(m.profile.Setup)}); err != nil {
		m.end()
		return nil, fmt.Errorf("set up controller %s: %w", m.info.Firmware, err)
	}
	m.log.Info("controller open", "firmware", m.info.Firmware, "tools", m.info.Tools, "capabilities", len(m.info.Caps))
	return m, nil
}
