package boottest

import (
	"encoding/binary"
	"errors"
	"io/fs"

	"platen/updater/boot"
	"platen/updater/boot/efi"
	"platen/updater/slot"
)

// uefi is a board with UEFI, whose variables are files of the disk.
type uefi struct{}

// variables are those of a firmware that keeps to UEFI 2.10, section 8.2: a cut leaves the
// old value or the new one.
type variables struct{ d slot.FS }

func (v variables) Get(name string) ([]byte, error) {
	p, err := slot.ReadAll(v.d, "efi-"+name, 4096)
	if err == nil && len(p) == 0 {
		err = fs.ErrNotExist // removed
	}
	return p, err
}

func (v variables) Set(name string, p []byte) error { return slot.Replace(v.d, "efi-"+name, p) }

func (v variables) Remove(name string) error {
	if _, err := v.Get(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return v.Set(name, nil)
}

// list is a variable of numbers.
func (v variables) list(name string) (numbers []uint16) {
	p, err := v.Get(name)
	if err != nil {
		return nil
	}
	for at := 4; at+2 <= len(p); at += 2 {
		numbers = append(numbers, binary.LittleEndian.Uint16(p[at:]))
	}
	return numbers
}

func (uefi) Env(d slot.FS) (boot.Env, error) {
	return efi.Open(efi.Config{Vars: variables{d}, Loader: `\EFI\BOOT\BOOTAA64.EFI`, Slots: [2]efi.Place{
		{Number: 3, Start: 8192, Size: 131072, GUID: [16]byte{1}}, {Number: 4, Start: 139264, Size: 131072, GUID: [16]byte{2}}}})
}

// Factory leaves what is there before anything of ours: a boot option of the firmware's own.
func (uefi) Factory(d slot.FS) error { return variables{d}.Set("BootOrder", []byte{7, 0, 0, 0, 1, 0}) }

// Start does what a boot manager does (section 3.1.1): BootNext, which it removes before, and
// then BootOrder. What it knows by itself starts slot a.
func (uefi) Start(d slot.FS, _ string, boots func(slot.Name) bool) slot.Name {
	v := variables{d}
	once := v.list("BootNext")
	if v.Remove("BootNext") != nil {
		return slot.None
	}
	for _, option := range append(once, v.list("BootOrder")...) {
		n := slot.A
		if option == efi.OptionB {
			n = slot.B
		}
		if _, err := v.Get(optionName(option)); option != 1 && err != nil {
			continue // it names what is not there
		}
		if boots(n) {
			return n
		}
	}
	return slot.None
}

func optionName(option uint16) string {
	if option == efi.OptionB {
		return "Boot504D"
	}
	return "Boot504C"
}
