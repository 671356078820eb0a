package efi

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platen/updater/boot"
	"platen/updater/slot"
)

var _ boot.Env = (*Env)(nil)

func env(t *testing.T) *Env {
	t.Helper()
	e, err := Open(Config{Vars: Dir(t.TempDir()), Loader: `\EFI\BOOT\BOOTAA64.EFI`, Slots: [2]Place{
		{3, 8192, 131072, [16]byte{0x1a, 0x9b, 15: 1}}, {4, 139264, 131072, [16]byte{0x1a, 0x9b, 15: 2}}}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *Env) mustLoad(t *testing.T) [2]slot.Name {
	t.Helper()
	now, trying, err := e.Load()
	if err != nil {
		t.Fatal(err)
	}
	return [2]slot.Name{now, trying}
}

// start is what the firmware does: it takes BootNext away and returns what it starts.
func (e *Env) start(t *testing.T) slot.Name {
	t.Helper()
	next, err := e.numbers("BootNext")
	if err == nil && next != nil {
		err = os.Remove(e.cfg.Vars.(Dir).path("BootNext"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if next != nil {
		return slotOf(next[0])
	}
	return e.mustLoad(t)[0]
}

func TestTrial(t *testing.T) {
	e := env(t)
	put := func(name, text string) {
		t.Helper()
		b, err := hex.DecodeString(text)
		if err == nil {
			err = os.WriteFile(e.cfg.Vars.(Dir).path(name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("BootOrder", "07000000"+"0100"+"0000") // the firmware's own
	if got := e.mustLoad(t); got != [2]slot.Name{slot.A, slot.None} {
		t.Errorf("from the factory: %v", got)
	}
	if _, err := e.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	if got := e.mustLoad(t); got != [2]slot.Name{slot.A, slot.B} {
		t.Errorf("on trial: %v", got)
	}
	if got := e.start(t); got != slot.B {
		t.Errorf("starts %v", got)
	}
	if got := e.start(t); got != slot.A {
		t.Errorf("not confirmed, and starts %v", got)
	}
	if _, err := e.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	e.start(t)
	if err := e.Confirm(slot.B); err != nil {
		t.Fatal(err)
	}
	if got := e.start(t); got != slot.B {
		t.Errorf("confirmed, and starts %v", got)
	}
	order, err := e.numbers("BootOrder")
	if d := cmp.Diff([]uint16{OptionB, OptionA, 1, 0}, order); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if _, err := e.Try(slot.B); err == nil {
		t.Error("what starts anyway is tried")
	}
	if _, err := e.Try(slot.A); err != nil {
		t.Fatal(err)
	}
	if err := e.Confirm(slot.B); err != nil { // taken back
		t.Fatal(err)
	}
	if got := e.start(t); got != slot.B {
		t.Errorf("the trial was ended, and starts %v", got)
	}
}

// TestOption holds a boot option against the specification, byte by byte.
func TestOption(t *testing.T) {
	b := env(t).loadOption(slot.A)
	want := "01000000" + "6000" + "50006c006100740065006e002000610000" + "00" +
		"04012a00" + "03000000" + "0020000000000000" + "0000020000000000" + "1a9b0000000000000000000000000001" + "0202" +
		"04043200" + "5c004500460049005c0042004f004f0054005c0042004f004f0054004100410036003400" + "2e004500460049000000" + "7fff0400"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
}

func TestRefuses(t *testing.T) {
	e := env(t)
	for _, text := range []string{"x", "07000000a"} {
		if err := os.WriteFile(e.cfg.Vars.(Dir).path("BootOrder"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.Load(); !errors.Is(err, ErrVariables) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Open(Config{Vars: Dir("x"), Loader: "y"}); err == nil {
		t.Error("slots without partitions are taken")
	}
	e = env(t)
	if err := os.Mkdir(filepath.Join(e.cfg.Vars.(Dir).path("BootNext")), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Try(slot.B); err == nil {
		t.Error("a variable that cannot be written is taken for written")
	}
}

// TestPlaceOf finds a partition by what the kernel and the table say, and notices that they
// do not agree.
func TestPlaceOf(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"partition": "2", "start": "100", "size": "50"} {
		put(t, dir+"/sys/devices/sda/sda2/"+name, text+"\n")
	}
	put(t, dir+"/sys/devices/sda/queue/logical_block_size", "512\n")
	put(t, dir+"/dev/sda2", "")
	put(t, dir+"/sys/class/block/x", "")
	if err := errors.Join(os.Symlink("../../devices/sda/sda2", dir+"/sys/class/block/sda2"), os.Symlink("sda2", dir+"/dev/slot")); err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 4096)
	copy(disk[512:], "EFI PART")
	binary.LittleEndian.PutUint64(disk[512+72:], 2)
	binary.LittleEndian.PutUint32(disk[512+80:], 4)
	binary.LittleEndian.PutUint32(disk[512+84:], 128)
	copy(disk[1024+128+16:], "sixteen bytes id")
	binary.LittleEndian.PutUint64(disk[1024+128+32:], 100)
	put(t, dir+"/dev/sda", string(disk))
	got, err := PlaceOf(dir+"/sys", dir+"/dev/slot")
	if want := (Place{2, 100, 50, [16]byte([]byte("sixteen bytes id"))}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	disk[1024+128+32]++
	put(t, dir+"/dev/sda", string(disk))
	if _, err := PlaceOf(dir+"/sys", dir+"/dev/slot"); err == nil {
		t.Error("the table has it elsewhere, and it is taken")
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}
