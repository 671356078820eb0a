package gpio

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"platen/hal"
	"platen/hal/sensor"
)

// Contact is a switch: its samples are 1 while it is active and 0 while it is not. It
// implements hal.Sensor.
type Contact struct {
	name string
	line Line
	wg   sync.WaitGroup

	level atomic.Bool
	gaps  atomic.Uint32
	lost  atomic.Bool // the line ended by itself
}

// NewContact watches a line that was requested with BothEdges, and takes it over.
func NewContact(name string, line Line) (*Contact, error) {
	c := &Contact{name: name, line: line}
	v, err := line.Value()
	if err != nil {
		line.Close()
		return nil, fmt.Errorf("contact %s: %w", name, err)
	}
	c.level.Store(v)
	c.wg.Go(c.listen)
	return c, nil
}

// listen follows the edges until Close.
func (c *Contact) listen() {
	var events [16]Event
	var seq uint32
	for {
		n, err := c.line.Events(events[:])
		if err != nil {
			c.lost.Store(true)
			return
		}
		gap := false
		for _, e := range events[:n] {
			gap = gap || seq != 0 && e.Seq != seq+1
			seq = e.Seq
			c.level.Store(e.Rising)
		}
		if gap { // the last edge may have been among those that were lost
			c.gaps.Add(1)
			if v, err := c.line.Value(); err == nil {
				c.level.Store(v)
			}
		}
	}
}

// errGone is a pin whose chip has gone.
var errGone = fmt.Errorf("gpio: the pin is gone: %w", sensor.ErrMissing)

// Active is the level by the newest edge or sample; ok is false once the pin is gone.
func (c *Contact) Active() (active, ok bool) { return c.level.Load(), !c.lost.Load() }

// Gaps counts how often edges were lost.
func (c *Contact) Gaps() uint32 { return c.gaps.Load() }

// AppendSamples appends the level. It asks the pin itself, so that an edge that never
// came as an event is seen at the next sample.
func (c *Contact) AppendSamples(_ context.Context, dst []hal.Sample) ([]hal.Sample, error) {
	if c.lost.Load() {
		return dst, errGone
	}
	v, err := c.line.Value()
	if err != nil {
		return dst, fmt.Errorf("contact %s: %w", c.name, err)
	}
	c.level.Store(v)
	s := hal.Sample{Name: c.name, At: time.Now()}
	if v {
		s.Value = 1
	}
	return append(dst, s), nil
}

// Close lets go of the pin.
func (c *Contact) Close() error {
	err := c.line.Close()
	c.wg.Wait()
	return err
}

// Tach is the tachometer of a fan: its samples are revolutions a minute. It implements
// hal.Sensor.
type Tach struct {
	name   string
	line   Line
	pulses int
	now    func() time.Duration
	wg     sync.WaitGroup

	mu   sync.Mutex
	from Event // the oldest edge that counts
	last Event
	any  bool
	lost bool
}

// window is how far back edges count. A fan without any for that long stands still: at
// one pulse a revolution that is below 60 a minute.
const window = time.Second

// NewTach counts the edges of a line that was requested with Rising, and takes it over;
// pulses is how many there are in a revolution, 2 with most fans. now is the clock of the
// line's events, nil for the kernel's.
func NewTach(name string, line Line, pulses int, now func() time.Duration) (*Tach, error) {
	if pulses < 1 || pulses > 16 {
		line.Close()
		return nil, fmt.Errorf("%w: a fan has 1 to 16 pulses a revolution", ErrPin)
	}
	if now == nil {
		now = monotonic
	}
	t := &Tach{name: name, line: line, pulses: pulses, now: now}
	t.wg.Go(t.listen)
	return t, nil
}

func (t *Tach) listen() {
	var events [16]Event
	for {
		n, err := t.line.Events(events[:])
		t.mu.Lock()
		for _, e := range events[:n] {
			t.count(e)
		}
		t.lost = err != nil
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// count takes in one edge. The stretch that is measured starts anew once it is longer
// than the window, from the newest edge that it had: what is counted is the difference
// of the numbers, so that edges which the queue lost are counted too.
func (t *Tach) count(e Event) {
	if !t.any || e.At-t.last.At > window {
		t.from = e
	} else if e.At-t.from.At > 2*window {
		t.from = t.last
	}
	t.last, t.any = e, true
}

// rpm is revolutions a minute now.
func (t *Tach) rpm() (int64, error) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.lost:
		return 0, errGone
	case !t.any || now-t.last.At > window:
		return 0, nil
	}
	edges, took := t.last.Seq-t.from.Seq, t.last.At-t.from.At
	if edges == 0 || took <= 0 {
		return 0, nil
	}
	return int64(edges) * int64(time.Minute) / (int64(took) * int64(t.pulses)), nil
}

// AppendSamples appends revolutions a minute, 0 for a fan that stands still.
func (t *Tach) AppendSamples(_ context.Context, dst []hal.Sample) ([]hal.Sample, error) {
	v, err := t.rpm()
	if err != nil {
		return dst, err
	}
	return append(dst, hal.Sample{Name: t.name, Value: v, At: time.Now()}), nil
}

// Close lets go of the pin.
func (t *Tach) Close() error {
	err := t.line.Close()
	t.wg.Wait()
	return err
}

// Hold is a pin that enables power for as long as its owner wants it and lives. The
// kernel takes the pin back when the process ends, however it ends; a resistor on the
// board then switches the power off.
type Hold struct{ line Line }

// NewHold takes over a line that was requested as an Output.
func NewHold(line Line) *Hold { return &Hold{line} }

// Set switches the power on or off.
func (h *Hold) Set(on bool) error { return h.line.Set(on) }

// Close switches the power off and lets go of the pin.
func (h *Hold) Close() error {
	err := h.line.Set(false)
	if cerr := h.line.Close(); err == nil {
		err = cerr
	}
	return err
}
