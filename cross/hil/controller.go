package hil

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"platen/hal/sim"
	"platen/hal/unit"
)

// Controller is the motion controller at the board's printer port: a simulated Marlin 2 that
// loses its power with the board, and remembers only where its head stands. What it counted is
// what a scenario believes of a print.
type Controller struct {
	speed int

	mu      sync.Mutex
	printer *sim.Printer
	place   [3]unit.Length
	cancel  context.CancelFunc
	rw      io.Closer
	served  chan struct{}
	rest    []byte
	lines   bytes.Buffer // those that moved something, of all prints
	moves   int
	top     int // the highest number of a line since numbering began
	wake    chan struct{}
	log     io.Writer
}

// newController is a controller without power that simulates so many seconds in a real one.
func newController(speed int, log io.Writer) *Controller {
	return &Controller{speed: speed, wake: make(chan struct{}), log: log}
}

// power switches it on, at the other end of rw.
func (c *Controller) power(rw io.ReadWriteCloser) error {
	const side, height = 220 * unit.Millimetre, 250 * unit.Millimetre
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := sim.New(sim.Config{Firmware: sim.Marlin2, Speed: c.speed, EmergencyParser: true, Start: c.place,
		Volume: [3]unit.Length{side, side, height}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.printer, c.cancel, c.rw, c.served, c.rest = p, cancel, rw, make(chan struct{}), nil
	c.top = 0
	fmt.Fprintln(c.log, time.Now().Format(time.TimeOnly), "power on")
	go func(served chan struct{}) {
		defer close(served)
		if err := p.Serve(ctx, &overheard{rw, c}); err != nil && ctx.Err() == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			fmt.Fprintln(c.log, "the controller ended:", err)
		}
	}(c.served)
	return nil
}

// cut switches it off.
func (c *Controller) cut() {
	c.mu.Lock()
	p, cancel, rw, served := c.printer, c.cancel, c.rw, c.served
	c.printer = nil
	c.mu.Unlock()
	if p == nil {
		return
	}
	cancel()
	rw.Close()
	<-served
	c.mu.Lock()
	defer c.mu.Unlock()
	c.place = p.Place()
	s := p.Stats()
	fmt.Fprintf(c.log, "%s power off after %d lines, %d moves, %d layers, %d µm of filament, %d resends\n",
		time.Now().Format(time.TimeOnly), s.Lines, s.Moves, s.Layers, s.Filament, s.Resends)
}

// Stats is what it counted since it has power; all zero if it has none.
func (c *Controller) Stats() sim.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.printer == nil {
		return sim.Stats{}
	}
	return c.printer.Stats()
}

// Moves is how many moves that feed filament it was told so far, by all prints.
func (c *Controller) Moves() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moves
}

// Program is the text of these moves.
func (c *Controller) Program() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.lines.Bytes())
}

// After waits until it was told n moves more than from.
func (c *Controller) After(ctx context.Context, from, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c.mu.Lock()
		moves, wake := c.moves, c.wake
		c.mu.Unlock()
		if moves >= from+n {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return fmt.Errorf("the controller was told %d moves of %d: %w", moves-from, n, ctx.Err())
		}
	}
}

// note keeps lines that feed filament on the way to a place.
func (c *Controller) note(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, p...)
	for {
		l, rest, ok := bytes.Cut(c.rest, []byte("\n"))
		if !ok {
			break
		}
		c.rest = rest
		if c.again(l) {
			continue
		}
		if x := bytes.IndexByte(l, 'X'); x >= 0 && bytes.IndexByte(l[x:], 'E') > 0 {
			c.lines.Write(l)
			c.lines.WriteByte('\n')
			c.moves++
		}
	}
	close(c.wake)
	c.wake = make(chan struct{})
}

// again is whether a line was heard before: its number is not above those since numbering began.
func (c *Controller) again(line []byte) bool {
	if bytes.Contains(line, []byte("M110")) {
		c.top = 0
		return false
	}
	rest, numbered := bytes.CutPrefix(line, []byte("N"))
	if !numbered {
		return false
	}
	n, err := strconv.Atoi(string(rest[:len(rest)-len(bytes.TrimLeft(rest, "0123456789"))]))
	if err != nil || n > c.top {
		c.top = max(c.top, n)
		return false
	}
	return true
}

// overheard is the controller's end of the line.
type overheard struct {
	io.ReadWriteCloser
	c *Controller
}

// Read reads what the board says, and notes it.
func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadWriteCloser.Read(p)
	if n > 0 {
		o.c.note(p[:n])
	}
	return n, err
}
