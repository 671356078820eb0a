// Package virtual is a printer's board as a virtual machine: QEMU's arm64 "virt" with a TPM (swtpm),
// a disk whose power can be cut (cutdisk), a network that reaches this machine's loopback as
// 10.0.2.2, a serial console, and a second serial port for the motion controller. It needs no root.
//
// [New] makes one that is off; it is a hil.Board. Everything it needs lies in a folder of its own:
// the TPM's state, which outlives power cuts as a real one's does, the disk of each boot, the machine's log.
package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"platen/cross/hil"
	"platen/cross/hil/cutdisk"
	"platen/cross/rig"
)

// Config describes a virtual printer.
type Config struct {
	// Dir is its folder, which exists.
	Dir string
	// Firmware returns the arguments of QEMU that say what the machine starts with, such as -bios
	// FILE. It is asked at each start.
	Firmware func() ([]string, error)
	// MiB is how much memory it has; 0 is 512.
	MiB int
	// Seed decides what power cuts lose.
	Seed uint64
}

// Machine is a virtual printer. Its methods are called one at a time.
type Machine struct {
	cfg     Config
	rng     *rand.Rand
	tpm     *rig.Swtpm
	cas     []string
	sockets string // short, because a unix socket's path has at most 107 bytes
	image   string // what the disk holds while the machine is off
	own     bool   // image is a file of ours
	boots   int
	on      *boot
	last    *boot // whose power was cut last, for Disk
	alone   bool  // the network is unplugged
}

// boot is a machine that is on.
type boot struct {
	disk   *cutdisk.Disk
	dir    string
	cmd    *exec.Cmd
	done   chan struct{}
	cancel context.CancelFunc
	served chan error
	wires  hil.Wires
	qmp    *monitor
	image  string // that the disk began with, once its power was cut
	own    bool   // and whether that is a file of ours
}

// New makes a printer that is off, with a new TPM unless its folder has one. The disk is empty:
// see Flash.
func New(ctx context.Context, cfg Config) (*Machine, error) {
	if _, err := rig.Find("qemu-system-aarch64"); err != nil {
		return nil, err
	}
	if cfg.MiB == 0 {
		cfg.MiB = 512
	}
	m := &Machine{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 8))}
	tpm, err := rig.StartMachineSwtpm(ctx, m.tpmDir()) // makes it
	if err != nil {
		return nil, err
	}
	m.cas = tpm.CAs
	if err := tpm.Stop(); err != nil {
		return nil, err
	}
	m.sockets, err = os.MkdirTemp("", "plqemu")
	return m, err
}

func (m *Machine) tpmDir() string { return filepath.Join(m.cfg.Dir, "tpm") }

// About says what the machine is.
func (m *Machine) About() hil.About {
	return hil.About{Name: "QEMU virt, arm64", Printer: "/etc/platen/qemu-arm64.toml", Host: "10.0.2.2", EKCAs: m.cas, Counted: true}
}

// Flash has the machine start with this image from now on; the file stays as it is.
func (m *Machine) Flash(_ context.Context, image string) error {
	if m.on != nil {
		return errors.New("flash: the machine is on")
	}
	if err := m.forget(); err != nil {
		return err
	}
	m.image, m.own = image, false
	return nil
}

// forget removes the image if it is ours.
func (m *Machine) forget() error {
	if !m.own {
		return nil
	}
	return os.Remove(m.image)
}

// Disk is the disk of the boot that is on, or while the machine is off of the last one; nil if
// there was none.
func (m *Machine) Disk() *cutdisk.Disk {
	if m.on != nil {
		return m.on.disk
	}
	if m.last != nil {
		return m.last.disk
	}
	return nil
}

// Image is the file with what the disk holds while the machine is off.
func (m *Machine) Image() string { return m.image }

// On switches the machine on.
func (m *Machine) On(ctx context.Context) (hil.Wires, error) { return m.switchOn(ctx) }

// switchOn switches it on with some more arguments of QEMU.
func (m *Machine) switchOn(ctx context.Context, more ...string) (hil.Wires, error) {
	if m.on != nil {
		return hil.Wires{}, errors.New("switch on: the machine is on")
	}
	m.boots++
	b := &boot{dir: filepath.Join(m.cfg.Dir, fmt.Sprintf("boot-%d", m.boots)), done: make(chan struct{}), served: make(chan error, 1)}
	m.on = b
	err := m.start(ctx, b, more)
	if err != nil {
		err = errors.Join(err, m.off())
		m.on = nil
	}
	return b.wires, err
}

func (m *Machine) start(ctx context.Context, b *boot, more []string) error {
	var err error
	if b.disk, err = cutdisk.Open(m.image, b.dir); err != nil {
		return err
	}
	nbd := filepath.Join(m.sockets, "nbd")
	l, err := net.Listen("unix", nbd)
	if err != nil {
		return fmt.Errorf("switch on: %w", err)
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel = cancel
	go func() { b.served <- b.disk.Serve(serving, l) }()
	if m.tpm, err = rig.StartMachineSwtpm(context.WithoutCancel(ctx), m.tpmDir()); err != nil {
		return err
	}
	return m.qemu(ctx, b, more)
}

// qemu starts the machine itself and takes its lines.
func (m *Machine) qemu(ctx context.Context, b *boot, more []string) error {
	port, line := filepath.Join(m.sockets, "controller"), filepath.Join(m.sockets, "qmp")
	firmware, err := m.cfg.Firmware()
	if err != nil {
		return err
	}
	cmd, err := rig.Command(context.WithoutCancel(ctx), "qemu-system-aarch64", slices.Concat(m.args(port, line), firmware, more)...)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(m.cfg.Dir, "qemu.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("switch on: %w", err)
	}
	defer log.Close()
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("switch on: %w", err)
	}
	out, outEnd, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("switch on: %w", err)
	}
	cmd.Stdout = outEnd
	err = run(cmd, b.done)
	outEnd.Close()
	if err != nil {
		out.Close()
		return fmt.Errorf("switch on: %w", err)
	}
	b.cmd = cmd
	b.wires.Console = &pipes{Reader: out, WriteCloser: in, out: out}
	if b.qmp, err = openMonitor(ctx, line, b.done); err != nil {
		return err
	}
	if b.wires.Controller, err = dial(ctx, port, b.done); err != nil {
		return err
	}
	return b.qmp.goOn(ctx)
}

// run starts cmd and closes done when it has ended. It ends with us, however we do: the signal comes
// when the thread that started it ends, which waits for it.
func run(cmd *exec.Cmd, done chan struct{}) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	return <-started
}

// args are the arguments of QEMU.
func (m *Machine) args(port, line string) []string {
	network := "user,id=net"
	if m.alone {
		network += ",restrict=on"
	}
	return []string{"-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-smp", "1", "-m", strconv.Itoa(m.cfg.MiB), "-nodefaults", "-display", "none", "-icount", icount,
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-monitor", "none", "-S", "-qmp", "unix:" + line + ",server=on,wait=off",
		"-chardev", "socket,id=tpm,path=" + m.tpm.Socket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis-device,tpmdev=tpm0",
		"-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=",
		"-chardev", "socket,id=port,path=" + port + ",server=on,wait=off", "-device", "pci-serial,chardev=port",
		"-object", "rng-random,filename=/dev/urandom,id=rng", "-device", "virtio-rng-pci,rng=rng",
		"-blockdev", "driver=nbd,node-name=disk,server.type=unix,server.path=" + filepath.Join(m.sockets, "nbd"),
		"-device", "virtio-blk-pci,drive=disk"}
}

// icount has the machine's clock follow the instructions that were run, one in a nanosecond, and real time
// only while it waits: on a machine with other work it is slow, but nothing in it is late.
const icount = "shift=0,sleep=on,align=off"

// dial connects to a socket of the machine as soon as it is there.
func dial(ctx context.Context, path string, done <-chan struct{}) (net.Conn, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("unix", path)
		if err == nil {
			return c, nil
		}
		select {
		case <-done:
			return nil, errors.New("switch on: the machine ended at once: see its log")
		case <-ctx.Done():
			return nil, fmt.Errorf("switch on: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Cut kills the machine and its TPM's process, and makes the disk what such a cut leaves. The
// log of its writes stays until the next one.
func (m *Machine) Cut(context.Context) error {
	if m.on == nil {
		return errors.New("switch off: the machine is off")
	}
	return m.end(cutdisk.Loss(m.rng.IntN(4)))
}

// end ends the boot that is on: of what its disk was not told to keep, it loses some.
func (m *Machine) end(loss cutdisk.Loss) error {
	b := m.on
	err := m.off()
	m.on = nil
	if err != nil {
		return err
	}
	next := filepath.Join(m.cfg.Dir, fmt.Sprintf("disk-%d.img", m.boots))
	if err := b.disk.State(next, b.disk.Events(), loss, m.rng); err != nil {
		return err
	}
	// The old image is what the log of the boot begins with: both go with the next cut.
	err = m.drop()
	b.image, b.own = m.image, m.own
	m.last, m.image, m.own = b, next, true
	return err
}

// drop removes what is left of the boot before the last one.
func (m *Machine) drop() error {
	b := m.last
	if b == nil {
		return nil
	}
	m.last = nil
	err := errors.Join(b.disk.Close(), os.RemoveAll(b.dir))
	if b.own {
		err = errors.Join(err, os.Remove(b.image))
	}
	return err
}

// off ends the processes of the boot that is on.
func (m *Machine) off() error {
	b := m.on
	if b.cmd != nil {
		_ = b.cmd.Process.Kill() // it may have ended by itself
		<-b.done
	}
	var errs []error
	if b.qmp != nil {
		errs = append(errs, b.qmp.conn.Close())
	}
	if b.wires.Controller != nil {
		errs = append(errs, b.wires.Controller.Close())
	}
	if m.tpm != nil {
		errs = append(errs, m.tpm.Stop())
		m.tpm = nil
	}
	if b.cancel != nil {
		b.cancel()
		errs = append(errs, <-b.served)
	}
	for i, err := range errs { // whoever used the line may have closed it
		if errors.Is(err, net.ErrClosed) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// Close switches the machine off, if it is on, and removes what is of no use without it.
func (m *Machine) Close() error {
	var err error
	if m.on != nil {
		err = m.off()
		err = errors.Join(err, m.on.disk.Close(), os.RemoveAll(m.on.dir))
		m.on = nil
	}
	return errors.Join(err, m.drop(), m.forget(), os.RemoveAll(m.sockets))
}

// pipes is a line made of two pipes.
type pipes struct {
	io.Reader
	io.WriteCloser
	out  *os.File
	once sync.Once
	err  error
}

// Close closes both.
func (p *pipes) Close() error {
	p.once.Do(func() { p.err = errors.Join(p.WriteCloser.Close(), p.out.Close()) })
	return p.err
}
