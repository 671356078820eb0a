package mesh

import (
	"bytes"
	"math"

	"platen/slicer/markup"
	"platen/slicer/vault"
)

// units are the lengths of units in mm (3MF core 1.4.0, 3.4).
var units = []struct {
	name string
	mm   float64
}{{"millimeter", 1}, {"micron", 0.001}, {"centimeter", 10}, {"inch", 25.4}, {"foot", 304.8}, {"meter", 1000}}

// model reads a model part.
func (t *tmfReader) model() error {
	resources, build := 0, 0
	err := t.document("model", nsCore, t.head, func() error {
		switch {
		case t.x.Is(nsCore, "resources"):
			resources++
			return t.children(t.resource)
		case t.x.Is(nsCore, "build") && t.part == 0:
			build++
			return t.children(t.item)
		}
		return t.x.Skip()
	})
	if err == nil && (resources != 1 || build != 1 && t.part == 0) {
		err = ErrFormat
	}
	return err
}

// head reads the attributes of a model: its unit, and the extensions without which
// it would be misunderstood.
func (t *tmfReader) head() error {
	t.scale = 1
	if unit, ok := t.x.Get(markup.NoSpace, "unit"); ok {
		t.scale = 0
		for _, u := range units {
			if string(unit) == u.name {
				t.scale = u.mm
			}
		}
		if t.scale == 0 {
			return ErrFormat
		}
	}
	needed, _ := t.x.Get(markup.NoSpace, "requiredextensions")
	for _, prefix := range bytes.Fields(needed) {
		switch t.x.Prefix(prefix) {
		case nsCore, nsProduction, nsMaterial, nsTriangleSets, nsSecure:
		case nsSlice:
			return unsupported("it needs slice data")
		case nsBeams:
			return unsupported("it needs beam lattices")
		default:
			return unsupported("it needs an extension of 3MF that is not known here")
		}
	}
	return nil
}

// resource reads what is defined in a model: objects; the rest is colour.
func (t *tmfReader) resource() error {
	if t.x.Is(nsCore, "object") {
		return t.object()
	}
	if _, s := t.x.Name(); s == nsCore || s == nsMaterial {
		t.notes |= NoteMaterials
	}
	return t.x.Skip()
}

// object reads an object.
func (t *tmfReader) object() error {
	t.x.Allow(perElement)
	o, err := t.objectHead()
	if err != nil {
		return err
	}
	bodies := 0
	err = t.children(func() error {
		switch {
		case t.x.Is(nsCore, "mesh"):
			bodies++
			return t.mesh(&o)
		case t.x.Is(nsCore, "components"):
			bodies++
			return t.children(func() error { return t.component(&o) })
		}
		return t.x.Skip()
	})
	if err != nil {
		return err
	}
	if bodies != 1 {
		return ErrFormat
	}
	o.uses = int32(t.uses.n) - o.use
	at := t.slot(o.part, o.id)
	if t.table[at] != 0 {
		return ErrFormat // the same id twice
	}
	if err := t.objects.add(o); err != nil {
		return err
	}
	t.table[at] = int32(t.objects.n)
	return nil
}

// objectHead reads the attributes of an object.
func (t *tmfReader) objectHead() (o object, err error) {
	o = object{part: t.part, vert: int32(t.verts.n), tri: int32(t.tris.n), use: int32(t.uses.n)}
	id, _ := t.x.Get(markup.NoSpace, "id")
	var ok bool
	if o.id, ok = whole(id); !ok || o.id == 0 || t.objects.n == mostObjects {
		return o, ErrFormat
	}
	if kind, ok := t.x.Get(markup.NoSpace, "type"); ok {
		switch string(kind) {
		case "model", "solidsupport":
		case "support", "surface":
			o.kind = kindHelper
		case "other":
			o.kind = kindOther
		default:
			return o, ErrFormat
		}
	}
	if _, ok := t.x.Get(markup.NoSpace, "pid"); ok {
		t.notes |= NoteMaterials
	}
	if _, ok := t.x.Get(nsSlice, "slicestackid"); ok {
		t.notes |= NoteSlices
	}
	return o, nil
}

// slot is where an object is in the table, or the free slot where it belongs. The
// hash is seeded, so that no file can be made to collide.
func (t *tmfReader) slot(part, id int32) int {
	mask := len(t.table) - 1
	at := int((uint64(uint32(part))*t.seed[0]+uint64(uint32(id))*t.seed[1])>>40) & mask
	for ; t.table[at] != 0; at = (at + 1) & mask {
		if o := t.objects.at(int(t.table[at] - 1)); o.part == part && o.id == id {
			break
		}
	}
	return at
}

// mesh reads vertices, then triangles.
func (t *tmfReader) mesh(o *object) error {
	stage := 0
	return t.children(func() error {
		switch {
		case t.x.Is(nsCore, "vertices") && stage == 0:
			stage = 1
			err := t.children(t.vertex)
			o.verts = int32(t.verts.n) - o.vert
			return err
		case t.x.Is(nsCore, "triangles") && stage == 1:
			stage = 2
			err := t.children(func() error { return t.triangle(o.verts) })
			o.tris = int32(t.tris.n) - o.tri
			return err
		case t.x.Is(nsCore, "vertices"), t.x.Is(nsCore, "triangles"):
			return ErrFormat
		case t.x.Is(nsBeams, "beamlattice"):
			t.notes |= NoteLattice
		}
		return t.x.Skip()
	})
}

func (t *tmfReader) vertex() error {
	if !t.x.Is(nsCore, "vertex") {
		return t.x.Skip()
	}
	t.x.Allow(perElement)
	var p [3]float32
	seen := 0
	for i := range t.x.Attrs() {
		name, s, value := t.x.Attr(i)
		if s != markup.NoSpace || len(name) != 1 || name[0] < 'x' || name[0] > 'z' {
			continue
		}
		f, ok := decimal(value)
		if f *= t.scale; !ok || math.Abs(f) > maxCoordinate*1e6 {
			return ErrFormat
		}
		p[name[0]-'x'] = float32(f)
		seen++
	}
	if seen != 3 || t.verts.n == maxFacets {
		return ErrFormat
	}
	if err := t.verts.add(p); err != nil {
		return err
	}
	return t.x.Skip()
}

func (t *tmfReader) triangle(verts int32) error {
	if !t.x.Is(nsCore, "triangle") {
		return t.x.Skip()
	}
	t.x.Allow(perElement)
	var c Triangle
	seen := 0
	for i := range t.x.Attrs() {
		name, s, value := t.x.Attr(i)
		switch {
		case s == markup.NoSpace && len(name) == 2 && name[0] == 'v' && '1' <= name[1] && name[1] <= '3':
			n, ok := whole(value)
			if !ok || n >= verts {
				return ErrFormat
			}
			c[name[1]-'1'] = n
			seen++
		case s == markup.NoSpace && string(name) == "pid":
			t.notes |= NoteMaterials
		}
	}
	if seen != 3 || t.tris.n == maxFacets {
		return ErrFormat
	}
	if err := t.tris.add(c); err != nil {
		return err
	}
	return t.x.Skip()
}

// component reads a reference to an object that was defined before, or that is in
// another part.
func (t *tmfReader) component(o *object) error {
	if !t.x.Is(nsCore, "component") {
		return t.x.Skip()
	}
	u, err := t.reference()
	if err != nil {
		return err
	}
	if u.part == o.part {
		if u.object = t.table[t.slot(u.part, u.object)] - 1; u.object < 0 {
			return ErrFormat // also where an object would hold itself
		}
	}
	if t.uses.n == maxFacets {
		return vault.ErrBudget
	}
	return t.uses.add(u)
}

// item reads what is to be printed.
func (t *tmfReader) item() error {
	if !t.x.Is(nsCore, "item") {
		return t.x.Skip()
	}
	printable, ok := t.x.Get(markup.NoSpace, "printable")
	u, err := t.reference()
	if err != nil {
		return err
	}
	if ok && string(printable) == "0" {
		t.notes |= NoteNotPrinted
		return nil
	}
	if t.items.n == maxFacets {
		return vault.ErrBudget
	}
	return t.items.add(u)
}

// reference reads the attributes of a component or an item, and passes over it.
func (t *tmfReader) reference() (u use, err error) {
	t.x.Allow(perElement)
	u = use{part: t.part, move: unitMatrix()}
	id, _ := t.x.Get(markup.NoSpace, "objectid")
	var ok bool
	if u.object, ok = whole(id); !ok || u.object == 0 {
		return u, ErrFormat
	}
	if value, ok := t.x.Get(markup.NoSpace, "transform"); ok {
		if u.move, ok = parseMatrix(value); !ok {
			return u, ErrFormat
		}
		for k := range 3 {
			u.move[3][k] *= t.scale
		}
		if !u.move.regular() {
			return u, ErrGeometry
		}
	}
	if path, ok := t.x.Get(nsProduction, "path"); ok {
		entry := t.find(path)
		if entry < 0 || t.part != 0 || len(path) == 0 || path[0] != '/' {
			return u, ErrFormat // only the root model may refer to other parts
		}
		if u.part, err = t.addPart(entry); err != nil {
			return u, err
		}
	}
	return u, t.x.Skip()
}

// parseMatrix reads twelve numbers, row by row.
func parseMatrix(value []byte) (m matrix, ok bool) {
	n := 0
	for len(value) > 0 {
		if isSpace(value[0]) {
			value = value[1:]
			continue
		}
		end := bytes.IndexAny(value, " \t\r\n")
		if end < 0 {
			end = len(value)
		}
		f, ok := decimal(value[:end])
		if !ok || n == 12 {
			return m, false
		}
		m[n/3][n%3] = f
		n++
		value = value[end:]
	}
	return m, n == 12
}
