package stick

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is a USB stick that is plugged in.
type Device struct {
	Name   string // as the kernel calls it: "sda"
	path   string
	number string // "8:0"
	sector int64
}

// mostDevices bounds how many block devices are looked at.
const mostDevices = 256

// onUSB is what the place of a device in sysfs says if it hangs on a USB.
var onUSB = regexp.MustCompile(`/usb[0-9]+/`)

// Find lists the removable block devices on a USB that have a medium in them, by name: sys is
// where sysfs is and dev where devices are, given so that rigs and tests have their own.
// A stick that calls itself a fixed disk is none. Nothing is opened but files of sysfs (Documentation/ABI/stable/sysfs-block).
func Find(sys, dev string) ([]Device, error) {
	d, err := os.Open(filepath.Join(sys, "block"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for USB sticks: %w", err)
	}
	names, err := d.Readdirnames(mostDevices)
	d.Close()
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("looking for USB sticks: %w", err)
	}
	slices.Sort(names)
	var found []Device
	for _, name := range names {
		at, err := filepath.EvalSymlinks(filepath.Join(sys, "block", name))
		if err != nil || !onUSB.MatchString(at) {
			continue
		}
		said := func(file string) string {
			b, _ := os.ReadFile(filepath.Join(at, file))
			return strings.TrimSpace(string(b))
		}
		sector, err := strconv.ParseInt(said("queue/logical_block_size"), 10, 32)
		if err == nil && said("removable") == "1" && said("size") != "0" {
			found = append(found, Device{name, filepath.Join(dev, name), said("dev"), sector})
		}
	}
	return found, nil
}

// Open opens a stick for reading, in a way that nobody can mount it meanwhile, and returns
// its bytes and the size of its blocks for [Open]. It returns an [Error] for one that is
// mounted. On a rig a regular file stands for the stick.
func (d Device) Open() (f *os.File, size, sector int64, err error) {
	fd, err := unix.Open(d.path, unix.O_RDONLY|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, 0, 0, &Error{"mounted", "the stick is mounted, or read by somebody else: unmount it, and keep this system from mounting sticks"}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return nil, 0, 0, &Error{"denied", "the agent may not read the stick: give the device to its user by a udev rule"}
	case err != nil:
		return nil, 0, 0, errUnreadable
	}
	f = os.NewFile(uintptr(fd), d.path)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && !d.is(&st) {
		err = errUnreadable
	}
	if err == nil {
		size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		f.Close()
		return nil, 0, 0, errUnreadable
	}
	return f, size, d.sector, nil
}

// is reports whether what was opened is the device that sysfs told of.
func (d Device) is(st *unix.Stat_t) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return true
	case unix.S_IFBLK:
		return d.number == fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	return false
}
