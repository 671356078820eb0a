// Package grub keeps what GRUB's scripts decide by in GRUB's environment blocks. Start at
// [Open]; an [Env] is a boot.Env.
//
// # Layout (GRUB include/grub/lib/envblk.h, util/grub-editenv.c)
//
// A block is 1024 bytes: the line "# GRUB Environment Block", lines "name=value", and "#" up
// to the end. GRUB writes it in place, without a checksum. So there are two of ours, which
// are written by turns and by us only, each with a generation at its beginning and at its
// end, both within the first sector:
//
//	platen_gen=0000000007
//	platen_slot=a
//	platen_trial=b         or "-"
//	platen_end=0000000007
//
// A block counts if both generations are there and equal; of two the greater one. grub.cfg
// loads both (load_env --file), chooses, and before it starts a trial notes its generation in
// a third block, which only GRUB writes (save_env --file … platen_tried): a trial whose
// generation is noted there already has been, and the confirmed root file system starts.
//
// # Failures
//
//   - A cut while a block is written: its generations differ, or it is as before.
//   - No block counts: [ErrEnv] when read; the next change writes a first one. GRUB starts
//     what grub.cfg has as its default.
package grub

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"platen/updater/slot"
)

// ErrEnv reports that no block is valid.
var ErrEnv = errors.New("neither of the environment blocks for GRUB is valid: confirm a root file system to write one")

const (
	blockSize = 1024
	header    = "# GRUB Environment Block\n"
)

// Env is a pair of environment blocks.
type Env struct {
	open [2]func(slot.Mode) (slot.File, error)
}

// Open returns the environment in two files of 1024 bytes each, which exist; see [Block].
func Open(first, second func(slot.Mode) (slot.File, error)) (*Env, error) {
	if first == nil || second == nil {
		return nil, errors.New("an environment for GRUB has two blocks")
	}
	return &Env{[2]func(slot.Mode) (slot.File, error){first, second}}, nil
}

// Parse reads the variables of a block, and reports whether it is one.
func Parse(p []byte) (vars map[string]string, ok bool) {
	text, found := strings.CutPrefix(string(p), header)
	if !found || len(p) != blockSize {
		return nil, false
	}
	vars = map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		name, value, found := strings.Cut(line, "=")
		if found && !strings.HasPrefix(line, "#") {
			vars[name] = value
		}
	}
	return vars, true
}

// Block is a block with variables, in their order: name, value, name, value.
func Block(vars ...string) ([]byte, error) {
	p := append(make([]byte, 0, blockSize), header...)
	for i := 0; i+1 < len(vars); i += 2 {
		if vars[i] == "" || strings.ContainsAny(vars[i]+vars[i+1], "\\\n") || strings.Contains(vars[i], "=") {
			return nil, errors.New("a variable for GRUB has a name or value it may not have")
		}
		p = append(p, vars[i]+"="+vars[i+1]+"\n"...)
	}
	if len(p) > blockSize {
		return nil, errors.New("the variables do not fit into an environment block")
	}
	for len(p) < blockSize {
		p = append(p, '#')
	}
	return p, nil
}

// state is what one of our blocks says.
type state struct {
	gen            uint64
	active, trying slot.Name
	at             int
}

func (e *Env) load() (state, error) {
	best, found := state{}, false
	for i, open := range e.open {
		p, err := read(open)
		if err != nil {
			return state{}, fmt.Errorf("read the environment for GRUB: %w", err)
		}
		if s, ok := decode(p); ok && (!found || s.gen > best.gen) {
			best, found = s, true
			best.at = i
		}
	}
	if !found {
		return state{}, ErrEnv
	}
	return best, nil
}

func read(open func(slot.Mode) (slot.File, error)) ([]byte, error) {
	f, err := open(slot.Read)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := make([]byte, blockSize)
	n, err := f.ReadAt(p, 0)
	if err == io.EOF {
		err = nil
	}
	return p[:n], err
}

func decode(p []byte) (state, bool) {
	v, ok := Parse(p)
	if !ok || v["platen_gen"] == "" || v["platen_gen"] != v["platen_end"] {
		return state{}, false
	}
	gen, err := strconv.ParseUint(v["platen_gen"], 10, 64)
	s := state{gen: gen, active: slot.Parse(v["platen_slot"]), trying: slot.Parse(v["platen_trial"])}
	return s, err == nil && s.active != slot.None
}

// set writes the next generation into the block that does not count.
func (e *Env) set(active, trying slot.Name) error {
	old, err := e.load()
	if err != nil && !errors.Is(err, ErrEnv) {
		return err
	}
	if err == nil && old.active == active && old.trying == trying && trying == slot.None {
		return nil // a trial has a generation of its own: GRUB tries each of them once
	}
	trial := "-"
	if trying != slot.None {
		trial = trying.String()
	}
	gen := fmt.Sprintf("%010d", old.gen+1)
	p, err := Block("platen_gen", gen, "platen_slot", active.String(), "platen_trial", trial, "platen_end", gen)
	if err != nil {
		return err
	}
	f, err := e.open[1-old.at](slot.Edit)
	if err != nil {
		return fmt.Errorf("write the environment for GRUB: %w", err)
	}
	if err := slot.Overwrite(f, p, 0); err != nil {
		return fmt.Errorf("write the environment for GRUB: %w", err)
	}
	got, err := e.load()
	if err == nil && (got.active != active || got.trying != trying) {
		err = errors.New("it reads back otherwise: check the storage")
	}
	return err
}

// Load returns what starts, see boot.Env.
func (e *Env) Load() (active, trying slot.Name, err error) {
	s, err := e.load()
	return s.active, s.trying, err
}

// Try puts n on trial, see boot.Env.
func (e *Env) Try(n slot.Name) (arg string, err error) { return "", e.set(n.Other(), n) }

// Confirm makes n what starts from now on, see boot.Env.
func (e *Env) Confirm(n slot.Name) error { return e.set(n, slot.None) }
