package boot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/boot/boottest"
	"platen/updater/boot/rpi"
	"platen/updater/boot/uboot"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

const partitionSize = 16 << 10

// rootRig is a board with two partitions on a disk in memory.
type rootRig struct {
	d  *updatertest.Disk
	fw boottest.Firmware
}

func newRootRig(t *testing.T, fw boottest.Firmware) rootRig {
	t.Helper()
	r := rootRig{updatertest.NewDisk(), fw}
	err := errors.Join(slot.Replace(r.d, boottest.Partition(slot.A), make([]byte, partitionSize)),
		slot.Replace(r.d, boottest.Partition(slot.B), make([]byte, partitionSize)), fw.Factory(r.d))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r rootRig) sound(n slot.Name) bool { return boottest.Sound(r.d, n) }

func (r rootRig) Start(t *testing.T) (slot.Name, updater.Bootloader) {
	t.Helper()
	return r.startWith(t, rpi.TrybootArg)
}

// startWith is a start of the board. A board that was told to try something goes through
// the restart with it; that of others does not count.
func (r rootRig) startWith(t *testing.T, arg string) (slot.Name, *boot.Root) {
	t.Helper()
	n := r.fw.Start(r.d, arg, r.sound)
	return n, r.root(t, n)
}

func (r rootRig) root(t *testing.T, running slot.Name) *boot.Root {
	t.Helper()
	root, err := boottest.Root(r.d, slot.NewLog(r.d), r.fw, running)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func (r rootRig) Read(t *testing.T, n slot.Name) []byte {
	t.Helper()
	rec, err := slot.NewLog(r.d).Load()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := r.d.Contents(boottest.Partition(n))
	return p[:rec.Root(n).Size]
}

func (r rootRig) Damage(t *testing.T, n slot.Name) {
	t.Helper()
	p, _ := r.d.Contents(boottest.Partition(n))
	p[100] ^= 1
	r.d.Damage(boottest.Partition(n), p)
}

// tryRig starts the board with the flag of the Raspberry Pi only right after a Try, as the
// launcher's restart does.
type tryRig struct {
	rootRig
	arg *string
}

type tryRoot struct {
	*boot.Root
	arg *string
}

func (r tryRoot) Try(n slot.Name) error {
	err := r.Root.Try(n)
	if err == nil {
		*r.arg = rpi.TrybootArg
	}
	return err
}

func (r tryRoot) Open(n slot.Name) (updater.Writer, error) {
	*r.arg = "" // no restart is under way
	return r.Root.Open(n)
}

func (r tryRig) Start(t *testing.T) (slot.Name, updater.Bootloader) {
	t.Helper()
	arg := *r.arg
	*r.arg = ""
	n, root := r.startWith(t, arg)
	env, err := r.fw.Env(r.d)
	if err != nil {
		t.Fatal(err)
	}
	if active, _, err := env.Load(); err == nil && active == n {
		if err := root.Confirm(n); err != nil { // as the launcher does at each start
			t.Fatal(err)
		}
	}
	return n, tryRoot{root, r.arg}
}

func TestRootSuite(t *testing.T) {
	for name, fw := range boottest.Boards {
		t.Run(name, func(t *testing.T) {
			updatertest.Bootloader(t, func(t *testing.T) updatertest.Rig { return tryRig{newRootRig(t, fw), new(string)} })
		})
	}
}

// TestEnvCuts cuts every change of every environment in every way: the board starts one of
// its partitions, the environment says the old or the new, and it can be changed again.
func TestEnvCuts(t *testing.T) {
	for name, fw := range boottest.Boards {
		t.Run(name, func(t *testing.T) {
			d := updatertest.NewDisk()
			if err := fw.Factory(d); err != nil {
				t.Fatal(err)
			}
			d.Mark("factory")
			e, err := fw.Env(d)
			if err != nil {
				t.Fatal(err)
			}
			type says struct{ active, trying slot.Name }
			history := []says{{}, {slot.A, slot.None}}
			for range 3 { // generations and flags go on
				for _, do := range []func() error{
					func() error { _, err := e.Try(slot.B); return err }, func() error { return e.Confirm(slot.B) },
					func() error { _, err := e.Try(slot.A); return err }, func() error { return e.Confirm(slot.B) },
					func() error { return e.Confirm(slot.A) },
				} {
					if err := do(); err != nil {
						t.Fatal(err)
					}
					a, b, err := e.Load()
					if err != nil {
						t.Fatal(err)
					}
					history = append(history, says{a, b})
					d.Mark("changed")
				}
			}
			states := 0
			for c := range d.Crashes(3) {
				if len(c.Acked) == 0 {
					continue // the factory is not cut
				}
				states++
				e, err := fw.Env(c.Disk)
				if err != nil {
					t.Fatal(err)
				}
				a, b, err := e.Load()
				old, next := history[len(c.Acked)], history[min(len(c.Acked)+1, len(history)-1)]
				if got := (says{a, b}); err != nil || got != old && got != next {
					t.Fatalf("%s: %v, %v; want %v or %v", c.At, got, err, old, next)
				}
				if n := fw.Start(c.Disk, "", func(slot.Name) bool { return true }); n == slot.None {
					t.Fatalf("%s: nothing starts", c.At)
				}
				if err := e.Confirm(slot.B); err != nil {
					t.Fatalf("%s: the next change: %v", c.At, err)
				}
			}
			if states < 40 {
				t.Fatalf("only %d states", states)
			}
			t.Logf("%d states", states)
		})
	}
}

// TestEnvCutsNoticeASingleCopy is the control: a single environment is lost in some cuts.
func TestEnvCutsNoticeASingleCopy(t *testing.T) {
	d := updatertest.NewDisk()
	open := func(d slot.FS) *uboot.Env {
		e, err := uboot.Open(uboot.Config{Size: 2048, Copies: []uboot.Copy{{Open: func(m slot.Mode) (slot.File, error) { return d.Open("env-0", m) }}}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	p, err := open(d).Encode(uboot.Vars{"x": strings.Repeat("y", 1200)}, 0)
	if err == nil {
		err = slot.Replace(d, "env-0", p)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.Mark("factory")
	for i := range 20 {
		if err := open(d).Set(uboot.Vars{"a": fmt.Sprint(i + 1), "z": fmt.Sprint(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	lost := 0
	for c := range d.Crashes(3) {
		if _, _, err := open(c.Disk).Load(); len(c.Acked) > 0 && errors.Is(err, uboot.ErrEnv) {
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("an environment of one copy survived every cut")
	}
}

// TestMissingEnvironments: what is not there, or is not ours, is refused and not written.
func TestMissingEnvironments(t *testing.T) {
	for name, fw := range boottest.Boards {
		for what, contents := range map[string][]byte{"missing": nil, "zeros": make([]byte, 4096), "text": bytes.Repeat([]byte("hello "), 700)} {
			d := updatertest.NewDisk()
			if name == "efi" && what != "text" {
				continue // without variables it is as it left its factory, and numbers may be anything
			}
			files := []string{"env-0", "env-1", "grub-0", "grub-1", "autoboot.txt", "efi-BootOrder", "efi-BootNext"}
			for _, f := range files {
				if contents != nil {
					if err := slot.Replace(d, f, contents); err != nil {
						t.Fatal(err)
					}
				}
			}
			e, err := fw.Env(d)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = e.Load()
			if err == nil || contents == nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if name == "grub" {
				continue // its blocks are ours alone, and are begun by the first change
			}
			if err := e.Confirm(slot.A); err == nil {
				t.Errorf("%s, %s: written", name, what)
			}
			for _, f := range files {
				if got, _ := d.Contents(f); !bytes.Equal(got, contents) {
					t.Errorf("%s, %s: %s was changed", name, what, f)
				}
			}
		}
	}
}
