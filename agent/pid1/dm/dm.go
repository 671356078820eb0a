// Package dm makes an encrypted block device out of another one by the kernel's device
// mapper, as dmsetup and cryptsetup do, through /dev/mapper/control alone (Linux,
// include/uapi/linux/dm-ioctl.h; Documentation/admin-guide/device-mapper/dm-crypt.rst).
package dm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Control is where the device mapper takes orders.
const Control = "/dev/mapper/control"

const (
	headSize   = 312 // struct dm_ioctl
	targetSize = 40  // struct dm_target_spec
	nameAt     = 48
	nameSize   = 128
	secureData = 1 << 15 // DM_SECURE_DATA_FLAG: the kernel wipes its copy

	ioctlBase  = 0xc138fd00 // _IOWR(0xfd, N, struct dm_ioctl)
	devCreate  = 3
	devRemove  = 4
	devSuspend = 6 // without the flag to suspend it resumes
	tableLoad  = 9

	// Sector is the unit of the device mapper in bytes.
	Sector = 512
	// KeySize is that of AES-256 in XTS, two keys.
	KeySize = 64
)

// Crypt is an encrypted device: AES-256-XTS, each sector numbered from the first.
type Crypt struct {
	Name   string // of the device, a-z, 0-9 and "-"
	Device string // block device below, a path
	Key    []byte // KeySize bytes
	Offset int64  // in bytes, of the first encrypted one in Device
	Size   int64  // in bytes
}

// Open makes the device and returns its number. Close of nothing is needed: it ends with
// the machine, or with [Remove].
func (c Crypt) Open() (dev uint64, err error) {
	table, err := c.table()
	if err != nil {
		return 0, err
	}
	defer clear(table)
	ctl, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("reach the device mapper: %w", err)
	}
	defer ctl.Close()
	made, err := order(ctl, devCreate, head(c.Name, headSize, 0))
	if err != nil {
		return 0, fmt.Errorf("make device %s: %w", c.Name, err)
	}
	if _, err = order(ctl, tableLoad, table); err == nil {
		_, err = order(ctl, devSuspend, head(c.Name, headSize, 0))
	}
	if err != nil {
		_, gone := order(ctl, devRemove, head(c.Name, headSize, 0))
		return 0, fmt.Errorf("set up device %s: %w", c.Name, errors.Join(err, gone))
	}
	return binary.NativeEndian.Uint64(made[40:]), nil
}

// Remove takes a device away that nothing uses any more.
func Remove(name string) error {
	ctl, err := os.OpenFile(Control, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("reach the device mapper: %w", err)
	}
	defer ctl.Close()
	if _, err := order(ctl, devRemove, head(name, headSize, 0)); err != nil {
		return fmt.Errorf("remove device %s: %w", name, err)
	}
	return nil
}

func order(ctl *os.File, number uintptr, b []byte) ([]byte, error) {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, ctl.Fd(), ioctlBase+number, uintptr(unsafe.Pointer(&b[0])))
	runtime.KeepAlive(b)
	if errno != 0 {
		return nil, errno
	}
	return b, nil
}

// head is a struct dm_ioctl of size bytes in all, at least [headSize], with that many targets.
func head(name string, size int, targets uint32) []byte {
	b := make([]byte, size)
	for i, v := range []uint32{4, 0, 0, uint32(size), headSize, targets} { // version 4.0.0, data_size, data_start, target_count
		binary.NativeEndian.PutUint32(b[4*i:], v)
	}
	binary.NativeEndian.PutUint32(b[28:], secureData)
	copy(b[nameAt:nameAt+nameSize-1], name)
	return b
}

// table is the order that loads the device's one target.
func (c Crypt) table() ([]byte, error) {
	if len(c.Key) != KeySize || c.Name == "" || len(c.Name) >= nameSize || c.Offset%Sector != 0 || c.Size%Sector != 0 || c.Size <= 0 || c.Offset < 0 {
		return nil, errors.New("an encrypted device needs a name, a key of 64 bytes and whole sectors")
	}
	const cipher = "aes-xts-plain64 "
	var p bytes.Buffer
	p.Grow(len(cipher) + 2*KeySize + len(c.Device) + 64) // so that no copy of the key is left behind
	p.WriteString(cipher)
	p.Write(hex.AppendEncode(p.AvailableBuffer(), c.Key))
	fmt.Fprintf(&p, " 0 %s %d", c.Device, c.Offset/Sector)
	spec := (targetSize + p.Len() + 1 + 7) &^ 7
	b := head(c.Name, headSize+spec, 1)
	t := b[headSize:]
	binary.NativeEndian.PutUint64(t[8:], uint64(c.Size/Sector))
	binary.NativeEndian.PutUint32(t[20:], uint32(spec))
	copy(t[24:40], "crypt")
	copy(t[targetSize:], p.Bytes())
	clear(p.Bytes())
	return b, nil
}
