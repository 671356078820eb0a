package solids

import (
	"math/rand/v2"

	"platen/hal/unit"
)

// Broken damages a body as files from the wild are, the same way for the same seed:
// one triangle of a hundred is missing, three are inside out, one is there twice,
// two have a corner in the middle of a neighbour's edge, one corner is a little off,
// and there is one hole of two dozen triangles.
func Broken(s Soup, seed uint64) Soup {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var out Soup
	for _, t := range s {
		switch n := rnd.IntN(100); {
		case n < 1:
		case n < 4:
			out = append(out, [3]Point{t[0], t[2], t[1]})
		case n < 5:
			out = append(out, t, t)
		case n < 7:
			m := Point{(t[0].X + t[1].X) / 2, (t[0].Y + t[1].Y) / 2, (t[0].Z + t[1].Z) / 2}
			m.X, m.Y, m.Z = m.X-m.X%grid, m.Y-m.Y%grid, m.Z-m.Z%grid
			out = out.proper([3]Point{t[0], m, t[2]}).proper([3]Point{m, t[1], t[2]})
		case n < 8:
			off := func(c unit.Length) unit.Length { return c + unit.Length(rnd.IntN(9)-4)*grid }
			t[0] = Point{off(t[0].X), off(t[0].Y), off(t[0].Z)}
			out = out.proper(t)
		default:
			out = append(out, t)
		}
	}
	at := len(out) / 2
	return append(out[:at], out[min(at+24, len(out)):]...)
}
