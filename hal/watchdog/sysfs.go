package watchdog

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// State is what sysfs says of a watchdog, without opening it.
type State struct {
	Identity string
	Active   bool // the timer runs
	NoWayOut bool // it can never be stopped
	Timeout  time.Duration
}

// Look reads the state of the watchdog at path from sysfs; root is "/sys" on a board. It
// is false if the kernel does not show it there (CONFIG_WATCHDOG_SYSFS).
func Look(root, path string) (State, bool) {
	name := filepath.Base(path)
	if name == "watchdog" {
		name = "watchdog0" // the old name of the first one
	}
	dir := filepath.Join(root, "class/watchdog", name)
	read := func(file string) string {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	s := State{Identity: read("identity"), Active: read("state") == "active", NoWayOut: read("nowayout") == "1"}
	if v, err := strconv.Atoi(read("timeout")); err == nil && v > 0 {
		s.Timeout = time.Duration(v) * time.Second
	}
	return s, s.Identity != ""
}
