package image

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"platen/agent/intake/stick"
	"platen/agent/pid1"
	"platen/agent/pid1/newc"
	"platen/boards"
	"platen/cross/targets"
	"platen/updater/approval"
)

// module is an ELF file of one section, .modinfo, for 64 bits.
func module(info string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[16:], 1)
	le.PutUint16(b[18:], 183)
	le.PutUint32(b[20:], 1)
	infoAt := len(b)
	b = append(b, info...)
	namesAt := len(b)
	b = append(b, names...)
	at := len(b)
	section := func(name, kind uint32, off, size int) {
		s := make([]byte, 64)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(off))
		le.PutUint64(s[32:], uint64(size))
		b = append(b, s...)
	}
	section(0, 0, 0, 0)
	section(1, 1, infoAt, len(info))
	section(10, 3, namesAt, len(names))
	le.PutUint64(b[40:], uint64(at))
	for i, v := range []uint16{64, 0, 0, 64, 3, 2} {
		le.PutUint16(b[52+2*i:], v)
	}
	return b
}

func kernelFiles() map[string][]byte {
	return map[string][]byte{
		"lib/modules/6/kernel/a/virtio.ko":      module("license=GPL\x00depends=virtio_ring\x00name=virtio\x00"),
		"lib/modules/6/kernel/a/virtio_ring.ko": module("depends=\x00name=virtio_ring\x00"),
		"lib/modules/6/kernel/a/virtio-rng.ko":  module("name=virtio_rng\x00depends=virtio\x00"),
		"lib/modules/6/kernel/b/aes-ce.ko":      module("depends=aes-lib\x00"),
		"lib/modules/6/kernel/b/aes-lib.ko":     module("name=x\x00"),
		"lib/modules/6/kernel/b/other.ko":       module("name=other\x00"),
	}
}

// TestModules picks what is named and what that needs, each once, what is needed first.
func TestModules(t *testing.T) {
	picked, order, err := modules(kernelFiles(), []string{"-aes_ce", "virtio-rng", "virtio", "aes_lib"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"aes_lib", "-aes_ce", "virtio_ring", "virtio", "virtio_rng"}, order); d != "" {
		t.Error(d)
	}
	if len(picked) != 5 || picked["virtio_rng"] == nil {
		t.Errorf("picked %d", len(picked))
	}
	if _, _, err := modules(kernelFiles(), []string{"e1000"}); err == nil || !strings.Contains(err.Error(), "e1000") {
		t.Errorf("missing: %v", err)
	}
	if _, _, err := modules(map[string][]byte{"lib/x.ko": []byte("no ELF")}, []string{"x"}); err == nil {
		t.Error("a file that is no module is taken")
	}
}

func testRoot(t *testing.T) root {
	t.Helper()
	board, err := LoadBoard("qemu-arm64")
	if err != nil {
		t.Fatal(err)
	}
	r := root{init: []byte("init"), platen: []byte("platen"), state: []byte("state"), files: board.Files, release: 7, built: time.Unix(1760000000, 0)}
	if r.modules, r.order, err = modules(kernelFiles(), []string{"virtio_rng"}); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRoot lists every file of a root: nothing else may come in.
func TestRoot(t *testing.T) {
	list, err := testRoot(t).entries()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	seen := map[string]bool{".": true}
	for _, e := range list {
		if !seen[filepath.Dir(e.Name)] {
			t.Errorf("%s comes before its folder", e.Name)
		}
		if seen[e.Name] = true; e.Mode&newc.Dir == 0 {
			got = append(got, e.Name)
		}
		if e.Mode&0o022 != 0 {
			t.Errorf("%s may be written by anybody: %o", e.Name, e.Mode)
		}
	}
	want := []string{"dev/console", "init", "platen", "lib/state", "lib/modules/order", "lib/modules/virtio.ko", "lib/modules/virtio_ring.ko",
		"lib/modules/virtio_rng.ko", "etc/release", "etc/platen/fw_env.config", "etc/platen/network", "etc/platen/platen.toml", "etc/platen/qemu-arm64.toml"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRootIsReproducible packs a root twice, and unpacks it.
func TestRootIsReproducible(t *testing.T) {
	key, err := approval.GenerateKey(filepath.Join(t.TempDir(), "approver"))
	if err != nil {
		t.Fatal(err)
	}
	var packed [2][]byte
	for i := range packed {
		r := testRoot(t)
		r.approver = key
		if packed[i], err = r.pack(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("two roots differ")
	}
	z, err := gzip.NewReader(bytes.NewReader(packed[0]))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(b, []byte("etc/approver.pub")) || !bytes.Contains(b, []byte("7 1760000000\n")) {
		t.Errorf("%v", err)
	}
}

// TestBoards: each board's files are in order, as the agent will read them.
func TestBoards(t *testing.T) {
	names, err := Boards()
	if err != nil || len(names) == 0 {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := LoadBoard(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := boards.Parse(name+".toml", b.Files[name+".toml"]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		line := b.CommandLine(false)
		for _, want := range []string{"panic=-1", "init_on_free=1", "console=" + b.Console} {
			if !strings.Contains(line, want) {
				t.Errorf("%s: the command line lacks %s", name, want)
			}
		}
		if strings.Contains(line, "platen.console") || !strings.Contains(b.CommandLine(true), " platen.console="+b.Console) {
			t.Errorf("%s: console %q", name, line)
		}
	}
	if _, err := LoadBoard("none"); err == nil || !strings.Contains(err.Error(), "qemu-arm64") {
		t.Errorf("%v", err)
	}
}

// TestEFIDisk has our own strict reader of USB sticks, which shares no code with the writer,
// read the partition table and the FATs, and follows the file's clusters.
func TestEFIDisk(t *testing.T) {
	image := bytes.Repeat([]byte("0123456789abcdef"), 70_001)
	slot, err := efiSlot(image)
	if err != nil {
		t.Fatal(err)
	}
	copy(slot[pid1.ApprovalAt:], "approvals")
	b := builder{cfg: Config{Settings: map[string][]byte{"keys/x.pub": []byte("key")}}}
	path := filepath.Join(t.TempDir(), "disk")
	const data = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" // sticks have no EFI system partition
	if err := b.disk(path, data, slot, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := stick.Open(t.Context(), f, DiskSize, sector); err != nil {
		t.Errorf("the strict reader: %v", err)
	}
	var got []byte
	table := slot[fatReserved*sector:]
	for c := uint16(4); c < 0xfff8; c = binary.LittleEndian.Uint16(table[2*int(c):]) {
		got = append(got, slot[fatData+(int(c)-2)*fatCluster:][:fatCluster]...)
	}
	if len(got) < len(image) || !bytes.Equal(got[:len(image)], image) {
		t.Error("the file's clusters do not hold it")
	}
	got = make([]byte, 9)
	if _, err := f.ReadAt(got, Find("b").Offset+pid1.ApprovalAt); err != nil || string(got) != "approvals" {
		t.Errorf("%q, %v", got, err)
	}
	list, err := newc.Read(io.NewSectionReader(f, Find("config").Offset, pid1.ConfigLimit), pid1.ConfigLimit)
	if err != nil || len(list) != 2 || list[1].Name != "keys/x.pub" {
		t.Errorf("settings: %v, %v", list, err)
	}
	if got, err := Unified(slot); err != nil || !bytes.Equal(got, image) {
		t.Errorf("what EFI starts is not the image: %v", err)
	}
	for _, bad := range [][]byte{nil, make([]byte, SlotSize)} {
		if _, err := Unified(bad); err == nil {
			t.Error("a slot with nothing in it has something that EFI starts")
		}
	}
	if _, err := efiSlot(make([]byte, SlotSize)); err == nil {
		t.Error("an image as large as the slot fits")
	}
}

// TestWriteSettings: what was there goes.
func TestWriteSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range []map[string][]byte{{"long": make([]byte, 5000)}, {"a": []byte("1"), "b": []byte("2")}} {
		if err := WriteSettings(path, files); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	part := b[Find("config").Offset:]
	list, err := newc.Read(bytes.NewReader(part), pid1.ConfigLimit)
	if err != nil || len(list) != 2 || bytes.Contains(part, []byte("long")) {
		t.Errorf("%v, %v", list, err)
	}
	if err := WriteSettings(path, map[string][]byte{"x": make([]byte, pid1.ConfigLimit)}); err == nil {
		t.Error("more than fits is taken")
	}
}

// TestPartsDoNotOverlap, and lie within what the table says may be used.
func TestPartsDoNotOverlap(t *testing.T) {
	end := int64((2 + tables) * sector)
	for _, p := range Parts {
		if p.Offset < end || p.Offset%mebi != 0 || p.Size%sector != 0 {
			t.Errorf("%s begins at %d", p.Name, p.Offset)
		}
		end = p.Offset + p.Size
	}
	if end > DiskSize-(tables+1)*sector {
		t.Errorf("partitions end at %d", end)
	}
	if d := Disk(); d.FIT[0] != 8192+16 || d.Env[0] != 2048 || d.Env[1] != 2048+128 {
		t.Errorf("U-Boot's view: %+v", d)
	}
}

// cached is the folder that make image fetches packages into.
const cached = "../../build/image/cache"

// TestImageTwice builds the whole image of a board twice: the same bytes, and nothing in the
// root but what the golden list has.
func TestImageTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes: without -short")
	}
	if _, err := os.Stat(filepath.Join(cached, "linux-image-cloud-arm64.arm64")); err != nil {
		t.Skip("needs the kernel's package: make image")
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	approverPath := filepath.Join(t.TempDir(), "approver")
	if _, err := approval.GenerateKey(approverPath); err != nil {
		t.Fatal(err)
	}
	approver, err := approval.LoadKey(approverPath)
	if err != nil {
		t.Fatal(err)
	}
	var sums [2]map[string][32]byte
	for i := range sums {
		res, err := Build(t.Context(), Config{Board: "qemu-arm64", Source: "../..", Dir: t.TempDir(), Cache: cached,
			Version: targets.Version{Version: "0.1.0", Release: 7}, Built: time.Unix(1760000000, 0), Signer: key, Approver: approver})
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = map[string][32]byte{}
		for _, img := range res.Images {
			b, err := os.ReadFile(img.Disk)
			if err != nil {
				t.Fatal(err)
			}
			sums[i][img.Boot] = sha256.Sum256(b)
		}
		golden, err := os.ReadFile("testdata/qemu-arm64.root")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(golden), strings.Join(res.Root, "\n")+"\n"); d != "" {
			t.Errorf("the root holds something else than testdata/qemu-arm64.root:\n%s", d)
		}
	}
	if d := cmp.Diff(sums[0], sums[1]); d != "" {
		t.Errorf("two builds differ:\n%s", d)
	}
}
