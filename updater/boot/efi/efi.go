// Package efi has the firmware of a board, UEFI, choose between two root file systems, by
// its own variables (UEFI 2.10, section 3.1): what is active is first in BootOrder, and what
// is on trial is in BootNext, which the firmware removes as it starts it, so that there is
// one try. Start at Open; an Env is a boot.Env.
//
// # What it writes
//
// Two boot options of our own, [OptionA] and [OptionB], each \EFI\BOOT\BOOT....EFI on the
// partition of its slot; they are made when something is put on trial for the first time.
// Until then the firmware starts by itself what it finds first, which is slot a. Options of
// others stay behind ours in BootOrder.
//
// # Failures
//
//   - A cut while a variable is written: the firmware has the old value or the new one.
//   - A cut in the first start of a trial: the active one starts; whoever counts tries
//     (boot.Root) tries it again.
//   - The firmware has no such file, or refuses it: it goes on with BootOrder.
//   - The firmware forgets its variables: slot a starts.
package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"unicode/utf16"

	"platen/updater/slot"
)

// The numbers of our boot options.
const (
	OptionA = 0x504c
	OptionB = 0x504d
)

const (
	kept   = 7 // non-volatile, for the boot and for the running system
	active = 1 // LOAD_OPTION_ACTIVE
	maxVar = 4096

	order = "BootOrder"
	next  = "BootNext"
)

// ErrVariables reports variables of the firmware that are not as they have to be.
var ErrVariables = errors.New("the firmware's boot variables are not as expected: see efibootmgr, or reset the firmware's settings")

// Place is the partition of a slot.
type Place struct {
	Number      uint32   // of the partition, from 1
	Start, Size uint64   // in sectors
	GUID        [16]byte // of the partition, as the table has it
}

// Vars are the firmware's variables (of EFI_GLOBAL_VARIABLE), each four bytes of attributes
// and a value. What was set or removed is durable, and a power cut leaves each as it was or
// as it is to be. [Dir] are those of a running system.
type Vars interface {
	Get(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Set(name string, contents []byte) error
	Remove(name string) error // none is no error
}

// Config says where variables and slots are. All of it is needed.
type Config struct {
	Vars   Vars
	Slots  [2]Place // of a and b
	Loader string   // in the partition, such as `\EFI\BOOT\BOOTAA64.EFI`
}

// Env is what the firmware goes by.
type Env struct{ cfg Config }

// Open returns the Env; nothing is read yet.
func Open(cfg Config) (*Env, error) {
	for _, p := range cfg.Slots {
		if p.Number == 0 || p.Size == 0 || p.GUID == [16]byte{} {
			return nil, errors.New("a slot for UEFI is a partition of a GPT")
		}
	}
	if cfg.Vars == nil || cfg.Loader == "" {
		return nil, errors.New("UEFI needs its variables, and slots a loader")
	}
	return &Env{cfg}, nil
}

// Load returns what starts, see boot.Env.
func (e *Env) Load() (now, trying slot.Name, err error) {
	list, err := e.numbers(order)
	if err != nil {
		return slot.None, slot.None, err
	}
	once, err := e.numbers(next)
	if err != nil {
		return slot.None, slot.None, err
	}
	now = slot.A // what a firmware finds first
	for _, n := range list {
		if s := slotOf(n); s != slot.None {
			now = s
			break
		}
	}
	if len(once) == 1 {
		trying = slotOf(once[0])
	}
	if trying == now {
		trying = slot.None
	}
	return now, trying, nil
}

// Try has n start next, once, see boot.Env.
func (e *Env) Try(n slot.Name) (arg string, err error) {
	now, _, err := e.Load()
	if err != nil {
		return "", err
	}
	if n == now || n == slot.None {
		return "", fmt.Errorf("root file system %s is what starts anyway", n)
	}
	if err := e.prefer(now); err != nil { // so that there is a way back
		return "", err
	}
	return "", e.set(next, le16(option(n)))
}

// Confirm has n start from now on, see boot.Env.
func (e *Env) Confirm(n slot.Name) error {
	now, trying, err := e.Load()
	if err != nil {
		return err
	}
	if now != n {
		if err := e.prefer(n); err != nil {
			return err
		}
	}
	if trying == slot.None {
		return nil
	}
	if err := e.cfg.Vars.Remove(next); err != nil {
		return fmt.Errorf("end a trial: %w", err)
	}
	return nil
}

// prefer makes our boot options and puts n first.
func (e *Env) prefer(n slot.Name) error {
	for _, s := range [...]slot.Name{slot.A, slot.B} {
		if err := e.set(fmt.Sprintf("Boot%04X", option(s)), e.loadOption(s)); err != nil {
			return err
		}
	}
	list, err := e.numbers(order)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(o uint16) bool { return slotOf(o) != slot.None })
	return e.set(order, le16(slices.Concat([]uint16{option(n), option(n.Other())}, list)...))
}

func option(n slot.Name) uint16 {
	if n == slot.B {
		return OptionB
	}
	return OptionA
}

func slotOf(option uint16) slot.Name {
	switch option {
	case OptionA:
		return slot.A
	case OptionB:
		return slot.B
	}
	return slot.None
}

// numbers reads a variable of 16-bit numbers; none if there is no such variable.
func (e *Env) numbers(name string) ([]uint16, error) {
	b, err := e.cfg.Vars.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the firmware's %s: %w", name, err)
	}
	if len(b) < 4 || len(b)%2 != 0 || len(b) > maxVar {
		return nil, fmt.Errorf("%s: %w", name, ErrVariables)
	}
	var list []uint16
	for c := range slices.Chunk(b[4:], 2) {
		list = append(list, binary.LittleEndian.Uint16(c))
	}
	return list, nil
}

// set writes a variable, unless it has the value already, and reads it back.
func (e *Env) set(name string, value []byte) error {
	want := append(binary.LittleEndian.AppendUint32(nil, kept), value...)
	if b, err := e.cfg.Vars.Get(name); err == nil && bytes.Equal(b, want) {
		return nil
	}
	if err := e.cfg.Vars.Set(name, want); err != nil {
		return fmt.Errorf("write the firmware's %s: %w", name, err)
	}
	if b, err := e.cfg.Vars.Get(name); err != nil || !bytes.Equal(b, want) {
		return fmt.Errorf("%s reads back otherwise: %w", name, errors.Join(err, ErrVariables))
	}
	return nil
}

func le16(list ...uint16) []byte {
	var b []byte
	for _, v := range list {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

// loadOption is an EFI_LOAD_OPTION (section 3.1.3): a hard drive's partition (10.3.5.1), a
// file in it (10.3.5.4), and the end.
func (e *Env) loadOption(n slot.Name) []byte {
	p := e.cfg.Slots[n-slot.A]
	drive := binary.LittleEndian.AppendUint32([]byte{4, 1, 42, 0}, p.Number)
	drive = binary.LittleEndian.AppendUint64(drive, p.Start)
	drive = binary.LittleEndian.AppendUint64(drive, p.Size)
	drive = append(append(drive, p.GUID[:]...), 2, 2) // GPT, named by its GUID
	name := text(e.cfg.Loader)
	file := append(le16(0x0404, uint16(4+len(name))), name...)
	path := slices.Concat(drive, file, []byte{0x7f, 0xff, 4, 0})
	b := binary.LittleEndian.AppendUint32(nil, active)
	b = append(b, le16(uint16(len(path)))...)
	return slices.Concat(b, text("Platen "+n.String()), path)
}

// text is a string as EFI has it: UTF-16 and a zero.
func text(s string) []byte { return le16(append(utf16.Encode([]rune(s)), 0)...) }
