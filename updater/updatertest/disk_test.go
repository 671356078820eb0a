package updatertest

import (
	"errors"
	"io/fs"
	"testing"

	"platen/updater/slot"
)

func write(t *testing.T, d *Disk, name, text string, sync bool) {
	t.Helper()
	f, err := d.Open(name, slot.Create)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// after lists what may be in a file after a cut behind the last effect; a missing
// file is "-".
func after(d *Disk, name string) map[string]bool {
	seen := map[string]bool{}
	last := len(marks(d.log))
	for c := range d.Crashes(1) {
		if len(c.Acked) < last {
			continue
		}
		data, ok := c.Disk.Contents(name)
		if !ok {
			seen["-"] = true
		} else {
			seen[string(data)] = true
		}
	}
	return seen
}

func TestNothingIsDurableWithoutSync(t *testing.T) {
	d := NewDisk()
	write(t, d, "f", "new", false)
	d.Mark("done")
	got := after(d, "f")
	for _, want := range []string{"-", "", "new", "\x00\x00\x00"} {
		if !got[want] {
			t.Errorf("%q is never left, only %v", want, got)
		}
	}
}

func TestFileSyncIsNotFolderSync(t *testing.T) {
	d := NewDisk()
	write(t, d, "f", "new", true)
	d.Mark("done")
	if got := after(d, "f"); !got["-"] || !got["new"] || len(got) != 2 {
		t.Errorf("after the file was synchronised: %v", got)
	}
	if err := d.SyncDir("."); err != nil {
		t.Fatal(err)
	}
	d.Mark("folder")
	if got := after(d, "f"); !got["new"] || len(got) != 1 {
		t.Errorf("after the folder was synchronised: %v", got)
	}
}

// TestAckBeforeSync: something reported before it is durable is noticed.
func TestAckBeforeSync(t *testing.T) {
	d := NewDisk()
	write(t, d, "f", "new", false)
	d.Mark("too soon")
	f, err := d.Open("f", slot.Edit)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), d.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	if got := after(d, "f"); !got["-"] {
		t.Errorf("between the report and the sync: %v", got)
	}
}

func TestReplaceIsWhole(t *testing.T) {
	d := NewDisk()
	if err := slot.Replace(d, "f", []byte("old")); err != nil {
		t.Fatal(err)
	}
	d.Mark("old")
	if err := slot.Replace(d, "f", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := after(d, "f"); !got["old"] || !got["new"] || len(got) != 2 {
		t.Errorf("while a file is replaced: %v", got)
	}
	d.Mark("new")
	if got := after(d, "f"); !got["new"] || len(got) != 1 {
		t.Errorf("after it: %v", got)
	}
}

func TestTornSectors(t *testing.T) {
	d := NewDisk()
	if err := slot.Replace(d, "f", make([]byte, 2*sector)); err != nil {
		t.Fatal(err)
	}
	d.Mark("zeros")
	f, err := d.Open("f", slot.Edit)
	if err != nil {
		t.Fatal(err)
	}
	ones := make([]byte, 2*sector)
	for i := range ones {
		ones[i] = 1
	}
	for range 6 { // often enough to see each way to tear
		if _, err := f.WriteAt(ones, 0); err != nil {
			t.Fatal(err)
		}
	}
	d.Mark("ones")
	var first, second, inside bool
	for c := range d.Crashes(1) {
		if len(c.Acked) == 0 {
			continue
		}
		data, _ := c.Disk.Contents("f")
		first = first || data[0] == 1 && data[sector] == 0
		second = second || data[0] == 0 && data[sector] == 1
		inside = inside || data[sector] == 1 && data[2*sector-1] == 0
	}
	if !first || !second || !inside {
		t.Errorf("never torn: first sector only %v, second only %v, inside a sector %v", first, second, inside)
	}
}

func TestCrashesAreRepeatable(t *testing.T) {
	list := func() (s []string) {
		d := NewDisk()
		for range 12 {
			write(t, d, "f", "some text", false)
		}
		for c := range d.Crashes(5) {
			data, _ := c.Disk.Contents("f")
			s = append(s, c.At+string(data))
		}
		return s
	}
	a, b := list(), list()
	if len(a) < 1000 || len(a) != len(b) {
		t.Fatalf("%d and %d states", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("state %d differs", i)
		}
	}
}

func TestDiskErrors(t *testing.T) {
	d := NewDisk()
	if _, err := d.Open("none", slot.Read); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	if err := d.Rename("none", "f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rename: %v", err)
	}
	if _, err := d.Open("../f", slot.Create); err == nil {
		t.Error("a name leaves the disk")
	}
	write(t, d, "f", "x", true)
	f, err := d.Open("f", slot.Read)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("y"), 0); err == nil {
		t.Error("a file opened to be read was written")
	}
}
