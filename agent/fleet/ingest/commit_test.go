package ingest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

func key(printer string, seq uint64) string { return fmt.Sprint(printer, " ", seq) }

// TestManyAtOnce: frames of many printers that come at the same time, those of each one after
// the other, are all believed and stored once, told of in the order of the log, and the states
// that a start reads are those that they led to.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t, 24)
	var told []string // by whoever writes, one at a time
	h.in.commit.emit = func(e store.Event) { told = append(told, key(e.Printer, e.Seq)) }
	const each = 6
	var wg sync.WaitGroup
	for _, p := range h.printers {
		var frames [][]byte
		for range each {
			frames = append(frames, p.frame())
		}
		wg.Go(func() {
			for _, f := range frames {
				if err := h.in.Frame(p.record.Printer, f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	log := h.believed()
	if len(log) != each*len(h.printers) || len(told) != len(log) {
		t.Errorf("%d batches in the log, %d told of, want %d", len(log), len(told), each*len(h.printers))
	}
	i := 0
	for e := range store.Events(h.dir) {
		if want := key(e.Printer, e.Seq); told[i] != want {
			t.Fatalf("told %d of %q, the log has %q", i, told[i], want)
		}
		i++
	}
	h.same(t)
}

// same opens the folder anew and compares the states of all printers.
func (h *house) same(t *testing.T) {
	t.Helper()
	want := map[*soft]string{}
	for _, p := range h.printers {
		want[p] = h.state(p)
	}
	h.open()
	for p, w := range want {
		if got := h.state(p); got != w {
			t.Errorf("after a start %s, want %s", got, w)
		}
	}
}

// TestStatesFollowTheLog: whether or not states were saved since, and at whatever place of the
// log, a start finds every printer where the log has it.
func TestStatesFollowTheLog(t *testing.T) {
	h := newHouse(t, 3)
	old := h.state(h.printers[0])
	send := func() {
		for _, p := range h.printers {
			if err := h.in.Frame(p.record.Printer, p.frame()); err != nil {
				t.Fatal(err)
			}
		}
	}
	send()
	h.same(t) // by the log alone
	if h.state(h.printers[0]) == old {
		t.Error("control: a frame changed no state")
	}
	send()
	if err := h.in.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	h.same(t)
	send()
	send()
	h.same(t) // by both
	if err := h.in.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	// What lies before a checkpoint is not read again.
	logs, err := filepath.Glob(filepath.Join(h.dir, "events", "*.jsonl"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	for _, l := range logs {
		if err := os.Remove(l); err != nil {
			t.Fatal(err)
		}
	}
	h.same(t)
	if err := os.Remove(filepath.Join(h.dir, "checkpoint.json")); err != nil {
		t.Fatal(err)
	}
	h.same(t)
}

// TestStateOfACutLog: at whatever byte a power cut ends the log, the state is that of its whole
// lines: a frame whose line is whole was seen, any other is believed when it comes again.
func TestStateOfACutLog(t *testing.T) {
	h := newHouse(t, 1)
	p := h.printers[0]
	saved := filepath.Join(h.dir, "printers", p.record.Printer.String()+".json")
	before, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	frames := [][]byte{p.frame(), p.frame()}
	for _, f := range frames {
		if err := h.in.Frame(p.record.Printer, f); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := filepath.Glob(filepath.Join(h.dir, "events", "*.jsonl"))
	if err != nil || len(logs) != 1 {
		t.Skip("the day changed within the test") // it begins another file
	}
	whole, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(string(whole), "\n") + 1
	cuts := []int{len(whole) - 2, len(whole) - 1, len(whole)}
	for cut := first; cut < len(whole)-2; cut += 101 { // each costs a start
		cuts = append(cuts, cut)
	}
	for _, cut := range cuts {
		_ = os.Remove(filepath.Join(h.dir, "checkpoint.json")) // the first time there is none
		if err := errors.Join(os.WriteFile(logs[0], whole[:cut], 0o600), os.WriteFile(saved, before, 0o600)); err != nil {
			t.Fatal(err)
		}
		h.open()
		_, err := h.v.Batch(p.record.Printer, frames[1])
		if seen := cut >= len(whole)-1; seen && verify.ReasonOf(err) != verify.Replayed || !seen && err != nil {
			t.Fatalf("cut at byte %d of %d: %v", cut, len(whole), err)
		}
	}
}

// TestFailingDisk: frames that were judged and cannot be stored are taken back, all of them, in
// whatever order they wait: those that were under way, and those judged behind them. When they
// come again they are believed.
func TestFailingDisk(t *testing.T) {
	h := newHouse(t, 2)
	a, b := h.printers[0], h.printers[1]
	for _, p := range h.printers {
		if err := h.in.Frame(p.record.Printer, p.frame()); err != nil {
			t.Fatal(err)
		}
	}
	before := []string{h.state(a), h.state(b)}
	frames := map[*soft][][]byte{a: {a.frame(), a.frame(), a.frame()}, b: {b.frame()}}
	if err := h.s.Close(); err != nil { // the folder of the log becomes a file
		t.Fatal(err)
	}
	path := filepath.Join(h.dir, "events")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var writes []*write
	for _, f := range frames[a] {
		writes = append(writes, h.begin(a, f))
	}
	writes = append(writes, h.begin(b, frames[b][0]))
	// The first group is under way while the last two are judged.
	late := writes[2:]
	h.in.commit.waiting = writes[:2]
	group := h.in.commit.waiting
	h.in.commit.waiting = late
	h.in.commit.write(group)
	for i, w := range writes {
		if w.err == nil {
			t.Errorf("write %d did not fail", i)
		}
	}
	if h.state(a) != before[0] || h.state(b) != before[1] {
		t.Error("a state is not what it was")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	for p, all := range frames {
		for _, f := range all {
			if err := h.in.Frame(p.record.Printer, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for k, n := range h.believed() {
		if n != 1 {
			t.Errorf("%s is in the log %d times", k, n)
		}
	}
	if got := len(h.believed()); got != 6 {
		t.Errorf("%d batches in the log, want 6", got)
	}
	h.same(t)
}

// TestCheckpointAndEnrolment: a checkpoint that was reading states when a printer enrolled anew does
// not put the older one in the place of what was saved then.
func TestCheckpointAndEnrolment(t *testing.T) {
	h := newHouse(t, 1)
	p := h.printers[0]
	if err := h.in.Frame(p.record.Printer, p.frame()); err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(h.dir, "printers", p.record.Printer.String()+".json")
	if err := unix.Mkfifo(saved+".new", 0o600); err != nil { // where the checkpoint has to wait
		t.Fatal(err)
	}
	done := make(chan error, 2)
	go func() { done <- h.in.Checkpoint() }()
	slow, err := os.Open(saved + ".new")
	if err != nil {
		t.Fatal(err)
	}
	if h.in.disk.TryLock() {
		t.Error("a state may be saved while an older one is")
		h.in.disk.Unlock()
	}
	p.record.Enrolled = time.Unix(1, 0).UTC()
	if err := h.v.Enrol(p.record); err != nil {
		t.Fatal(err)
	}
	go func() { done <- h.in.Save(p.record.Printer) }()
	if _, err := io.Copy(io.Discard, slow); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-done, <-done, slow.Close()); err != nil {
		t.Fatal(err)
	}
	h.same(t)
}
