package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/updatertest"
)

// index is a Memory that outlives a printer's disk.
type index struct {
	data   []byte
	fail   error
	writes int
}

func (m *index) Load(context.Context) ([]byte, error) { return bytes.Clone(m.data), m.fail }

func (m *index) Save(_ context.Context, marks []byte) error {
	if m.fail == nil {
		m.data, m.writes = bytes.Clone(marks), m.writes+1
	}
	return m.fail
}

func (l *lab) clientWith(m Memory) *Client {
	l.t.Helper()
	cfg := l.config(l.t.TempDir())
	cfg.Memory = m
	c, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// TestWipedDiskAndTPM: the disk is empty, and everything that the mirror shows is signed
// and valid, but older than what the TPM remembers.
func TestWipedDiskAndTPM(t *testing.T) {
	l := newLab(t)
	l.release(1)
	tsOld := l.read("timestamp.json")
	l.release(2)
	m := &index{}
	c := l.clientWith(m)
	mustRefresh(t, c, 2)
	if err := c.Raise(updater.Floor{Release: 2}); err != nil {
		t.Fatal(err)
	}
	l.serve("timestamp.json", tsOld)
	refused(t, l.clientWith(m), updater.ErrRollback)
	mustRefresh(t, l.clientWith(nil), 1) // control: who remembers nothing believes it
	l.heal()

	// Stolen online keys sign older targets anew, under higher versions.
	l.forge(l.read("2.targets.json"), 2)
	refused(t, l.clientWith(m), updater.ErrRollback)
	mustRefresh(t, l.clientWith(nil), 1)
	l.heal()

	// Even if nothing but the release itself is older.
	other := &index{data: Marks{Release: 2}.encode()}
	l.forge(l.read("2.targets.json"), 2)
	again := l.clientWith(other)
	if err := again.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Find(board, "agent"); !errors.Is(err, updater.ErrRollback) {
		t.Errorf("find: %v", err)
	}
	l.heal()
	mustRefresh(t, l.clientWith(m), 2)
}

// TestRootBelowMark: the mirror hides the root that revoked a key.
func TestRootBelowMark(t *testing.T) {
	l := newLab(t)
	l.release(1)
	old := map[string][]byte{}
	for _, name := range []string{"timestamp.json", "2.snapshot.json"} {
		old[name] = l.read(name)
	}
	if err := l.rotate("timestamp"); err != nil {
		t.Fatal(err)
	}
	m := &index{}
	mustRefresh(t, l.clientWith(m), 1)
	l.hook("2.root.json", http.NotFound)
	for name, data := range old {
		l.serve(name, data)
	}
	refused(t, l.clientWith(m), updater.ErrRollback)
	mustRefresh(t, l.clientWith(nil), 1) // control
}

// TestFastForwardAndTPM: a thief of the online keys drives the versions up, and the TPM
// remembers them. Rotating the keys heals it, on the same disk and on an empty one.
func TestFastForwardAndTPM(t *testing.T) {
	l := newLab(t)
	l.release(1)
	m := &index{}
	c := l.clientWith(m)
	sn := parse(l, "2.snapshot.json", metadata.Snapshot())
	sn.Signed.Version = 1 << 40
	ts := parse(l, "timestamp.json", metadata.Timestamp())
	ts.Signed.Version = 1 << 40
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(1 << 40)
	l.serve("timestamp.json", sign(t, ts, l.signers("timestamp")...))
	l.serve(fmt.Sprintf("%d.snapshot.json", int64(1)<<40), sign(t, sn, l.signers("snapshot")...))
	mustRefresh(t, c, 1)
	l.heal()
	l.release(2)
	refused(t, c, updater.ErrRollback)
	refused(t, l.clientWith(m), updater.ErrRollback)
	for _, role := range []string{"snapshot", "timestamp"} {
		if err := l.rotate(role); err != nil {
			t.Fatal(err)
		}
	}
	mustRefresh(t, l.clientWith(m), 2)
	mustRefresh(t, c, 2)
	if got, _ := decodeMarks(m.data); got.Timestamp > 1<<20 || got.Root != 3 {
		t.Errorf("marks after the rotation: %+v", got)
	}
}

// TestMarksThatFail: without what was seen last nothing is believed, and a raise is not
// reported as done.
func TestMarksThatFail(t *testing.T) {
	l := newLab(t)
	l.release(1)
	broken := errors.New("TPM is in lockout")
	m := &index{fail: broken}
	c := l.clientWith(m)
	refused(t, c, updater.ErrFloor)
	if err := c.Raise(updater.Floor{Release: 1}); !errors.Is(err, updater.ErrFloor) || !errors.Is(err, broken) {
		t.Errorf("raise: %v", err)
	}
	m.fail = nil
	mustRefresh(t, c, 1)
	m.fail = broken
	if err := c.Raise(updater.Floor{Release: 1}); !errors.Is(err, updater.ErrFloor) {
		t.Errorf("raise: %v", err)
	}
	l.release(2)
	refused(t, c, updater.ErrFloor)
	m.fail = nil
	mustRefresh(t, c, 2)
}

// TestMarksThatAreDamaged: whoever spoils them does not make the printer believe its disk.
// Only Repair makes new ones, and not below what is known.
func TestMarksThatAreDamaged(t *testing.T) {
	l := newLab(t)
	l.release(1)
	m := &index{}
	c := l.clientWith(m)
	mustRefresh(t, c, 1)
	if err := c.Raise(updater.Floor{Release: 1}); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(m.data)
	for name, data := range map[string][]byte{"a bit": append([]byte{whole[0] ^ 1}, whole[1:]...), "empty": {}, "short": whole[:40], "zero": make([]byte, MarksSize)} {
		m.data = data
		for _, x := range []*Client{l.clientWith(m), l.clientWith(m)} { // a wiped disk, and again
			refused(t, x, updater.ErrMarks)
			if err := x.Raise(updater.Floor{Release: 1}); !errors.Is(err, updater.ErrMarks) || !bytes.Equal(m.data, data) {
				t.Errorf("%s: raise: %v", name, err)
			}
		}
		again := l.clientWith(m)
		if err := again.Repair(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		if err := again.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Find(board, "agent"); !errors.Is(err, updater.ErrRollback) {
			t.Errorf("%s: below what was repaired to: %v", name, err)
		}
	}
	m.data = whole // the control: nothing to repair
	if err := l.clientWith(m).Repair(t.Context(), 7); err != nil || !bytes.Equal(m.data, whole) {
		t.Errorf("whole marks are repaired: %v", err)
	}
}

// TestRepairThatFails: marks that could not be written do not count, and the repair can be
// asked for again, even if there is nothing to remember.
func TestRepairThatFails(t *testing.T) {
	l := newLab(t)
	l.release(1)
	m := &torn{index{data: make([]byte, MarksSize)}, nil}
	c := l.clientWith(m)
	m.torn = errors.New("TPM is in lockout")
	if err := c.Repair(t.Context(), 7); !errors.Is(err, updater.ErrFloor) || !errors.Is(err, m.torn) {
		t.Errorf("repair: %v", err)
	}
	if got := c.Floor().Release; got != 0 {
		t.Errorf("the floor is %d by a repair that failed", got)
	}
	if err := c.Raise(updater.Floor{Release: 1}); !errors.Is(err, updater.ErrMarks) {
		t.Errorf("raise: %v", err)
	}
	refused(t, c, updater.ErrMarks)
	m.torn = nil
	if err := c.Repair(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 1)
	if _, ok := decodeMarks(m.data); !ok {
		t.Error("the marks are damaged still")
	}
}

// torn is an index that can be read and not written.
type torn struct {
	index
	torn error
}

func (m *torn) Save(ctx context.Context, marks []byte) error {
	if m.torn != nil {
		return m.torn
	}
	return m.index.Save(ctx, marks)
}

// TestMarksSpareTheTPM: checks without news do not write.
func TestMarksSpareTheTPM(t *testing.T) {
	l := newLab(t)
	l.release(1)
	m := &index{}
	c := l.clientWith(m)
	mustRefresh(t, c, 1)
	first := m.writes
	for range 5 {
		l.now = l.now.Add(4*time.Hour + 30*time.Minute)
		mustRefresh(t, c, 1)
	}
	if m.writes != first {
		t.Errorf("%d writes in 22 hours without news", m.writes-first)
	}
	l.now = l.now.Add(2 * time.Hour)
	mustRefresh(t, c, 1)
	if m.writes != first+1 {
		t.Errorf("%d writes after a day, want one", m.writes-first)
	}
}

// TestPowerCutsAndTPM cuts the power after each effect on the disk while the TPM keeps
// what it was told before: what was reported is in both, neither is ever lower than it,
// and the next refresh works.
func TestPowerCutsAndTPM(t *testing.T) {
	l := newLab(t)
	l.release(1)
	d := updatertest.NewDisk()
	m := &index{}
	cfg := l.config("")
	at := mirror{dirFetcher(l.dir), dirFetcher(filepath.Join(l.dir, "targets"))}
	open := func(d *updatertest.Disk, m Memory) *Client {
		cfg.Memory = m
		c, err := newClient(cfg, d, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open(d, m)
	mustRefresh(t, c, 1)
	memories := [][]byte{bytes.Clone(m.data)} // after each report
	d.Mark("0")
	l.release(2)
	mustRefresh(t, c, 2)
	for n := uint64(1); n <= 2; n++ {
		if err := c.Raise(updater.Floor{Release: n}); err != nil {
			t.Fatal(err)
		}
		memories = append(memories, bytes.Clone(m.data))
		d.Mark(fmt.Sprint(n))
	}
	for n, kept := range memories { // the disk is gone
		wiped := open(updatertest.NewDisk(), &index{data: kept})
		mustRefresh(t, wiped, 2)
		if got := wiped.Floor().Release; got != uint64(n) {
			t.Errorf("on an empty disk: floor %d after %d was reported", got, n)
		}
	}
	states := 0
	for crash := range d.Crashes(3) {
		states++
		reported := len(crash.Acked)
		kept := memories[max(0, reported-1)] // the TPM holds that at least
		after := open(crash.Disk, &index{data: kept})
		mustRefresh(t, after, 2)
		if got := after.Floor().Release; reported > 0 && got < uint64(reported-1) {
			t.Fatalf("%s: floor %d after %d was reported", crash.At, got, reported-1)
		}
		if testing.Short() && states >= 8 {
			break
		}
	}
	if states < 8 {
		t.Fatalf("only %d states", states)
	}
	t.Logf("%d states", states)
}

func TestMarksCoding(t *testing.T) {
	want := Marks{1, 2, 3, 4, 5, time.Unix(1<<33, 0).UTC(), 7}
	b := want.encode()
	if got, ok := decodeMarks(b); !ok || got != want || len(b) != MarksSize {
		t.Fatalf("%+v, %v", got, ok)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 4
		if _, ok := decodeMarks(bad); ok {
			t.Errorf("byte %d does not count", i)
		}
	}
	if got, ok := decodeMarks(Marks{}.encode()); !ok || got != (Marks{}) {
		t.Errorf("zero marks: %+v, %v", got, ok)
	}
}
