package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/config"
	"platen/agent/confine"
	"platen/boards"
	"platen/hal/sensor"
	"platen/hal/sensor/gpio"
	"platen/hal/sensor/hwmon"
	"platen/hal/sensor/iio"
	"platen/hal/sensor/w1"
	"platen/hal/watchdog"
)

// doctorBox checks the board's watchdog and the sensors of the box.
func doctorBox(cfg *config.Config) []confine.Finding {
	b, err := boards.Open(cfg.Board)
	if err != nil {
		return []confine.Finding{{Name: "board", Level: confine.Fail, What: err.Error(), Remedy: "board in the configuration"}, doctorWatchdog(cfg, boards.Watchdog{})}
	}
	out := []confine.Finding{doctorBoard(cfg, b), doctorWatchdog(cfg, b.Dog)}
	for _, s := range b.Sensors {
		f := confine.Finding{Name: "sensor", What: s.Name + " answers"}
		if err := try(cfg, s); err != nil {
			f.Level, f.What, f.Remedy = confine.Warn, s.Name+": "+err.Error(), "check its wiring, its driver and the board file"
		}
		out = append(out, f)
	}
	return out
}

// doctorWatchdog looks at the watchdog without opening it: opening starts it. has is what
// the board has.
func doctorWatchdog(cfg *config.Config, has boards.Watchdog) confine.Finding {
	f := confine.Finding{Name: "watchdog"}
	if cfg.Watchdog == "" {
		f.Level, f.What, f.Remedy = confine.Warn, "none is configured: a board that hangs keeps its heaters on", fmt.Sprintf("watchdog = %q in the configuration", cmp.Or(has.Device, "/dev/watchdog"))
		if most := min(has.Max, time.Minute); most > 0 {
			f.Remedy += fmt.Sprintf(", with watchdog_time = \"%ds\"", most/time.Second)
		}
		return f
	}
	if t := time.Duration(cfg.WatchdogTime); has.Max > 0 && t > has.Max {
		f.Level, f.What, f.Remedy = confine.Warn, fmt.Sprintf("watchdog_time is %v, and the board's waits %v at most", t, has.Max), fmt.Sprintf("watchdog_time = \"%ds\" in the configuration", has.Max/time.Second)
		return f
	}
	switch err := unix.Access(cfg.Watchdog, unix.W_OK); {
	case errors.Is(err, unix.EACCES):
		f.Level, f.What, f.Remedy = confine.Fail, "this user may not open "+cfg.Watchdog, "give it to the user's group by a udev rule"
		return f
	case err != nil:
		f.Level, f.What, f.Remedy = confine.Fail, "there is none at "+cfg.Watchdog, "enable the driver of the board's watchdog, "+cmp.Or(has.Driver, "see its manual")+", or softdog"
		return f
	}
	f.What = "is at " + cfg.Watchdog
	if s, ok := watchdog.Look(cfg.Sys, cfg.Watchdog); ok {
		f.What += fmt.Sprintf(": %s, running: %t, timeout %v", s.Identity, s.Active, s.Timeout)
	}
	return f
}

// try reads a sensor once. A pin is only looked for: its session may have it.
func try(cfg *config.Config, s boards.Sensor) error {
	var src interface{ Close() error }
	var err error
	switch s.Kind {
	case "hwmon":
		var h *hwmon.Sensor
		if h, err = hwmon.Open(cfg.Sys, []hwmon.Channel{{Name: s.Name, Chip: s.At, Input: s.Read}}); err == nil {
			_, err = h.AppendSamples(context.Background(), nil)
			src = h
		}
	case "iio":
		var a *iio.Sensor
		if a, err = iio.Open(cfg.Sys, []iio.Channel{{Name: s.Name, Device: s.At, Input: s.Read, Thermistor: s.Thermistor}}); err == nil {
			_, err = a.AppendSamples(context.Background(), nil)
			src = a
		}
	case "w1":
		var w *w1.Sensor
		if w, err = w1.Open(cfg.Sys, []w1.Channel{{Name: s.Name, ID: s.At}}); err == nil {
			_, err = w.AppendSamples(context.Background(), nil)
			src = w
		}
	case "gpio":
		var c *gpio.Chip
		if c, err = gpio.OpenChip(cfg.Dev, s.At); err == nil {
			src = c
		}
	default:
		return fmt.Errorf("nothing reads the kind %s: %w", s.Kind, sensor.ErrMissing)
	}
	if src != nil {
		src.Close()
	}
	if err != nil { // without the path of a rig
		return errors.New(strings.ReplaceAll(err.Error(), filepath.Clean(cfg.Sys)+"/", ""))
	}
	return nil
}
