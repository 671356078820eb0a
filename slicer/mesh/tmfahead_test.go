package mesh

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"platen/slicer/internal/solids"
)

// known3MF makes a package whose headers say how long the parts are, so that they can be
// read before the directory is there.
func known3MF(t testing.TB, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, p := range parts {
		var body bytes.Buffer
		d, err := flate.NewWriter(&body, flate.HuffmanOnly) // long even of a small model
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(d, p.text)
		d.Close()
		f, err := w.CreateRaw(&zip.FileHeader{
			Name: p.name, Method: zip.Deflate, CRC32: crc32.ChecksumIEEE([]byte(p.text)),
			CompressedSize64: uint64(body.Len()), UncompressedSize64: uint64(len(p.text)),
		})
		if err != nil {
			t.Fatal(err)
		}
		f.Write(body.Bytes())
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is read ahead changes nothing: neither the model nor whether there is one,
// whatever the order of the parts, and whatever is wrong with them.
func TestReadAheadIsTheSame(t *testing.T) {
	rels := part{"_rels/.rels", rootRel}
	model := part{"3D/3dmodel.model", model3MF(solids.Tug())}
	other := part{"3D/other.model", model3MF(solids.Cube())}
	named := part{model.name, modelXML(`requiredextensions="p"`, `<object id="1"><components><component objectid="1" p:path="/3D/other.model"/></components></object>`, `<item objectid="1"/>`)}
	broken := part{"3D/a.model", strings.Replace(other.text, "</triangles>", "</triangle>", 1)}
	for name, parts := range map[string][]part{
		"last": {rels, model}, "first": {model, rels}, "another first": {other, rels, model}, "another last": {model, rels, other},
		"that names another": {named, other, rels}, "after the one that it names": {other, named, rels}, "broken before": {broken, rels, model},
		"broken": {part{model.name, broken.text}, rels}, "nowhere": {other, rels}, "no relationships": {model},
	} {
		want, wantErr := place3MF(t, pack3MF(t, parts...))
		file := known3MF(t, parts...)
		for _, r := range []io.Reader{bytes.NewReader(file), iotest.OneByteReader(bytes.NewReader(file))} {
			m, err := Load(context.Background(), newVault(t, 16<<20), r, int64(len(file)), Detect)
			if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, ErrFormat) {
				t.Fatalf("%s: %v, and %v from a file that is not read ahead", name, err, wantErr)
			}
			if err == nil && (!slices.Equal(m.Triangles(), want.Triangles()) || m.Bounds().Max.X-m.Bounds().Min.X != want.Bounds().Max.X-want.Bounds().Min.X) {
				t.Errorf("%s: it is another model", name)
			}
		}
	}
}

// A package whose directory disagrees with what was read ahead is refused.
func TestReadAheadIsHeldAgainstTheDirectory(t *testing.T) {
	file := known3MF(t, part{"3D/3dmodel.model", model3MF(solids.Cube())}, part{"_rels/.rels", rootRel})
	if _, err := place3MF(t, file); err != nil {
		t.Fatalf("control: %v", err)
	}
	at := bytes.Index(file, []byte("PK\x01\x02"))
	for _, field := range []int{16, 20, 24} { // checksum, and both sizes
		wrong := slices.Clone(file)
		wrong[at+field]++
		if _, err := place3MF(t, wrong); !errors.Is(err, ErrFormat) {
			t.Errorf("field %d: %v", field, err)
		}
	}
}

// The model is read while it arrives: most of the file is enough for many corners, and
// all but the directory for the whole. The control is a file whose headers do not say
// how long its parts are.
func TestReadAhead(t *testing.T) {
	model := part{"3D/3dmodel.model", model3MF(solids.Sphere(solids.Point{}, 20*mm, 120))}
	rels := part{"_rels/.rels", rootRel}
	ahead := func(file []byte, arrives int) (*tmfReader, *arrival) {
		v := newVault(t, 64<<20)
		tmf, err := newTMF(context.Background(), v, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := &arrival{file: make([]byte, len(file)), src: &source{
			ctx: context.Background(), r: bytes.NewReader(file[:arrives]), buf: make([]byte, 1<<12), left: int64(len(file)),
		}}
		tmf.readAhead(a)
		return tmf, a
	}
	file := known3MF(t, model, rels, part{"Metadata/much.txt", strings.Repeat("more ", 1<<12)})
	whole, a := ahead(file, len(file))
	if !whole.ahead || whole.tris.n == 0 || a.n == len(file) {
		t.Errorf("of %d bytes, %d were needed for %d triangles", len(file), a.n, whole.tris.n)
	}
	if most, _ := ahead(file, len(file)*3/4); most.ahead || most.verts.n == 0 || most.verts.n > whole.verts.n {
		t.Errorf("%d corners from most of it, of %d in %d bytes", most.verts.n, whole.verts.n, len(file))
	}
	other := pack3MF(t, model, rels)
	if unknown, _ := ahead(other, len(other)*3/4); unknown.tried || unknown.verts.n != 0 {
		t.Errorf("control: %d corners of a part of unknown length", unknown.verts.n)
	}
}
