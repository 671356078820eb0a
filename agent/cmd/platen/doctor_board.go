package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platen/agent/config"
	"platen/agent/confine"
	"platen/boards"
)

// doctorBoard compares the machine with what the board file says of it.
func doctorBoard(cfg *config.Config, b *boards.Board) confine.Finding {
	f := confine.Finding{Name: "board", What: b.ID + " is what the file says, as far as it says so"}
	differs := func(what, remedy string) { f.Level, f.What, f.Remedy = confine.Warn, what, remedy }
	tree, err := os.ReadFile(filepath.Join(cfg.Proc, "device-tree/compatible"))
	is := strings.FieldsFunc(string(tree), func(r rune) bool { return r == 0 })
	if err == nil && len(b.Host.Compatible) > 0 && !slices.ContainsFunc(b.Host.Compatible, func(c string) bool { return slices.Contains(is, c) }) {
		differs(fmt.Sprintf("this is a %s, and %s is for %s", strings.Join(is, ", "), b.ID, strings.Join(b.Host.Compatible, ", ")), "name another board in the configuration, or a file of your own: see platen boards --help")
	}
	if has := memory(cfg.Proc); has > 0 && has < b.Host.RAM*3/4 { // the kernel and the graphics keep some
		differs(fmt.Sprintf("this machine has %d MiB of memory, and %s %d MiB", has>>20, b.ID, b.Host.RAM>>20), "check the memory that the graphics processor keeps, or the board in the configuration")
	}
	if !b.Driven() && len(cfg.Logs) == 0 {
		f.Level, f.What, f.Remedy = confine.Fail, b.ID+" is driven by its own software, and no log of it is followed", "[[log]] in the configuration"
	}
	return f
}

// memory is how much the machine has in bytes; 0 if that cannot be read.
func memory(proc string) int64 {
	text, err := os.ReadFile(filepath.Join(proc, "meminfo"))
	if err != nil {
		return 0
	}
	var kib int64
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// doctorClock looks for a clock that nobody has set: certificates and the metadata of
// releases are judged by it.
func doctorClock(cfg *config.Config) confine.Finding {
	f := confine.Finding{Name: "clock", What: "stands at " + time.Now().UTC().Format("2006-01-02 15:04") + " UTC"}
	written := time.Time{}
	if st, err := os.Stat(configPath); err == nil {
		written = st.ModTime()
	}
	if err := believable(time.Now(), written); err != nil {
		f.Level, f.What, f.Remedy = confine.Fail, f.What+": "+err.Error(), "have it set at start, by systemd-timesyncd, a clock with a battery, or fake-hwclock"
	}
	return f
}

// believable reports whether it can be now, on a machine whose configuration was written
// at the given time.
func believable(now, written time.Time) error {
	switch {
	case now.Before(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)):
		return errors.New("that is before this program was written")
	case now.Add(24 * time.Hour).Before(written):
		return errors.New("that is before its configuration was written")
	}
	return nil
}
