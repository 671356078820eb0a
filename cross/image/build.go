package image

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"platen/agent/pid1"
	"platen/agent/pid1/newc"
	"platen/cross/image/fit"
	"platen/cross/image/predict"
	"platen/cross/image/uboot"
	"platen/cross/image/uki"
	"platen/cross/targets"
	"platen/updater/approval"
)

// Config says what to build. Board, Source, Dir and Cache are needed.
type Config struct {
	Board   string // of [Boards]
	Source  string // folder of the module
	Dir     string // where everything goes
	Cache   string // what was fetched or takes long, for the next build
	Fixed   bool   // Debian's packages are fetched anew and with its security updates, or nothing is built
	Version targets.Version
	Built   time.Time // the clock of a printer never stands before it

	Platen, Init string // binaries for the board, instead of those that are compiled

	Files    map[string][]byte // of /etc/platen, in the place of the board's
	Settings map[string][]byte // of the config partition, see [WriteSettings]
	Console  bool              // the printer can be asked at its serial console
	Without  string            // a word of the kernel's command line that is left out, for tests of what has to notice

	Approver *ecdsa.PrivateKey // approves the boots of these images; nil: the state opens after any boot
	Signer   *rsa.PrivateKey   // signs what U-Boot starts
}

// Image is a disk that was built.
type Image struct {
	Boot string         // "uboot" or "efi"
	Disk string         // file
	Slot string         // file of what a slot holds: what an update brings
	PCRs []approval.PCR // what the TPM's registers hold after it has started
}

// Result is what [Build] made.
type Result struct {
	Kernel, Initrd string // files, for a machine that takes them without a bootloader
	Cmdline        string
	Control        string // file of U-Boot's own device tree; "" without U-Boot
	Images         []Image
	Root           []string // names of all that is in the root

	debs []string // files of Debian's packages it is made of
}

// Build builds all images of a board.
func Build(ctx context.Context, cfg Config) (*Result, error) {
	board, err := LoadBoard(cfg.Board)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{cfg.Dir, cfg.Cache} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	k, err := fetchKernel(ctx, cfg, board)
	if err != nil {
		return nil, err
	}
	r, err := makeRoot(ctx, cfg, board, k)
	if err != nil {
		return nil, err
	}
	initrd, err := r.pack()
	if err != nil {
		return nil, err
	}
	res := &Result{Kernel: filepath.Join(cfg.Dir, "vmlinuz"), Initrd: filepath.Join(cfg.Dir, "initrd"), Cmdline: without(board.CommandLine(cfg.Console), cfg.Without),
		debs: []string{k.deb}}
	list, err := r.entries()
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Mode&newc.Dir == 0 {
			res.Root = append(res.Root, "/"+e.Name)
		}
	}
	if err := errors.Join(os.WriteFile(res.Kernel, k.image, 0o644), os.WriteFile(res.Initrd, initrd, 0o644)); err != nil {
		return nil, err
	}
	b := builder{cfg: cfg, kernel: k, initrd: initrd, cmdline: res.Cmdline}
	for _, kind := range board.Boot {
		img, err := b.image(ctx, kind, res)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", kind, err)
		}
		res.Images = append(res.Images, img)
	}
	return res, res.write(cfg.Dir)
}

// without is a command line but for one word.
func without(line, word string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(line), func(w string) bool { return w == word }), " ")
}

// write notes what the registers will hold, what is in the root, and what came from Debian.
func (r *Result) write(dir string) error {
	pcrs := map[string][]approval.PCR{}
	for _, i := range r.Images {
		pcrs[i.Boot] = i.PCRs
	}
	text, err := json.MarshalIndent(pcrs, "", "\t")
	if err != nil {
		return err
	}
	debs, err := noted(r.debs)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "pcrs.json"), append(text, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "root.txt"), []byte(strings.Join(r.Root, "\n")+"\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "debian.sha256"), []byte(debs), 0o644))
}

// kernel is a kernel's package.
type kernel struct {
	deb        string // file
	image      []byte
	compressed []byte // by gzip
	files      map[string][]byte
}

func fetchKernel(ctx context.Context, cfg Config, board Board) (k kernel, err error) {
	if k.deb, err = (debian{cfg.Cache, board.Debian, suite, cfg.Fixed}).fetch(ctx, board.Kernel); err != nil {
		return k, fmt.Errorf("fetch the kernel: %w", err)
	}
	k.files, err = unpack(ctx, k.deb, func(name string) bool {
		return strings.HasPrefix(name, "boot/vmlinuz-") || strings.HasPrefix(name, "lib/modules/") && strings.HasSuffix(name, ".ko")
	})
	if err != nil {
		return k, err
	}
	for name, b := range k.files {
		if strings.HasPrefix(name, "boot/vmlinuz-") {
			k.image = b
		}
	}
	if k.image == nil {
		return k, errors.New("the kernel's package has no kernel")
	}
	note := k.deb + ".gz"
	if k.compressed, err = os.ReadFile(note); err == nil {
		return k, nil
	}
	if k.compressed, err = compress(k.image); err == nil {
		err = os.WriteFile(note, k.compressed, 0o644)
	}
	return k, err
}

func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(b)
	}
	if err == nil {
		err = z.Close()
	}
	return out.Bytes(), err
}

func makeRoot(ctx context.Context, cfg Config, board Board, k kernel) (r root, err error) {
	r = root{files: map[string][]byte{}, release: cfg.Version.Release, built: cfg.Built}
	if r.modules, r.order, err = modules(k.files, board.Modules); err != nil {
		return r, err
	}
	if r.state, err = stateTemplate(ctx, cfg.Source, cfg.Dir); err != nil {
		return r, err
	}
	for _, files := range []map[string][]byte{board.Files, cfg.Files} {
		for name, b := range files {
			r.files[name] = b
		}
	}
	if cfg.Approver != nil {
		r.approver = &cfg.Approver.PublicKey
	}
	if r.init, err = program(ctx, cfg, board, cfg.Init, "init", "./agent/cmd/platen-init"); err == nil {
		r.platen, err = program(ctx, cfg, board, cfg.Platen, "platen", targets.Device)
	}
	return r, err
}

// program reads the file at path, or, if that is "", one called name that it compiles.
func program(ctx context.Context, cfg Config, board Board, path, name, pkg string) ([]byte, error) {
	if path == "" {
		path = filepath.Join(cfg.Dir, name)
		if err := board.target.Build(ctx, cfg.Source, pkg, path, cfg.Version); err != nil {
			return nil, err
		}
	}
	return os.ReadFile(path)
}

// builder makes the images of a kernel and a root.
type builder struct {
	cfg     Config
	kernel  kernel
	initrd  []byte
	cmdline string
}

func (b builder) image(ctx context.Context, kind string, res *Result) (img Image, err error) {
	name := filepath.Join(b.cfg.Dir, b.cfg.Board+"-"+kind)
	img = Image{Boot: kind, Disk: name + ".img", Slot: name + ".slot"}
	var slot, env []byte
	slots := typeLinux
	switch kind {
	case "uboot":
		res.Control = filepath.Join(b.cfg.Dir, "control.dtb")
		slot, env, img.PCRs, err = b.uboot(res.Control)
	case "efi":
		slots = typeESP
		slot, img.PCRs, err = b.efi(ctx, res)
	default:
		err = errors.New("neither uboot nor efi")
	}
	if err != nil {
		return img, err
	}
	if err := b.approve(slot, img.PCRs); err != nil {
		return img, err
	}
	if err := os.WriteFile(img.Slot, slot, 0o644); err != nil {
		return img, err
	}
	return img, b.disk(img.Disk, slots, slot, env)
}

// approve puts the approval of a slot's boot into it.
func (b builder) approve(slot []byte, pcrs []approval.PCR) error {
	if b.cfg.Approver == nil {
		return nil
	}
	a, err := approval.Approval{Release: b.cfg.Version.Release, PCRs: pcrs}.SignFor(approval.StateRef, b.cfg.Approver)
	if err != nil {
		return err
	}
	text, err := json.Marshal([]approval.Approval{a})
	if err == nil && len(text) > pid1.ApprovalMax {
		err = errors.New("the approval does not fit")
	}
	copy(slot[pid1.ApprovalAt:], text)
	return err
}

// uboot is a slot for U-Boot, and the first environment.
func (b builder) uboot(control string) (slot, env []byte, pcrs []approval.PCR, err error) {
	if b.cfg.Signer == nil {
		return nil, nil, nil, errors.New("no key to sign with")
	}
	tree, err := uboot.Board()
	if err != nil {
		return nil, nil, nil, err
	}
	_, memory := uboot.Memories()
	signed, err := fit.Build(fit.Parts{Arch: "arm64", Kernel: b.kernel.compressed, Ramdisk: b.initrd, FDT: tree, Cmdline: b.cmdline, Memory: memory}, b.cfg.Signer)
	if err != nil {
		return nil, nil, nil, err
	}
	disk := Disk()
	if err := disk.Fits(signed); err != nil {
		return nil, nil, nil, err
	}
	if pcrs, err = predict.UBoot(signed); err != nil {
		return nil, nil, nil, err
	}
	own, err := uboot.Control(disk, &b.cfg.Signer.PublicKey)
	if err == nil {
		err = os.WriteFile(control, own, 0o644)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	env = make([]byte, (disk.Env[1]-disk.Env[0]+disk.EnvSize)*sector)
	for i, flags := range []byte{1, 0} {
		one, err := uboot.FirstEnv(disk, flags)
		if err != nil {
			return nil, nil, nil, err
		}
		copy(env[(disk.Env[i]-disk.Env[0])*sector:], one)
	}
	return append(make([]byte, BootAt), signed...), env, pcrs, nil
}

// efi is a slot for EFI.
func (b builder) efi(ctx context.Context, res *Result) (slot []byte, pcrs []approval.PCR, err error) {
	deb, err := debian{b.cfg.Cache, "arm64", suite, b.cfg.Fixed}.fetch(ctx, "systemd-boot-efi")
	if err != nil {
		return nil, nil, fmt.Errorf("fetch the EFI stub: %w", err)
	}
	res.debs = append(res.debs, deb)
	const name = "usr/lib/systemd/boot/efi/linuxaa64.efi.stub"
	files, err := unpack(ctx, deb, func(n string) bool { return n == name })
	if err != nil {
		return nil, nil, err
	}
	unified, err := uki.Build(files[name], []uki.Section{
		{Name: ".osrel", Data: fmt.Appendf(nil, "ID=platen\nVERSION_ID=%s\n", b.cfg.Version.Version)},
		{Name: ".cmdline", Data: []byte(b.cmdline)}, {Name: ".initrd", Data: b.initrd}, {Name: ".linux", Data: b.kernel.image},
	})
	if err != nil {
		return nil, nil, err
	}
	if pcrs, err = predict.EFI(unified); err != nil {
		return nil, nil, err
	}
	slot, err = efiSlot(unified)
	return slot, pcrs, err
}

// disk writes a disk whose slots both hold slot.
func (b builder) disk(path, slots string, slot, env []byte) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(DiskSize); err != nil {
		return err
	}
	if err := writeTables(f, slots); err != nil {
		return err
	}
	settings, err := encodeSettings(b.cfg.Settings)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		part string
		data []byte
	}{{"env", env}, {"config", settings}, {"a", slot}, {"b", slot}} {
		if err := writeSparse(f, x.data, Find(x.part).Offset); err != nil {
			return fmt.Errorf("write the disk: %w", err)
		}
	}
	return nil
}
