package image

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The FAT16 of an EFI slot (Microsoft, FAT: General Overview of On-Disk Format, 1.03). Its
// reserved sectors have the place of the approvals.
const (
	fatCluster  = 2048
	fatReserved = BootAt / sector
	fatRoots    = 512 // entries of the root folder
	fatTable    = (SlotSize/fatCluster*2 + sector - 1) / sector
	fatData     = (fatReserved + 2*fatTable + fatRoots*32/sector) * sector
)

// efiSlot is a slot that EFI starts image from, as \EFI\BOOT\BOOTAA64.EFI.
func efiSlot(image []byte) ([]byte, error) {
	need := (len(image) + fatCluster - 1) / fatCluster
	if fatData+(need+2)*fatCluster > SlotSize {
		return nil, fmt.Errorf("the kernel image has %d bytes, more than a slot holds", len(image))
	}
	b := make([]byte, SlotSize)
	copy(b, []byte{0xeb, 0x3c, 0x90})
	copy(b[3:], "PLATEN  ")
	binary.LittleEndian.PutUint16(b[11:], sector)
	b[13] = fatCluster / sector
	binary.LittleEndian.PutUint16(b[14:], fatReserved)
	b[16] = 2
	binary.LittleEndian.PutUint16(b[17:], fatRoots)
	b[21] = 0xf8
	binary.LittleEndian.PutUint16(b[22:], fatTable)
	binary.LittleEndian.PutUint16(b[24:], 63)
	binary.LittleEndian.PutUint16(b[26:], 255)
	binary.LittleEndian.PutUint32(b[32:], SlotSize/sector)
	b[36], b[38] = 0x80, 0x29
	copy(b[39:], []byte{1, 0, 0, 0})
	copy(b[43:], "PLATEN     FAT16   ")
	b[510], b[511] = 0x55, 0xaa

	chain := make([]uint16, SlotSize/fatCluster+2)
	chain[0], chain[1] = 0xfff8, 0xffff
	chain[2], chain[3] = 0xffff, 0xffff // the two folders
	const first = 4
	for i := range need {
		chain[first+i] = uint16(first + i + 1)
	}
	chain[first+need-1] = 0xffff
	for copyOf := range 2 {
		at := (fatReserved + copyOf*fatTable) * sector
		for i, v := range chain[:fatTable*sector/2] {
			binary.LittleEndian.PutUint16(b[at+2*i:], v)
		}
	}
	cluster := func(n int) []byte { return b[fatData+(n-2)*fatCluster:] }
	copy(b[fatData-fatRoots*32:], dirEntry("EFI        ", 0x10, 2, 0))
	copy(cluster(2), dirEntry(".          ", 0x10, 2, 0))
	copy(cluster(2)[32:], dirEntry("..         ", 0x10, 0, 0))
	copy(cluster(2)[64:], dirEntry("BOOT       ", 0x10, 3, 0))
	copy(cluster(3), dirEntry(".          ", 0x10, 3, 0))
	copy(cluster(3)[32:], dirEntry("..         ", 0x10, 2, 0))
	copy(cluster(3)[64:], dirEntry("BOOTAA64EFI", 0x20, first, len(image)))
	copy(cluster(first), image)
	return b, nil
}

// Unified is the image that EFI starts from a slot, as a piece of that.
func Unified(slot []byte) ([]byte, error) {
	const first = fatData + 2*fatCluster // behind two folders
	if len(slot) == SlotSize && string(slot[fatData+fatCluster+64:][:11]) == "BOOTAA64EFI" {
		if size := int(binary.LittleEndian.Uint32(slot[fatData+fatCluster+64+28:])); size <= SlotSize-first {
			return slot[first:][:size:size], nil
		}
	}
	return nil, errors.New("the slot holds nothing that EFI starts")
}

// dirEntry is an entry of a folder, of the first day that FAT knows.
func dirEntry(name string, attrs byte, cluster, size int) []byte {
	e := make([]byte, 32)
	copy(e, name)
	e[11] = attrs
	for _, at := range []int{16, 18, 24} {
		binary.LittleEndian.PutUint16(e[at:], 1<<5|1)
	}
	binary.LittleEndian.PutUint16(e[26:], uint16(cluster))
	binary.LittleEndian.PutUint32(e[28:], uint32(size))
	return e
}
