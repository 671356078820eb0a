package host

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// throttled reports whether the processor is slowed down now, by heat or by a weak supply,
// and whether the board can tell. sys is where sysfs is. Three places say so: cooling
// devices that are the processor's frequency (Linux, Documentation/driver-api/thermal/
// sysfs-api.rst), the alarm of a Raspberry Pi's supply (drivers/hwmon/raspberrypi-hwmon.c),
// and the flags of its firmware, of which the lowest four are about now
// (drivers/firmware/raspberrypi.c of its kernel).
func throttled(sys string) (yes, known bool) {
	note := func(on bool) { yes, known = yes || on, true }
	for _, dir := range all(sys, "class/thermal/cooling_device*") {
		kind, _ := word(filepath.Join(dir, "type"))
		if !strings.Contains(kind, "cpufreq") && kind != "Processor" {
			continue
		}
		if v, err := number(filepath.Join(dir, "cur_state"), 10); err == nil {
			note(v > 0)
		}
	}
	for _, dir := range all(sys, "class/hwmon/hwmon*") {
		if name, _ := word(filepath.Join(dir, "name")); name != "rpi_volt" {
			continue
		}
		if v, err := number(filepath.Join(dir, "in0_lcrit_alarm"), 10); err == nil {
			note(v != 0)
		}
	}
	if v, err := number(filepath.Join(sys, "devices/platform/soc/soc:firmware/get_throttled"), 16); err == nil {
		note(v&0xf != 0)
	}
	return yes, known
}

func all(sys, pattern string) []string {
	dirs, err := filepath.Glob(filepath.Join(sys, pattern))
	if err != nil { // the pattern is a constant
		return nil
	}
	return dirs
}

// word is what a file of sysfs says, at most a page.
func word(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b [64]byte
	n, err := f.Read(b[:])
	if n == len(b) {
		return "", errors.New("too long")
	}
	return strings.TrimSpace(string(b[:n])), err
}

func number(path string, base int) (uint64, error) {
	s, err := word(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimPrefix(s, "0x"), base, 32)
}
