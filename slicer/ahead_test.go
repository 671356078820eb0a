package slicer

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platen/hal/motion"
	"platen/slicer/clock"
	"platen/slicer/vault"
)

// slower is how much slower a core of a printer is than one here.
const slower = 10

// BenchmarkAhead slices models on one processor as if it were slower, and prints them
// in simulated time: layers are ready before they are printed if the machine never
// waits for one but the first. share is the largest part of a layer's print time that
// slicing takes over any eight layers in a row, waits how long the machine waits in
// all. Models are those in build/bench/models, which make bench writes, or our own.
func BenchmarkAhead(b *testing.B) {
	files, _ := filepath.Glob("../build/bench/models/*.stl")
	if len(files) == 0 {
		files = []string{"../testdata/models/bracket.stl", "../testdata/models/tug.stl", "../testdata/models/thin.stl"}
	}
	for _, file := range files {
		b.Run(filepath.Base(file), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			for b.Loop() {
				work, print := layerTimes(b, file)
				share, waits := ahead(work, print)
				b.ReportMetric(share, "share")
				b.ReportMetric(waits.Seconds(), "s-waits")
			}
		})
	}
}

// layerTimes slices a model and returns how long each layer took, on the slower core,
// and how long it takes to print.
func layerTimes(b *testing.B, file string) (work, print []time.Duration) {
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	v, err := vault.NewPageable(512 << 20)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	j, err := Open(context.Background(), v, f, st.Size(), Detect, Default())
	if err != nil {
		b.Fatal(err)
	}
	watch := clock.New(clock.Default())
	last, printed := cpuTime(b), time.Duration(0)
	for op, err := range j.Program(context.Background()) {
		if err != nil {
			b.Fatal(err)
		}
		if op.Kind == motion.BeginLayer {
			now, total := cpuTime(b), watch.Total()
			if len(work) > 0 {
				print = append(print, total-printed)
			}
			work = append(work, slower*(now-last))
			last, printed = now, total
		}
		watch.Add(op)
	}
	return work, append(print, watch.Total()-printed)
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inFlight is how many layers are made ahead of the one that is printed.
const inFlight = 8

// ahead prints layers in simulated time.
func ahead(work, print []time.Duration) (share float64, waits time.Duration) {
	var ready, end time.Duration
	ends := make([]time.Duration, len(work))
	for k := range work {
		if k >= inFlight {
			ready = max(ready, ends[k-inFlight]) // no room before
		}
		ready += work[k]
		if k > 0 && ready > end {
			waits += ready - end
		}
		end = max(end, ready) + print[k]
		ends[k] = end
		if k+1 >= inFlight {
			var w, p time.Duration
			for i := k + 1 - inFlight; i <= k; i++ {
				w, p = w+work[i], p+print[i]
			}
			share = max(share, w.Seconds()/p.Seconds())
		}
	}
	return share, waits
}

// Layers that take longer to make than to print make the machine wait; those that do
// not, do not, nor does a single slow one that was made ahead.
func TestAheadOfTheMachine(t *testing.T) {
	const s = time.Second
	even := func(d time.Duration) []time.Duration {
		all := make([]time.Duration, 20)
		for i := range all {
			all[i] = d
		}
		return all
	}
	if share, waits := ahead(even(s), even(2*s)); share != 0.5 || waits != 0 {
		t.Errorf("half the time: share %v, waits %v", share, waits)
	}
	if share, waits := ahead(even(3*s), even(2*s)); share != 1.5 || waits != 19*s {
		t.Errorf("control: share %v, waits %v", share, waits)
	}
	slow := even(s)
	slow[15] = 8 * s
	if _, waits := ahead(slow, even(2*s)); waits != 0 {
		t.Errorf("one slow layer: waits %v", waits)
	}
	slow[15] = 80 * s
	if _, waits := ahead(slow, even(2*s)); waits < 60*s {
		t.Errorf("one very slow layer: waits %v", waits)
	}
}
