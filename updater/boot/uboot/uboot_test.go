package uboot_test

import (
	"errors"
	"maps"
	"testing"

	"platen/updater/boot/uboot"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// board is an environment of two copies that has these variables.
func board(t *testing.T, style uboot.Style, vars uboot.Vars) *uboot.Env {
	t.Helper()
	d := updatertest.NewDisk()
	open := func(name string) func(slot.Mode) (slot.File, error) {
		return func(m slot.Mode) (slot.File, error) { return d.Open(name, m) }
	}
	e, err := uboot.Open(uboot.Config{Size: 512, Style: style, Copies: []uboot.Copy{{Open: open("env-0")}, {Open: open("env-1")}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Encode(vars, 1)
	if err = errors.Join(err, slot.Replace(d, "env-0", p), slot.Replace(d, "env-1", make([]byte, 512))); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestNoTrialWithoutAWayBack: with bootcount, a board that U-Boot would not take back from a
// trial is left as it is.
func TestNoTrialWithoutAWayBack(t *testing.T) {
	for name, c := range map[string]struct {
		vars uboot.Vars
		want error
	}{
		"both":         {uboot.Vars{"platen_slot": "a", "bootlimit": "3", "altbootcmd": "run other"}, nil},
		"no limit":     {uboot.Vars{"platen_slot": "a", "altbootcmd": "run other"}, uboot.ErrNoWayBack},
		"a limit of 0": {uboot.Vars{"platen_slot": "a", "bootlimit": "0", "altbootcmd": "run other"}, uboot.ErrNoWayBack},
		"no command":   {uboot.Vars{"platen_slot": "a", "bootlimit": "3"}, uboot.ErrNoWayBack},
	} {
		e := board(t, uboot.BootCount, c.vars)
		if _, err := e.Try(slot.B); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		v, err := e.Vars()
		if err != nil || maps.Equal(v, c.vars) != (c.want != nil) {
			t.Errorf("%s: the environment is %v, %v", name, v, err)
		}
	}
}

// TestOrderKeepsItsCase: a script finds the names as it writes them.
func TestOrderKeepsItsCase(t *testing.T) {
	for name, c := range map[string]struct{ has, tried, confirmed uboot.Vars }{
		"lower": {
			uboot.Vars{"BOOT_ORDER": "a b", "BOOT_a_LEFT": "1", "BOOT_b_LEFT": "0"},
			uboot.Vars{"BOOT_ORDER": "b a", "BOOT_a_LEFT": "3", "BOOT_b_LEFT": "3", "platen_trial": "b"},
			uboot.Vars{"BOOT_ORDER": "b a", "BOOT_a_LEFT": "3", "BOOT_b_LEFT": "3"},
		},
		"capitals": {
			uboot.Vars{"BOOT_ORDER": "A B", "BOOT_A_LEFT": "1", "BOOT_B_LEFT": "0"},
			uboot.Vars{"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3", "platen_trial": "b"},
			uboot.Vars{"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "3"},
		},
	} {
		e := board(t, uboot.BootOrder, c.has)
		_, err := e.Try(slot.B)
		v, err2 := e.Vars()
		if err = errors.Join(err, err2); err != nil || !maps.Equal(v, c.tried) {
			t.Errorf("%s: on trial: %v, %v", name, v, err)
		}
		err = e.Confirm(slot.B)
		v, err2 = e.Vars()
		if err = errors.Join(err, err2); err != nil || !maps.Equal(v, c.confirmed) {
			t.Errorf("%s: confirmed: %v, %v", name, v, err)
		}
	}
}

// TestSpent: a trial has had all its starts when the bootloader has counted them all, and only then.
func TestSpent(t *testing.T) {
	count := func(n string) uboot.Vars {
		return uboot.Vars{"platen_slot": "b", "upgrade_available": "1", "bootcount": n, "bootlimit": "3", "altbootcmd": "run other"}
	}
	order := func(n string) uboot.Vars {
		return uboot.Vars{"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_B_LEFT": n, "platen_trial": "b"}
	}
	ended := count("3")
	ended["upgrade_available"] = "0"
	hex := count("a")
	hex["bootlimit"] = "10"
	for name, c := range map[string]struct {
		style uboot.Style
		vars  uboot.Vars
		spent bool
	}{
		"one left":          {uboot.BootCount, count("2"), false},
		"none left":         {uboot.BootCount, count("3"), true},
		"U-Boot's one more": {uboot.BootCount, count("4"), true},
		"a limit of 16":     {uboot.BootCount, hex, false},
		"no trial":          {uboot.BootCount, ended, false},
		"order, one left":   {uboot.BootOrder, order("1"), false},
		"order, none left":  {uboot.BootOrder, order("0"), true},
	} {
		e := board(t, c.style, c.vars)
		if got, err := e.Spent(slot.B); got != c.spent || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if got, err := e.Spent(slot.A); got || err != nil {
			t.Errorf("%s: the other one: %v, %v", name, got, err)
		}
	}
	if spent, err := board(t, uboot.BootCount, count("many")).Spent(slot.B); spent || err == nil {
		t.Errorf("a count that is none: %v, %v", spent, err)
	}
}
