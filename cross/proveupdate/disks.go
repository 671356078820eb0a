package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// command runs a program.
func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

// mounted lends the file system in a file: it is mounted through a loop device at dir.
func mounted(file, dir string, do func() error) error {
	loop, err := command("losetup", "--find", "--show", file)
	if err != nil {
		return err
	}
	defer exec.Command("losetup", "--detach", loop).Run()
	// With noauto_da_alloc ext4 keeps nothing that was not asked for.
	if err := unix.Mount(loop, dir, "ext4", 0, "noauto_da_alloc,errors=remount-ro"); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("%w: mount: %w", errNoDisks, err)
		}
		return fmt.Errorf("mount %s: %w", loop, err)
	}
	err = do()
	for range 50 { // a child that was just killed may still hold it
		if gone := unix.Unmount(dir, 0); gone == nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
}

// errNoDisks reports a machine on which no file system can be cut.
var errNoDisks = errors.New("skipped: only with root, /dev/fuse, loop devices and ext4 can a disk be cut")

// codeNoDisks is what a child ends with that says errNoDisks.
const codeNoDisks = 3

// canCut reports why no file system can be cut here, if so.
func canCut() error {
	for _, path := range []string{"/dev/fuse", "/dev/loop-control"} {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("%w: %w", errNoDisks, err)
		}
		f.Close()
	}
	for _, tool := range []string{"losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %w", errNoDisks, err)
		}
	}
	if _, err := command("losetup", "--find"); err != nil {
		return fmt.Errorf("%w: %w", errNoDisks, err)
	}
	alone := exec.Command("true")
	alone.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := alone.Run(); err != nil {
		return fmt.Errorf("%w: %w", errNoDisks, err)
	}
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil || os.Getuid() != 0 || !strings.Contains(string(text), "ext4") {
		return errNoDisks
	}
	return nil
}

// record lives a story on a disk that records.
func record(dir string, base []byte, story func(mount string, done func(string)) error) (*disk, error) {
	d := &disk{base: base, data: slices.Clone(base)}
	served, mount := filepath.Join(dir, "served"), filepath.Join(dir, "mount")
	for _, p := range []string{served, mount} {
		if err := os.MkdirAll(p, 0o700); err != nil {
			return nil, err
		}
	}
	srv, err := d.serve(served)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoDisks, err)
	}
	err = mounted(filepath.Join(served, "disk"), mount, func() error { return story(mount, d.mark) })
	for range 100 { // the loop device lets go of it in a moment
		if gone := srv.Unmount(); gone == nil {
			return d, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return d, errors.Join(err, unix.Unmount(served, unix.MNT_DETACH))
}

// story is a printer's on a real file system: the factory installs release 1 by platen
// install, then this program as its agent stages release 2 and confirms it.
func (s *shop) story(platen string) func(mount string, done func(string)) error {
	return func(mount string, done func(string)) error {
		config := "board = \"sim\"\n[update]\nurl = \"http://localhost\"\nroot = \"root.json\"\nslots = \"slots\"\n"
		if err := os.WriteFile(filepath.Join(mount, "platen.toml"), []byte(config), 0o644); err != nil {
			return err
		}
		root, err := s.repo.Root()
		if err == nil {
			err = os.WriteFile(filepath.Join(mount, "root.json"), root, 0o644)
		}
		if err != nil {
			return err
		}
		unix.Sync()
		done("begun")
		_, err = command(platen, "install", filepath.Join(s.dir, "release-1"), "--release", "1", "--config", filepath.Join(mount, "platen.toml"))
		if err != nil {
			return err
		}
		done("installed")
		for _, how := range []string{"stage", "confirm"} {
			if out, err := s.child(mount, how).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", how, err, out)
			}
			done(how)
		}
		return nil
	}
}

// claimDisks is that no power cut under a real ext4 breaks an update. It is tried by a
// process that sees its own mounts alone: in those of others, loop devices would live on.
func claimDisks(o options) (string, error) {
	if err := canCut(); err != nil {
		return "", err
	}
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envDir+"=/", envHow+"="+fmt.Sprintf("disks %d %d %s", o.disks, o.seed, o.platen))
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := c.CombinedOutput()
	if c.ProcessState != nil && c.ProcessState.ExitCode() == codeNoDisks {
		return "", fmt.Errorf("%w: %s", errNoDisks, strings.TrimPrefix(strings.TrimSpace(string(out)), errNoDisks.Error()+": "))
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

// disksAlone is claimDisks in the process of its own.
func disksAlone(how string) error {
	var o options
	if _, err := fmt.Sscanf(how, "disks %d %d %s", &o.disks, &o.seed, &o.platen); err != nil {
		return err
	}
	text, err := cutDisks(o)
	if err == nil {
		fmt.Println(text)
	}
	return err
}

func cutDisks(o options) (string, error) {
	dir, err := os.MkdirTemp("", "prove-update")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	s, err := newShop(dir)
	if err != nil {
		return "", err
	}
	defer s.close()
	if err := os.WriteFile(filepath.Join(dir, "release-1"), program(1), 0o755); err != nil {
		return "", err
	}
	base, err := emptyDisk(dir)
	if err != nil {
		return "", err
	}
	d, err := record(dir, base, s.story(o.platen))
	if err != nil {
		return "", err
	}
	n, err := s.cutDisk(d, dir, o.disks, o.seed)
	if err != nil {
		return "", err
	}
	if err := s.diskControl(dir, base, o); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d states of %d writes and flushes; update without fsync caught", n, len(d.log)), nil
}

func emptyDisk(dir string) ([]byte, error) {
	file := filepath.Join(dir, "empty")
	if err := os.WriteFile(file, make([]byte, diskSize), 0o600); err != nil {
		return nil, err
	}
	if _, err := command("mkfs.ext4", "-q", "-F", "-b", "1024", file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// cutDisk looks at so many states that cuts leave.
func (s *shop) cutDisk(d *disk, dir string, states int, seed uint64) (int, error) {
	rng := rand.New(rand.NewPCG(seed, 5))
	begun := slices.IndexFunc(d.log, func(e event) bool { return e.done == "begun" })
	end := slices.IndexFunc(d.log, func(e event) bool { return e.done == "confirm" })
	if end < 0 {
		end = len(d.log) - 1
	}
	mount := filepath.Join(dir, "mount")
	for i := range states {
		at := begun + 1 + rng.IntN(end-begun+1)
		// A file of its own: a loop device may live on for a while after it was detached.
		file := filepath.Join(dir, fmt.Sprintf("state-%d", i))
		if err := os.WriteFile(file, d.state(at, rng), 0o600); err != nil {
			return i, err
		}
		done := d.acked(at)
		err := mounted(file, mount, func() error { return s.recover(mount, done) })
		if err = errors.Join(err, os.Remove(file)); err != nil {
			return i, fmt.Errorf("state %d, cut after event %d of %d, %v: %w", i, at, len(d.log), done, err)
		}
	}
	return states, nil
}

// recover is a start after a cut: what was reported as done is there, and the next update
// gets through.
func (s *shop) recover(mount string, done []string) error {
	did := func(what string) bool { return slices.Contains(done, what) }
	if did("installed") {
		if _, err := s.look(mount, did("stage")); err != nil {
			return err
		}
		if did("confirm") {
			return nil
		}
		if _, err := s.child(mount, "stage").CombinedOutput(); err != nil && !did("stage") {
			return fmt.Errorf("the next update: %w", err)
		}
		_, err := s.look(mount, true)
		return err
	}
	err := s.install(mount)
	if err != nil && !strings.Contains(err.Error(), "installed already") {
		return fmt.Errorf("the next install: %w", err)
	}
	_, err = s.look(mount, false)
	return err
}

// diskControl is an install that makes nothing durable: some cut has to show it.
func (s *shop) diskControl(dir string, base []byte, o options) error {
	d, err := record(dir, base, func(mount string, done func(string)) error {
		done("begun")
		if err := os.MkdirAll(filepath.Join(mount, "slots", "a"), 0o755); err != nil {
			return err
		}
		if err := s.install(mount); err != nil {
			return err
		}
		unix.Sync()
		for i := range 8 { // a release in the place of the old one, by rename, without fsync
			next := filepath.Join(mount, "slots", "a", "next")
			if err := os.WriteFile(next, program(1), 0o755); err != nil {
				return err
			}
			if err := os.Rename(next, filepath.Join(mount, "slots", "a", "platen")); err != nil {
				return err
			}
			done(fmt.Sprintf("installed %d", i))
			if i == 0 {
				done("installed")
			}
			dir, err := os.Open(mount) // the names get durable, the contents do not
			if err == nil {
				err = errors.Join(syncNames(dir), dir.Close())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = s.cutDisk(d, dir, max(o.disks, 40), o.seed)
	switch {
	case err == nil:
		return errors.New("control: an update without fsync survived every cut")
	case !errors.Is(err, errTorn):
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

// syncNames commits the journal of a file system.
func syncNames(dir *os.File) error { return dir.Sync() }
