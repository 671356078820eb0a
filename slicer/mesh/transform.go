package mesh

import (
	"math"

	"platen/hal/unit"
)

// Ratio is a factor in 1/10000: 10000 leaves a size as it is.
type Ratio int32

// Whole is a factor of one.
const Whole Ratio = 10_000

// Angle is an angle in 1/1000 degree.
type Angle int32

// Degree is one degree.
const Degree Angle = 1000

// Transform is how a model is changed before it is placed: scaled along its axes,
// then turned about X, then Y, then Z, counter-clockwise seen from where the axis
// points to. A factor of 0 is one of Whole.
type Transform struct {
	Scale [3]Ratio
	Turn  [3]Angle
}

// Apply transforms the model. It is ErrOutOfReach if it becomes larger than 16 m.
func (m *Mesh) Apply(t Transform) error {
	move := t.matrix()
	if move == unitMatrix() {
		return nil
	}
	for i, v := range m.verts {
		p := move.apply([3]float64{float64(v.X), float64(v.Y), float64(v.Z)})
		for k := range p {
			p[k] = math.Round(p[k])
			if !(math.Abs(p[k]) <= maxSpan) {
				return ErrOutOfReach
			}
		}
		m.verts[i] = Vertex{unit.Length(p[0]), unit.Length(p[1]), unit.Length(p[2])}
	}
	m.turnItems(&move)
	m.measure()
	return nil
}

// turnItems puts boxes around the transformed boxes of parts.
func (m *Mesh) turnItems(move *matrix) {
	for i, b := range m.items {
		var corners [8]Vertex
		for c := range corners {
			p := [3]float64{float64(b.Min.X), float64(b.Min.Y), float64(b.Min.Z)}
			for k, far := range [...]unit.Length{b.Max.X, b.Max.Y, b.Max.Z} {
				if c>>k&1 == 1 {
					p[k] = float64(far)
				}
			}
			p = move.apply(p)
			for k := range p {
				p[k] = math.Round(max(-maxSpan, min(maxSpan, p[k])))
			}
			corners[c] = Vertex{unit.Length(p[0]), unit.Length(p[1]), unit.Length(p[2])}
		}
		m.items[i] = around(corners[:])
	}
}

// Move moves a placed model sideways. It must stay within ±unit.MaxCoordinate.
func (m *Mesh) Move(dx, dy unit.Length) {
	if dx == 0 && dy == 0 {
		return
	}
	for i, p := range m.verts {
		m.verts[i].X, m.verts[i].Y = shift(p.X, int64(dx)), shift(p.Y, int64(dy))
	}
	for i := range m.items {
		b := &m.items[i]
		b.Min.X, b.Min.Y = shift(b.Min.X, int64(dx)), shift(b.Min.Y, int64(dy))
		b.Max.X, b.Max.Y = shift(b.Max.X, int64(dx)), shift(b.Max.Y, int64(dy))
	}
	for _, p := range []*Vertex{&m.bounds.Min, &m.bounds.Max} {
		p.X, p.Y = p.X+dx, p.Y+dy
	}
}

// matrix is the transform as a map.
func (t Transform) matrix() matrix {
	all := unitMatrix()
	for k, r := range t.Scale {
		if r != 0 {
			all[k][k] = float64(r) / float64(Whole)
		}
	}
	for k, a := range t.Turn {
		sin, cos := a.sincos()
		turn := unitMatrix()
		u, w := (k+1)%3, (k+2)%3
		turn[u][u], turn[u][w] = cos, sin
		turn[w][u], turn[w][w] = -sin, cos
		all = all.then(&turn)
	}
	return all
}

// sincos are exact for whole quarters of a turn, and else rounded to 2^-40, so that
// they are the same on every machine.
func (a Angle) sincos() (sin, cos float64) {
	const quarter = 90 * Degree
	if a%quarter == 0 {
		return float64([4]int{0, 1, 0, -1}[a/quarter&3]), float64([4]int{1, 0, -1, 0}[a/quarter&3])
	}
	sin, cos = math.Sincos(float64(a) / float64(180*Degree) * math.Pi)
	const fine = 1 << 40
	return math.Round(sin*fine) / fine, math.Round(cos*fine) / fine
}
