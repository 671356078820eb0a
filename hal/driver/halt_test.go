package driver_test

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"platen/hal/driver"
)

// TestHaltLatency prints how long it takes from the call of Halt until the stop has been
// written, which on a UART or USB is when it goes out, and until the far end of the pty has
// read it, to where a thread of the kernel carries it that has no more priority than any
// other: with nothing to do, with a controller whose queue is full, and the latter while
// other processes keep all cores busy.
func TestHaltLatency(t *testing.T) {
	n := 20
	if os.Getenv("PLATEN_BENCH") != "" {
		n = 1000
		t.Setenv(farVar, "1")
	}
	for _, c := range []struct {
		name, kind string
		hogs       int
	}{{"idle", kindTail, 0}, {"queue full", kindStuck, 0}, {"queue full, cores busy", kindStuck, runtime.NumCPU()}} {
		if c.hogs > 0 && n < 1000 {
			continue
		}
		r := startResponder(t, c.kind)
		stop := hogs(t, c.hogs)
		var written, read []time.Duration
		for range n {
			w, r := haltOnce(t, r, c.kind)
			written, read = append(written, w), append(read, r)
		}
		stop()
		for _, row := range []struct {
			to   string
			took []time.Duration
		}{{"written", written}, {"far end", read}} {
			slices.Sort(row.took)
			t.Logf("Halt, %-22s %s: median %v (1 ms wanted)  p99 %v  p99.9 %v (5 ms wanted)  of %d", c.name, row.to, row.took[n/2], row.took[n*99/100], row.took[n*999/1000], n)
		}
	}
}

// haltOnce opens a machine, lets it wait for a move if the controller is stuck, and halts it.
func haltOnce(t *testing.T, r *responder, kind string) (written, read time.Duration) {
	t.Helper()
	m := r.open(t, driver.Pins{})
	defer m.Close()
	done := make(chan error, 1)
	if kind == kindStuck {
		go func() { done <- m.Run(t.Context(), moves(1000)) }()
		for m.State().Lines < 3 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	begin := monotonic()
	if err := m.Halt("bench"); err != nil {
		t.Fatal(err)
	}
	written = time.Duration(monotonic() - begin)
	read = r.stopped(t, begin)
	if kind == kindStuck {
		if err := <-done; err == nil {
			t.Fatal("a halted program ended well")
		}
	}
	return written, read
}
