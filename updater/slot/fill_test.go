package slot_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"platen/updater/slot"
	"platen/updater/updatertest"
)

// pieces is contents that need several writes, checkpoints and blocks of memory.
func pieces(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i * 7 >> 5)
	}
	return p
}

// flipping is a medium that changes one byte of what is written to it.
type flipping struct {
	slot.File
	at int64 // negative: none
}

func (f flipping) WriteAt(p []byte, off int64) (int, error) {
	if f.at >= off && f.at < off+int64(len(p)) {
		p = bytes.Clone(p)
		p[f.at-off] ^= 4
	}
	return f.File.WriteAt(p, off)
}

// TestMedium: what comes back from the medium is what counts, wherever it differs, behind a
// head as well; a sound medium is the control.
func TestMedium(t *testing.T) {
	const every, size = 64 << 10, 300<<10 + 123
	whole := pieces(size)
	for _, head := range []int{0, every, 2*every + 777} {
		for _, at := range []int64{-1, int64(head), every*3 - 1, size - 1} {
			d := updatertest.NewDisk()
			f, err := d.Open("root", slot.Create)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(whole[:head], 0); err != nil {
				t.Fatal(err)
			}
			l := slot.NewLog(d)
			l.SetSteps(every, 10<<10)
			w := l.Begin(flipping{f, at}, slot.Root, slot.B, int64(head))
			for rest := whole[head:]; len(rest) > 0; {
				n := min(len(rest), 9999)
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			sum, err := w.Sum()
			if at < 0 && (err != nil || sum != sha256.Sum256(whole)) {
				t.Errorf("head %d, sound: %v", head, err)
			}
			if at >= 0 && !errors.Is(err, slot.ErrMedium) {
				t.Errorf("head %d, changed at %d: %v", head, at, err)
			}
			if got, err := w.Finish(); (err == nil) != (at < 0) || err == nil && (got.Size != size || got.Digest != sum) {
				t.Errorf("head %d, changed at %d: finished with %+v, %v", head, at, got, err)
			}
		}
	}
}

// TestDamagedHead: what was there before is not the medium's fault, and shows in the sum.
func TestDamagedHead(t *testing.T) {
	whole := pieces(50000)
	d := updatertest.NewDisk()
	f, err := d.Open("root", slot.Create)
	if err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(whole[:20000])
	bad[3] ^= 1
	if _, err := f.WriteAt(bad, 0); err != nil {
		t.Fatal(err)
	}
	w := slot.NewLog(d).Begin(f, slot.Root, slot.B, int64(len(bad)))
	if _, err := w.Write(whole[len(bad):]); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Finish(); err != nil || got.Digest == sha256.Sum256(whole) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPlanFollowsTheMedium: on a real file, where writing, making durable and reading back go on
// beside each other, the record says of no more that it is durable than was written, and in the
// end of all that is kept.
func TestPlanFollowsTheMedium(t *testing.T) {
	const every, size = 32 << 10, 10*32<<10 + 500
	whole, digest := pieces(size), [32]byte{1}
	d, err := slot.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l := slot.NewLog(d)
	l.SetSteps(every, every)
	if err := l.Plan(slot.Root, slot.B, digest); err != nil {
		t.Fatal(err)
	}
	w, err := l.BeginFile(d, "root", slot.Create, slot.Root, slot.B)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < size; at += 1000 {
		if _, err := w.Write(whole[at:min(at+1000, size)]); err != nil {
			t.Fatal(err)
		}
		if n, err := l.Planned(slot.Root, slot.B); err != nil || n > int64(at)+1000 || n%every != 0 {
			t.Fatalf("after %d bytes the record says %d, %v", at+1000, n, err)
		}
	}
	if err := w.Keep(true); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Planned(slot.Root, slot.B); err != nil || n != size {
		t.Errorf("kept, the record says %d of %d bytes, %v", n, size, err)
	}
	again, err := l.BeginFile(d, "root", slot.Create, slot.Root, slot.B)
	if err != nil {
		t.Fatal(err)
	}
	if again.Head().Size() != size {
		t.Errorf("%d bytes are there for who goes on in %s", again.Head().Size(), filepath.Join(d.Path(), "root.new"))
	}
	if got, err := again.Finish(); err != nil || got.Digest != sha256.Sum256(whole) {
		t.Errorf("%+v, %v", got, err)
	}
}

// mixing is a medium that gives back what was written with two of its blocks exchanged, or
// with the same bit of both changed.
type mixing struct {
	slot.File
	a, b int // numbers of the blocks; the same: none
	flip bool
}

func (m mixing) ReadAt(p []byte, off int64) (int, error) {
	const size = 4096
	n, err := m.File.ReadAt(p, off)
	for i := range p[:n] {
		at := int(off) + i
		from, in := at/size, at%size
		if m.a == m.b || from != m.a && from != m.b {
			continue
		}
		if m.flip {
			if in == 99 {
				p[i] ^= 8
			}
		} else if _, err := m.File.ReadAt(p[i:i+1], int64((m.a+m.b-from)*size+in)); err != nil {
			return i, err
		}
	}
	return n, err
}

// TestMixedBlocks: a medium that exchanges two blocks, or changes two alike, is found out,
// however far from each other they are; the same one without that is the control.
func TestMixedBlocks(t *testing.T) {
	const size = 70 * 4096
	whole := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(whole)
	for _, m := range []mixing{{a: 3, b: 3}, {a: 3, b: 4}, {a: 0, b: 64}, {a: 17, b: 50}, {a: 3, b: 4, flip: true}, {a: 1, b: 65, flip: true}} {
		d := updatertest.NewDisk()
		f, err := d.Open("root", slot.Create)
		if err != nil {
			t.Fatal(err)
		}
		m.File = f
		w := slot.NewLog(d).Begin(m, slot.Root, slot.B, 0)
		if _, err := w.Write(whole); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(); errors.Is(err, slot.ErrMedium) != (m.a != m.b) {
			t.Errorf("blocks %d and %d, changed %v: %v", m.a, m.b, m.flip, err)
		}
	}
}

// gated is a medium whose reads wait until it was synchronised so often.
type gated struct {
	slot.File
	left  *int
	open  chan struct{}
	reads *atomic.Int64
}

func (g gated) ReadAt(p []byte, off int64) (int, error) {
	g.reads.Add(1)
	<-g.open
	return g.File.ReadAt(p, off)
}

func (g gated) Sync() error {
	if *g.left--; *g.left == 0 {
		close(g.open)
	}
	return g.File.Sync()
}

// TestKeepReadsNothing: who stops an update does not wait until what was written is read
// back, but for the two blocks that are being read; the control is one that goes on.
func TestKeepReadsNothing(t *testing.T) {
	const every, checkpoints = 64 << 10, 3
	for _, keep := range []bool{true, false} {
		d := updatertest.NewDisk()
		f, err := d.Open("root", slot.Create)
		if err != nil {
			t.Fatal(err)
		}
		left, reads := checkpoints+1, atomic.Int64{}
		l := slot.NewLog(d)
		l.SetSteps(every, every)
		w := l.Begin(gated{f, &left, make(chan struct{}), &reads}, slot.Root, slot.B, 0)
		if _, err := w.Write(pieces(checkpoints*every + 777)); err != nil {
			t.Fatal(err)
		}
		if keep {
			err = w.Keep(true)
		} else {
			_, err = w.Finish()
		}
		if n := reads.Load(); err != nil || keep != (n <= 2) {
			t.Errorf("kept %v: %d blocks are read, %v", keep, n, err)
		}
	}
}
