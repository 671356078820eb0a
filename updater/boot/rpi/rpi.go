// Package rpi decides which partition a Raspberry Pi starts from, by autoboot.txt and its
// tryboot flag. Start at [Open]; an [Env] is a boot.Env.
//
// # Layout (Raspberry Pi documentation, "autoboot.txt"; at most 512 bytes)
//
//	[all]
//	tryboot_a_b=1
//	boot_partition=2
//	[tryboot]
//	boot_partition=3
//
// filled with "#" lines to exactly one sector, so that a change, the two numbers swapped,
// is one sector in its place: the name, the length and the place on the medium stay, as a
// rename on FAT is no single step. A trial is started by a restart that is told
// "0 tryboot"; the firmware clears that flag before it starts anything, so that there is
// one try.
//
// # Failures
//
//   - A cut while the sector is written leaves the old or the new one.
//   - A file that is not as above: [ErrFile], and nothing is written.
//   - EEPROMs before 2023 do not know tryboot_a_b: they start boot_partition, and the
//     trial counts as failed.
package rpi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"platen/updater/slot"
)

// ErrFile reports an autoboot.txt that is not ours.
var ErrFile = errors.New("autoboot.txt is not 512 bytes with the two boot partitions of slots a and b: write it anew, see README")

const (
	sector = 512
	// TrybootArg is what a restart is told to start the partition on trial.
	TrybootArg = "0 tryboot"
)

// Config is where autoboot.txt is and which partitions the slots are.
type Config struct {
	Open       func(slot.Mode) (slot.File, error)
	Partitions [2]int // of slots a and b, as boot_partition has them
}

// Env is an autoboot.txt.
type Env struct{ cfg Config }

// Open returns the Env; nothing is read yet.
func Open(cfg Config) (*Env, error) {
	if cfg.Open == nil || cfg.Partitions[0] == cfg.Partitions[1] || min(cfg.Partitions[0], cfg.Partitions[1]) < 1 || max(cfg.Partitions[0], cfg.Partitions[1]) > 63 {
		return nil, errors.New("autoboot.txt needs two different boot partitions from 1 to 63")
	}
	return &Env{cfg}, nil
}

// File is an autoboot.txt that starts slot n: 512 bytes.
func (e *Env) File(n slot.Name) []byte {
	text := fmt.Appendf(nil, "[all]\ntryboot_a_b=1\nboot_partition=%d\n[tryboot]\nboot_partition=%d\n",
		e.cfg.Partitions[n-slot.A], e.cfg.Partitions[n.Other()-slot.A])
	fill := bytes.Repeat([]byte{'#'}, sector-len(text))
	fill[len(fill)-1] = '\n'
	return append(text, fill...)
}

// Load returns what starts, see boot.Env. A trial leaves no trace in the file.
func (e *Env) Load() (active, trying slot.Name, err error) {
	p, err := e.read()
	if err != nil {
		return slot.None, slot.None, fmt.Errorf("read autoboot.txt: %w", err)
	}
	if active = e.parse(p); active == slot.None {
		return slot.None, slot.None, ErrFile
	}
	return active, slot.None, nil
}

func (e *Env) read() ([]byte, error) {
	f, err := e.cfg.Open(slot.Read)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := make([]byte, sector+1)
	n, err := f.ReadAt(p, 0)
	if err == io.EOF {
		err = nil
	}
	return p[:n], err
}

// parse returns the slot of the partition that starts without the flag, or None if the
// file is not one that this package can change by one sector.
func (e *Env) parse(p []byte) slot.Name {
	if len(p) != sector {
		return slot.None
	}
	section, parts, both := "all", map[string]int{}, false
	for line := range strings.Lines(string(p)) {
		line = strings.TrimSpace(line)
		name, value, found := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !found || strings.HasPrefix(line, "#"):
		case name == "tryboot_a_b":
			both = value == "1"
		case name == "boot_partition":
			n, err := strconv.Atoi(value)
			if err != nil {
				return slot.None
			}
			parts[section] = n
		}
	}
	for _, n := range [...]slot.Name{slot.A, slot.B} {
		if both && parts["all"] == e.cfg.Partitions[n-slot.A] && parts["tryboot"] == e.cfg.Partitions[n.Other()-slot.A] {
			return n
		}
	}
	return slot.None
}

// Try has the next restart, told arg, start n. See boot.Env.
func (e *Env) Try(n slot.Name) (arg string, err error) {
	active, _, err := e.Load()
	if err != nil {
		return "", err
	}
	if active == n { // it would start anyway, and the other one on trial
		if err := e.Confirm(n.Other()); err != nil {
			return "", err
		}
	}
	return TrybootArg, nil
}

// Confirm makes n what starts from now on, see boot.Env.
func (e *Env) Confirm(n slot.Name) error {
	active, _, err := e.Load()
	if err != nil || active == n {
		return err
	}
	f, err := e.cfg.Open(slot.Edit)
	if err != nil {
		return fmt.Errorf("write autoboot.txt: %w", err)
	}
	if err := slot.Overwrite(f, e.File(n), 0); err != nil {
		return fmt.Errorf("write autoboot.txt: %w", err)
	}
	if active, _, err = e.Load(); err == nil && active != n {
		err = errors.New("autoboot.txt reads back otherwise: check the storage")
	}
	return err
}
