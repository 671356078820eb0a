package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platen/agent/config"
	"platen/agent/confine"
	"platen/boards"
)

// TestDoctorBoard: a machine that is not what the board file says is told from one that
// is, and from one that does not say what it is.
func TestDoctorBoard(t *testing.T) {
	b, err := boards.Load("rpi4-skr-mini-e3-v3")
	if err != nil {
		t.Fatal(err)
	}
	k1, err := boards.Load("creality-k1")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		board            *boards.Board
		compatible, info string
		logs             int
		level            confine.Level
		says             string
	}{
		"itself":         {b, "raspberrypi,4-model-b\x00brcm,bcm2711\x00", "MemTotal:  900000 kB\nMemFree: 1 kB\n", 0, confine.OK, b.ID},
		"no device tree": {b, "", "", 0, confine.OK, b.ID},
		"another":        {b, "xunlong,orangepi-zero2\x00allwinner,sun50i-h616\x00", "MemTotal:  900000 kB\n", 0, confine.Warn, "xunlong,orangepi-zero2"},
		"less memory":    {b, "raspberrypi,4-model-b\x00", "MemTotal:  400000 kB\n", 0, confine.Warn, "390 MiB"},
		"not driven":     {k1, "", "", 0, confine.Fail, "no log"},
		"followed":       {k1, "", "", 1, confine.OK, k1.ID},
	} {
		proc := t.TempDir()
		if c.compatible != "" {
			if err := os.MkdirAll(filepath.Join(proc, "device-tree"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(proc, "device-tree/compatible"), []byte(c.compatible), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(proc, "meminfo"), []byte(c.info), 0o600); err != nil {
			t.Fatal(err)
		}
		f := doctorBoard(&config.Config{Proc: proc, Logs: make([]config.Log, c.logs)}, c.board)
		if f.Level != c.level || !strings.Contains(f.What, c.says) || (f.Level == confine.OK) != (f.Remedy == "") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestDoctorWatchdog: the board file says which watchdog there is, and how long it waits.
func TestDoctorWatchdog(t *testing.T) {
	has := boards.Watchdog{Device: "/dev/watchdog1", Driver: "bcm2835_wdt", Max: 15 * time.Second}
	if f := doctorWatchdog(&config.Config{}, has); f.Level != confine.Warn || !strings.Contains(f.Remedy, `"/dev/watchdog1"`) || !strings.Contains(f.Remedy, `"15s"`) {
		t.Errorf("none configured: %+v", f)
	}
	if f := doctorWatchdog(&config.Config{Watchdog: "/dev/null", WatchdogTime: config.Duration(time.Minute)}, has); f.Level != confine.Warn || !strings.Contains(f.Remedy, `"15s"`) {
		t.Errorf("too long: %+v", f)
	}
	for _, of := range []boards.Watchdog{has, {}} {
		if f := doctorWatchdog(&config.Config{Watchdog: "/dev/null", WatchdogTime: config.Duration(15 * time.Second)}, of); f.Level != confine.OK {
			t.Errorf("control: %+v", f)
		}
	}
}

func TestBelievable(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		now, written time.Time
		ok           bool
	}{
		"now":                 {now, now.AddDate(-1, 0, 0), true},
		"written elsewhere":   {now, now.Add(time.Hour), true},
		"no configuration":    {now, time.Time{}, true},
		"the epoch":           {time.Unix(100, 0), time.Time{}, false},
		"before it was there": {now, now.AddDate(0, 0, 2), false},
	} {
		if err := believable(c.now, c.written); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOwnState: what another user's agent is to read is not written by this one.
func TestOwnState(t *testing.T) {
	mine := t.TempDir()
	if err := errors.Join(ownState(mine), ownState(filepath.Join(mine, "none"))); err != nil {
		t.Errorf("control: %v", err)
	}
	other := "/" // of root
	if os.Geteuid() == 0 {
		other = mine
		if err := os.Chown(mine, 4711, -1); err != nil {
			t.Skip("root of a namespace with one user: ", err)
		}
	}
	if err := ownState(other); err == nil {
		t.Error("the state of another user is written")
	}
}
