// Package uboot reads and writes U-Boot's environment: what its scripts decide by. Start at
// [Open]; an [Env] is a boot.Env.
//
// # Layout (U-Boot include/env_internal.h, env/common.c; libubootenv)
//
// An environment of SIZE bytes is a little-endian CRC-32 (as in zlib) of the data, then,
// if there are two copies, one byte of flags that the CRC does not cover, then the data:
// "name=value\0" for each variable and one more "\0". The CRC covers everything behind
// the last "\0" too. Of two valid copies the one with the greater flags counts, where 0 is
// greater than 255. A change goes to the other copy with the flags raised by one, all
// variables in one write, and is read back.
//
// # Failures
//
//   - A cut while a copy is written: its CRC is wrong, the other one counts.
//   - With one copy only, a cut loses the environment, and U-Boot takes the one built into
//     it: have two.
//   - No valid copy: [ErrEnv]; nothing is written, since it would lose what U-Boot needs.
//
// # Two ways to count
//
// [BootCount]: "platen_slot" names the root file system; during a trial "upgrade_available"
// is 1 and U-Boot counts "bootcount" up to "bootlimit", then runs "altbootcmd", which has to
// start the other one; without these two, nothing is tried. [BootOrder]: "BOOT_ORDER" is
// "b a", and "BOOT_a_LEFT" and "BOOT_b_LEFT" are the starts that each has left, which U-Boot's
// script counts down; "platen_trial" names the one on trial. A script that has "B A" in
// BOOT_ORDER finds capitals in these names too.
package uboot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"platen/updater/slot"
)

// ErrEnv reports an environment without a valid copy.
var ErrEnv = errors.New("U-Boot's environment has no valid copy: write it once with fw_setenv, or saveenv at U-Boot's prompt")

// ErrNoWayBack reports a board on which a root file system that does not come up would stay.
var ErrNoWayBack = errors.New("U-Boot would not go back from a trial: set bootlimit and altbootcmd, see the package comment")

// Style is how the board's U-Boot script counts tries.
type Style uint8

// The styles, see the package comment.
const (
	BootCount Style = iota
	BootOrder
)

// Tries is how often a root file system on trial is started: the counter of BootOrder. With
// BootCount it is U-Boot's bootlimit.
const Tries = 3

// Copy is one copy of the environment.
type Copy struct {
	Offset int64
	Open   func(slot.Mode) (slot.File, error) // its device or file
}

// Config is where an environment is. Copies, one or two, and Size are needed.
type Config struct {
	Copies []Copy
	Size   int // of each copy in bytes, as in fw_env.config
	Style  Style
}

// Env is a U-Boot environment.
type Env struct{ cfg Config }

// Open returns the environment; nothing is read yet.
func Open(cfg Config) (*Env, error) {
	if len(cfg.Copies) < 1 || len(cfg.Copies) > 2 || cfg.Size < 64 || cfg.Size > 1<<20 {
		return nil, errors.New("a U-Boot environment has one or two copies of 64 bytes to 1 MiB")
	}
	return &Env{cfg}, nil
}

// Vars are variables by name.
type Vars map[string]string

// found is one valid copy.
type found struct {
	vars  Vars
	flags byte
	at    int
}

func (e *Env) header() int { return 3 + len(e.cfg.Copies) } // 4, or 5 with flags

// Vars reads the variables of the copy that counts.
func (e *Env) Vars() (Vars, error) {
	f, err := e.load()
	return f.vars, err
}

func (e *Env) load() (found, error) {
	best, ok := found{}, false
	for i := range e.cfg.Copies {
		p, err := e.read(i)
		if err != nil {
			return found{}, fmt.Errorf("read U-Boot's environment: %w", err)
		}
		f, valid := e.parse(p, i)
		if valid && (!ok || newer(f.flags, best.flags)) {
			best, ok = f, true
		}
	}
	if !ok {
		return found{}, ErrEnv
	}
	return best, nil
}

// newer reports whether the second copy counts.
func newer(second, first byte) bool {
	switch {
	case first == 255 && second == 0:
		return true
	case first == 0 && second == 255:
		return false
	}
	return second > first
}

func (e *Env) read(i int) ([]byte, error) {
	f, err := e.cfg.Copies[i].Open(slot.Read)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := make([]byte, e.cfg.Size)
	n, err := f.ReadAt(p, e.cfg.Copies[i].Offset)
	if n == len(p) || err == io.EOF {
		err = nil // what is missing has no valid CRC
	}
	return p, err
}

func (e *Env) parse(p []byte, at int) (found, bool) {
	data := p[e.header():]
	if crc32.ChecksumIEEE(data) != binary.LittleEndian.Uint32(p) {
		return found{}, false
	}
	f := found{vars: Vars{}, at: at}
	if e.header() > 4 {
		f.flags = p[4]
	}
	for text := range strings.SplitSeq(string(data), "\x00") {
		if text == "" {
			break
		}
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return found{}, false
		}
		f.vars[name] = value
	}
	return f, true
}

// Set changes variables in one write. An empty value removes one. It writes nothing if
// nothing changes.
func (e *Env) Set(change Vars) error {
	f, err := e.load()
	if err != nil {
		return err
	}
	next := maps.Clone(f.vars)
	for name, value := range change {
		if value == "" {
			delete(next, name)
		} else {
			next[name] = value
		}
	}
	if maps.Equal(next, f.vars) {
		return nil
	}
	p, err := e.Encode(next, f.flags+1)
	if err != nil {
		return err
	}
	at := len(e.cfg.Copies) - 1 - f.at // the other one, if there is one
	if err := e.write(at, p); err != nil {
		return fmt.Errorf("write U-Boot's environment: %w", err)
	}
	got, err := e.load()
	if err == nil && !maps.Equal(got.vars, next) {
		err = errors.New("it reads back otherwise: check the storage and fw_env.config")
	}
	if err != nil {
		return fmt.Errorf("write U-Boot's environment: %w", err)
	}
	return nil
}

// Encode is one copy of an environment with these variables, for tools and tests. flags are
// only used if there are two copies.
func (e *Env) Encode(vars Vars, flags byte) ([]byte, error) {
	p := make([]byte, e.header(), e.cfg.Size)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(vars[name], "\x00") {
			return nil, errors.New("a variable of U-Boot's environment has a name or value it may not have")
		}
		p = append(append(append(append(p, name...), '='), vars[name]...), 0)
	}
	if len(p)+1 > e.cfg.Size {
		return nil, errors.New("U-Boot's environment is full")
	}
	p = p[:e.cfg.Size] // make has zeroed it
	if e.header() > 4 {
		p[4] = flags
	}
	binary.LittleEndian.PutUint32(p, crc32.ChecksumIEEE(p[e.header():]))
	return p, nil
}

func (e *Env) write(i int, p []byte) error {
	f, err := e.cfg.Copies[i].Open(slot.Edit)
	if err != nil {
		return err
	}
	return slot.Overwrite(f, p, e.cfg.Copies[i].Offset)
}

// Load returns what starts, see boot.Env.
func (e *Env) Load() (active, trying slot.Name, err error) {
	v, err := e.Vars()
	if err != nil {
		return slot.None, slot.None, err
	}
	if e.cfg.Style == BootOrder {
		trying = slot.Parse(v["platen_trial"])
		for name := range strings.FieldsSeq(strings.ToLower(v["BOOT_ORDER"])) {
			if n := slot.Parse(name); n != slot.None && n != trying {
				return n, trying, nil
			}
		}
		return slot.None, trying, nil
	}
	active = slot.Parse(v["platen_slot"])
	if v["upgrade_available"] == "1" && active != slot.None {
		return active.Other(), active, nil
	}
	return active, slot.None, nil
}

// Try puts n on trial, see boot.Env. With BootCount it refuses what U-Boot would not come
// back from.
func (e *Env) Try(n slot.Name) (arg string, err error) {
	v, err := e.Vars()
	if err != nil {
		return "", err
	}
	if e.cfg.Style == BootOrder {
		return "", e.Set(order(v, n, n.String()))
	}
	if limit, err := strconv.ParseUint(v["bootlimit"], 10, 31); err != nil || limit == 0 || v["altbootcmd"] == "" {
		return "", ErrNoWayBack
	}
	return "", e.Set(Vars{"platen_slot": n.String(), "upgrade_available": "1", "bootcount": "0"})
}

// Spent reports whether n was tried as often as the board's script does, see boot.Counter. With
// BootCount the numbers are compared as hexadecimal ones: scripts count so, U-Boot itself in
// decimals, and digits of either are in the same order.
func (e *Env) Spent(n slot.Name) (bool, error) {
	v, err := e.Vars()
	if err != nil {
		return false, err
	}
	if e.cfg.Style == BootOrder {
		left, ok := v[leftName(v, n)]
		return ok && slot.Parse(v["platen_trial"]) == n && strings.Trim(left, "0") == "", nil
	}
	if v["upgrade_available"] != "1" || slot.Parse(v["platen_slot"]) != n {
		return false, nil
	}
	count, err := strconv.ParseUint(v["bootcount"], 16, 31)
	limit, err2 := strconv.ParseUint(v["bootlimit"], 16, 31)
	return err == nil && err2 == nil && count >= limit, errors.Join(err, err2)
}

// Confirm makes n what starts from now on, see boot.Env.
func (e *Env) Confirm(n slot.Name) error {
	v, err := e.Vars()
	if err != nil {
		return err
	}
	if e.cfg.Style == BootOrder {
		return e.Set(order(v, n, ""))
	}
	return e.Set(Vars{"platen_slot": n.String(), "upgrade_available": "0", "bootcount": "0"})
}

// order has n first, and both with all their tries.
func order(v Vars, n slot.Name, trial string) Vars {
	left := strconv.Itoa(Tries)
	return Vars{"BOOT_ORDER": written(v, n) + " " + written(v, n.Other()), "platen_trial": trial,
		leftName(v, n): left, leftName(v, n.Other()): left}
}

// written is n as the board's script writes it, which may be "A".
func written(v Vars, n slot.Name) string {
	if has := v["BOOT_ORDER"]; has != strings.ToLower(has) {
		return strings.ToUpper(n.String())
	}
	return n.String()
}

// leftName is the variable of the starts that n has left, which may be BOOT_A_LEFT.
func leftName(v Vars, n slot.Name) string { return "BOOT_" + written(v, n) + "_LEFT" }
