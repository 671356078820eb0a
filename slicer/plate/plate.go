// Package plate finds G-code in 3MF packages, as .gcode.3mf files of some slicers
// hold it: one part Metadata/plate_N.gcode for each plate that was sliced.
//
// [Open] looks into a package that lies in memory; [Package.Reader] reads one plate.
// The archive is trusted in nothing, see package pack; what the G-code says is for a
// strict parser to judge. All of it is design data.
package plate

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"platen/slicer/pack"
	"platen/slicer/vault"
)

// Most bounds the plates of a package, and their numbers.
const Most = 99

// ErrFormat reports a package that is damaged or no package.
var ErrFormat = pack.ErrFormat

// ErrChoose reports a package of several plates of which none was chosen, or one that
// is not there.
var ErrChoose = errors.New("choose a plate")

// Is reports whether a file that begins with head may be a package.
func Is(head []byte) bool { return strings.HasPrefix(string(head[:min(len(head), 4)]), "PK\x03\x04") }

// Package is a package with G-code.
type Package struct {
	archive *pack.Archive
	in      *pack.Reader
	numbers []int
	entries []int
}

// String says nothing of the package.
func (p *Package) String() string { return "package" }

// GoString says nothing of the package.
func (p *Package) GoString() string { return "package" }

// LogValue says nothing of the package.
func (p *Package) LogValue() slog.Value { return slog.StringValue("package") }

// Open looks for plates in a package, of which it keeps the bytes. It is nil if there
// are none: then it is a model. It takes scratch memory of v, 144 KiB and 64 bytes a
// part; errors are ErrFormat and vault.ErrBudget.
func Open(v *vault.Vault, data []byte) (*Package, error) {
	mark := v.Mark()
	a, err := pack.Open(v, data)
	if err != nil {
		return nil, err
	}
	p := &Package{archive: a}
	for i := range a.Len() {
		if n := number(a.Name(i)); n > 0 {
			p.numbers, p.entries = append(p.numbers, n), append(p.entries, i)
		}
	}
	if len(p.numbers) == 0 {
		v.ReleaseScratch(mark)
		return nil, nil
	}
	if a.Find([]byte("[Content_Types].xml")) < 0 {
		return nil, fmt.Errorf("%w (it has no types of parts)", ErrFormat)
	}
	if p.in, err = pack.NewReader(v); err != nil {
		return nil, err
	}
	return p, nil
}

// number is that of the plate whose G-code a part of that name is, 0 if it is none.
func number(name []byte) int {
	text, ok := strings.CutPrefix(string(name), "Metadata/plate_")
	if text, ok2 := strings.CutSuffix(text, ".gcode"); ok && ok2 {
		n, err := strconv.Atoi(text)
		if err == nil && n > 0 && n <= Most && strconv.Itoa(n) == text {
			return n
		}
	}
	return 0
}

// Numbers are those of the plates, in order.
func (p *Package) Numbers() []int { return slices.Sorted(slices.Values(p.numbers)) }

// Choose checks that there is a plate n; 0 is the only one. It returns its number.
func (p *Package) Choose(n int) (int, error) {
	switch {
	case n == 0 && len(p.numbers) == 1:
		return p.numbers[0], nil
	case n == 0:
		return 0, fmt.Errorf("%w: there is more than one in the file", ErrChoose)
	case !slices.Contains(p.numbers, n):
		return 0, fmt.Errorf("%w: that one is not in the file", ErrChoose)
	}
	return n, nil
}

// Reader goes to the beginning of plate n, which Choose has returned. One plate can
// be read at a time. Reading ends with io.EOF only if all of it is as the archive
// says.
func (p *Package) Reader(n int) *pack.Reader {
	p.in.Reset(p.archive, p.entries[slices.Index(p.numbers, n)])
	return p.in
}
