package uboot

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rsa"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"platen/cross/image/fit"
	"platen/cross/image/fit/fittest"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
	env "platen/updater/boot/uboot"
	"platen/updater/slot"
)

// small is a disk of 4 MiB.
func small() Disk {
	return Disk{Env: [2]int64{64, 128}, EnvSize: 32, FIT: [2]int64{1024, 4096}, FITLimit: 1024}
}

const diskSize = 4 << 20

// kernel is an arm64 Image (Linux Documentation/arm64/booting.rst) that asks the firmware to
// switch the machine off or to reset it (PSCI), and does nothing else.
func kernel(t *testing.T, reset bool) []byte {
	t.Helper()
	call := uint32(8) // SYSTEM_OFF; 9 is SYSTEM_RESET
	if reset {
		call = 9
	}
	b := make([]byte, 4096)
	for i, word := range []uint32{
		0x14000010, // b 64
		0, 0, 0, 4096, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0x644d5241, 0,
		0x52800000 | call<<5, // movz w0, #call
		0x72b08000,           // movk w0, #0x8400, lsl #16
		0xd4000002,           // hvc #0
		0x14000000,           // b .
	} {
		binary.LittleEndian.PutUint32(b[4*i:], word)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// bench is a printer's board: a disk, and the keys of who makes its images.
type bench struct {
	t    *testing.T
	key  *rsa.PrivateKey
	disk string
	fits [2][]byte
	tpm  *rig.Swtpm
}

func newBench(t *testing.T, key *rsa.PrivateKey, tpm *rig.Swtpm) *bench {
	t.Helper()
	b := &bench{t: t, key: key, tpm: tpm, disk: filepath.Join(t.TempDir(), "disk")}
	b.fits = [2][]byte{b.image(false, key), b.image(true, key)}
	b.write(0, make([]byte, diskSize))
	for i := range b.fits {
		e, err := FirstEnv(small(), byte(1-i))
		if err != nil {
			t.Fatal(err)
		}
		b.write(small().Env[i]*Sector, e)
		b.write(small().FIT[i]*Sector, b.fits[i])
	}
	return b
}

// image is that of slot a, which switches off, or that of b, which resets: it never comes up.
func (b *bench) image(reset bool, key *rsa.PrivateKey) []byte {
	b.t.Helper()
	tree, err := Board()
	if err != nil {
		b.t.Fatal(err)
	}
	_, memory := Memories()
	image, err := fit.Build(fit.Parts{Arch: "arm64", Kernel: kernel(b.t, reset), Ramdisk: []byte("an initial root file system"),
		FDT: tree, Cmdline: "quiet", Memory: memory}, key)
	if err == nil {
		err = small().Fits(image)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return image
}

func (b *bench) write(at int64, p []byte) {
	b.t.Helper()
	f, err := os.OpenFile(b.disk, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteAt(p, at)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// env is the environment as the agent opens it.
func (b *bench) env() *env.Env {
	b.t.Helper()
	c := env.Config{Size: int(small().EnvSize * Sector)}
	for _, at := range small().Env {
		c.Copies = append(c.Copies, env.Copy{Offset: at * Sector, Open: func(m slot.Mode) (slot.File, error) { return slot.OpenDevice(b.disk, m) }})
	}
	e, err := env.Open(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// uboot is Debian's U-Boot for QEMU's virt machine.
func uboot(t *testing.T) string {
	t.Helper()
	for _, root := range []string{"/", rig.ToolsDir()} {
		path := filepath.Join(root, "usr/lib/u-boot/qemu_arm64/u-boot.bin")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	rigtest.Check(t, &rig.ErrNoTool{Name: "u-boot-qemu"})
	return ""
}

// start runs the machine until it is switched off, and returns the slots in the order in which
// their kernels were started, and the console.
func (b *bench) start() (slots, console string) {
	b.t.Helper()
	control, err := Control(small(), &b.key.PublicKey)
	if err != nil {
		b.t.Fatal(err)
	}
	tree := filepath.Join(b.t.TempDir(), "control.dtb")
	if err := os.WriteFile(tree, control, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := b.tpm.Reset(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), guard)
	defer cancel()
	args := []string{"-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-m", "256", "-nodefaults", "-nographic",
		"-serial", "stdio", "-monitor", "none", "-bios", uboot(b.t), "-dtb", tree,
		"-drive", "if=none,id=d0,format=raw,file=" + b.disk, "-device", "virtio-blk-pci,drive=d0,romfile=",
		"-chardev", "socket,id=c0,path=" + b.tpm.Socket, "-tpmdev", "emulator,id=t0,chardev=c0", "-device", "tpm-tis-device,tpmdev=t0"}
	cmd, err := rig.Command(ctx, "qemu-system-aarch64", args...)
	rigtest.Check(b.t, err)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range regexp.MustCompile(`Platen: slot ([ab])\r?\n|(Starting kernel)`).FindAllSubmatch(out, -1) {
		if len(m[1]) > 0 {
			slots += string(m[1])
		} else {
			slots += "+"
		}
	}
	return slots, string(out)
}

// expect starts the machine: each slot that the script picked, with + if its kernel started.
func (b *bench) expect(want string) {
	b.t.Helper()
	if got, console := b.start(); got != want {
		b.t.Fatalf("started %q, not %q\n%s", got, want, console)
	}
}

// state is what the agent finds.
func (b *bench) state(active, trying slot.Name) {
	b.t.Helper()
	a, tr, err := b.env().Load()
	if err != nil || a != active || tr != trying {
		b.t.Errorf("the agent finds %v, on trial %v, %v", a, tr, err)
	}
}

func (b *bench) try(n slot.Name) {
	b.t.Helper()
	if _, err := b.env().Try(n); err != nil {
		b.t.Fatal(err)
	}
}

// guard is how long a machine may run; on one that has anything else to do, a start takes seconds.
const guard = 8 * time.Minute

// TestScript runs the script in the real U-Boot: images whose kernels do nothing but switch
// off (slot a) or reset (slot b, which so never comes up).
func TestScript(t *testing.T) {
	if _, err := rig.Find("qemu-system-aarch64"); err != nil {
		rigtest.Check(t, err)
	}
	tpm, err := rig.StartMachineSwtpm(t.Context(), t.TempDir())
	rigtest.Check(t, err)
	defer func() {
		if err := tpm.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for name, run := range map[string]func(*bench){
		"factory": func(b *bench) {
			b.expect("a+")
			b.state(slot.A, slot.None)
		},
		"a trial that never comes up": func(b *bench) {
			b.try(slot.B)
			b.expect("b+b+b+a+")
			b.state(slot.A, slot.B)
			b.expect("a+") // and again, without another try
		},
		"one byte of what is on trial": func(b *bench) {
			at := bytes.Index(b.fits[1], []byte("initial root"))
			b.write(small().FIT[1]*Sector+int64(at), []byte("I"))
			b.try(slot.B)
			b.expect("ba+")
			b.state(slot.A, slot.B)
		},
		"signed by somebody else": func(b *bench) {
			b.write(small().FIT[1]*Sector, b.image(true, fittest.Key(1)))
			b.try(slot.B)
			b.expect("ba+")
		},
		"what runs is damaged without a trial": func(b *bench) {
			b.write(small().FIT[0]*Sector+4096, []byte("damage"))
			b.write(small().FIT[1]*Sector, b.image(false, b.key))
			b.expect("ab+")
			b.state(slot.B, slot.A)
		},
		"confirmed": func(b *bench) {
			b.write(small().FIT[1]*Sector, b.image(false, b.key))
			b.try(slot.B)
			b.expect("b+")
			if err := b.env().Confirm(slot.B); err != nil {
				b.t.Fatal(err)
			}
			b.expect("b+")
			b.state(slot.B, slot.None)
		},
		"the newer copy is torn": func(b *bench) {
			b.try(slot.B) // into the second copy: flags 2 after 1 and 0
			b.write(small().Env[1]*Sector+9, []byte("torn"))
			b.expect("a+")
			b.state(slot.A, slot.None)
		},
		"no copy and slot a is empty": func(b *bench) {
			for _, at := range small().Env {
				b.write(at*Sector, []byte("torn"))
			}
			b.write(small().FIT[0]*Sector, make([]byte, Sector))
			b.write(small().FIT[1]*Sector, b.image(false, b.key))
			b.expect("ab+")
		},
	} {
		if testing.Short() && name != "one byte of what is on trial" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			run(newBench(t, fittest.Key(0), tpm))
		})
	}
}
