package predict

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"

	"platen/updater/approval"
)

// ErrPE reports a file that is no PE image as EFI starts one.
var ErrPE = errors.New("not a PE image")

// EFI is what PCRs 4 and 9 hold after EDK2 has started this unified kernel image as its first
// boot option (systemd-stub 252, Linux 6.1):
//
//   - 4: that a boot option is called and the separator (TCG PC Client Platform Firmware
//     Profile 1.05, section 3.3.4.5), then the image by Authenticode, so all of it, and the
//     kernel in it, which the stub has the firmware load.
//   - 9: by the kernel's own stub, its command line in UTF-16 with a zero at its end, and the
//     initial root file system.
func EFI(image []byte) ([]approval.PCR, error) {
	whole, err := Authenticode(image)
	if err != nil {
		return nil, fmt.Errorf("foretell the registers: %w", err)
	}
	p, _ := readPE(image)
	linux, cmdline, initrd := p.section(".linux"), p.section(".cmdline"), p.section(".initrd")
	if linux == nil || cmdline == nil || initrd == nil {
		return nil, errors.New("foretell the registers: the image lacks a kernel, a command line or a root file system")
	}
	kernel, err := Authenticode(linux)
	if err != nil {
		return nil, fmt.Errorf("foretell the registers: the kernel: %w", err)
	}
	return []approval.PCR{
		{Index: pcrLoader, Value: Replay(event("Calling EFI Application from Boot Option"), event("\x00\x00\x00\x00"), whole, kernel)},
		{Index: pcrRest, Value: Replay(loadOptions(string(cmdline)), sha256.Sum256(initrd))},
	}, nil
}

// loadOptions is the digest of a command line as the kernel measures it.
func loadOptions(cmdline string) [32]byte {
	var b []byte
	for _, c := range utf16.Encode([]rune(cmdline + "\x00")) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return sha256.Sum256(b)
}

// pe is where things are in a PE image.
type pe struct {
	file      []byte
	checksum  int // where the header's checksum is
	security  int // where the entry of the attribute certificates is; 0: there is none
	headers   int // size of all headers
	signature int // bytes of attribute certificates at the file's end
	sections  []section
}

// section is a row of the section table.
type section struct {
	name              string
	from, raw, inside int // where its bytes are in the file, how many, how many of them count
}

const rowSize = 40

// readPE reads the headers of a PE32+ or PE32 image (Microsoft PE format, "Optional Header").
func readPE(b []byte) (pe, error) {
	p := pe{file: b}
	at := func(off int) int {
		if off < 0 || off > len(b)-4 {
			return -1
		}
		return int(binary.LittleEndian.Uint32(b[off:]) & 0x7fffffff)
	}
	if len(b) < 0x40 || string(b[:2]) != "MZ" {
		return p, ErrPE
	}
	coff := at(0x3c)
	if coff < 0 || coff > len(b)-24-96 || string(b[coff:coff+4]) != "PE\x00\x00" {
		return p, ErrPE
	}
	count := int(binary.LittleEndian.Uint16(b[coff+6:]))
	optional := coff + 24
	size := int(binary.LittleEndian.Uint16(b[coff+20:]))
	folders := optional + 96 // where the data directories begin
	if binary.LittleEndian.Uint16(b[optional:]) == 0x20b {
		folders += 16
	}
	p.checksum, p.headers = optional+64, at(optional+60)
	table := optional + size
	if folders > table || table+count*rowSize > len(b) || p.headers < table || p.headers > len(b) {
		return p, ErrPE
	}
	if at(folders-4) > 4 { // entry 4: attribute certificates
		p.security = folders + 4*8
		if p.security+8 > table {
			return p, ErrPE
		}
		p.signature = at(p.security + 4)
	}
	for i := range count {
		row := b[table+i*rowSize:]
		s := section{from: at(table + i*rowSize + 20), raw: at(table + i*rowSize + 16), inside: at(table + i*rowSize + 8)}
		if s.from > len(b) || s.raw > len(b)-s.from {
			return p, ErrPE
		}
		name := row[:8]
		if n := slices.Index(name, 0); n >= 0 {
			name = name[:n]
		}
		s.name = string(name)
		p.sections = append(p.sections, s)
	}
	return p, nil
}

// section is the contents of a section, nil if there is none.
func (p pe) section(name string) []byte {
	for _, s := range p.sections {
		if s.name == name {
			return p.file[s.from : s.from+min(s.raw, s.inside)]
		}
	}
	return nil
}

// Authenticode is the SHA-256 digest of a PE image as EFI measures it (Windows Authenticode
// Portable Executable Signature Format, "Calculating the PE Image Hash"): all of it but the
// checksum in its header, the entry of its signatures, and those.
func Authenticode(image []byte) (digest [32]byte, err error) {
	p, err := readPE(image)
	if err != nil {
		return digest, err
	}
	h := sha256.New()
	h.Write(image[:p.checksum])
	rest := p.checksum + 4
	if p.security > 0 {
		h.Write(image[rest:p.security])
		rest = p.security + 8
	}
	h.Write(image[rest:p.headers])
	done := p.headers
	slices.SortStableFunc(p.sections, func(a, b section) int { return cmp.Compare(a.from, b.from) })
	for _, s := range p.sections {
		h.Write(image[s.from : s.from+s.raw])
		done += s.raw
	}
	if end := len(image) - p.signature; done < end {
		h.Write(image[done:end])
	}
	return [32]byte(h.Sum(nil)), nil
}
