package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const updateTable = "board = \"sim\"\n[update]\nurl = \"repo\"\nroot = \"root.json\"\nslots = \"slots\"\n"

func TestUpdateParts(t *testing.T) {
	path := write(t, updateTable+`hours = "22:30-05:00"
largest = "2GiB"
[update.controller]
[update.rootfs]
a = "/dev/p2"
b = "/dev/p3"
bootloader = "rpi"
env = ["autoboot.txt"]
partitions = [2, 3]
`)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	u := c.Update
	if u.Controller == nil || u.Rootfs.Env[0] != filepath.Join(filepath.Dir(path), "autoboot.txt") || u.Rootfs.Mount != "/" ||
		u.Rootfs.Restart[0] != "reboot" || int64(u.Largest) != 2<<30 || u.Hours != (Hours{22*60 + 30, 5 * 60}) || time.Duration(u.Period) != time.Hour {
		t.Errorf("read %+v, %+v", u, u.Rootfs)
	}
}

func TestUpdatePartsRefused(t *testing.T) {
	root := "[update.rootfs]\na = \"/dev/p2\"\nb = \"/dev/p3\"\n"
	for text, want := range map[string]string{
		`hours = "2-5"`:              "time of the day",
		`largest = "1MiB"`:           "largest is below",
		`hours = "24:00-05:00"`:      "time of the day",
		`hours = "05:00-05:00"`:      "time of the day",
		root:                         "bootloader",
		root + `bootloader = "lilo"`: "bootloader",
		root + `bootloader = "grub"` + "\nenv = [\"one\"]":                                   "env names 1",
		root + `bootloader = "rpi"` + "\nenv = [\"autoboot.txt\"]":                           "partitions",
		"[update.rootfs]\na = \"x\"\nb = \"x\"\nbootloader = \"uboot\"\nenv = [\"fw.conf\"]": "same device",
	} {
		if _, err := Load(write(t, updateTable+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestHours(t *testing.T) {
	at := func(h, m int) time.Time { return time.Date(2026, 5, 1, h, m, 0, 0, time.UTC) }
	day, night := Hours{2 * 60, 5 * 60}, Hours{22*60 + 30, 5 * 60}
	for _, c := range []struct {
		hours Hours
		now   time.Time
		want  time.Duration
	}{
		{Hours{}, at(12, 0), 0}, {day, at(2, 0), 0}, {day, at(4, 59), 0}, {day, at(5, 0), 21 * time.Hour}, {day, at(1, 30), 30 * time.Minute},
		{night, at(23, 0), 0}, {night, at(4, 0), 0}, {night, at(12, 0), 10*time.Hour + 30*time.Minute},
	} {
		if got := c.hours.Wait(c.now); got != c.want {
			t.Errorf("%v at %v: %v, want %v", c.hours, c.now, got, c.want)
		}
	}
}
