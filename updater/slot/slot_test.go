package slot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platen/updater/slot"
	"platen/updater/updatertest"
)

func filled(release uint64) slot.Slot {
	return slot.Slot{Release: release, Size: 1000 + release, Digest: [32]byte{byte(release), 1}}
}

// install is the first change: release in slot a, confirmed.
func install(release uint64) func(*slot.Record) error {
	return func(r *slot.Record) error {
		*r.Slot(slot.A) = filled(release)
		r.Confirm(slot.A)
		return nil
	}
}

func try(n slot.Name, release uint64) func(*slot.Record) error {
	return func(r *slot.Record) error {
		*r.Slot(n) = filled(release)
		r.Try(n, 3)
		return nil
	}
}

func confirm(n slot.Name) func(*slot.Record) error {
	return func(r *slot.Record) error { r.Confirm(n); return nil }
}

func fallBack(r *slot.Record) error { r.FallBack(slot.Crashed); return nil }

func mustUpdate(t *testing.T, l *slot.Log, fn func(*slot.Record) error) slot.Record {
	t.Helper()
	rec, err := l.Update(fn)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestLifeOfARecord(t *testing.T) {
	dir, err := slot.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	l := slot.NewLog(dir)
	if rec, err := l.Load(); err != nil || rec != (slot.Record{}) {
		t.Fatalf("before the first change: %+v, %v", rec, err)
	}
	mustUpdate(t, l, install(4))
	mustUpdate(t, l, try(slot.B, 5))
	mustUpdate(t, l, confirm(slot.B))
	mustUpdate(t, l, try(slot.A, 6))
	mustUpdate(t, l, fallBack)
	got, err := slot.NewLog(dir).Load()
	if err != nil {
		t.Fatal(err)
	}
	b := filled(5)
	b.Confirmed = true
	want := slot.Record{Generation: 5, Active: slot.B, Floor: 5, Bad: 6, Why: slot.Crashed, Slots: [2]slot.Slot{{}, b}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	same := mustUpdate(t, l, func(*slot.Record) error { return nil })
	if same.Generation != 5 {
		t.Errorf("a change of nothing made generation %d", same.Generation)
	}
}

func TestFloorsNeverFall(t *testing.T) {
	l := slot.NewLog(updatertest.NewDisk())
	mustUpdate(t, l, install(7))
	mustUpdate(t, l, func(r *slot.Record) error { r.RaiseFloor(9, 1000); return nil })
	got := mustUpdate(t, l, func(r *slot.Record) error {
		r.RaiseFloor(3, 10)
		r.Floor, r.Clock, r.Tries = 0, 0, 1
		return nil
	})
	if got.Floor != 9 || got.Clock != 1000 {
		t.Errorf("floor %d, clock %d; want 9, 1000", got.Floor, got.Clock)
	}
}

func TestRefusesRecordsThatCannotBe(t *testing.T) {
	for name, bad := range map[string]func(*slot.Record){
		"tries the active slot": func(r *slot.Record) { r.Trying = slot.A },
		"tries an empty slot":   func(r *slot.Record) { r.Trying = slot.B },
		"unknown slot":          func(r *slot.Record) { r.Active = 3 },
	} {
		l := slot.NewLog(updatertest.NewDisk())
		before := mustUpdate(t, l, install(1))
		if _, err := l.Update(func(r *slot.Record) error { bad(r); return nil }); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if got, err := l.Load(); err != nil || got != before {
			t.Errorf("%s: changed the record: %+v, %v", name, got, err)
		}
	}
}

// TestEveryFlippedBit flips each bit of either copy: the other copy counts.
func TestEveryFlippedBit(t *testing.T) {
	d := updatertest.NewDisk()
	l := slot.NewLog(d)
	first := mustUpdate(t, l, install(1))
	second := mustUpdate(t, l, try(slot.B, 2))
	whole, _ := d.Contents("slots")
	for i := range 448 {
		for bit := range 8 {
			if testing.Short() && bit != i%8 {
				continue
			}
			for at, want := range map[int]slot.Record{0: second, 4096: first} {
				p := bytes.Clone(whole)
				p[at+i] ^= 1 << bit
				d.Damage("slots", p)
				if got, err := l.Load(); err != nil || got != want {
					t.Fatalf("byte %d bit %d: generation %d, %v; want %d", at+i, bit, got.Generation, err, want.Generation)
				}
			}
		}
	}
}

func TestBothCopiesDamaged(t *testing.T) {
	for name, contents := range map[string][]byte{
		"empty": nil, "zeros": make([]byte, 8192), "text": []byte("hello"), "short": make([]byte, 100),
	} {
		d := updatertest.NewDisk()
		l := slot.NewLog(d)
		mustUpdate(t, l, install(1))
		d.Damage("slots", contents)
		if _, err := l.Load(); !errors.Is(err, slot.ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
		if got := mustUpdate(t, l, install(2)); got.Active != slot.A || got.Slot(slot.A).Release != 2 {
			t.Errorf("%s: after the next change %+v", name, got)
		}
	}
}

// badDisk fails to read.
type badDisk struct{ *updatertest.Disk }

type badFile struct{ slot.File }

var errIO = errors.New("input/output error")

func (badFile) ReadAt([]byte, int64) (int, error) { return 0, errIO }

func (d badDisk) Open(name string, mode slot.Mode) (slot.File, error) {
	f, err := d.Disk.Open(name, mode)
	return badFile{f}, err
}

func TestIOErrorIsNotDamage(t *testing.T) {
	d := updatertest.NewDisk()
	before := mustUpdate(t, slot.NewLog(d), install(1))
	l := slot.NewLog(badDisk{d})
	if _, err := l.Load(); !errors.Is(err, errIO) || errors.Is(err, slot.ErrRecord) {
		t.Errorf("load: %v", err)
	}
	if _, err := l.Update(install(2)); !errors.Is(err, errIO) {
		t.Errorf("update: %v", err)
	}
	if got, err := slot.NewLog(d).Load(); err != nil || got != before {
		t.Errorf("the record changed: %+v, %v", got, err)
	}
}

// TestTwoProcesses changes one record through two logs on one folder, as the
// launcher and the agent do: no change is lost.
func TestTwoProcesses(t *testing.T) {
	path := t.TempDir()
	const each = 40
	var wg sync.WaitGroup
	for range 2 {
		dir, err := slot.OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		l := slot.NewLog(dir)
		wg.Go(func() {
			for range each {
				if _, err := l.Update(func(r *slot.Record) error { r.Bad++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	dir, err := slot.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if rec, err := slot.NewLog(dir).Load(); err != nil || rec.Bad != 2*each {
		t.Errorf("%d of %d changes are there, %v", rec.Bad, 2*each, err)
	}
}

// changes are what happens to a record in its life, in any order.
var changes = []func(*slot.Record) error{
	install(1), try(slot.A, 3), try(slot.B, 2), confirm(slot.A), confirm(slot.B), fallBack,
	func(r *slot.Record) error { r.Tries--; return nil },
	func(r *slot.Record) error { r.RaiseFloor(r.Floor+1, r.Clock+60); return nil },
}

// life applies n changes drawn at random to a record on d, marks each that was
// reported as done, and returns every record there was, by generation.
func life(d *updatertest.Disk, seed uint64, n int) []slot.Record {
	rng := rand.New(rand.NewPCG(seed, 1))
	l := slot.NewLog(d)
	history := []slot.Record{{}}
	for range n {
		rec, err := l.Update(changes[rng.IntN(len(changes))])
		if err == nil && rec.Generation == uint64(len(history)) {
			history = append(history, rec)
			d.Mark("")
		}
	}
	return history
}

// TestPowerCuts cuts the power in every way after every effect of many lives: the
// record is one of those that were, not older than the last one reported. Then it
// changes the record and cuts that, too.
func TestPowerCuts(t *testing.T) {
	states, lives, least := 0, uint64(40), 10000
	if testing.Short() {
		lives, least = 8, 2000
	}
	for seed := range lives {
		d := updatertest.NewDisk()
		history := life(d, seed, 24)
		for c := range d.Crashes(seed) {
			states++
			rec := survived(t, c, history, len(c.Acked))
			next, err := slot.NewLog(c.Disk).Update(func(r *slot.Record) error { r.Bad += 100; return nil })
			if err != nil || next.Generation != rec.Generation+1 {
				t.Fatalf("seed %d, %s: the next change: generation %d, %v", seed, c.At, next.Generation, err)
			}
			c.Disk.Mark("")
			for again := range c.Disk.Crashes(seed) {
				states++
				survived(t, again, []slot.Record{rec, next}, len(again.Acked))
			}
		}
	}
	if states < least {
		t.Fatalf("only %d states", states)
	}
	t.Logf("%d states", states)
}

// survived returns the record after a cut, which has to be one of history and not
// older than the one with the index acked.
func survived(t *testing.T, c updatertest.Crash, history []slot.Record, acked int) slot.Record {
	t.Helper()
	rec, err := slot.NewLog(c.Disk).Load()
	if err != nil {
		t.Fatalf("%s: %v", c.At, err)
	}
	if i := slices.Index(history, rec); i < acked {
		t.Fatalf("%s: record %d (generation %d) after %d was reported", c.At, i, rec.Generation, acked)
	}
	return rec
}

// careless is a disk whose syncs do nothing: the control of the power cuts.
type careless struct{ *updatertest.Disk }

type carelessFile struct{ slot.File }

func (carelessFile) Sync() error      { return nil }
func (careless) SyncDir(string) error { return nil }
func (c careless) Open(name string, mode slot.Mode) (slot.File, error) {
	f, err := c.Disk.Open(name, mode)
	if err != nil {
		return nil, err
	}
	return carelessFile{f}, nil
}

func TestPowerCutsNoticeMissingSync(t *testing.T) {
	d := updatertest.NewDisk()
	l := slot.NewLog(careless{d})
	mustUpdate(t, l, install(1))
	d.Mark("1")
	mustUpdate(t, l, try(slot.B, 2))
	d.Mark("2")
	lost := 0
	for c := range d.Crashes(1) {
		rec, err := slot.NewLog(c.Disk).Load()
		if err != nil || int(rec.Generation) < len(c.Acked) {
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("a record that is never synchronised survived every cut")
	}
}

func TestDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x", "y")
	d, err := slot.OpenDir(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Open("a/none", slot.Read); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := d.Open("../up", slot.Create); err == nil {
		t.Error("a name leaves the folder")
	}
	if err := slot.Replace(d, "a/f", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := slot.Replace(d, "a/f", []byte("two")); err != nil {
		t.Fatal(err)
	}
	got, err := slot.ReadAll(d, "a/f", 3)
	if err != nil || string(got) != "two" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := slot.ReadAll(d, "a/f", 2); err == nil {
		t.Error("a file above the limit was read")
	}
	if _, err := os.Stat(filepath.Join(path, "a", "f.new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file is still there: %v", err)
	}
	for mode, runs := range map[slot.Mode]bool{slot.Create: false, slot.Program: true} {
		name := fmt.Sprintf("p%d", mode)
		f, err := d.Open(name, mode)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		st, err := os.Stat(filepath.Join(path, name))
		if err != nil || (st.Mode()&0o100 != 0) != runs || st.Mode()&0o022 != 0 {
			t.Errorf("mode %d makes %v, %v", mode, st.Mode(), err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, n := range []slot.Name{slot.None, slot.A, slot.B} {
		if slot.Parse(n.String()) != n {
			t.Errorf("%s is parsed as %s", n, slot.Parse(n.String()))
		}
	}
	if slot.Parse("c") != slot.None || slot.A.Other() != slot.B || slot.B.Other() != slot.A || slot.None.Other() != slot.A {
		t.Error("names are mixed up")
	}
}
