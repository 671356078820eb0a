package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
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

// BenchmarkKnown is a batch judged of one of many printers whose chains hold as much as a chain
// ever does, each of which was not heard for so long that its state is cold. MB is what the
// process has resident, and B/printer what of the heap is theirs. PLATEN_PRINTERS is how many are
// known at most: 100,000 take half a minute, since each has a key.
func BenchmarkKnown(b *testing.B) {
	most := 1000
	if n, err := strconv.Atoi(os.Getenv("PLATEN_PRINTERS")); err == nil {
		most = n
	}
	for _, hot := range []int{DefaultHot, 0} {
		for n := 1000; n <= most && (hot > 0 || n <= 10_000); n *= 10 {
			b.Run(fmt.Sprintf("printers=%d/cold=%v", n, hot > 0), func(b *testing.B) { benchKnown(b, n, hot) })
		}
	}
}

func benchKnown(b *testing.B, printers, hot int) {
	t := &testing.T{}
	var cold Cold
	if hot > 0 {
		f, err := os.CreateTemp(b.TempDir(), "")
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close() // nothing in it is needed
		cold = f
	}
	before := heap()
	v, _ := newVerifier(t)
	v.known = newKnown(cold, hot)
	type said struct {
		id   evidence.PrinterID
		wire []byte
	}
	var heard []said
	every := max(1, printers/b.N) // printers are heard one after the other, none twice before all
	for i := range printers {
		p := newSoft(t)
		state, err := p.spoken()
		if err == nil {
			err = v.known.put(state)
		}
		if err != nil {
			b.Fatal(err)
		}
		if i%every == 0 && len(heard) < b.N {
			heard = append(heard, said{p.id, bytes.Clone(evidence.Trim(p.batch("one")))})
		}
	}
	debug.FreeOSMemory()
	grown, start := heap()-before, cpu(b)
	b.ResetTimer()
	for _, s := range heard {
		if _, err := v.Batch(s.id, s.wire); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(len(heard))/(cpu(b)-start).Seconds(), "batches/cpu-s")
	b.ReportMetric(float64(grown)/float64(printers), "B/printer")
	b.ReportMetric(resident(b), "MB")
	runtime.KeepAlive(v)
}

// spoken is what is remembered of a printer that has said so much that every bound is met.
func (s *soft) spoken() (*printer, error) {
	h, _ := s.header("before")
	head, err := h.Bytes()
	if err != nil {
		return nil, err
	}
	record, err := json.Marshal(s.record())
	if err != nil {
		return nil, err
	}
	c := chain{Boot: h.Boot, Start: h.Start, Seq: h.Seq, Reset: s.clock.ResetCount, Clock: s.clock.Clock}
	c.Recent = append(make([]link, maxRecent-1), link{Seq: h.Seq, Digest: sha256.Sum256(head), First: h.First, Next: h.First + h.Count})
	c.Missing, c.Values, c.Ran = make([]Range, maxMissing), make([]hash, maxValues), make([]ranWith, maxValues)
	return prepare(record, c)
}

// resident is what this process has in memory, in megabytes.
func resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1000 * 1.024
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
