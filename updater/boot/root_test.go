package boot_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/boot/grub"
	"platen/updater/boot/rpi"
	"platen/updater/boot/uboot"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// firmware is a board's bootloader, as far as it decides which partition starts. Its start
// reads and changes what lies on the disk. arg is what the restart was told; boots says
// whether a partition comes up.
type firmware interface {
	env(d slot.FS) (boot.Env, error)
	factory(d slot.FS) error // writes what the factory wrote: partition a starts
	start(d slot.FS, arg string, boots func(slot.Name) bool) slot.Name
}

func at(d slot.FS, name string) func(slot.Mode) (slot.File, error) {
	return func(m slot.Mode) (slot.File, error) { return d.Open(name, m) }
}

// countdown is a U-Boot board, by bootcount or by BOOT_ORDER.
type countdown struct{ style uboot.Style }

func (f countdown) open(d slot.FS) (*uboot.Env, error) {
	return uboot.Open(uboot.Config{Size: 2048, Style: f.style, Copies: []uboot.Copy{{Open: at(d, "env-0")}, {Open: at(d, "env-1"), Offset: 512}}})
}

func (f countdown) env(d slot.FS) (boot.Env, error) { return f.open(d) }

func (f countdown) factory(d slot.FS) error {
	e, err := f.open(d)
	if err != nil {
		return err
	}
	p, err := e.Encode(uboot.Vars{"bootlimit": "3", "altbootcmd": "run other"}, 7)
	if err != nil {
		return err
	}
	if err := errors.Join(slot.Replace(d, "env-0", p), slot.Replace(d, "env-1", make([]byte, 4096))); err != nil {
		return err
	}
	return e.Confirm(slot.A)
}

func (f countdown) start(d slot.FS, _ string, boots func(slot.Name) bool) slot.Name {
	e, err := f.open(d)
	if err != nil {
		return slot.None
	}
	for range 20 { // each one is a start that did not come up
		v, err := e.Vars()
		if err != nil {
			return slot.None
		}
		n, change := slot.Parse(v["platen_slot"]), uboot.Vars{}
		if f.style == uboot.BootOrder {
			n, change = byOrder(v)
		} else if v["upgrade_available"] == "1" {
			if change["bootcount"] = string(v["bootcount"][0] + 1); change["bootcount"] > v["bootlimit"] {
				n = n.Other() // altbootcmd
			}
		}
		if e.Set(change) != nil {
			return slot.None
		}
		if n != slot.None && boots(n) {
			return n
		}
	}
	return slot.None
}

func byOrder(v uboot.Vars) (slot.Name, uboot.Vars) {
	for _, n := range [...]slot.Name{slot.Parse(v["BOOT_ORDER"][:1]), slot.Parse(v["BOOT_ORDER"][2:])} {
		left := "BOOT_" + n.String() + "_LEFT"
		if v[left] > "0" {
			return n, uboot.Vars{left: string(v[left][0] - 1)}
		}
	}
	return slot.None, uboot.Vars{"BOOT_a_LEFT": "3", "BOOT_b_LEFT": "3"}
}

// grubBoard is a board with GRUB.
type grubBoard struct{}

func (grubBoard) env(d slot.FS) (boot.Env, error) { return grub.Open(at(d, "grub-0"), at(d, "grub-1")) }

func (g grubBoard) factory(d slot.FS) error {
	empty, err := grub.Block()
	if err != nil {
		return err
	}
	for _, name := range []string{"grub-0", "grub-1", "grub-tried"} {
		if err := slot.Replace(d, name, empty); err != nil {
			return err
		}
	}
	e, err := g.env(d)
	if err != nil {
		return err
	}
	return e.Confirm(slot.A)
}

// start does what the script for grub.cfg does.
func (grubBoard) start(d slot.FS, _ string, boots func(slot.Name) bool) slot.Name {
	for range 20 {
		var best map[string]string
		for _, name := range []string{"grub-0", "grub-1"} {
			p, err := slot.ReadAll(d, name, 1024)
			if err != nil {
				return slot.None
			}
			v, _ := grub.Parse(p)
			if v["platen_gen"] != "" && v["platen_gen"] == v["platen_end"] && (best == nil || v["platen_gen"] > best["platen_gen"]) {
				best = v
			}
		}
		p, err := slot.ReadAll(d, "grub-tried", 1024)
		if err != nil || best == nil {
			return slot.None
		}
		tried, _ := grub.Parse(p)
		n := slot.Parse(best["platen_slot"])
		if trial := slot.Parse(best["platen_trial"]); trial != slot.None && tried["platen_tried"] != best["platen_gen"] {
			n = trial
			p, err = grub.Block("platen_tried", best["platen_gen"])
			if err == nil {
				err = inPlace(d, "grub-tried", p)
			}
			if err != nil {
				return slot.None
			}
		}
		if boots(n) {
			return n
		}
	}
	return slot.None
}

func inPlace(d slot.FS, name string, p []byte) error {
	f, err := d.Open(name, slot.Edit)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// pi is a Raspberry Pi.
type pi struct{}

func (pi) open(d slot.FS) (*rpi.Env, error) {
	return rpi.Open(rpi.Config{Open: at(d, "autoboot.txt"), Partitions: [2]int{2, 3}})
}

func (p pi) env(d slot.FS) (boot.Env, error) { return p.open(d) }

func (p pi) factory(d slot.FS) error {
	e, err := p.open(d)
	if err != nil {
		return err
	}
	return slot.Replace(d, "autoboot.txt", e.File(slot.A))
}

func (p pi) start(d slot.FS, arg string, boots func(slot.Name) bool) slot.Name {
	e, err := p.open(d)
	if err != nil {
		return slot.None
	}
	active, _, err := e.Load()
	if err != nil {
		return slot.None
	}
	if arg == rpi.TrybootArg && boots(active.Other()) {
		return active.Other()
	}
	if boots(active) {
		return active
	}
	return slot.None
}

var boards = map[string]firmware{
	"uboot-count": countdown{uboot.BootCount}, "uboot-order": countdown{uboot.BootOrder}, "grub": grubBoard{}, "rpi": pi{},
}

const partitionSize = 16 << 10

// rootRig is a board with two partitions on a disk in memory.
type rootRig struct {
	d  *updatertest.Disk
	fw firmware
}

func partition(n slot.Name) string { return "root-" + n.String() }

func newRootRig(t *testing.T, fw firmware) rootRig {
	t.Helper()
	r := rootRig{updatertest.NewDisk(), fw}
	err := errors.Join(slot.Replace(r.d, partition(slot.A), make([]byte, partitionSize)),
		slot.Replace(r.d, partition(slot.B), make([]byte, partitionSize)), fw.factory(r.d))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sound reports whether a partition holds what the record says, as its kernel would find
// out. Partition a holds what the factory put there until it is written.
func (r rootRig) sound(n slot.Name) bool {
	rec, err := slot.NewLog(r.d).Load()
	if err != nil {
		return false
	}
	p, _ := r.d.Contents(partition(n))
	want := *rec.Root(n)
	if want.Empty() {
		return n == slot.A
	}
	f, err := r.d.Open(partition(n), slot.Read)
	if err != nil || int(want.Size) > len(p) {
		return false
	}
	sum, err := slot.Sum(f, int64(want.Size))
	return err == nil && sum == want.Digest
}

func (r rootRig) Start(t *testing.T) (slot.Name, updater.Bootloader) {
	t.Helper()
	return r.startWith(t, rpi.TrybootArg)
}

// startWith is a start of the board. A board that was told to try something goes through
// the restart with it; that of others does not count.
func (r rootRig) startWith(t *testing.T, arg string) (slot.Name, *boot.Root) {
	t.Helper()
	n := r.fw.start(r.d, arg, r.sound)
	return n, r.root(t, n)
}

func (r rootRig) root(t *testing.T, running slot.Name) *boot.Root {
	t.Helper()
	env, err := r.fw.env(r.d)
	if err != nil {
		t.Fatal(err)
	}
	root, err := boot.NewRoot(boot.RootConfig{Log: slot.NewLog(r.d), Env: env, Running: running,
		Open: func(n slot.Name, m slot.Mode) (slot.File, error) { return r.d.Open(partition(n), m) }})
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
	p, _ := r.d.Contents(partition(n))
	return p[:rec.Root(n).Size]
}

func (r rootRig) Damage(t *testing.T, n slot.Name) {
	t.Helper()
	p, _ := r.d.Contents(partition(n))
	p[100] ^= 1
	r.d.Damage(partition(n), p)
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

func (r tryRoot) Open(n slot.Name) (io.WriteCloser, error) {
	*r.arg = "" // no restart is under way
	return r.Root.Open(n)
}

func (r tryRig) Start(t *testing.T) (slot.Name, updater.Bootloader) {
	t.Helper()
	arg := *r.arg
	*r.arg = ""
	n, root := r.startWith(t, arg)
	env, err := r.fw.env(r.d)
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
	for name, fw := range boards {
		t.Run(name, func(t *testing.T) {
			updatertest.Bootloader(t, func(t *testing.T) updatertest.Rig { return tryRig{newRootRig(t, fw), new(string)} })
		})
	}
}

// TestEnvCuts cuts every change of every environment in every way: the board starts one of
// its partitions, the environment says the old or the new, and it can be changed again.
func TestEnvCuts(t *testing.T) {
	for name, fw := range boards {
		t.Run(name, func(t *testing.T) {
			d := updatertest.NewDisk()
			if err := fw.factory(d); err != nil {
				t.Fatal(err)
			}
			d.Mark("factory")
			e, err := fw.env(d)
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
				e, err := fw.env(c.Disk)
				if err != nil {
					t.Fatal(err)
				}
				a, b, err := e.Load()
				old, next := history[len(c.Acked)], history[min(len(c.Acked)+1, len(history)-1)]
				if got := (says{a, b}); err != nil || got != old && got != next {
					t.Fatalf("%s: %v, %v; want %v or %v", c.At, got, err, old, next)
				}
				if n := fw.start(c.Disk, "", func(slot.Name) bool { return true }); n == slot.None {
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
		e, err := uboot.Open(uboot.Config{Size: 2048, Copies: []uboot.Copy{{Open: at(d, "env-0")}}})
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
	for name, fw := range boards {
		for what, contents := range map[string][]byte{"missing": nil, "zeros": make([]byte, 4096), "text": bytes.Repeat([]byte("hello "), 700)} {
			d := updatertest.NewDisk()
			files := []string{"env-0", "env-1", "grub-0", "grub-1", "autoboot.txt"}
			for _, f := range files {
				if contents != nil {
					if err := slot.Replace(d, f, contents); err != nil {
						t.Fatal(err)
					}
				}
			}
			e, err := fw.env(d)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = e.Load()
			if err == nil || contents == nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if _, isGrub := fw.(grubBoard); isGrub {
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
