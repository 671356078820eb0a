package intake

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// mark is what a marker says, as far as its ledger is concerned.
type mark struct {
	at    uint64
	layer uint32
}

const height = 100 // layers of a print

// thief is somebody with a printer, its ticket, its disk, and a switch for its power.
type thief struct {
	*box
	r       *rand.Rand
	tk      Ticket
	marks   []mark   // every marker that ever was on the disk
	disks   [][]byte // every ledger
	printed int      // layers, in all
	blind   bool     // control: quarters are not counted
}

// run prints from a layer on until the power is cut, or to the end.
func (th *thief) run(l *Ledger, at uint64, from uint32) (ended bool) {
	th.t.Helper()
	cut := from + uint32(th.r.IntN(height))
	for layer := from; layer < height; layer++ {
		th.printed++
		th.marks = append(th.marks, mark{at, layer})
		if quarter := layer * 4 / height; !th.blind && layer > from && quarter != (layer-1)*4/height {
			next, err := l.Reach(th.t.Context(), th.tk.Job, at, layer, th.now)
			if err != nil {
				th.t.Fatal(err)
			}
			at = next
			th.disks = append(th.disks, th.disk())
		}
		if layer >= cut {
			return false
		}
	}
	if err := l.Over(th.t.Context(), th.tk.Job, at, th.now); err != nil {
		th.t.Fatal(err)
	}
	return true
}

// gain goes on from the lowest layer that any marker and any disk that ever were allow.
func (th *thief) gain() bool {
	newest := th.disk()
	best, found := mark{layer: height}, false
	var on []byte
	for _, disk := range append([][]byte{newest}, th.disks...) {
		os.WriteFile(th.path, disk, 0o600)
		l := th.open()
		for _, m := range th.marks {
			if m.layer < best.layer && l.Resumable(th.tk, m.at, m.layer) == nil {
				best, found, on = m, true, disk
			}
		}
	}
	if !found {
		os.WriteFile(th.path, newest, 0o600)
		return false
	}
	os.WriteFile(th.path, on, 0o600)
	l := th.open()
	at, err := l.Resume(th.t.Context(), th.tk, best.at, best.layer, th.now)
	if err != nil {
		th.t.Fatal(err)
	}
	th.disks = append(th.disks, th.disk())
	if th.run(l, at, best.layer) {
		th.disks = append(th.disks, th.disk())
	}
	return true
}

// TestNeverACopyMore is T22 for prints that are taken up: whoever cuts the power at will and
// puts back every disk and every marker that ever were prints one ticket's one copy, and never
// the layers of another. The control, without the count of quarters, prints several.
func TestNeverACopyMore(t *testing.T) {
	most, seeds := map[bool]int{}, uint64(8) // each is the same every time
	if testing.Short() {
		seeds = 3
	}
	for _, blind := range []bool{false, true} {
		for seed := range seeds {
			th := &thief{box: newBox(t), r: rand.New(rand.NewPCG(seed, 1)), blind: blind}
			th.tk = th.ticket(7, 1)
			l := th.open()
			if err := l.Take(t.Context(), th.tk, th.now); err != nil {
				t.Fatal(err)
			}
			th.disks = append(th.disks, th.disk())
			at := l.Begun(th.tk.Job)
			if at == 0 {
				t.Fatal("a copy that was counted is not being printed")
			}
			th.run(l, at, 0)
			for n := 0; th.gain(); n++ {
				if n > MostResumes {
					t.Fatalf("seed %d: taken up %d times", seed, n)
				}
			}
			if err := th.open().Take(t.Context(), th.tk, th.now); err == nil {
				t.Fatalf("seed %d: another copy is counted", seed)
			}
			most[blind] = max(most[blind], th.printed)
		}
	}
	if most[false] >= 2*height {
		t.Errorf("%d layers of one copy of %d: that is another one", most[false], height)
	}
	if most[true] < 2*height {
		t.Errorf("control: %d layers", most[true])
	}
}

// TestResume: a copy that a power loss broke goes on without counting another, once for each
// loss, from its marker alone; one that has ended, was given back, or is another printer's
// does not.
func TestResume(t *testing.T) {
	b := newBox(t)
	tk := b.ticket(7, 2)
	l := b.open()
	if err := l.Take(t.Context(), tk, b.now); err != nil {
		t.Fatal(err)
	}
	at := l.Begun(tk.Job)
	code := func(err error) string {
		if e, ok := errors.AsType[*TicketError](err); ok {
			return e.Code
		}
		return ""
	}
	l = b.open() // power is back
	next, err := l.Resume(t.Context(), tk, at, 5, b.now)
	if err != nil || next == at || l.book.Taken["07070707070707070707070707070707"].Copies != 1 {
		t.Fatalf("taken up: %v", err)
	}
	if err := l.Resumable(tk, at, 6); code(err) != "resume" {
		t.Errorf("the marker of before is taken twice: %v", err)
	}
	if err := l.Resumable(tk, at, 5); err != nil {
		t.Errorf("power is lost again before the marker is renewed: %v", err)
	}
	clone := newBox(t)
	clone.key = [32]byte{2}
	clone.open()
	os.WriteFile(clone.path, b.disk(), 0o600)
	clone.tpm.n = b.tpm.n
	if err := clone.open().Resumable(tk, next, 5); err == nil {
		t.Error("another printer goes on")
	}
	if err := l.Over(t.Context(), tk.Job, at, b.now); err == nil {
		t.Error("it ends under a count of before")
	}
	if err := l.Over(t.Context(), tk.Job, next, b.now); err != nil {
		t.Fatal(err)
	}
	if err := l.Resumable(tk, next, 5); code(err) != "resume" || l.Begun(tk.Job) != 0 {
		t.Errorf("goes on after its end: %v", err)
	}
	if err := l.Take(t.Context(), tk, b.now); err != nil {
		t.Errorf("the second copy: %v", err)
	}
	at = l.Begun(tk.Job)
	if err := l.Credit(t.Context(), Recredit{Count: l.Count(), Job: tk.Job, Copies: 1, Issued: b.now}, b.now); err != nil {
		t.Fatal(err)
	}
	if err := l.Resumable(tk, at, 0); code(err) != "resume" {
		t.Errorf("given back, and goes on: %v", err)
	}
	if err := l.Take(t.Context(), tk, b.now); err != nil {
		t.Errorf("control: the copy that was given back: %v", err)
	}
}

// TestFullDisk: a disk that takes nothing more does not keep a quarter from counting. If it
// takes the book later, all is well; if power is lost before, no ticket is taken.
func TestFullDisk(t *testing.T) {
	for _, heals := range []bool{true, false} {
		b := newBox(t)
		l := b.open()
		tk := b.ticket(7, 2)
		if err := l.Take(t.Context(), tk, b.now); err != nil {
			t.Fatal(err)
		}
		at := l.Begun(tk.Job)
		old, path := b.disk(), l.path
		l.path = filepath.Join(t.TempDir(), "no", "such", "folder") // a disk that takes nothing, root or not
		next, err := l.Reach(t.Context(), tk.Job, at, 25, b.now)
		if err != nil || next == at || b.tpm.n != next {
			t.Fatalf("count %d, TPM %d, %v", next, b.tpm.n, err)
		}
		if next, err = l.Reach(t.Context(), tk.Job, next, 50, b.now); err != nil || b.tpm.n != next {
			t.Fatalf("count %d, TPM %d, %v", next, b.tpm.n, err)
		}
		if err := l.Take(t.Context(), tk, b.now); err == nil {
			t.Error("a copy is counted where nothing is written")
		}
		if l.path = path; heals {
			if next, err = l.Reach(t.Context(), tk.Job, next, 75, b.now); err != nil {
				t.Fatal(err)
			}
			if err := b.open().Resumable(tk, next, 80); err != nil {
				t.Errorf("the disk is well again: %v", err)
			}
			continue
		}
		if string(b.disk()) != string(old) {
			t.Fatal("the disk has changed: this proves nothing")
		}
		if err := b.open().Resumable(tk, at, 5); err == nil {
			t.Error("a print goes on from before a quarter that the disk did not take")
		}
	}
}

// TestReachCut cuts the power between disk and counter, and after it: the marker of that very
// layer is good, one of an earlier layer is not.
func TestReachCut(t *testing.T) {
	for _, late := range []bool{false, true} {
		b := newBox(t)
		l := b.open()
		tk := b.ticket(7, 1)
		if err := l.Take(t.Context(), tk, b.now); err != nil {
			t.Fatal(err)
		}
		at := l.Begun(tk.Job)
		b.tpm.cut, b.tpm.late = errors.New("power"), late
		if _, err := l.Reach(t.Context(), tk.Job, at, 25, b.now); err == nil {
			t.Fatal("counted without power")
		}
		b.tpm.cut = nil
		l = b.open()
		if err := l.Resumable(tk, at, 24); err == nil {
			t.Error("an earlier marker is good")
		}
		if _, err := l.Resume(t.Context(), tk, at, 25, b.now); err != nil {
			t.Errorf("the marker of that layer: %v", err)
		}
	}
}
