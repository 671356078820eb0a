// Package hil tries a printer as a whole, with hardware or what stands for it in the loop: an
// image boots on a board, the board's printer port drives a simulated controller, a fleet runs on
// this machine, and the power is taken away when it hurts. What is tried is written once, as
// scenarios ([Scenarios]) over a [Board]; a virtual machine is one implementation of it
// (cross/hil/virtual), a real board at a serial console and a relay is another ([Wired]).
//
// A [Bench] is a board and everything that stands around it. Each [Scenario] does one thing, and
// beside it its control: the same thing in a way that has to fail. [Bench.Try] runs them in order,
// prints a line for each and keeps what came of all of them, with the console's log and the logs of
// all that ran, in the bench's folder.
//
// The printer has no shell: it is asked at its serial console, by agent/console.
package hil

import (
	"context"
	"errors"
	"io"
)

// Board is a board that can be switched on and off. Its methods are called one at a time.
type Board interface {
	// About says what is known of it.
	About() About
	// Flash puts an image onto its disk. The board is off.
	Flash(ctx context.Context, image string) error
	// On switches it on and returns the lines to it, which end when it is switched off.
	On(ctx context.Context) (Wires, error)
	// Cut takes the power away, at once: what is not on the disk by now is lost.
	Cut(ctx context.Context) error
}

// About is what is known of a board without switching it on.
type About struct {
	// Name is how reports call it.
	Name string
	// Printer is what its configuration names as its board: an id, or a board file in its image.
	Printer string
	// Host is the address of this machine as the board sees it.
	Host string
	// EKCAs are files with the authorities that certified the TPM's endorsement keys.
	EKCAs []string
	// Counted says that its clock goes by instructions, one nanosecond each, whatever else its machine does.
	Counted bool
	// Driven says that its motion controller is a real one, for which nobody counts: nothing is printed.
	Driven bool
}

// Wires are the lines to a board that is on.
type Wires struct {
	// Console is the serial console; Controller the port at which the board expects its motion
	// controller, or nil if it has a real one.
	Console, Controller io.ReadWriteCloser
}

// ErrNoBoard reports that there is nothing to try anything on.
var ErrNoBoard = errors.New("no board: name a file that describes one, as cross/hil/testdata/board.toml does")
