package haltest

import (
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/sim"
)

// severed is a line whose host can die: from then on it says nothing and hears nothing.
type severed struct {
	net.Conn
	dead atomic.Bool
}

func (c *severed) Read(b []byte) (int, error) {
	if c.dead.Load() {
		time.Sleep(time.Second)
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Read(b)
}

func (c *severed) Write(b []byte) (int, error) {
	if c.dead.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *severed) SetReadDeadline(t time.Time) error {
	if c.dead.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// coldWithin is how soon after the port is opened the heaters are off: at once, or after
// the first silence where the host before has died in the middle of a line.
const coldWithin = 600 * time.Millisecond

// Crash has a host die with its heaters on, between two lines or in the middle of one, and
// opens the port anew: the heaters are off before the
// controller has said who it is.
func Crash(t *testing.T, tr Traits, dial Dial) {
	for name, half := range map[string]string{"between lines": "", "in a line": "N7 G1 X1"} {
		t.Run(name, func(t *testing.T) {
			line := &severed{}
			through := func(conn net.Conn) net.Conn {
				line.Conn = conn
				return line
			}
			inBubbleThrough(t, tr, dial, through, sim.Config{Hotend: stillWarm}, func(w *world) {
				for _, h := range []hal.HeaterID{motion.HotEnd, motion.Bed} {
					if err := w.m.SetHeater(w.Context(), h, 60_000); err != nil {
						w.Fatal(err)
					}
				}
				if s := w.p.Stats(); s.HotendSet == 0 || s.BedSet == 0 {
					w.Fatalf("control: the heaters are off before: %+v", s)
				}
				if _, err := line.Conn.Write([]byte(half)); err != nil {
					w.Fatal(err)
				}
				line.dead.Store(true)
				if err := line.Conn.SetReadDeadline(time.Unix(1, 0)); err != nil { // ends what the dead one reads
					w.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				w.reopened(line)
			})
		})
	}
}

// reopened opens the machine of a line whose host has died, and watches the heaters.
func (w *world) reopened(line *severed) {
	w.Helper()
	old, begin := w.m, time.Now()
	took := make(chan time.Duration, 1)
	go func() {
		for s := w.p.Stats(); s.HotendSet != 0 || s.BedSet != 0; s = w.p.Stats() {
			time.Sleep(10 * time.Millisecond)
		}
		took <- time.Since(begin)
	}()
	w.port = cable{line.Conn, w.p}
	w.open()
	opened := time.Since(begin)
	old.Close() // it is dead: nobody hears what it says
	cold := <-took
	w.Logf("cold after %v, open after %v", cold, opened)
	if cold > coldWithin {
		w.Errorf("the heaters were on for %v", cold)
	}
	if opened <= cold {
		w.Errorf("control: they were off only once it was open, after %v", opened)
	}
}
