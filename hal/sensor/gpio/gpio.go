// Package gpio reads switches and tachometers on pins, through the character device of
// Linux (GPIO uAPI version 2, Linux 5.10 and later), and holds a pin that enables power.
//
// Start at [OpenChip] and [Chip.Request], which hand out a [Line], and put a [Contact],
// a [Tach] or a [Hold] on it. Those know nothing of the kernel: anything that is a Line
// will do, as in the tests.
//
// The kernel numbers the edges of a line and keeps a bounded queue of them. What was lost
// on the way shows as a gap in the numbers: a tachometer counts by the numbers and so
// loses nothing, a contact asks for the level again.
package gpio

import (
	"errors"
	"fmt"
	"time"
)

// Line is one pin that was requested.
type Line interface {
	// Value is the level now: true is active.
	Value() (bool, error)
	// Events waits for edges, puts them into dst and returns how many. It ends with
	// os.ErrClosed after Close.
	Events(dst []Event) (int, error)
	// Set drives the level of an output.
	Set(active bool) error
	// Close lets go of the pin.
	Close() error
}

// Event is one edge.
type Event struct {
	At     time.Duration // on the kernel's monotonic clock
	Rising bool          // inactive to active
	Seq    uint32        // counts the edges of this line from 1; a gap is a loss
}

// Config is how a pin is used.
type Config struct {
	Chip      string // "gpiochip0", or the label of the chip, such as "pinctrl-bcm2711"
	Offset    uint32 // of the pin within the chip
	ActiveLow bool
	Pull      Pull
	Debounce  time.Duration // edges closer than that are one; 0 for none
	Edges     Edges
	Output    bool // driven, inactive from the start
}

// Pull is the resistor of a pin.
type Pull uint8

// The resistors.
const (
	PullAsIs Pull = iota // as the pin was
	PullUp
	PullDown
	PullNone
)

// Edges says which edges are events.
type Edges uint8

// The edges.
const (
	NoEdges Edges = iota
	Rising
	BothEdges
)

// ErrPin reports a configuration that cannot be.
var ErrPin = errors.New("gpio: the pin cannot be used like this")

// Check says whether c can be.
func (c Config) Check() error {
	switch {
	case c.Chip == "":
		return fmt.Errorf("%w: no chip is named", ErrPin)
	case c.Output && (c.Edges != NoEdges || c.Debounce != 0):
		return fmt.Errorf("%w: an output has no edges", ErrPin)
	case c.Debounce < 0 || c.Debounce > time.Second:
		return fmt.Errorf("%w: debounce is 0 to 1s", ErrPin)
	}
	return nil
}
