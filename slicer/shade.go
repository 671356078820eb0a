package slicer

import (
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/support"
)

// outward are sixteen directions, in 1/16384, counter-clockwise.
var outward = [16]geom.Point{
	{X: 16384}, {X: 15137, Y: 6270}, {X: 11585, Y: 11585}, {X: 6270, Y: 15137},
	{Y: 16384}, {X: -6270, Y: 15137}, {X: -11585, Y: 11585}, {X: -15137, Y: 6270},
	{X: -16384}, {X: -15137, Y: -6270}, {X: -11585, Y: -11585}, {X: -6270, Y: -15137},
	{Y: -16384}, {X: 6270, Y: -15137}, {X: 11585, Y: -11585}, {X: 15137, Y: -6270},
}

// shade is a ring around all that a model and its support are as high as the skirt
// around them, so that a skirt of many layers is nowhere in the way of what leans out
// above the first. It is nil for a skirt of one layer.
func shade(m *mesh.Mesh, plan *support.Plan, s Settings) []geom.Point {
	if s.Skirts == 0 && s.Adhesion.SkirtLength == 0 || s.Adhesion.SkirtLayers <= 1 {
		return nil
	}
	b := m.Bounds()
	layers := min(int64(s.Adhesion.SkirtLayers), int64(unit.MaxCoordinate)/int64(max(s.Height, s.Heights.Most, s.Nozzle)))
	top := int64(b.Min.Z) + layers*int64(max(s.Height, s.Heights.Most, s.Nozzle))
	var far [len(outward)]int64
	for i, d := range outward { // of one point of it
		far[i] = along(geom.Point{X: (b.Min.X + b.Max.X) / 2, Y: (b.Min.Y + b.Max.Y) / 2}, d)
	}
	reach := func(p geom.Point, r unit.Length) {
		for i, d := range outward {
			far[i] = max(far[i], along(p, d)+int64(r))
		}
	}
	verts := m.Vertices()
	for _, t := range m.Triangles() {
		if low := min(verts[t[0]].Z, verts[t[1]].Z, verts[t[2]].Z); int64(low) > top {
			continue
		}
		for _, i := range t {
			reach(geom.Point{X: verts[i].X, Y: verts[i].Y}, 0)
		}
	}
	plan.Extent(reach)
	return enclosed(far)
}

// along is how far a point is from the origin in a direction, rounded up.
func along(p, d geom.Point) int64 {
	return (int64(p.X)*int64(d.X)+int64(p.Y)*int64(d.Y))>>14 + 1
}

// enclosed is the ring around all places that are no farther than far in each direction.
func enclosed(far [len(outward)]int64) []geom.Point {
	const most = unit.MaxCoordinate
	ring := []geom.Point{{X: -most, Y: -most}, {X: most, Y: -most}, {X: most, Y: most}, {X: -most, Y: most}}
	for i, d := range outward {
		var kept []geom.Point
		over := func(p geom.Point) int64 { return int64(p.X)*int64(d.X) + int64(p.Y)*int64(d.Y) - far[i]<<14 }
		p := ring[len(ring)-1]
		for _, q := range ring {
			a, b := over(p), over(q)
			if a > 0 != (b > 0) {
				part := float64(a) / float64(a-b)
				kept = append(kept, geom.Point{
					X: p.X + unit.Length(float64(float64(q.X-p.X)*part)), Y: p.Y + unit.Length(float64(float64(q.Y-p.Y)*part)),
				})
			}
			if b <= 0 {
				kept = append(kept, q)
			}
			p = q
		}
		ring = kept
	}
	return ring
}
