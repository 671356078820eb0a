package haltest

import (
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"platen/hal/motion"
	"platen/hal/sim"
)

// storm is everything that can happen to the bytes of a line, far more often than on a
// bad day, and bursts among it: for protocols whose checks can be trusted to find those.
var storm = sim.Faults{
	Corrupt: 2000, CorruptReply: 2000, DropByte: 1000, Burst: 300, Garbage: 1000, HalfLine: 300, Delay: 200,
	DropOK: 1000, DupOK: 1000, FakeOK: 500, ResendStorm: 50,
}

// Storm prints over a line that does everything to its bytes: short prints with many
// seeds, and a long one. PLATEN_SOAK says how often a print of 100,000 moves instead, each
// time with a seed of its own. Each move is driven once, in order, to its place.
func Storm(t *testing.T, tr Traits, dial Dial) {
	prints := []int{10_000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000, 3000}
	switch soak, err := strconv.Atoi(os.Getenv("PLATEN_SOAK")); {
	case err == nil && soak > 0:
		prints = slices.Repeat([]int{100_000}, soak)
	case raced:
		prints = []int{3000, 700, 700, 700, 700, 700}
	case testing.Short():
		prints = []int{2000, 600, 600}
	}
	moves, injected, resends := 0, uint64(0), uint64(0)
	for seed, n := range prints {
		inBubble(t, tr, dial, sim.Config{Seed: uint64(seed), Speed: sim.Fastest, Hotend: stillWarm, Faults: storm}, func(w *world) {
			s := w.print(spiral(n))
			moves, injected, resends = moves+n, injected+s.Injected, resends+s.Resends
		})
	}
	if t.Logf("%d moves, %d faults, %d lines again", moves, injected, resends); injected < uint64(moves/1000) || resends == 0 {
		t.Errorf("control: only %d faults struck %d moves, %d lines were sent again", injected, moves, resends)
	}
}

// Sound prints over a line that damages nothing, at the pace of the printer: nothing is
// lost, asked for or sent a second time. On a line that loses a byte now and then the
// same counters show it. Firmware that says nothing through a long command (Quiet) is
// asked by a line that it refuses, so that only lost bytes count there; and a port that
// wants checksums repeats what is not answered soon, so that the driver's count does not.
func Sound(t *testing.T, tr Traits, dial Dial) {
	moves := 1000
	if raced {
		moves = 250
	}
	count := func(f sim.Faults) (n uint64) {
		inBubble(t, tr, dial, sim.Config{Seed: 3, LineTime: 150 * time.Microsecond, Hotend: stillWarm, Faults: f}, func(w *world) {
			before, state := w.p.Stats(), w.m.State() // opening may have probed what is refused
			s := w.print(spiral(moves))
			n = s.Overruns - before.Overruns
			if !tr.Quiet {
				n += s.Resends - before.Resends
			}
			if st := w.m.State(); !tr.Quiet && !tr.Checked {
				n += st.Resends - state.Resends + st.LinkError - state.LinkError
			}
		})
		return n
	}
	if n := count(sim.Faults{}); n > 0 {
		t.Errorf("over a sound line %d bytes or lines were lost", n)
	}
	if tr.Unchecked || tr.Quiet {
		return // nothing is damaged on its way, or nothing would show it
	}
	if count(sim.Faults{DropByte: sim.Always / 20}) == 0 {
		t.Error("control: a line that loses bytes looked sound")
	}
}

// print prints ops after warming up, and judges what was driven.
func (w *world) print(ops []motion.Op) sim.Stats {
	w.Helper()
	ops = w.fit(append(warmUp(), ops...))
	err := w.m.Run(w.Context(), Program(ops))
	s := w.p.Stats()
	if err != nil {
		w.Fatalf("Run: %v; %+v; %+v", err, w.m.State(), s)
	}
	judge(w.T, w.moves, expect(ops), true)
	if s.Cold+s.Clamped+s.Unhomed > 0 {
		w.Errorf("the printer had to hold something back: %+v", s)
	}
	return s
}

// wound is what happens to one byte of what the host says.
type wound struct {
	at   int  // which byte; -1 is none
	bit  byte // flipped, if not zero
	lost bool // else it is lost, or comes twice
}

// woundAt is the wound of number i: ten for each byte.
func woundAt(i int) wound {
	w := wound{at: i / 10}
	switch form := i % 10; form {
	case 8:
		w.lost = true
	case 9:
	default:
		w.bit = 1 << form
	}
	return w
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

// Wounds damages the bytes of a small print one at a time, from the first question to the
// last command: flips a bit of one, loses it or doubles it. One of step such wounds is
// tried, with -race and -short fewer, with PLATEN_SOAK all. Each move is driven once, in
// order, to its place; while the machine is opened there is nothing to go wrong yet but
// that it is asked again.
func Wounds(t *testing.T, tr Traits, dial Dial, step int) {
	switch {
	case os.Getenv("PLATEN_SOAK") != "":
		step = 1
	case testing.Short():
		step = 397
	case raced:
		step = 10*step + 1
	}
	whole := survive(t, tr, dial, wound{at: -1})
	noticed, runs := 0, 0
	for i := 0; i < whole.sent*10; i += step {
		runs++
		if survive(t, tr, dial, woundAt(i)).resends > 0 {
			noticed++
		}
	}
	if t.Logf("%d of %d wounds were noticed by the controller", noticed, runs); noticed < runs/5 {
		t.Errorf("control: only %d of %d wounds were noticed", noticed, runs)
	}
}

type survival struct {
	sent    int
	resends uint64
}

// survive prints over a line that suffers w.
func survive(t *testing.T, tr Traits, dial Dial, w wound) (o survival) {
	t.Helper()
	line := &wounded{w: w}
	through := func(conn net.Conn) net.Conn {
		line.Conn = conn
		return line
	}
	inBubbleThrough(t, tr, dial, through, sim.Config{Speed: sim.Fastest, Hotend: stillWarm}, func(world *world) {
		s := world.print(spiral(6))
		line.mu.Lock()
		defer line.mu.Unlock()
		o = survival{line.sent, s.Resends}
	})
	if t.Failed() {
		t.Fatalf("this was with %+v", w)
	}
	return o
}
