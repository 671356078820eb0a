package verify

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"platen/agent/evidence"
)

// cpu is the time that this process has computed.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBatch is one batch judged. batches/cpu-s is what one core does in a second,
// whatever else this machine does.
func BenchmarkBatch(b *testing.B) {
	t := &testing.T{}
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	wires := make([][]byte, 0, b.N)
	for range b.N {
		wires = append(wires, p.batch("one", "two", "three"))
	}
	before := cpu(b)
	b.ResetTimer()
	for _, w := range wires {
		if _, err := v.Batch(p.id, w); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/(cpu(b)-before).Seconds(), "batches/cpu-s")
}

// BenchmarkManyPrinters says what a verifier needs for each of many printers whose chains
// hold as much as a chain ever does. PLATEN_PRINTERS is how many: with 100,000, which takes
// minutes since each has a key, it is the same as with 300.
func BenchmarkManyPrinters(b *testing.B) {
	printers := 300
	if n, err := strconv.Atoi(os.Getenv("PLATEN_PRINTERS")); err == nil {
		printers = n
	}
	for b.Loop() {
		t := &testing.T{}
		one := newSoft(t)
		v, _ := newVerifier(t, one)
		full(t, v, one)
		chain, err := json.Marshal(v.printers[one.id].Chain)
		if err != nil {
			b.Fatal(err)
		}
		before := heap()
		for range printers {
			p := newSoft(t)
			record := p.record()
			state, err := json.Marshal(struct {
				Record Record          `json:"record"`
				Chain  json.RawMessage `json:"chain"`
			}{record, chain})
			if err != nil {
				b.Fatal(err)
			}
			if err := v.RestorePrinter(state); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/float64(printers), "B/printer")
		runtime.KeepAlive(v)
	}
	b.ReportMetric(float64(printers), "printers")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// full has a verifier remember of a printer all that there is room for: gaps, links,
// and the values of many agents.
func full(t *testing.T, v *Verifier, p *soft) {
	t.Helper()
	for n := range byte(maxRecent + 8) {
		if n%2 == 0 {
			p.measure(1 + n%40)
		}
		p.batch("lost")
		accept(t, v, p.id, p.batch(fmt.Sprint("kept ", n)))
	}
}

// TestStateDoesNotGrow: however much a printer says, what is remembered of it stays as
// large as it is once every bound was met; before that it grows, which is the control.
func TestStateDoesNotGrow(t *testing.T) {
	p := newSoft(t)
	p.clock.Clock, p.chain = 1<<40, evidence.NewChain(p.id, us, 3, 1<<40) // numbers of one length
	v, _ := newVerifier(t, p)
	size := func() int {
		t.Helper()
		b, err := v.PrinterState(p.id)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	fresh := size()
	full(t, v, p)
	before := size()
	if before < 2*fresh {
		t.Errorf("%d bytes for a new printer, %d for one that has said much", fresh, before)
	}
	full(t, v, p)
	// Numbers have become longer by some digits, and there are so many of them.
	if after, digits := size(), 4*(3*maxRecent+2*maxMissing+8); after > before+digits {
		t.Errorf("it grew from %d to %d bytes", before, after)
	}
}
