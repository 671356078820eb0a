package reprap

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"platen/hal/driver"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// wound is what happens to one byte of what the host says.
type wound struct {
	at   int  // which byte
	bit  byte // flipped, if not zero
	lost bool // else it is lost, or comes twice
}

// wounded is a line that suffers one wound.
type wounded struct {
	net.Conn
	w    wound
	mu   sync.Mutex
	sent int
}

func (c *wounded) Write(b []byte) (int, error) {
	c.mu.Lock()
	first := c.sent
	c.sent += len(b)
	c.mu.Unlock()
	out := slices.Clone(b)
	if i := c.w.at - first; i >= 0 && i < len(b) {
		switch {
		case c.w.bit != 0:
			out[i] ^= c.w.bit
		case c.w.lost:
			out = slices.Delete(out, i, i+1)
		default:
			out = slices.Insert(out, i, b[i])
		}
	}
	if len(out) == 0 {
		return len(b), nil
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// TestNoSingleWound damages every byte of a print in turn: flips each of its bits, loses
// it, doubles it (some of that; all with PLATEN_SOAK). Never may a move come of it that is not of the program, nor one be
// missing.
func TestNoSingleWound(t *testing.T) {
	t.Parallel()
	list := zigzag(6)
	want := wanted(list)
	whole := print1(t, wound{at: -1}, list, want)
	step := 23 // coprime to what is drawn from it
	switch {
	case testing.Short():
		step = 397
	case os.Getenv("PLATEN_SOAK") != "":
		step = 1
	}
	noticed, runs := 0, 0
	for i := 0; i < whole.sent*10; i += step {
		w := wound{at: i / 10}
		switch form := i % 10; form {
		case 8:
			w.lost = true
		case 9:
		default:
			w.bit = 1 << form
		}
		runs++
		if r := print1(t, w, list, want); r.resends > 0 {
			noticed++
		}
	}
	if noticed < runs/4 {
		t.Errorf("control: only %d of %d wounds were noticed", noticed, runs)
	}
}

type outcome struct {
	sent    int
	resends uint64
}

// print1 prints list over a line that suffers w. While the machine is opened there is
// nothing to go wrong yet but that it is asked again.
func print1(t *testing.T, w wound, list []motion.Op, want [][3]unit.Length) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t}
		printer, err := sim.New(sim.Config{Firmware: sim.RepRap, Speed: sim.Fastest, Hotend: 200 * unit.Degree, Checked: true,
			OnMove: func(m sim.Move) {
				r.mu.Lock()
				r.moves = append(r.moves, m)
				r.mu.Unlock()
			}})
		if err != nil {
			t.Fatal(err)
		}
		host, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { printer.Serve(ctx, far) })
		defer wg.Wait()
		defer cancel()
		line := &wounded{Conn: host, w: w}
		m, err := Open(t.Context(), line, driver.Options{})
		if err != nil {
			t.Fatalf("%+v: %v", w, err)
		}
		defer m.Close()
		if err := m.Run(t.Context(), program(list)); err != nil {
			t.Errorf("%+v: %v", w, err)
		}
		if got := r.printed(); !slices.EqualFunc(got, want, same) {
			t.Errorf("%+v: printed %d moves, want %d", w, len(got), len(want))
		}
		s := printer.Stats()
		line.mu.Lock()
		defer line.mu.Unlock()
		o = outcome{line.sent, s.Resends}
	})
	return o
}
