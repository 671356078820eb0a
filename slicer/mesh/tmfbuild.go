package mesh

import (
	"bytes"

	"platen/slicer/markup"
	"platen/slicer/vault"
)

// build puts everything together that is to be printed. What mark notes as free at
// the high end is given back as soon as the objects are not needed any more.
func (t *tmfReader) build(mark vault.Mark) (*Mesh, error) {
	if err := t.resolve(); err != nil {
		return nil, err
	}
	var tris, verts int64
	for i := range t.items.n {
		u := t.items.at(i)
		o := t.objects.at(int(u.object))
		if o.kind == kindOther {
			return nil, ErrFormat
		}
		tris, verts = capped(tris+o.allTris), capped(verts+o.allVerts)
	}
	switch {
	case tris > maxFacets || verts > maxFacets:
		return nil, vault.ErrBudget
	case tris == 0:
		return nil, ErrGeometry
	}
	b := &builder{t: t}
	var err error
	if b.verts, err = vault.Alloc[Vertex](t.v, int(verts)); err != nil {
		return nil, err
	}
	if b.tris, err = vault.Alloc[Triangle](t.v, withSpare(int(tris))); err != nil {
		return nil, err
	}
	boxes, err := vault.Alloc[Box](t.v, min(t.items.n, mostItems))
	if err != nil {
		return nil, err
	}
	n := 0
	for i := range t.items.n {
		u, first := t.items.at(i), b.nv
		if err := b.object(int(u.object), &u.move); err != nil {
			return nil, err
		}
		if b.nv > first && n < len(boxes) {
			boxes[n] = around(b.verts[first:b.nv])
			n++
		}
	}
	t.v.ReleaseScratch(mark)
	m, err := assemble(t.v, b.verts[:b.nv], b.tris, b.nt, t.notes)
	if err == nil {
		m.items = boxes[:n]
	}
	return m, err
}

// mostItems bounds the parts of a build that are told apart.
const mostItems = 1024

// capped bounds a count, so that sums of counts cannot overflow.
func capped(n int64) int64 { return min(n, maxFacets+1) }

// resolve finds the objects that components and items name, and what every object
// comes to. Only the root model refers to other parts, and within a part only to
// what was before: the other parts are counted first, then the root.
func (t *tmfReader) resolve() error {
	own := 0
	for own < t.objects.n && t.objects.at(own).part == 0 {
		own++
	}
	for i := own; i < t.objects.n; i++ {
		if err := t.count(t.objects.at(i)); err != nil {
			return err
		}
	}
	for i := range own {
		if err := t.count(t.objects.at(i)); err != nil {
			return err
		}
	}
	for i := range t.items.n {
		u := t.items.at(i)
		u.object = t.table[t.slot(u.part, u.object)] - 1
		if u.object < 0 {
			return ErrFormat
		}
	}
	return nil
}

// count sums up what an object consists of.
func (t *tmfReader) count(o *object) error {
	if o.kind != kindModel {
		if o.tris > 0 || o.uses > 0 {
			t.notes |= NoteHelpers
		}
		o.depth = 1
	} else {
		o.allTris, o.allVerts, o.depth = int64(o.tris), int64(o.verts), 1
	}
	for i := o.use; i < o.use+o.uses; i++ {
		u := t.uses.at(int(i))
		if u.part != o.part {
			if u.object = t.table[t.slot(u.part, u.object)] - 1; u.object < 0 {
				return ErrFormat
			}
		}
		of := t.objects.at(int(u.object))
		if o.depth = max(o.depth, of.depth+1); o.depth > mostNested {
			return ErrFormat
		}
		if o.kind == kindModel {
			o.allTris, o.allVerts = capped(o.allTris+of.allTris), capped(o.allVerts+of.allVerts)
		}
	}
	return nil
}

// builder collects the bodies of the build.
type builder struct {
	t      *tmfReader
	verts  []Vertex
	tris   []Triangle
	nv, nt int
	place  placing
}

// object adds all that an object consists of, moved. Objects without triangles are
// not gone into, so that the work is bounded by what there is room for.
func (b *builder) object(i int, move *matrix) error {
	o := b.t.objects.at(i)
	if o.allTris == 0 {
		return nil
	}
	for k := o.use; k < o.use+o.uses; k++ {
		u := b.t.uses.at(int(k))
		m := u.move.then(move)
		if err := b.object(int(u.object), &m); err != nil {
			return err
		}
	}
	if o.tris == 0 {
		return nil
	}
	if !move.regular() {
		return ErrGeometry
	}
	base := int32(b.nv)
	for k := o.vert; k < o.vert+o.verts; k++ {
		p := b.t.verts.at(int(k))
		q := move.apply([3]float64{float64(p[0]), float64(p[1]), float64(p[2])})
		var err error
		if b.verts[b.nv], err = b.place.vertex(&q); err != nil {
			return err
		}
		b.nv++
	}
	mirrored := move.determinant() < 0 // the outside stays outside
	for k := o.tri; k < o.tri+o.tris; k++ {
		c := b.t.tris.at(int(k))
		if c[0] == leftOut {
			continue
		}
		out := Triangle{c[0] + base, c[1] + base, c[2] + base}
		if mirrored {
			out[1], out[2] = out[2], out[1]
		}
		b.tris[b.nt] = out
		b.nt++
	}
	return nil
}

// leftOut stands in the first corner of a triangle that is not printed.
const leftOut = -1

// What desktop slicers write beside the model, and in which parts of a body may be
// something else than a body.
var settingFiles = []string{"Metadata/Slic3r_PE_model.config", "Metadata/model_settings.config"}

// settings reads which parts of objects other slicers do not print as they are:
// modifiers are left out, and what would be cut out of the model is refused, for it
// would be missing.
func (t *tmfReader) settings() error {
	t.part = 0
	for _, name := range settingFiles {
		entry := t.a.Find([]byte(name))
		if entry < 0 {
			continue
		}
		if err := t.begin(entry); err != nil {
			return err
		}
		if err := t.document("config", markup.NoSpace, nil, t.settingsOfObject); err != nil {
			return err
		}
	}
	return nil
}

func (t *tmfReader) settingsOfObject() error {
	if !t.x.Is(markup.NoSpace, "object") {
		return t.x.Skip()
	}
	value, _ := t.x.Get(markup.NoSpace, "id")
	id, ok := whole(value)
	at := int32(-1)
	if ok {
		at = t.table[t.slot(0, id)] - 1
	}
	return t.children(func() error {
		t.x.Allow(perElement)
		switch {
		case t.x.Is(markup.NoSpace, "part"): // as Bambu Studio and OrcaSlicer write it
			if kind, _ := t.x.Get(markup.NoSpace, "subtype"); string(kind) == "negative_part" {
				return unsupported("parts of it are to be cut out of others")
			}
		case t.x.Is(markup.NoSpace, "volume") && at >= 0: // as PrusaSlicer does
			return t.settingsOfVolume(t.objects.at(int(at)))
		}
		return t.skip()
	})
}

// skip passes over an element and allows for what is in it.
func (t *tmfReader) skip() error {
	return t.children(func() error {
		t.x.Allow(perElement)
		return t.skip()
	})
}

// settingsOfVolume reads what a range of the triangles of an object is.
func (t *tmfReader) settingsOfVolume(o *object) error {
	a, _ := t.x.Get(markup.NoSpace, "firstid")
	b, _ := t.x.Get(markup.NoSpace, "lastid")
	first, ok1 := whole(a)
	last, ok2 := whole(b)
	leave := false
	err := t.children(func() error {
		t.x.Allow(perElement)
		key, _ := t.x.Get(markup.NoSpace, "key")
		value, _ := t.x.Get(markup.NoSpace, "value")
		switch {
		case string(key) == "volume_type" && string(value) == "NegativeVolume":
			return unsupported("parts of it are to be cut out of others")
		case string(key) == "volume_type" && string(value) != "ModelPart",
			string(key) == "modifier" && bytes.Equal(value, []byte("1")):
			leave = true
		}
		return t.skip()
	})
	if err != nil || !leave {
		return err
	}
	if !ok1 || !ok2 || first > last || last >= o.tris {
		return ErrFormat
	}
	for i := first; i <= last; i++ {
		t.tris.at(int(o.tri + i))[0] = leftOut
	}
	t.notes |= NoteHelpers
	return nil
}
