package grbl

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/hal/driver"
	"platen/hal/motion"
	"platen/hal/sim"
	"platen/hal/unit"
)

// flipper is a line that damages one byte of one move.
type flipper struct {
	net.Conn
	rng   *rand.Rand
	after int // moves
	done  bool
}

func (f *flipper) Write(b []byte) (int, error) {
	if f.done || !bytes.HasPrefix(b, []byte("G1")) {
		return f.Conn.Write(b)
	}
	if f.after--; f.after >= 0 {
		return f.Conn.Write(b)
	}
	f.done = true
	c := bytes.Clone(b)
	if i := f.rng.IntN(bytes.IndexByte(c, '\n')); f.rng.IntN(3) == 0 {
		c = append(c[:i], c[i+1:]...)
	} else {
		c[i] ^= 1 << f.rng.IntN(8)
	}
	if _, err := f.Conn.Write(c); err != nil {
		return 0, err
	}
	return len(b), nil
}

// wander is 200 short moves, fast enough that one of them is over between two reports.
func wander(seed uint64) []motion.Op {
	rng := rand.New(rand.NewPCG(seed, 2))
	ops := []motion.Op{{Kind: motion.Home}}
	x, y := 100*mm, 100*mm
	for range 200 {
		x += unit.Length(rng.IntN(int(4*mm))) - 2*mm
		y += unit.Length(rng.IntN(int(4*mm))) - 2*mm
		ops = append(ops, motion.Op{Kind: motion.Move, Axes: motion.X | motion.Y, To: [3]unit.Length{x, y}, Feed: 60_000})
	}
	return ops
}

// damaged runs a program over a line that damages one byte, and reports whether the
// machine was stopped, and else whether all of its moves were right.
func damaged(t *testing.T, seed uint64) (stopped, right bool) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var moves []sim.Move
		p, err := sim.New(sim.Config{
			Firmware: sim.GRBL, Settings: shop, Baud: 115200, LineTime: time.Millisecond,
			OnMove: func(m sim.Move) { mu.Lock(); moves = append(moves, m); mu.Unlock() },
		})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Serve(ctx, far) })
		defer wg.Wait()
		defer cancel()
		rng := rand.New(rand.NewPCG(seed, 1))
		line := &flipper{Conn: near, rng: rng, after: rng.IntN(150)}
		m, err := Open(ctx, line, Options{Pins: driver.Pins{USB: true}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ops := wander(seed)
		if err := run(t, m, ops...); err != nil {
			stopped = true
			return
		}
		if !line.done {
			t.Fatal("control: nothing was damaged")
		}
		mu.Lock()
		defer mu.Unlock()
		right = len(moves) == len(ops)-1
		for i := 0; right && i < len(moves); i++ {
			for a := range 2 {
				d := moves[i].To[a] - ops[i+1].To[a]
				right = right && d < mm/20 && d > -mm/20
			}
		}
	})
	return stopped, right
}

// TestNoticed damages one byte of a program of short moves, in many ways: nearly always
// the machine is stopped, or what was damaged did not matter. This is what is left to
// the pin of the link; PLATEN_SOAK is how many thousand programs there are.
func TestNoticed(t *testing.T) {
	runs := uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("PLATEN_SOAK"), 10, 32); err == nil {
		runs = 1000 * n
	} else if testing.Short() {
		runs = 10
	}
	stopped, harmless, missed := 0, 0, 0
	for seed := range runs {
		switch was, right := damaged(t, seed); {
		case was:
			stopped++
		case right:
			harmless++
		default:
			missed++
		}
	}
	t.Logf("of %d damaged programs %d were stopped, %d were right, %d were not noticed", runs, stopped, harmless, missed)
	if missed*20 > int(runs) || stopped*2 < int(runs) {
		t.Errorf("of %d damaged programs %d were stopped, %d were not noticed", runs, stopped, missed)
	}
}
