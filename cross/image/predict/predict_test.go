package predict

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"platen/cross/image/fdt"
	"platen/cross/image/fit"
	"platen/cross/image/fit/fittest"
	"platen/updater/approval"
)

// tinyPE is an EFI application for arm64 that returns an error: two sections, whose order in the
// file is not that of the table, and 48 bytes behind the last.
func tinyPE(sections map[string][]byte) []byte {
	const headers, align = 0x400, 0x200
	le := binary.LittleEndian
	b := make([]byte, headers)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	names := []string{".text", ".data", ".linux", ".cmdline", ".initrd"}
	all := map[string][]byte{".text": {0x20, 0x00, 0x80, 0xd2, 0x00, 0x00, 0xf0, 0xf2, 0xc0, 0x03, 0x5f, 0xd6}, ".data": []byte("some data")} // return an error: the firmware goes on
	for name, data := range sections {
		all[name] = data
	}
	coff, opt := b[0x44:], b[0x58:]
	le.PutUint16(coff, 0xaa64)
	le.PutUint16(coff[16:], 112+16*8) // size of the optional header
	le.PutUint16(coff[18:], 0x0206)   // executable, no line numbers, no debug
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[16:], 0x1000) // entry point
	le.PutUint32(opt[32:], 0x1000)
	le.PutUint32(opt[36:], align)
	le.PutUint32(opt[60:], headers)
	le.PutUint32(opt[64:], 0x12345678) // a checksum that nobody checks
	le.PutUint16(opt[68:], 10)         // an EFI application
	le.PutUint32(opt[108:], 16)
	table := opt[112+16*8:]
	rows, at := 0, uint32(0x1000)
	for _, name := range names {
		data, ok := all[name]
		if !ok {
			continue
		}
		row := table[rows*rowSize:]
		copy(row, name)
		le.PutUint32(row[8:], uint32(len(data)))
		le.PutUint32(row[12:], at)
		le.PutUint32(row[36:], 0x60000020)
		rows++
		at += uint32(len(data)+0xfff) &^ 0xfff
	}
	le.PutUint16(coff[2:], uint16(rows))
	le.PutUint32(opt[56:], at)
	for i := rows - 1; i >= 0; i-- { // the last one first
		row := table[i*rowSize:]
		data := all[strings.TrimRight(string(row[:8]), "\x00")]
		le.PutUint32(row[16:], uint32(len(data)+align-1)&^(align-1))
		le.PutUint32(row[20:], uint32(len(b)))
		b = append(append(b, data...), make([]byte, -len(data)&(align-1))...)
		table = b[0x58+112+16*8:]
	}
	return append(b, "what lies behind the sections of a PE file, 48 B."[:48]...)
}

// recorded is what EDK2 of Debian 12 (qemu-efi-aarch64 2022.11) measured on QEMU's virt machine,
// and what the registers held in the end: it started tinyPE, which returned, and then a unified
// kernel image.
func recorded(t *testing.T) (events []Event, raw []byte, pcrs map[uint32]approval.Digest) {
	t.Helper()
	raw, err := os.ReadFile("testdata/edk2.eventlog")
	if err != nil {
		t.Fatal(err)
	}
	if events, err = ParseEventLog(raw); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/edk2.pcrs")
	if err != nil {
		t.Fatal(err)
	}
	pcrs = map[uint32]approval.Digest{}
	for line := range strings.Lines(string(text)) {
		var pcr uint32
		var value string
		var d approval.Digest
		if _, err := fmt.Sscan(line, &pcr, &value); err != nil {
			t.Fatal(err)
		}
		if err := d.UnmarshalText([]byte(value)); err != nil {
			t.Fatal(err)
		}
		pcrs[pcr] = d
	}
	return events, raw, pcrs
}

// TestRecorded: the log of a real firmware replays to what its TPM held, and with one event
// changed it does not.
func TestRecorded(t *testing.T) {
	events, raw, pcrs := recorded(t)
	for pcr, want := range pcrs {
		if got := ReplayLog(events, pcr); got != want {
			t.Errorf("PCR %d: %x, not %x", pcr, got, want)
		}
	}
	for i := range events {
		if events[i].Type == noAction {
			continue
		}
		changed := slices.Clone(events)
		changed[i].Digest[31] ^= 1
		if pcr := events[i].PCR; ReplayLog(changed, pcr) == pcrs[pcr] {
			t.Errorf("event %d was changed, and PCR %d is the same", i, pcr)
		}
	}
	for _, bad := range [][]byte{nil, raw[:30], raw[:len(raw)-1], raw[1:], append(bytes.Clone(raw), 1, 2, 3)} {
		if _, err := ParseEventLog(bad); !errors.Is(err, ErrLog) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if got, err := ParseEventLog(append(bytes.Clone(raw), bytes.Repeat([]byte{0xff}, 64)...)); err != nil || len(got) != len(events) {
		t.Errorf("with memory behind it: %d events, %v", len(got), err)
	}
}

// TestFirmwareAgrees: what this package says of an image is what the real firmware measured.
func TestFirmwareAgrees(t *testing.T) {
	events, _, _ := recorded(t)
	tiny, err := Authenticode(tinyPE(nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Event{
		"a boot option":    {PCR: 4, Digest: event("Calling EFI Application from Boot Option")},
		"the separator":    {PCR: 4, Digest: event("\x00\x00\x00\x00")},
		"an image":         {PCR: 4, Digest: tiny},
		"the command line": {PCR: 9, Digest: loadOptions("console=ttyAMA0 panic=-1 init_on_free=1")},
	} {
		if !slices.ContainsFunc(events, func(e Event) bool { return e.PCR == want.PCR && e.Digest == want.Digest }) {
			t.Errorf("%s is measured otherwise", name)
		}
	}
}

// unified is a unified kernel image.
func unified() []byte {
	return tinyPE(map[string][]byte{".linux": tinyPE(nil), ".cmdline": []byte("quiet"), ".initrd": bytes.Repeat([]byte("initrd"), 300)})
}

// TestEachBitOfEFI (T21): one flipped bit of an image changes PCR 4, wherever it is but in the
// two numbers that nobody measures: a checksum, and where signatures would be. With those what
// starts is the same. All bits of the headers, and every 17th behind them;
// fewer in the short form.
func TestEachBitOfEFI(t *testing.T) {
	image := unified()
	want, err := EFI(image)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPE(image)
	if err != nil {
		t.Fatal(err)
	}
	step, behind := 1, 17
	if testing.Short() {
		step, behind = 11, 101
	}
	for bit := 0; bit < 8*len(image); bit += step {
		if bit >= 8*p.headers {
			step = behind
		}
		changed := bytes.Clone(image)
		changed[bit/8] ^= 1 << (bit % 8)
		got, err := EFI(changed)
		unmeasured := bit/8 >= p.checksum && bit/8 < p.checksum+4 || bit/8 >= p.security && bit/8 < p.security+8
		if err == nil && got[0] == want[0] && !unmeasured {
			t.Errorf("bit %d of byte %d changes nothing", bit%8, bit/8)
		}
	}
	for name, bad := range map[string][]byte{"nothing": nil, "cut short": image[:0x200], "without a kernel": tinyPE(nil),
		"its kernel is none": tinyPE(map[string][]byte{".linux": []byte("x"), ".cmdline": []byte("x"), ".initrd": []byte("x")})} {
		if _, err := EFI(bad); err == nil {
			t.Errorf("%s: foretold", name)
		}
	}
}

// TestUBoot: the registers are those of the digests, and another part is another register.
func TestUBoot(t *testing.T) {
	key := fittest.Key(0)
	good := fit.Parts{Arch: "arm64", Kernel: []byte("kernel"), Ramdisk: []byte("ramdisk"), FDT: (&fdt.Node{}).Encode(), Cmdline: "quiet"}
	of := func(p fit.Parts) []approval.PCR {
		t.Helper()
		b, err := fit.Build(p, key)
		if err != nil {
			t.Fatal(err)
		}
		pcrs, err := UBoot(append(b, "the rest of the slot"...))
		if err != nil {
			t.Fatal(err)
		}
		return pcrs
	}
	kernel, want := sha256.Sum256([]byte("kernel")), of(good)
	// By hand: SHA-256 of 32 zero bytes and the digest.
	if d := sha256.Sum256(append(make([]byte, 32), kernel[:]...)); want[0] != (approval.PCR{Index: 8, Value: d}) || want[1].Index != 9 {
		t.Errorf("%v", want)
	}
	for i, change := range []func(*fit.Parts){
		func(p *fit.Parts) { p.Kernel = []byte("Kernel") }, func(p *fit.Parts) { p.Ramdisk = []byte("Ramdisk") },
		func(p *fit.Parts) { p.Cmdline = "Quiet" }, func(p *fit.Parts) { p.FDT = (&fdt.Node{Children: []*fdt.Node{{Name: "x"}}}).Encode() },
	} {
		p := good
		change(&p)
		if got := of(p); (got[0] == want[0]) == (i == 0) || (got[1] == want[1]) == (i != 0) {
			t.Errorf("change %d: %v", i, got)
		}
	}
	if _, err := UBoot([]byte("no FIT")); !errors.Is(err, fit.ErrImage) {
		t.Error(err)
	}
}

// FuzzEventLog: whatever is taken replays to something.
func FuzzEventLog(f *testing.F) {
	raw, err := os.ReadFile("testdata/edk2.eventlog")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := ParseEventLog(b)
		if err != nil && !errors.Is(err, ErrLog) {
			t.Fatal(err)
		}
		for pcr := range uint32(24) {
			ReplayLog(events, pcr)
		}
	})
}

// FuzzEFI: what comes from outside costs a refusal at most.
func FuzzEFI(f *testing.F) {
	f.Add(unified())
	f.Add(tinyPE(nil))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = EFI(b)
	})
}
