package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"platen/slicer/markup"
	"platen/slicer/pack"
	"platen/slicer/secure"
	"platen/slicer/vault"
)

// Namespaces of 3MF, by their place in spaces.
const (
	nsCore markup.Space = iota
	nsProduction
	nsMaterial
	nsTriangleSets
	nsSlice
	nsBeams
	nsRelations
	nsSecure
)

// spaces are the names of the namespaces (3MF core 1.4.0, production 1.2, material
// 1.2.1, slice 1.0.2, beam lattice 1.2.0; ECMA-376 part 2; secure content 1.0.3).
var spaces = []string{
	"http://schemas.microsoft.com/3dmanufacturing/core/2015/02",
	"http://schemas.microsoft.com/3dmanufacturing/production/2015/06",
	"http://schemas.microsoft.com/3dmanufacturing/material/2015/02",
	"http://schemas.microsoft.com/3dmanufacturing/trianglesets/2021/07",
	"http://schemas.microsoft.com/3dmanufacturing/slice/2015/07",
	"http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02",
	"http://schemas.openxmlformats.org/package/2006/relationships",
	secure.Namespace,
}

// Types of relationships.
const (
	relModel     = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
	relKeystore  = "http://schemas.microsoft.com/3dmanufacturing/2019/04/keystore"
	relKeyOld    = "http://schemas.microsoft.com/3dmanufacturing/2019/07/keystore"
	relEncrypted = "http://schemas.openxmlformats.org/package/2006/relationships/encryptedfile"
)

// Bounds on what a 3MF file may have.
const (
	mostObjects = 1 << 13
	mostParts   = 1 << 12
	mostNested  = 32      // components within components
	freeMarkup  = 4 << 20 // bytes of XML that need not be of use
	perElement  = 512     // bytes that an element of use may take
)

// tmfReader reads the parts of a 3MF file into the scratch memory of the vault.
type tmfReader struct {
	ctx   context.Context
	v     *vault.Vault
	a     *pack.Archive
	in    *pack.Reader
	x     *markup.Reader
	keys  secure.Keys
	store *secure.Store // nil if nothing is encrypted
	part  int32         // that is being read, 0 for the root model
	scale float64       // mm in a unit of it
	parts []int32       // entries of the parts
	nPart int
	of    []int32 // entry → part+1
	shut  []bool  // entries that relationships say are encrypted

	verts   list[[3]float32] // in mm, before any transform
	tris    list[Triangle]
	objects list[object]
	uses    list[use] // components
	items   list[use]
	table   []int32 // (part, id) → object+1
	seed    [2]uint64
	text    []byte // a path
	notes   Notes

	early pack.Ahead // what was read ahead
	tried bool       // something was
	ahead bool       // to its end
}

// kind is the type of an object.
type kind uint8

const (
	kindModel  kind = iota // printed
	kindHelper             // support or surface: left out
	kindOther              // left out, and never in the build
)

// object is a mesh, or a group of objects.
type object struct {
	id                int32
	part              int32
	kind              kind
	depth             int32
	vert, verts       int32 // in verts
	tri, tris         int32 // in tris; corners count from vert
	use, uses         int32 // in uses
	allTris, allVerts int64 // with everything in it, however often
}

// use is a component or an item of the build.
type use struct {
	object int32 // index, or the id until it is known
	part   int32
	move   matrix
}

// load3MF reads a 3MF file of size bytes. The file itself is in the vault while its
// parts are read, compressed as it is. What looks like the root model is read while the
// file arrives; that counts only if the directory, at the end, agrees with it.
func load3MF(ctx context.Context, v *vault.Vault, src *source, size int64, keys secure.Keys) (*Mesh, error) {
	if size > 1<<31-1 {
		return nil, vault.ErrBudget
	}
	mark := v.Mark()
	file, err := vault.Alloc[byte](v, int(size))
	if err != nil {
		return nil, err
	}
	in := &arrival{src: src, file: file}
	t, err := newTMF(ctx, v, keys)
	if err != nil {
		return nil, err
	}
	t.readAhead(in)
	if err := in.all(); err != nil {
		return nil, err
	}
	again, err := t.readAll(file)
	if again {
		v.ReleaseScratch(mark)
		if t, err = newTMF(ctx, v, keys); err != nil {
			return nil, err
		}
		_, err = t.readAll(file)
	}
	if err != nil {
		return nil, err
	}
	t.a = nil
	v.ReleaseAlloc(mark) // the file; what was read of it is at the other end
	return t.build(mark)
}

// newTMF makes a reader that has read nothing.
func newTMF(ctx context.Context, v *vault.Vault, keys secure.Keys) (t *tmfReader, err error) {
	t = &tmfReader{
		ctx: ctx, v: v, keys: keys, verts: newList[[3]float32](v, 12), tris: newList[Triangle](v, 12),
		seed:    [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1},
		objects: newList[object](v, 6), uses: newList[use](v, 5), items: newList[use](v, 5),
	}
	if t.in, err = pack.NewReader(v); err != nil {
		return nil, err
	}
	if t.x, err = markup.New(v, spaces); err != nil {
		return nil, err
	}
	ints, err := vault.Scratch[int32](v, 2*mostObjects+mostParts)
	if err != nil {
		return nil, err
	}
	t.table, t.parts = ints[:2*mostObjects], ints[2*mostObjects:]
	t.text, err = vault.Scratch[byte](v, 1<<10)
	return t, err
}

// open reads the directory.
func (t *tmfReader) open(file []byte) (err error) {
	if t.a, err = pack.Open(t.v, file); err != nil {
		return tmfError(err)
	}
	if t.of, err = vault.Scratch[int32](t.v, t.a.Len()); err != nil {
		return err
	}
	t.shut, err = vault.Scratch[bool](t.v, t.a.Len())
	return err
}

// tmfError makes what is wrong with an archive or its XML an ErrFormat.
func tmfError(err error) error {
	if errors.Is(err, pack.ErrFormat) || errors.Is(err, markup.ErrFormat) || errors.Is(err, secure.ErrFormat) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// readAll finds the root model, and reads it and the parts that it names. If something
// was read ahead that is not the root model, or not to its end, all must be read again
// by another reader.
func (t *tmfReader) readAll(file []byte) (again bool, err error) {
	if t.tried && !t.ahead {
		return true, nil
	}
	if err := t.open(file); err != nil {
		return false, err
	}
	root, err := t.findRoot()
	if err != nil {
		return false, tmfError(err)
	}
	if t.ahead && !t.early.Is(t.a, root) {
		return true, nil
	}
	if _, err := t.addPart(root); err != nil {
		return false, err
	}
	for i := 0; i < t.nPart; i++ {
		if i == 0 && t.ahead {
			continue
		}
		t.part = int32(i)
		if err := t.beginModel(int(t.parts[i])); err != nil {
			return false, tmfError(err)
		}
		if err := t.model(); err != nil {
			return false, tmfError(err)
		}
	}
	return false, tmfError(t.settings())
}

// begin starts to read an entry.
func (t *tmfReader) begin(entry int) error {
	t.in.Reset(t.a, entry)
	return t.x.Reset(ctxReader{t.ctx, t.in}, freeMarkup)
}

// ctxReader ends when its context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads unless the context has ended.
func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// addPart notes that an entry is a model part and returns its number.
func (t *tmfReader) addPart(entry int) (int32, error) {
	if t.of[entry] == 0 {
		if t.nPart == mostParts {
			return 0, ErrFormat
		}
		t.parts[t.nPart] = int32(entry)
		t.nPart++
		t.of[entry] = int32(t.nPart)
	}
	return t.of[entry] - 1, nil
}

// find returns the entry that a target or path names, or -1.
func (t *tmfReader) find(value []byte) int {
	path, ok := markup.Text(t.text[:0], value)
	if !ok || t.a == nil { // what is read ahead cannot name another part
		return -1
	}
	return t.a.Find(path)
}

// document reads a whole document with the given root, whose attributes head takes
// and whose children f.
func (t *tmfReader) document(name string, s markup.Space, head, f func() error) error {
	if e, err := t.x.Next(); err != nil {
		return err
	} else if e != markup.Start || !t.x.Is(s, name) {
		return ErrFormat
	}
	if head != nil {
		if err := head(); err != nil {
			return err
		}
	}
	if err := t.children(f); err != nil {
		return err
	}
	if _, err := t.x.Next(); err != nil { // nothing may follow the root
		return err
	}
	return nil
}

// children calls f for every element in the one that began; f must read all of it.
func (t *tmfReader) children(f func() error) error {
	if t.x.Empty() {
		return nil
	}
	for {
		e, err := t.x.Next()
		if err != nil {
			return err
		}
		if e == markup.End {
			return nil
		}
		if err := f(); err != nil {
			return err
		}
	}
}

func unsupported(why string) error { return fmt.Errorf("%w (%s)", ErrUnsupported, why) }
