package privacy

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// design is a part as a mesh: a binary STL.
type design struct{ stl []byte }

// drawDesign makes a part by chance: a star-shaped outline with lobes, drawn up to a
// height, thinner or thicker towards the top. size is about its width in mm.
func drawDesign(r *rand.Rand, size float64) design {
	const sides = 24
	var wave [4][2]float64
	for i := range wave {
		wave[i] = [2]float64{r.Float64() * 0.18, r.Float64() * 2 * math.Pi}
	}
	radius := size / 2 * (0.7 + 0.6*r.Float64())
	height := size * (0.25 + 0.5*r.Float64())
	top := 0.6 + 0.4*r.Float64()
	ring := func(z, scale float64) (out [sides][3]float64) {
		for i := range sides {
			a := 2 * math.Pi * float64(i) / sides
			rad := 1.0
			for n, w := range wave {
				rad += w[0] * math.Cos(float64(n+2)*a+w[1])
			}
			out[i] = [3]float64{rad * radius * scale * math.Cos(a), rad * radius * scale * math.Sin(a), z}
		}
		return out
	}
	lo, hi := ring(0, 1), ring(height, top)
	var tri [][3][3]float64
	for i := range sides {
		n := (i + 1) % sides
		tri = append(tri, [3][3]float64{lo[i], lo[n], hi[n]}, [3][3]float64{lo[i], hi[n], hi[i]},
			[3][3]float64{{0, 0, 0}, lo[n], lo[i]}, [3][3]float64{{0, 0, height}, hi[i], hi[n]})
	}
	return design{stl: stl(tri)}
}

// stl writes triangles as a binary STL.
func stl(tri [][3][3]float64) []byte {
	var b bytes.Buffer
	b.Write(make([]byte, 80))
	binary.Write(&b, binary.LittleEndian, uint32(len(tri)))
	for _, t := range tri {
		b.Write(make([]byte, 12)) // whoever reads it finds the normals itself
		for _, v := range t {
			for _, x := range v {
				binary.Write(&b, binary.LittleEndian, float32(x))
			}
		}
		b.Write(make([]byte, 2))
	}
	return b.Bytes()
}
