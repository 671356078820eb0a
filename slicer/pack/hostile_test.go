package pack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"
)

// le appends numbers of 2, 4 or 8 bytes.
func le(b []byte, values ...any) []byte {
	for _, v := range values {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	return b
}

// Every lie of an archive is refused: threat T15. Each case is one change of an
// archive that opens.
func TestHostile(t *testing.T) {
	body := []byte(strings.Repeat("a model ", 50))
	plain := plainArchive(t, "3D/a.model", body)
	local := bytes.Index(plain, []byte("PK\x03\x04"))
	central := bytes.Index(plain, []byte("PK\x01\x02"))
	end := bytes.Index(plain, []byte("PK\x05\x06"))
	set := func(at int, v any) []byte {
		b := bytes.Clone(plain)
		copy(b[at:], le(nil, v))
		return b
	}
	both := func(dl, dc int, v any) []byte {
		b := set(local+dl, v)
		copy(b[central+dc:], le(nil, v))
		return b
	}
	named := func(name string) []byte { return archive(t, file{name, body, zip.Deflate, 0}) }
	cases := map[string][]byte{
		"nothing":                        nil,
		"no directory":                   plain[:central],
		"cut in the directory":           plain[:end-3],
		"cut in the last record":         plain[:len(plain)-1],
		"a byte too many":                append(bytes.Clone(plain), 0),
		"something in front":             append([]byte("MZ"), plain...),
		"no entry":                       archive(t),
		"two entries announced":          set(end+8, [2]uint16{2, 2}),
		"65535 entries announced":        set(end+8, [2]uint16{65535, 65535}),
		"disks":                          set(end+4, uint16(1)),
		"directory elsewhere":            set(end+16, uint32(central-1)),
		"directory beyond the end":       set(end+16, uint32(1<<31)),
		"directory shorter":              set(end+12, uint32(10)),
		"header elsewhere":               set(central+42, uint32(4)),
		"header beyond the end":          set(central+42, uint32(1<<31)),
		"another name in the header":     set(local+localSize, byte('4')),
		"another size in the header":     set(local+22, uint32(9)),
		"another length in the header":   set(local+18, uint32(9)),
		"another checksum in the header": set(local+14, uint32(9)),
		"another method in the header":   set(local+8, uint16(8)),
		"a wrong checksum in both":       both(14, 16, uint32(9)),
		"data beyond the end":            both(18, 20, uint32(1<<30)),
		"a wrong size in both":           both(22, 24, uint32(len(body)-1)),
		"an unknown method":              both(8, 10, uint16(12)),
		"encryption":                     both(6, 8, uint16(1)),
		"a wide size without a field":    both(22, 24, uint32(1<<32-1)),
		"extra field beyond the end":     set(local+28, uint16(60000)),
		"name beyond the end":            set(central+28, uint16(60000)),
		"a symlink":                      archive(t, file{"3D/a.model", []byte("/etc/passwd"), zip.Store, 0o120777}),
		"a device":                       archive(t, file{"3D/a.model", nil, zip.Store, 0o020777}),
		"the same name twice":            archive(t, file{"a", body, zip.Store, 0}, file{"a", body, zip.Store, 0}),
		"the same name in capitals":      archive(t, file{"3D/x", body, zip.Store, 0}, file{"3d/X", body, zip.Store, 0}),
		"up and away":                    named("../a"),
		"up in the middle":               named("3D/../../a"),
		"absolute":                       named("/a"),
		"a backslash":                    named(`3D\a`),
		"a drive":                        named("c:a"),
		"NUL":                            named("3D/a\x00.model"),
		"an empty part":                  named("3D//a"),
		"dots":                           named("3D/.../a"),
		"not UTF-8":                      named("3D/\xff"),
		"a name of 513 bytes":            named(strings.Repeat("x", 513)),
		"a folder with something in it":  lyingFolder(t),
		"overlap":                        overlapped(),
		"an entry inside another":        quine(t),
		"a flat bomb":                    flatBomb(t, 200<<20, 0),
		"a flat bomb that lies":          flatBomb(t, 200<<20, 1000),
		"two wide fields":                wide(t, body, func(w *wideParts) { w.centralExtra = append(w.centralExtra, w.centralExtra...) }),
		"a wide field that is short":     wide(t, body, func(w *wideParts) { w.centralExtra = le(nil, uint16(1), uint16(8), uint64(len(body))) }),
		"a wide size of 2^63":            wide(t, body, func(w *wideParts) { binary.LittleEndian.PutUint64(w.centralExtra[4:], 1<<63) }),
		"a wide size that lies":          wide(t, body, func(w *wideParts) { binary.LittleEndian.PutUint64(w.centralExtra[4:], 5) }),
		"a wide place of 2^64-1":         wide(t, body, func(w *wideParts) { w.dir = 1<<64 - 1 }),
		"a wide count that lies":         wide(t, body, func(w *wideParts) { w.count = 2 }),
		"a wide count of 2^40":           wide(t, body, func(w *wideParts) { w.count = 1 << 40 }),
		"a locator that points away":     wide(t, body, func(w *wideParts) { w.locator = 3 }),
	}
	hidden := bytes.Clone(plain)
	binary.LittleEndian.PutUint16(hidden[end+20:], uint16(len(plain)-end))
	cases["another directory in the comment"] = append(hidden, plain[end:]...)
	for name, b := range cases {
		v := newVault(t, 1<<20)
		_, err := readAll(v, b)
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{"plain": plain, "wide": wide(t, body, nil), "a bomb that is none": flatBomb(t, 1<<20, 0), "folder": archive(t, file{"a/", nil, zip.Store, 0})} {
		if _, err := readAll(newVault(t, 1<<20), b); err != nil {
			t.Errorf("control: %s: %v", name, err)
		}
	}
	commented := bytes.Clone(plain)
	binary.LittleEndian.PutUint16(commented[end+20:], 5)
	if _, err := readAll(newVault(t, 1<<20), append(commented, "hello"...)); err != nil {
		t.Errorf("control: comment: %v", err)
	}
}

func lyingFolder(t testing.TB) []byte {
	b := plainArchive(t, "3D/a.modex", []byte("something"))
	return bytes.ReplaceAll(b, []byte("3D/a.modex"), []byte("3D/a.mode/"))
}

// record appends a header and, to dir, what the directory says of it.
func record(b, dir []byte, name string, crc, packed, size uint32, at int, data []byte) (body, central []byte) {
	b = le(b, uint32(localSignature), uint16(20), uint16(0), uint16(8), uint32(0), crc, packed, size, uint16(len(name)), uint16(0))
	b = append(append(b, name...), data...)
	return b, describe(dir, name, crc, packed, size, at)
}

func describe(dir []byte, name string, crc, packed, size uint32, at int) []byte {
	dir = le(dir, uint32(centralSignature), uint16(20), uint16(20), uint16(0), uint16(8), uint32(0), crc, packed, size,
		uint16(len(name)), uint16(0), uint16(0), uint16(0), uint16(0), uint32(0), uint32(at))
	return append(dir, name...)
}

func finish(b, dir []byte, n int) []byte {
	at := len(b)
	b = append(b, dir...)
	return le(b, uint32(endSignature), uint16(0), uint16(0), uint16(n), uint16(n), uint32(len(dir)), uint32(at), uint16(0))
}

// overlapped is a bomb whose entries share their data: each begins with the headers
// of those behind it, quoted as stored blocks (Fifield, A better zip bomb, 2019).
func overlapped() []byte {
	kernel := deflated(bytes.Repeat([]byte{'a'}, 1<<16))
	crc := crc32.ChecksumIEEE(bytes.Repeat([]byte{'a'}, 1<<16))
	var dir []byte
	second, _ := record(nil, nil, "b", crc, uint32(len(kernel)), 1<<16, 0, kernel)
	quoted := le([]byte{0}, uint16(localSize+1), ^uint16(localSize+1))
	packed := uint32(len(quoted) + len(second))
	head, dir := record(nil, dir, "a", crc, packed, 1<<16+localSize+1, 0, quoted)
	dir = describe(dir, "b", crc, uint32(len(kernel)), 1<<16, len(head))
	return finish(append(head, second...), dir, 2)
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 9)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// quine has an entry whose data holds the header of another.
func quine(t testing.TB) []byte {
	inner := plainArchive(t, "b", []byte("inside"))
	outer := plainArchive(t, "a", inner)
	end := bytes.LastIndex(outer, []byte("PK\x05\x06"))
	central := bytes.LastIndex(outer, []byte("PK\x01\x02"))
	at := bytes.Index(outer, []byte("PK\x03\x04")) + localSize + 1
	dir := bytes.Clone(outer[central:end])
	own := bytes.Clone(inner[bytes.Index(inner, []byte("PK\x01\x02")):bytes.Index(inner, []byte("PK\x05\x06"))])
	binary.LittleEndian.PutUint32(own[42:], uint32(at))
	return finish(bytes.Clone(outer[:central]), append(dir, own...), 2)
}

// flatBomb is half a megabyte or less that holds size bytes, or says that it holds
// lie. It is one piece of zeros again and again, so that it is made quickly.
func flatBomb(t testing.TB, size, lie int) []byte {
	t.Helper()
	zeros := make([]byte, 1<<20)
	var piece bytes.Buffer
	w, _ := flate.NewWriter(&piece, 9)
	_, _ = w.Write(zeros)
	_ = w.Flush() // ends at a whole byte
	h := crc32.NewIEEE()
	var packed []byte
	for n := 0; n < size; n += len(zeros) {
		packed = append(packed, piece.Bytes()...)
		_, _ = h.Write(zeros)
	}
	packed = append(packed, 3, 0) // an empty last block
	if len(packed) > 1<<19 {
		t.Fatalf("the bomb is %d bytes", len(packed))
	}
	said := uint32(size)
	if lie != 0 {
		said = uint32(lie)
	}
	b, dir := record(nil, nil, "a", h.Sum32(), uint32(len(packed)), said, 0, packed)
	return finish(b, dir, 1)
}

// wideParts is what can be changed in an archive with wide fields.
type wideParts struct {
	centralExtra []byte
	count, dir   uint64
	locator      uint64
}

// wide makes an archive of one stored entry with every field in its wide form.
func wide(t testing.TB, body []byte, change func(*wideParts)) []byte {
	t.Helper()
	crc, none := crc32.ChecksumIEEE(body), uint32(1<<32-1)
	n := uint64(len(body))
	localExtra := le(nil, uint16(1), uint16(16), n, n)
	b := le(nil, uint32(localSignature), uint16(45), uint16(0), uint16(0), uint32(0), crc, none, none, uint16(1), uint16(len(localExtra)))
	b = append(append(append(b, 'a'), localExtra...), body...)
	w := wideParts{centralExtra: le(nil, uint16(1), uint16(24), n, n, uint64(0)), count: 1, dir: uint64(len(b))}
	dirAt := len(b)
	if change != nil {
		change(&w)
	}
	b = le(b, uint32(centralSignature), uint16(45), uint16(45), uint16(0), uint16(0), uint32(0), crc, none, none,
		uint16(1), uint16(len(w.centralExtra)), uint16(0), uint16(0), uint16(0), uint32(0), none)
	b = append(append(b, 'a'), w.centralExtra...)
	rec := len(b)
	if w.locator == 0 {
		w.locator = uint64(rec)
	}
	b = le(b, uint32(end64Signature), uint64(44), uint16(45), uint16(45), uint32(0), uint32(0), w.count, w.count, uint64(rec-dirAt), w.dir)
	b = le(b, uint32(locatorSignature), uint32(0), w.locator, uint32(1))
	return le(b, uint32(endSignature), uint16(0), uint16(0), uint16(0xffff), uint16(0xffff), none, none, uint16(0))
}
