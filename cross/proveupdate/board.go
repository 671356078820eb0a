package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platen/hal/sim"
	"platen/hal/sim/bootloader"
	"platen/updater"
	"platen/updater/boot/boottest"
	"platen/updater/publish"
	"platen/updater/slot"
)

// board is what a printer's releases replace beside its agent: two root file systems, one of
// which the bootloader starts, and the firmware of a motion controller.
type board struct {
	dir   string    // of the printer
	fs    *slot.Dir // the two, the bootloader's environment, and the record
	fw    boottest.Firmware
	roots bool // else nothing but the controller

	looked uint64 // the release that was looked for last
	image  []byte // its root file system

	flash []byte // of the controller while it is off; nil: as it was made
	chip  *bootloader.Chip
	stop  func() error // switches the controller off
}

// The parts of the printer's folder that a start of the board makes or reads.
const (
	runningFile = "running" // names the root file system that was started
	bootIDFile  = "boot-id" // stands for the kernel's
	restartFile = "restart" // somebody has asked for a restart
)

const (
	unshare      = "/usr/bin/unshare"
	kernelBootID = "/proc/sys/kernel/random/boot_id"
)

const boardConfig = `
[update.controller]
device = "controller"
`

const rootConfig = `
[update.rootfs]
bootloader = "uboot"
a = "slots/root-a"
b = "slots/root-b"
env = ["fw_env.config"]
running = "running"
restart = ["touch", %q]
`

// rootSize is that of a root file system, and more than a checkpoint and two of the pieces
// that are written at once behind it; firmSize that of a firmware.
const (
	rootSize = slot.DefaultEvery + 9<<20
	firmSize = 6 << 10
)

// newBoard is the board as it left its factory, off. With root file systems each of its
// starts has a boot id of its own, for which the launcher needs a mount namespace: root.
func newBoard(dir string) (*board, error) {
	b := &board{dir: dir, fw: boottest.Boards["uboot-count"], roots: namespaces()}
	var err error
	if b.fs, err = slot.OpenDir(filepath.Join(dir, "slots"), "a", "b"); err != nil {
		return nil, err
	}
	env := fmt.Sprintf("%[1]s/slots/env-0 0 2048\n%[1]s/slots/env-1 512 2048\n", dir)
	return b, errors.Join(b.fw.Factory(b.fs), os.WriteFile(filepath.Join(dir, "fw_env.config"), []byte(env), 0o644),
		slot.Replace(b.fs, boottest.Partition(slot.A), append(rootImage(1), make([]byte, 1<<20)...)),
		slot.Replace(b.fs, boottest.Partition(slot.B), make([]byte, rootSize+1<<20)))
}

// namespaces reports whether a mount namespace with a boot id of its own can be had here.
func namespaces() bool {
	return exec.Command(unshare, "--mount", "mount", "--bind", "/proc/version", kernelBootID).Run() == nil
}

// config is what the printer's configuration has of it.
func (b *board) config() string {
	if !b.roots {
		return boardConfig
	}
	return boardConfig + fmt.Sprintf(rootConfig, filepath.Join(b.dir, restartFile))
}

// on switches it on, up to where the launcher starts.
func (b *board) on() error {
	if err := b.controllerOn(); err != nil || !b.roots {
		return err
	}
	n := b.fw.Start(b.fs, "", func(n slot.Name) bool { return boottest.Sound(b.fs, n) })
	if n == slot.None {
		return breaks("I1", "the bootloader starts no root file system")
	}
	id := make([]byte, 16)
	for i := range id {
		id[i] = byte(rand.Uint32()) // no two starts alike, whatever is drawn
	}
	return errors.Join(os.WriteFile(filepath.Join(b.dir, runningFile), []byte(n.String()+"\n"), 0o644),
		os.WriteFile(filepath.Join(b.dir, bootIDFile), fmt.Appendf(nil, "%x\n", id), 0o644))
}

// launcher is the command that starts the launcher on this board.
func (b *board) launcher(platen string) (name string, args []string) {
	if !b.roots {
		return platen, []string{"boot", "--config", "platen.toml"}
	}
	script := `mount --bind "$1" ` + kernelBootID + ` && exec "$2" boot --config platen.toml`
	return unshare, []string{"--mount", "sh", "-c", script, "sh", filepath.Join(b.dir, bootIDFile), platen}
}

// ordered reports whether the board was told to restart.
func (b *board) ordered() bool {
	_, err := os.Stat(filepath.Join(b.dir, restartFile))
	return err == nil
}

func (b *board) controllerOn() (err error) {
	cfg := bootloader.Config{Kind: bootloader.STK500v2, MCU: "1e9801", Size: 248 << 10, Block: 64, Pages: slices.Repeat([]int{256}, 1024)}
	if b.chip, err = bootloader.New(cfg); err != nil {
		return err
	}
	if b.flash == nil {
		b.chip.Load(firmware(1))
	} else {
		b.chip.SetMemory(b.flash)
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		return err
	}
	link := filepath.Join(b.dir, "controller")
	if err := errors.Join(os.RemoveAll(link), os.Symlink(path, link)); err != nil {
		return errors.Join(err, master.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.chip.ServePTY(ctx, master, false) }()
	b.stop = func() error {
		cancel()
		err := <-ended
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return errors.Join(err, master.Close())
	}
	return nil
}

// off cuts the power: of the controller, too, wherever it is.
func (b *board) off() error {
	if b.stop == nil {
		return nil
	}
	err := b.stop()
	b.stop, b.flash = nil, b.chip.Memory()
	return errors.Join(err, os.RemoveAll(filepath.Join(b.dir, restartFile)))
}

// parts are what release n brings: of three in a row everything, an agent alone, and a
// controller with it.
func (b *board) parts(n uint64) set {
	s := set{agent: n}
	switch n % 3 {
	case 2:
		s.root, s.controller = n, n
	case 1:
		s.controller = n
	}
	if !b.roots {
		s.root = 0
	}
	return s
}

// ends is what a printer runs with once release n is confirmed.
func (b *board) ends(n uint64) set {
	at := set{n, 1, 1}
	for i := uint64(2); i <= n; i++ {
		s := b.parts(i)
		at.root, at.controller = max(at.root, s.root), max(at.controller, s.controller)
	}
	return at
}

// items are what is published of release n, whose agent is in a file of dir already.
func (b *board) items(dir string, n uint64, agent string) (list []publish.Item, err error) {
	s := b.parts(n)
	last := publish.Item{Release: n, Board: "sim", File: agent}
	for kind, text := range map[string][]byte{updater.KindRoot: rootImage(s.root), updater.KindController: hexOf(firmware(s.controller))} {
		if kind == updater.KindRoot && s.root == 0 || kind == updater.KindController && s.controller == 0 {
			continue
		}
		file := filepath.Join(dir, kind)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return nil, err
		}
		list = append(list, publish.Item{Release: n, Board: "sim", Kind: kind, File: file})
		last.Set = append(last.Set, publish.Member{Kind: kind, Release: n})
	}
	return append(list, last), nil
}

func rootImage(n uint64) []byte { return drawn(n, 2, rootSize) }

// firmware is an application that the controller's bootloader starts.
func firmware(n uint64) []byte {
	return append([]byte{0x0c, 0x94, 0x72, 0}, drawn(n, 3, firmSize)...)
}

func drawn(n uint64, kind byte, size int) []byte {
	p := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{kind, byte(n), byte(n >> 8)})
	rng.Read(p)
	return p
}

// hexOf is bytes from address 0 as Intel HEX.
func hexOf(p []byte) []byte {
	var b bytes.Buffer
	for at := 0; at < len(p); at += 32 {
		line := p[at:min(at+32, len(p))]
		line = append([]byte{byte(len(line)), byte(at >> 8), byte(at), 0}, line...)
		sum := byte(0)
		for _, x := range line {
			sum -= x
		}
		fmt.Fprintf(&b, ":%X%02X\n", line, sum)
	}
	b.WriteString(":00000001FF\n")
	return b.Bytes()
}

// holds reports whether the controller has all of the firmware of a release, and nothing else.
func (b *board) holds(n uint64) bool {
	has := b.chip.App()
	return bytes.Equal(bytes.TrimRight(has, "\xff"), bytes.TrimRight(firmware(n), "\xff"))
}

// rooted is how far a root file system has got in the partition that does not run: part, or 0
// if it has not got there.
func (b *board) rooted(release uint64, part int64) int64 {
	n, err := b.running()
	if err != nil {
		return 0
	}
	if b.looked != release {
		b.looked, b.image = release, rootImage(release)
	}
	want := b.image[part-4096 : part]
	f, err := b.fs.Open(boottest.Partition(n.Other()), slot.Read)
	if err != nil {
		return 0
	}
	defer f.Close()
	has := make([]byte, len(want))
	if _, err := f.ReadAt(has, part-int64(len(want))); err != nil || !bytes.Equal(has, want) {
		return 0
	}
	return part
}

// half reports whether the root file system of a release is written, and not yet all of it,
// and something of it was since.
func (b *board) half(release uint64, since time.Time) bool {
	n, err1 := b.running()
	rec, err2 := slot.NewLog(b.fs).Load()
	return errors.Join(err1, err2) == nil && release != 0 && b.written(since) && rec.Root(n.Other()).Empty() && b.rooted(release, 4096) > 0
}

// written reports whether something was written to the partition that does not run since.
func (b *board) written(since time.Time) bool {
	n, err1 := b.running()
	st, err2 := os.Stat(filepath.Join(b.fs.Path(), boottest.Partition(n.Other())))
	return errors.Join(err1, err2) == nil && st.ModTime().After(since)
}

// lacks reports whether the root file system of a release, if it brings one, still has to be
// written.
func (b *board) lacks(release uint64) bool {
	n, err1 := b.running()
	rec, err2 := slot.NewLog(b.fs).Load()
	return errors.Join(err1, err2) == nil && release != 0 && (rec.Root(n.Other()).Empty() || b.rooted(release, rootSize) == 0)
}

// running is the root file system that was started last.
func (b *board) running() (slot.Name, error) {
	text, err := os.ReadFile(filepath.Join(b.dir, runningFile))
	return slot.Parse(strings.TrimSpace(string(text))), err
}

// safe is I7, of processes that stand still: while one of them is a session, which alone heats
// and moves, the controller has all of one released firmware. It counts the sessions.
func (b *board) safe(pids []int, newest uint64) (sessions int, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if f := strings.Split(string(text), "\x00"); err == nil && len(f) > 1 && f[1] == "session" {
			sessions++
		}
	}
	if sessions == 0 {
		return 0, nil
	}
	for n := uint64(1); n <= newest; n++ {
		if b.holds(n) {
			return sessions, nil
		}
	}
	return sessions, breaks("I7", "a session lives, and the controller has no firmware that was released")
}

// armed is I6: what the bootloader may start was read back whole before.
func (b *board) armed() error {
	if !b.roots {
		return nil
	}
	env, err := b.fw.Env(b.fs)
	if err != nil {
		return err
	}
	active, trying, err := env.Load()
	if err != nil {
		return breaks("I1", "the bootloader's environment: %v", err)
	}
	for _, n := range [...]slot.Name{active, trying} {
		if n != slot.None && !boottest.Sound(b.fs, n) {
			return breaks("I6", "the bootloader may start root file system %s, which is not whole", n)
		}
	}
	return nil
}

// together is I2: root file system and controller are those that belong to a release that has
// been confirmed, and that root file system is what runs.
func (b *board) together(rec slot.Record) error {
	at := b.ends(rec.Slot(rec.Active).Release)
	if !b.holds(at.controller) {
		return breaks("I2", "release %d is confirmed, and the controller does not have firmware %d", at.agent, at.controller)
	}
	if !b.roots {
		return nil
	}
	n, err := b.running()
	if err != nil {
		return err
	}
	has, err := slot.ReadAll(b.fs, boottest.Partition(n), rootSize+2<<20)
	if err != nil || !bytes.HasPrefix(has, rootImage(at.root)) {
		return breaks("I2", "release %d is confirmed, and root file system %s, which runs, is not %d (%v)", at.agent, n, at.root, err)
	}
	return nil
}
