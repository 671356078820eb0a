package pid1

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/pid1/dm"
	"platen/agent/pid1/newc"
	"platen/agent/pid1/volume"
	"platen/updater/approval"
)

// What the disk of an image and its init agree on; package cross/image makes it.
const (
	PartPrefix  = "platen-" // partitions are named platen-NAME
	ConfigLimit = 1 << 20   // bytes of the archive in the config partition
	ApprovalAt  = 4096      // where in a slot the approvals of its boot are
	ApprovalMax = 4096      // their room in bytes, zeros after them
	GUIDSlotA   = "1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a01"
	GUIDSlotB   = "1c5f9b1a-7a3e-4b1e-9d52-6d0a3f4b8a02"
)

// parts are the partitions that have to be there.
var parts = []string{"env", "config", "a", "b", "state"}

// diskTime bounds how long a disk may take to appear.
const diskTime = 30 * time.Second

// findDisk makes [devices] of the partitions with our names, all of one disk.
func (b *board) findDisk() error {
	if err := os.MkdirAll(devices, 0o700); err != nil {
		return err
	}
	for end := time.Now().Add(diskTime); ; time.Sleep(20 * time.Millisecond) {
		disks, err := partitions("/sys/class/block")
		if err != nil {
			return err
		}
		found, missing, err := complete(disks)
		if err != nil {
			return err
		}
		if missing == "" {
			b.say("disk found %s", usage("/proc"))
			for _, p := range parts {
				if err := os.Symlink("/dev/"+found[p], filepath.Join(devices, p)); err != nil {
					return err
				}
			}
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("no partition %s%s: flash the image again", PartPrefix, missing)
		}
	}
}

// complete is the device of each partition, of the one disk that has all of them; or else the
// name of one that is missing.
func complete(disks map[string]map[string][]string) (found map[string]string, missing string, err error) {
	missing, most, of := parts[0], 0, ""
	for _, disk := range slices.Sorted(maps.Keys(disks)) {
		set, lacks, twice := map[string]string{}, "", ""
		for _, p := range parts {
			devs := disks[disk][p]
			if len(devs) == 0 {
				lacks = p
				continue
			}
			if set[p] = devs[0]; len(devs) > 1 {
				twice = p
			}
		}
		switch {
		case lacks != "":
			if found == nil && len(set) > most {
				missing, most = lacks, len(set)
			}
		case twice != "":
			return nil, "", fmt.Errorf("%s are all named %s%s: flash the image again", strings.Join(disks[disk][twice], " and "), PartPrefix, twice)
		case found != nil:
			return nil, "", fmt.Errorf("the disks %s and %s both hold an image: take one of them out, or erase it", of, filepath.Base(disk))
		default:
			found, missing, of = set, "", filepath.Base(disk)
		}
	}
	return found, missing, nil
}

// partitions is, by disk, the devices of each partition with a name of ours, as sysfs has them:
// a partition's folder is in its disk's.
func partitions(class string) (map[string]map[string][]string, error) {
	list, err := filepath.Glob(filepath.Join(class, "*", "uevent"))
	if err != nil {
		return nil, err
	}
	disks := map[string]map[string][]string{}
	for _, path := range list {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it went away
		}
		real, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			continue
		}
		var dev, name string
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
				dev = v
			} else if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PARTNAME="); ok {
				name = v
			}
		}
		if part, ok := strings.CutPrefix(name, PartPrefix); ok && dev != "" {
			disk := filepath.Dir(real)
			if disks[disk] == nil {
				disks[disk] = map[string][]string{}
			}
			disks[disk][part] = append(disks[disk][part], dev)
		}
	}
	return disks, nil
}

// configure notes the running slot, and adds the config partition's files to the built-in
// ones. A partition without an archive adds nothing.
func (b *board) configure() error {
	if slot := b.runningSlot(); slot != "" {
		if err := write(slotFile, slot); err != nil {
			return err
		}
	}
	f, err := os.Open(filepath.Join(devices, "config"))
	if err != nil {
		return err
	}
	defer f.Close()
	return unpack(f, configDir)
}

// unpack puts an archive's files into dir, if r begins with one.
func unpack(r io.ReaderAt, dir string) error {
	first := make([]byte, 6)
	if _, err := r.ReadAt(first, 0); err != nil {
		return err
	}
	if len(bytes.TrimLeft(first, "\x00")) == 0 {
		return nil
	}
	list, err := newc.Read(io.NewSectionReader(r, 0, ConfigLimit), ConfigLimit)
	if err != nil {
		return fmt.Errorf("the config partition: %w", err)
	}
	for _, e := range list {
		if e.Mode&newc.Dir != 0 {
			err = os.MkdirAll(filepath.Join(dir, e.Name), 0o700)
		} else {
			err = write(filepath.Join(dir, e.Name), string(e.Data))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openState opens the encrypted state and mounts it.
func (b *board) openState() error {
	cfg := volume.Config{Device: filepath.Join(devices, "state"), TPM: "/dev/tpmrm0", Map: mapDevice, Unmap: unmapDevice}
	var err error
	if cfg.Approver, err = approver("/etc/approver.pub"); err != nil {
		return err
	}
	for _, slot := range []string{"a", "b"} {
		cfg.Approvals = append(cfg.Approvals, approvals(filepath.Join(devices, slot))...)
	}
	if cfg.Template, err = os.ReadFile("/lib/state"); err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(cfg.Device); err == nil {
		cfg.Device = real
	}
	path, _, err := volume.Open(cfg)
	if err != nil {
		return err
	}
	m := mounted{at: stateDir, flags: safely}
	if err := os.MkdirAll(m.at, 0o700); err != nil {
		return err
	}
	if err := unix.Mount(path, m.at, "ext4", safely|unix.MS_NOATIME, "errors=remount-ro"); err != nil {
		return fmt.Errorf("mount the state: %w", err)
	}
	for _, dir := range []string{slotsDir, stateDir + "/slots", stateDir + "/platen"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := unix.Mount(stateDir+"/slots", slotsDir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the slots: %w", err)
	}
	if err := unix.Mount("", slotsDir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount the slots: %w", err)
	}
	b.say("state open %s", usage("/proc"))
	return nil
}

// approver is the key in the root, nil if the image was built without one.
func approver(path string) (*ecdsa.PublicKey, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return approval.LoadPub(path)
}

// approvals are those that came with the contents of a slot. What is no list is none: the
// other slot's may do, and the TPM checks what is used.
func approvals(device string) []approval.Approval {
	f, err := os.Open(device)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, ApprovalMax)
	if _, err := f.ReadAt(b, ApprovalAt); err != nil {
		return nil
	}
	list, err := approval.Parse(bytes.TrimRight(b, "\x00"))
	if err != nil {
		return nil
	}
	return list
}

// nodes is where the nodes of mapped devices are.
const nodes = "/dev/mapper/"

// mapDevice has the kernel decrypt, and makes the device's node.
func mapDevice(c dm.Crypt) (string, error) {
	dev, err := c.Open()
	if err != nil {
		return "", err
	}
	path := nodes + c.Name
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(uint32(dev>>8&0xfff), uint32(dev&0xff|dev>>12&0xfff00)))); err != nil {
		return "", fmt.Errorf("make %s: %w", path, errors.Join(err, dm.Remove(c.Name)))
	}
	return path, nil
}

// unmapDevice takes away what mapDevice has made.
func unmapDevice(name string) error { return errors.Join(os.Remove(nodes+name), dm.Remove(name)) }
