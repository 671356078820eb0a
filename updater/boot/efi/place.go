package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Sector is the unit of a Place in bytes. Disks with larger ones are not known here.
const Sector = 512

// PlaceOf finds out where on its disk a partition is, from what the kernel says of it below
// sys, which is /sys, and from the disk's table (GPT; UEFI 2.10, section 5.3.3).
func PlaceOf(sys, device string) (p Place, err error) {
	real, err := filepath.EvalSymlinks(device)
	if err != nil {
		return p, fmt.Errorf("find a slot's partition: %w", err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(sys, "class/block", filepath.Base(real)))
	if err != nil {
		return p, fmt.Errorf("find a slot's partition: %w", err)
	}
	number := func(name string) (n uint64) {
		text, rerr := os.ReadFile(filepath.Join(dir, name))
		n, perr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
		err = errors.Join(err, rerr, perr)
		return n
	}
	p = Place{Number: uint32(number("partition")), Start: number("start"), Size: number("size")}
	if block := number("../queue/logical_block_size"); err == nil && block != Sector {
		err = fmt.Errorf("its disk has sectors of %d bytes", block)
	}
	if err == nil {
		p.GUID, err = guidOf(filepath.Join(filepath.Dir(real), filepath.Base(filepath.Dir(dir))), p)
	}
	if err != nil {
		return p, fmt.Errorf("partition %s: %w", device, err)
	}
	return p, nil
}

// guidOf reads the partition's entry in the table of its disk.
func guidOf(disk string, p Place) (guid [16]byte, err error) {
	f, err := os.Open(disk)
	if err != nil {
		return guid, err
	}
	defer f.Close()
	h := make([]byte, Sector)
	if _, err := f.ReadAt(h, Sector); err != nil {
		return guid, err
	}
	table, count, each := binary.LittleEndian.Uint64(h[72:]), binary.LittleEndian.Uint32(h[80:]), binary.LittleEndian.Uint32(h[84:])
	if string(h[:8]) != "EFI PART" || p.Number == 0 || p.Number > count || each < 128 || each > 4096 || table > 1<<40 {
		return guid, errors.New("its disk has no GPT with it")
	}
	e := make([]byte, 128)
	if _, err := f.ReadAt(e, int64(table)*Sector+int64(p.Number-1)*int64(each)); err != nil {
		return guid, err
	}
	if binary.LittleEndian.Uint64(e[32:]) != p.Start {
		return guid, errors.New("the table of its disk has it elsewhere than the kernel")
	}
	return [16]byte(e[16:32]), nil
}
