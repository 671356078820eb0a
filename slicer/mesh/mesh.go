// Package mesh reads a model into the vault, repairs it and places it on the bed.
//
// [Load] takes STL and OBJ straight from a reader: triangles are decoded one by one
// from a small buffer that is itself in the vault, and no copy of the file exists
// anywhere. A 3MF file, whose table of contents is at its end, is kept in the vault,
// compressed as it is, until its parts are read; what looks like its model is read while
// it arrives, and counts if the table agrees. Equal corners are made one, exactly.
// [Mesh.Apply] scales and turns the model, [Mesh.Place] drops it onto the bed and
// centres it, after which every coordinate is within ±unit.MaxCoordinate and all
// arithmetic on it is exact.
//
// A surface is closed if every edge runs as often in one direction as in the other.
// One that is not is repaired: see mender, and [Repairs] for what was done. What
// cannot be repaired is left to cutting, which bridges gaps in every layer; what
// encloses nothing is refused with [ErrGeometry]. The other refusals are [ErrFormat],
// [ErrUnsupported], [ErrOutOfReach] and vault.ErrBudget. No error says anything about
// the model beyond that.
//
// Of 3MF there is the core (units, objects, components, transforms, build items) and
// the production extension (other parts); colours and materials are passed over, and
// so are supports and modifiers, which [Mesh.Notes] tells. Parts that are encrypted
// (secure content) are opened by [LoadSecure]. A file that requires any other extension
// is refused, for something would be missing.
package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"platen/hal/unit"
	"platen/slicer/vault"
)

var (
	// ErrFormat reports bytes that are no model, or not the one they are said to be.
	ErrFormat = errors.New("not a model that can be read: export it again as binary STL, OBJ or 3MF")
	// ErrUnsupported reports a file that would be misunderstood without something that
	// this package does not know. It is an ErrFormat as well.
	ErrUnsupported = fmt.Errorf("the file needs what this slicer does not have, so it is %w", ErrFormat)
	// ErrGeometry reports a mesh that encloses nothing that could be printed.
	ErrGeometry = errors.New("the mesh cannot be printed: it is empty, flat or has coordinates that are no numbers")
	// ErrOutOfReach reports a model that is larger than the build volume.
	ErrOutOfReach = errors.New("the model does not fit the build volume: scale it down")
)

// Area is an area in µm².
type Area int64

// MM2 is the area in mm².
func (a Area) MM2() float64 { return float64(a) / 1e6 }

// Vertex is a corner of the mesh in 1/65536 mm.
type Vertex struct{ X, Y, Z unit.Length }

// Box is a box along the axes, both corners included.
type Box struct{ Min, Max Vertex }

// Triangle holds the indices of its corners, counter-clockwise seen from outside.
type Triangle [3]int32

// Repairs counts what was put right while loading and placing.
type Repairs struct {
	Degenerate int  // triangles with two corners at one place, dropped
	Duplicate  int  // copies of another triangle, dropped
	Reversed   bool // the whole surface was inside out and was turned around
	Shells     int  // closed parts of it that were, and are no voids, turned around
	Welded     int  // corners that were made one with another: equal ones, and at open edges those within 10 µm
	Flipped    int  // triangles that faced the other way than those around them, turned around
	Split      int  // corners in the middle of an edge, at which its triangle was divided
	Filled     int  // holes that were closed
	Open       int  // edges that are still open, -1 if there was no room to look; every layer bridges them
}

// Mesh is an indexed triangle mesh in a vault. It is design data. After Place it
// is read only and may be shared.
type Mesh struct {
	verts   []Vertex
	tris    []Triangle
	spare   []Triangle // the room that tris has
	bounds  Box
	items   []Box // around each part of the build
	volume  unit.Volume
	surface Area
	bodies  int
	repairs Repairs
	notes   Notes
	welded  bool // equal corners are one
	vault   *vault.Vault
}

// Vertices returns the corners. They share the vault's memory.
func (m *Mesh) Vertices() []Vertex { return m.verts }

// Triangles returns the triangles. They share the vault's memory.
func (m *Mesh) Triangles() []Triangle { return m.tris }

// Bounds is the smallest box around all triangles.
func (m *Mesh) Bounds() Box { return m.bounds }

// Items are the boxes around each part of a build of several, as 3MF has them; of a
// turned model they may be larger than need be. They share the vault's memory. A
// model that is one part has none.
func (m *Mesh) Items() []Box { return m.items }

// around is the box around corners, of which there is one at least.
func around(verts []Vertex) Box {
	b := Box{verts[0], verts[0]}
	for _, p := range verts[1:] {
		b.Min = Vertex{min(b.Min.X, p.X), min(b.Min.Y, p.Y), min(b.Min.Z, p.Z)}
		b.Max = Vertex{max(b.Max.X, p.X), max(b.Max.Y, p.Y), max(b.Max.Z, p.Z)}
	}
	return b
}

// Volume is what the surface encloses; parts where bodies overlap count twice.
// It is known after Place.
func (m *Mesh) Volume() unit.Volume { return m.volume }

// Surface is the area of the whole surface, inner ones included. It is known after
// Place.
func (m *Mesh) Surface() Area { return m.surface }

// Bodies is the number of closed surfaces that are no voids, 0 if the mesh is in too
// many pieces to say. It is known after Place.
func (m *Mesh) Bodies() int { return m.bodies }

// Repairs tells what was repaired.
func (m *Mesh) Repairs() Repairs { return m.repairs }

// Notes tells what of the file was passed over.
func (m *Mesh) Notes() Notes { return m.notes }

// String says nothing of the model.
func (m *Mesh) String() string { return "mesh" }

// GoString says nothing of the model.
func (m *Mesh) GoString() string { return "mesh" }

// LogValue says nothing of the model.
func (m *Mesh) LogValue() slog.Value { return slog.StringValue("mesh") }

// Place moves the model so that it stands on the floor of volume, in the middle
// of it, and turns its surface around if it is inside out. volume must lie within
// ±unit.MaxCoordinate. It is ErrOutOfReach if the model is larger than volume and
// ErrGeometry if it has no height or width, or its surface encloses nothing.
func (m *Mesh) Place(volume Box) error {
	b := m.bounds
	if len(m.tris) == 0 || b.Min.X >= b.Max.X || b.Min.Y >= b.Max.Y || b.Min.Z >= b.Max.Z {
		return ErrGeometry
	}
	dx, ok1 := centre(b.Min.X, b.Max.X, volume.Min.X, volume.Max.X)
	dy, ok2 := centre(b.Min.Y, b.Max.Y, volume.Min.Y, volume.Max.Y)
	dz := int64(volume.Min.Z) - int64(b.Min.Z)
	if !ok1 || !ok2 || int64(b.Max.Z)+dz > int64(volume.Max.Z) {
		return ErrOutOfReach
	}
	for i, p := range m.verts {
		m.verts[i] = Vertex{shift(p.X, dx), shift(p.Y, dy), shift(p.Z, dz)}
	}
	for i, b := range m.items {
		m.items[i] = Box{
			Vertex{shift(b.Min.X, dx), shift(b.Min.Y, dy), shift(b.Min.Z, dz)},
			Vertex{shift(b.Max.X, dx), shift(b.Max.Y, dy), shift(b.Max.Z, dz)},
		}
	}
	m.bounds = Box{
		Vertex{shift(b.Min.X, dx), shift(b.Min.Y, dy), shift(b.Min.Z, dz)},
		Vertex{shift(b.Max.X, dx), shift(b.Max.Y, dy), shift(b.Max.Z, dz)},
	}
	return m.face()
}

// thinnest is the least mean thickness of a body, 1 µm.
const thinnest = 65536 / 1000

// face turns the surface around if it is inside out, and all of its parts that are,
// and measures it.
func (m *Mesh) face() error {
	six, area := m.measures()
	if six < 0 {
		for i, t := range m.tris {
			m.tris[i] = Triangle{t[0], t[2], t[1]}
		}
		six = -six
		m.repairs.Reversed = true
	}
	if m.repairs.Shells = m.turnShells(); m.repairs.Shells > 0 {
		six, _ = m.measures()
	}
	if area == 0 || m.repairs.Open == 0 && six/3 < thinnest*area {
		return ErrGeometry
	}
	const umPerUnit = 1000.0 / float64(unit.Millimetre)
	m.volume = unit.Volume(math.Round(max(six, 0) / 6 * umPerUnit * umPerUnit * umPerUnit))
	m.surface = Area(math.Round(area * umPerUnit * umPerUnit))
	return nil
}

// centre returns how far to move lo..hi to the middle of from..to, and whether it
// fits there.
func centre(lo, hi, from, to unit.Length) (int64, bool) {
	free := int64(to) - int64(from) - (int64(hi) - int64(lo))
	return int64(from) + free/2 - int64(lo), free >= 0
}

// shift moves a coordinate. Corners of dropped triangles may lie outside the
// bounds and are held at the ends of the range; nothing refers to them.
func shift(c unit.Length, d int64) unit.Length {
	const most = int64(unit.MaxCoordinate)
	return unit.Length(max(-most, min(most, int64(c)+d)))
}

// measures are six times the signed volume in units³, and the area in units².
func (m *Mesh) measures() (six, area float64) {
	o := m.bounds.Min
	for _, t := range m.tris {
		a := m.verts[t[0]]
		n := cross(sub(m.verts[t[1]], a), sub(m.verts[t[2]], a))
		six += sixVolume(sub(a, o), n)
		area += math.Sqrt(length2(n))
	}
	return six, area / 2
}

// sixVolume is six times the signed volume between a triangle and the origin: a is one
// of its corners, n its normal as long as twice its area, which is exact. Products are
// rounded one by one, the same on every machine.
func sixVolume(a, n [3]int64) float64 {
	return float64(float64(a[0])*float64(n[0])) + float64(float64(a[1])*float64(n[1])) + float64(float64(a[2])*float64(n[2]))
}

func cross(a, b [3]int64) [3]int64 {
	return [3]int64{a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]}
}

func sub(a, b Vertex) [3]int64 {
	return [3]int64{int64(a.X) - int64(b.X), int64(a.Y) - int64(b.Y), int64(a.Z) - int64(b.Z)}
}

// add widens the box to hold p.
func (b *Box) add(p Vertex) {
	b.Min = Vertex{min(b.Min.X, p.X), min(b.Min.Y, p.Y), min(b.Min.Z, p.Z)}
	b.Max = Vertex{max(b.Max.X, p.X), max(b.Max.Y, p.Y), max(b.Max.Z, p.Z)}
}
