// Package uboot makes what U-Boot goes by on a Platen image: the device tree that it is
// started with, which holds its key and its script, and the first environment on the disk.
// Start at [Control] and [FirstEnv].
//
// # How a board starts
//
// U-Boot's own device tree has the boot command in /config and no delay, so there is no
// prompt, and it has the key that every image must be signed with. Nothing that it goes by is
// on the disk but the state of two slots: an environment in two copies, as package
// updater/boot/uboot has it in its style BootCount. Of that the script takes five variables by name and never
// runs one.
//
// The script picks the slot, measures what it is about to start into PCRs 8 and 9 (package
// predict has the values), adds platen.slot=a or b to the signed command line, and starts.
//
// # Failures
//
//   - A slot on trial that does not come up: after bootlimit starts the other one starts.
//   - A slot that U-Boot refuses: it is entered as failed, and the board starts over, with
//     clean registers, into the other one. If that is refused too, the first one is tried
//     again: there is nothing else.
//   - A cut while the environment is written: the other copy counts.
//   - No valid copy: slot a starts, and b if U-Boot refuses a. Nothing is written.
//   - A TPM that fails: the board starts; its keys stay sealed, its evidence is refused. One
//     that the device tree has and the board has not: U-Boot starts over, for ever.
package uboot

import (
	"crypto/rsa"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"platen/cross/image/fdt"
	"platen/cross/image/fit"
	env "platen/updater/boot/uboot"
)

// Sector is the unit of places on a disk, in bytes.
const Sector = 512

// Disk is where on a board's disk things are, in sectors of [Sector] bytes.
type Disk struct {
	Env      [2]int64 // the copies of the environment
	EnvSize  int64    // of each copy
	FIT      [2]int64 // the images of slots a and b
	FITLimit int64    // what an image may have at most
}

// Memory is where the script puts things, as physical addresses; see also fit.Memory.
type Memory struct {
	FIT     uint32 // images are read to here; what follows is free up to the disk's FITLimit
	Scratch uint32 // 1 MiB
}

// Memories of the virtual board qemu-arm64, which has 256 MiB or more from 0x40000000: its
// own device tree lies at the bottom, U-Boot at the top.
func Memories() (Memory, fit.Memory) {
	return Memory{FIT: 0x44000000, Scratch: 0x43d00000}, fit.Memory{Kernel: 0x40400000, FDT: 0x43f00000}
}

//go:embed qemu-arm64.dts
var board string

// Board is the device tree of the virtual board qemu-arm64, as Linux gets it: QEMU's virt
// machine of one processor with a GIC of version 3 and tpm-tis-device, and what is on its
// PCI bus is found there.
func Board() ([]byte, error) {
	root, err := fdt.Compile(board)
	if err != nil {
		return nil, fmt.Errorf("board qemu-arm64: %w", err)
	}
	return root.Encode(), nil
}

// Control is the device tree that U-Boot itself is started with: the board's, the public key,
// and the script for a disk.
func Control(d Disk, key *rsa.PublicKey) ([]byte, error) {
	root, err := fdt.Compile(board)
	if err != nil {
		return nil, fmt.Errorf("board qemu-arm64: %w", err)
	}
	if err := fit.Require(root, key); err != nil {
		return nil, err
	}
	m, _ := Memories()
	text, err := Script(d, m)
	if err != nil {
		return nil, err
	}
	conf := root.Child("config")
	conf.Text("bootcmd", text)
	conf.Cells("bootdelay", 0xfffffffe) // -2: none, and no key interrupts it
	return root.Encode(), nil
}

//go:embed boot.cmd
var script string

// Script is U-Boot's boot command for a disk: the package's boot.cmd with its places.
func Script(d Disk, m Memory) (string, error) {
	if d.EnvSize < 1 || d.EnvSize*Sector > 0x10000 || d.FITLimit < 1 || d.FITLimit > 1<<20 {
		return "", errors.New("U-Boot's script: an environment has at most 64 KiB, an image at most 512 MiB")
	}
	var lines []string
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	hex := func(n int64) string { return fmt.Sprintf("%x", n) }
	at := int64(m.Scratch)
	return strings.NewReplacer(
		"@ENV0@", hex(d.Env[0]), "@ENV1@", hex(d.Env[1]), "@ENVSECTORS@", hex(d.EnvSize),
		"@ENVDATA@", hex(d.EnvSize*Sector-1), // the CRC and what it covers, without the flags
		"@CRC@", hex(at), "@BUF@", hex(at+0x1000), "@BUF+1@", hex(at+0x1001), "@BUF+4@", hex(at+0x1004),
		"@FITA@", hex(d.FIT[0]), "@FITB@", hex(d.FIT[1]), "@FITLIMIT@", hex(d.FITLimit), "@FIT@", hex(int64(m.FIT)),
		"@CONF@", fit.Conf,
	).Replace(strings.Join(lines, "\n")), nil
}

// Limit is how often a slot on trial is started before the other one is.
const Limit = 3

// FirstEnv is the environment of a new disk, one copy: slot a starts. Both copies have it,
// with flags 1 and 0.
func FirstEnv(d Disk, flags byte) ([]byte, error) {
	size := int(d.EnvSize * Sector)
	e, err := env.Open(env.Config{Copies: make([]env.Copy, 2), Size: size})
	if err != nil {
		return nil, err
	}
	return e.Encode(env.Vars{"platen_slot": "a", "upgrade_available": "0", "bootcount": "0",
		"bootlimit": fmt.Sprint(Limit), "altbootcmd": "start the other slot"}, flags)
}

// Fits reports whether a FIT fits a slot of this disk.
func (d Disk) Fits(image []byte) error {
	if len(image) < 8 || int64(binary.BigEndian.Uint32(image[4:])) > d.FITLimit*Sector || int64(len(image)) > d.FITLimit*Sector {
		return fmt.Errorf("the image has %d bytes, and a slot takes %d: leave something out", len(image), d.FITLimit*Sector)
	}
	return nil
}
