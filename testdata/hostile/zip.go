package hostile

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// The signatures and sizes of an archive (APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16).
const (
	localSignature   = 0x04034b50
	centralSignature = 0x02014b50
	end64Signature   = 0x06064b50
	locatorSignature = 0x07064b50
	endSignature     = 0x06054b50
	localSize        = 30
)

// entry is a file of an archive.
type entry struct {
	name   string
	body   []byte
	method uint16
	mode   uint32 // of Unix, 0 for none
}

// archive packs entries as any program does.
func archive(entries ...entry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: e.method}
		if e.mode != 0 {
			h.CreatorVersion, h.ExternalAttrs = 3<<8, e.mode<<16
		}
		must(must(w.CreateHeader(h)).Write(e.body))
	}
	must(0, w.Close())
	return b.Bytes()
}

// stored is an archive whose first entry has its sizes in front of it, and no descriptor
// behind: what is said of it is said in two places only.
func stored(entries ...entry) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f := must(w.CreateRaw(&zip.FileHeader{
			Name: e.name, CRC32: crc32.ChecksumIEEE(e.body), CompressedSize64: uint64(len(e.body)), UncompressedSize64: uint64(len(e.body)),
		}))
		must(f.Write(e.body))
	}
	must(0, w.Close())
	return b.Bytes()
}

// le appends numbers of 2, 4 or 8 bytes.
func le(b []byte, values ...any) []byte {
	for _, v := range values {
		b = must(binary.Append(b, binary.LittleEndian, v))
	}
	return b
}

// Archives are 3MF packages whose archive lies: threat T15. Every model in them is sound.
func Archives() []File {
	rels, model := entry{name: relsName, body: []byte(rootRel)}, entry{name: modelName, body: []byte(cubeModel())}
	plain := stored(model, rels)
	local := bytes.Index(plain, []byte("PK\x03\x04"))
	central := bytes.Index(plain, []byte("PK\x01\x02"))
	end := bytes.LastIndex(plain, []byte("PK\x05\x06"))
	size := len(model.body)
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
	beside := func(e ...entry) []byte { return archive(append([]entry{rels, model}, e...)...) }
	named := func(name string) []byte { return beside(entry{name: name, body: []byte("x"), method: zip.Deflate}) }
	hidden := bytes.Clone(plain)
	binary.LittleEndian.PutUint16(hidden[end+20:], uint16(len(plain)-end))
	var files []File
	for _, c := range []struct {
		name string
		body []byte
	}{
		{"something in front", append([]byte("MZ"), plain...)},
		{"no directory", plain[:central]},
		{"cut in the directory", plain[:end-3]},
		{"cut in the last record", plain[:len(plain)-1]},
		{"a byte too many", append(bytes.Clone(plain), 0)},
		{"no entry", archive()},
		{"three entries announced", set(end+8, [2]uint16{3, 3})},
		{"65535 entries announced", set(end+8, [2]uint16{65535, 65535})},
		{"disks", set(end+4, uint16(1))},
		{"directory elsewhere", set(end+16, uint32(central-1))},
		{"directory beyond the end", set(end+16, uint32(1<<31))},
		{"directory shorter", set(end+12, uint32(10))},
		{"header elsewhere", set(central+42, uint32(4))},
		{"header beyond the end", set(central+42, uint32(1<<31))},
		{"another name in the header", set(local+localSize, byte('4'))},
		{"another size in the header", set(local+22, uint32(9))},
		{"another length in the header", set(local+18, uint32(9))},
		{"another checksum in the header", set(local+14, uint32(9))},
		{"another method in the header", set(local+8, uint16(8))},
		{"a wrong checksum in both", both(14, 16, uint32(9))},
		{"data beyond the end", both(18, 20, uint32(1<<30))},
		{"a wrong size in both", both(22, 24, uint32(size-1))},
		{"an unknown method", both(8, 10, uint16(12))},
		{"encryption", both(6, 8, uint16(1))},
		{"a wide size without a field", both(22, 24, uint32(1<<32-1))},
		{"extra field beyond the end", set(local+28, uint16(60000))},
		{"name beyond the end", set(central+28, uint16(60000))},
		{"a symlink", archive(rels, entry{modelName, []byte("/etc/passwd"), zip.Store, 0o120777})},
		{"a device", archive(rels, entry{modelName, nil, zip.Store, 0o020777})},
		{"the same name twice", beside(model)},
		{"the same name in capitals", beside(entry{name: "3d/3DMODEL.model", body: []byte("x")})},
		{"up and away", named("../a")},
		{"up in the middle", named("3D/../../a")},
		{"absolute", named("/a")},
		{"a backslash", named(`3D\a`)},
		{"a drive", named("c:a")},
		{"NUL", named("3D/a\x00.model")},
		{"an empty part", named("3D//a")},
		{"dots", named("3D/.../a")},
		{"not UTF-8", named("3D/\xff")},
		{"a name of 513 bytes", named(strings.Repeat("x", 513))},
		{"a folder with something in it", bytes.ReplaceAll(stored(rels, entry{name: "3D/a.modex", body: []byte("x")}), []byte("3D/a.modex"), []byte("3D/a.mode/"))},
		{"overlap", overlapped()},
		{"an entry inside another", quine()},
		{"a flat bomb", flatBomb(200<<20, 0)},
		{"a flat bomb that lies", flatBomb(200<<20, 1000)},
		{"two wide fields", wide(model, func(w *wideParts) { w.centralExtra = append(w.centralExtra, w.centralExtra...) })},
		{"a wide field that is short", wide(model, func(w *wideParts) { w.centralExtra = le(nil, uint16(1), uint16(8), uint64(size)) })},
		{"a wide size of 2^63", wide(model, func(w *wideParts) { binary.LittleEndian.PutUint64(w.centralExtra[4:], 1<<63) })},
		{"a wide size that lies", wide(model, func(w *wideParts) { binary.LittleEndian.PutUint64(w.centralExtra[4:], 5) })},
		{"a wide place of 2^64-1", wide(model, func(w *wideParts) { w.dir = 1<<64 - 1 })},
		{"a wide count that lies", wide(model, func(w *wideParts) { w.count = 2 })},
		{"a wide count of 2^40", wide(model, func(w *wideParts) { w.count = 1 << 40 })},
		{"a locator that points away", wide(model, func(w *wideParts) { w.locator = 3 })},
		{"another directory in the comment", append(hidden, plain[end:]...)},
	} {
		files = append(files, File{Name: c.name, Class: NoFormat, Body: c.body})
	}
	return files
}

// SoundArchives are archives that look like lies and are none. Not all of them are 3MF.
func SoundArchives() []File {
	rels, model := entry{name: relsName, body: []byte(rootRel)}, entry{name: modelName, body: []byte(cubeModel())}
	plain := stored(model, rels)
	commented := bytes.Clone(plain)
	binary.LittleEndian.PutUint16(commented[bytes.LastIndex(plain, []byte("PK\x05\x06"))+20:], 5)
	return []File{
		{Name: "plain", Body: plain},
		{Name: "with a comment", Body: append(commented, "hello"...)},
		{Name: "with wide fields", Body: wide(model, nil)},
		{Name: "a bomb that is none", Body: flatBomb(1<<20, 0)},
		{Name: "with a folder", Body: archive(rels, model, entry{name: "3D/", method: zip.Store})},
	}
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
	text := bytes.Repeat([]byte{'a'}, 1<<16)
	kernel := deflated(text)
	crc := crc32.ChecksumIEEE(text)
	second, _ := record(nil, nil, modelName, crc, uint32(len(kernel)), 1<<16, 0, kernel)
	header := uint16(localSize + len(modelName))
	quoted := le([]byte{0}, header, ^header)
	packed := uint32(len(quoted) + len(second))
	head, dir := record(nil, nil, relsName, crc, packed, 1<<16+uint32(header), 0, quoted)
	dir = describe(dir, modelName, crc, uint32(len(kernel)), 1<<16, len(head))
	return finish(append(head, second...), dir, 2)
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w := must(flate.NewWriter(&out, 9))
	must(w.Write(b))
	must(0, w.Close())
	return out.Bytes()
}

// quine has an entry whose data holds the header of another.
func quine() []byte {
	inner := stored(entry{name: relsName, body: []byte(rootRel)})
	outer := stored(entry{name: "a", body: inner})
	end := bytes.LastIndex(outer, []byte("PK\x05\x06"))
	central := bytes.LastIndex(outer, []byte("PK\x01\x02"))
	at := bytes.Index(outer, []byte("PK\x03\x04")) + localSize + 1
	dir := bytes.Clone(outer[central:end])
	own := bytes.Clone(inner[bytes.Index(inner, []byte("PK\x01\x02")):bytes.LastIndex(inner, []byte("PK\x05\x06"))])
	binary.LittleEndian.PutUint32(own[42:], uint32(at))
	return finish(bytes.Clone(outer[:central]), append(dir, own...), 2)
}

// flatBomb is half a megabyte or less that holds size bytes, or says that it holds
// lie. It is one piece of zeros again and again, so that it is made quickly.
func flatBomb(size, lie int) []byte {
	zeros := make([]byte, 1<<20)
	var piece bytes.Buffer
	w := must(flate.NewWriter(&piece, 9))
	must(w.Write(zeros))
	must(0, w.Flush()) // ends at a whole byte
	h := crc32.NewIEEE()
	var packed []byte
	for n := 0; n < size; n += len(zeros) {
		packed = append(packed, piece.Bytes()...)
		h.Write(zeros)
	}
	packed = append(packed, 3, 0) // an empty last block
	said := uint32(size)
	if lie != 0 {
		said = uint32(lie)
	}
	b, dir := record(nil, nil, relsName, h.Sum32(), uint32(len(packed)), said, 0, packed)
	return finish(b, dir, 1)
}

// wideParts is what can be changed in an archive with wide fields.
type wideParts struct {
	centralExtra []byte
	count, dir   uint64
	locator      uint64
}

// wide makes an archive of one stored entry with every field in its wide form.
func wide(e entry, change func(*wideParts)) []byte {
	crc, none := crc32.ChecksumIEEE(e.body), uint32(1<<32-1)
	n, name := uint64(len(e.body)), uint16(len(e.name))
	localExtra := le(nil, uint16(1), uint16(16), n, n)
	b := le(nil, uint32(localSignature), uint16(45), uint16(0), uint16(0), uint32(0), crc, none, none, name, uint16(len(localExtra)))
	b = append(append(append(b, e.name...), localExtra...), e.body...)
	w := wideParts{centralExtra: le(nil, uint16(1), uint16(24), n, n, uint64(0)), count: 1, dir: uint64(len(b))}
	dirAt := len(b)
	if change != nil {
		change(&w)
	}
	b = le(b, uint32(centralSignature), uint16(45), uint16(45), uint16(0), uint16(0), uint32(0), crc, none, none,
		name, uint16(len(w.centralExtra)), uint16(0), uint16(0), uint16(0), uint32(0), none)
	b = append(append(b, e.name...), w.centralExtra...)
	rec := len(b)
	if w.locator == 0 {
		w.locator = uint64(rec)
	}
	b = le(b, uint32(end64Signature), uint64(44), uint16(45), uint16(45), uint32(0), uint32(0), w.count, w.count, uint64(rec-dirAt), w.dir)
	b = le(b, uint32(locatorSignature), uint32(0), w.locator, uint32(1))
	return le(b, uint32(endSignature), uint16(0), uint16(0), uint16(0xffff), uint16(0xffff), none, none, uint16(0))
}
