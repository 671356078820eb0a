package mesh

import (
	"math"

	"platen/slicer/vault"
)

const (
	// mostEars is the most corners of a polygon that is cut ear by ear; a larger one
	// becomes a fan, which encloses the same.
	mostEars = 32
	// earWork bounds the comparisons for all polygons of a file together.
	earWork = 1 << 26
)

// polygon cuts polygons into triangles. A flat one becomes triangles that cover it
// once, whatever its shape; of one that is not, any triangles between its corners
// will do.
type polygon struct {
	flat []flatPoint
	work int
}

// flatPoint is a corner in the plane that the polygon is nearest to.
type flatPoint struct {
	x, y float64
	at   int32
}

func (p *polygon) init(v *vault.Vault) (err error) {
	p.flat, err = vault.Scratch[flatPoint](v, mostEars)
	return err
}

// cut hands the triangles of a polygon to emit.
func (p *polygon) cut(verts []Vertex, corners []int32, emit func(Triangle) error) error {
	if n := len(corners); n > 3 && n <= mostEars && p.work < earWork {
		return p.ears(verts, corners, emit)
	}
	for i := 1; i+1 < len(corners); i++ {
		if err := emit(Triangle{corners[0], corners[i], corners[i+1]}); err != nil {
			return err
		}
	}
	return nil
}

// ears cuts off one corner after the other that nothing lies behind.
func (p *polygon) ears(verts []Vertex, corners []int32, emit func(Triangle) error) error {
	left := p.flatten(verts, corners)
	for len(left) > 3 {
		i := p.ear(left)
		n := len(left)
		if err := emit(Triangle{left[(i+n-1)%n].at, left[i].at, left[(i+1)%n].at}); err != nil {
			return err
		}
		left = append(left[:i], left[i+1:]...)
	}
	return emit(Triangle{left[0].at, left[1].at, left[2].at})
}

// flatten projects the corners along the axis that their normal is nearest to
// (Newell), so that the polygon runs counter-clockwise.
func (p *polygon) flatten(verts []Vertex, corners []int32) []flatPoint {
	var n [3]float64
	o := verts[corners[0]]
	for i, c := range corners {
		a, b := sub(verts[c], o), sub(verts[corners[(i+1)%len(corners)]], o)
		for k := range n {
			u, w := (k+1)%3, (k+2)%3
			n[k] += float64(float64(a[u])*float64(b[w])) - float64(float64(a[w])*float64(b[u]))
		}
	}
	axis := 0
	for k := range n {
		if math.Abs(n[k]) > math.Abs(n[axis]) {
			axis = k
		}
	}
	u, w := (axis+1)%3, (axis+2)%3
	if n[axis] < 0 {
		u, w = w, u
	}
	out := p.flat[:0]
	for _, c := range corners {
		d := sub(verts[c], o)
		out = append(out, flatPoint{float64(d[u]), float64(d[w]), c})
	}
	return out
}

// ear returns the first corner that can be cut off, or 0 if there is none, as where
// a polygon crosses itself.
func (p *polygon) ear(left []flatPoint) int {
	n := len(left)
	for i := range left {
		a, b, c := left[(i+n-1)%n], left[i], left[(i+1)%n]
		if turn(a, b, c) <= 0 {
			continue
		}
		free := true
		for k := 2; k < n-1 && free; k++ {
			p.work++
			q := left[(i+k)%n]
			free = turn(a, b, q) < 0 || turn(b, c, q) < 0 || turn(c, a, q) < 0 ||
				q.at == a.at || q.at == b.at || q.at == c.at
		}
		if free {
			return i
		}
	}
	return 0
}

// turn is positive if the way from a by b to c turns left.
func turn(a, b, c flatPoint) float64 {
	return float64((b.x-a.x)*(c.y-a.y)) - float64((b.y-a.y)*(c.x-a.x))
}
