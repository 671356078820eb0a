package mesh

import "math"

// matrix is an affine map: row vectors, as 3MF has them. Rows 0 to 2 are where the
// axes go, row 3 is where the origin goes.
type matrix [4][3]float64

func unitMatrix() matrix { return matrix{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}} }

// apply maps a point. Every product is rounded by itself, the same on all machines.
func (m *matrix) apply(p [3]float64) (q [3]float64) {
	for k := range q {
		q[k] = float64(p[0]*m[0][k]) + float64(p[1]*m[1][k]) + float64(p[2]*m[2][k]) + m[3][k]
	}
	return q
}

// then is the map that applies m first and n afterwards.
func (m *matrix) then(n *matrix) (out matrix) {
	for i, row := range m {
		for k := range 3 {
			out[i][k] = float64(row[0]*n[0][k]) + float64(row[1]*n[1][k]) + float64(row[2]*n[2][k])
		}
	}
	for k := range 3 {
		out[3][k] += n[3][k]
	}
	return out
}

// determinant is the volume of what a unit cube becomes, negative if mirrored.
func (m *matrix) determinant() float64 {
	d := 0.0
	for k := range 3 {
		u, w := (k+1)%3, (k+2)%3
		minor := float64(m[1][u]*m[2][w]) - float64(m[1][w]*m[2][u])
		d += float64(m[0][k] * minor)
	}
	return d
}

// regular reports whether all numbers are finite and no body becomes flat.
func (m *matrix) regular() bool {
	for _, row := range m {
		for _, x := range row {
			if !(math.Abs(x) <= maxCoordinate*1e6) {
				return false
			}
		}
	}
	d := math.Abs(m.determinant())
	return d > 1e-15 && d < 1e30
}
