// Package loader is what the engine that flashes a controller and the protocols of
// its bootloaders agree on: the way to the controller ([Link]), what its flash looks
// like ([Layout]), and what every protocol can do with it ([Loader]).
//
// The protocols are packages stk500v2, an3155 and katapult; package flash drives them.
// Start at [Loader]. A protocol repeats requests that were lost or damaged as often as
// its own framing makes that harmless; whatever goes wrong beyond that is an error, on
// which the engine enters the bootloader again. No protocol is trusted with the result:
// the engine reads every byte back.
package loader

import (
	"context"
	"errors"
	"io"
	"time"
)

// Why a bootloader was not used, or not any further.
var (
	// ErrIdentity reports a controller other than the one the board names. Nothing was
	// written to it.
	ErrIdentity = errors.New("another controller answers than the board names: correct the board file or connect the right one")
	// ErrProtected reports a controller that lets nobody read or write its flash.
	ErrProtected = errors.New("the controller's flash is protected: take the protection off once by its maker's tool, which erases it")
	// ErrSilent reports that no bootloader answered.
	ErrSilent = errors.New("no bootloader answers: check the line, its rate, and how the board enters its bootloader")
	// ErrLine reports a conversation that broke off.
	ErrLine = errors.New("the bootloader's answers make no sense or stay away")
)

// Port is an open line to a controller. *serial.Port is one.
type Port interface {
	io.ReadWriteCloser
	// SetReadDeadline ends reads at t with os.ErrDeadlineExceeded.
	SetReadDeadline(t time.Time) error
}

// Mode is how the line is set up.
type Mode struct {
	Baud int  // bits per second
	Even bool // even parity; none otherwise
}

// Link is the way to one controller: its line, and the pins that restart it.
type Link interface {
	// Open opens the line. It waits, for a bounded time, for a device that comes
	// back after the controller restarted.
	Open(ctx context.Context, m Mode) (Port, error)
	// Reset restarts the controller behind p. With boot its pins are such that the
	// bootloader in its ROM starts (BOOT0 of an STM32); a link without that pin
	// ignores boot.
	Reset(ctx context.Context, p Port, boot bool) error
}

// Traits is what the engine has to know of the bootloader that answers.
type Traits struct {
	// MCU is what the controller calls itself: a signature, a product id, a name.
	MCU string
	// Sequential says that pages can only be written from the first one upwards: each
	// write may erase not the page it names but the next in order.
	Sequential bool
}

// Loader talks to one bootloader. Pages are those of the application area of its
// [Layout], counted from 0; data is always one whole page. Its methods are called by
// one goroutine at a time.
type Loader interface {
	// Enter brings the controller from any state into its bootloader and finds out
	// who it is. It changes nothing. It fails with ErrIdentity, ErrSilent, or what
	// the link reports.
	Enter(ctx context.Context) (Traits, error)
	// Write erases a page and writes it. After nil it very likely holds data; after
	// an error it may hold anything.
	Write(ctx context.Context, page int, data []byte) error
	// Read reads a page into dst. What it returns was damaged on the way with a
	// chance that is small and not zero.
	Read(ctx context.Context, page int, dst []byte) error
	// Leave starts the application.
	Leave(ctx context.Context) error
	// Close lets go of the line.
	Close() error
}
