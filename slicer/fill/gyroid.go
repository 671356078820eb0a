package fill

import (
	"slices"

	"platen/hal/unit"
	"platen/slicer/geom"
)

// wave is a scan line that swings: at u it is at f(u) beside a straight one, and it
// repeats itself. f is linear between a few points.
type wave struct {
	period int32
	at     []int32 // points, from 0 up to the period, both included
	f      []int32
	keep   []bool
	stack  []int32
}

// One period of a gyroid is that many line spacings, in thousandths: the average
// length of its lines over one period of its height, in periods, in a square of one
// by one period.
const gyroidPeriod = 2459

// How far a wave's straight pieces may be off its curve, and at how many places that
// is looked at.
const (
	waveTolerance = unit.Millimetre / 50
	waveSamples   = 64
)

// gyroid lays waves: two sets, as every line is crossed upwards by the surface and
// then downwards.
func (h *Hatcher) gyroid(dst *Lines, p Params) {
	period := int64(p.Spacing) * gyroidPeriod / 1000
	period = min(period, int64(maxSpacing))
	z := turn((int64(p.Height)%period + period) % period << 32 / period)
	sinZ, cosZ := z.sinCos()
	along := max(cosZ, -cosZ) >= max(sinZ, -sinZ) // waves run along the angle, else across
	t := turnOf(p.Angle)
	if !along {
		t += quarter
	}
	s, c := t.sinCos()
	h.frame = frame{c, s, one, oblique}
	h.raster = raster{period, int64(p.Phase) % period, one}
	for i := range h.waves {
		h.wave = &h.waves[i]
		h.wave.set(int32(period), sinZ, cosZ, along, i == 0)
		h.scan(dst, p)
	}
	h.wave = nil
}

// set makes the wave of the gyroid at a height, of the lines that go up through the
// surface or of the others.
//
// For lines along x, sin x cos y + cos z sin y = -sin z cos x is solved for y; for
// lines along y, sin z cos x + cos y sin x = -cos z sin y for x, which is then -v.
// Both are a cos w + b sin w = c, and w is the direction of (a, b) plus or minus the
// angle whose cosine is c/√(a²+b²).
func (w *wave) set(period int32, sinZ, cosZ int64, along, up bool) {
	w.period = period
	w.at, w.f = w.at[:0], w.f[:0]
	var last turn
	sum := int64(0)
	for i := range int64(waveSamples + 1) {
		s, c := turn(uint64(i) << 32 / waveSamples).sinCos()
		x, y, z := s, cosZ, -(sinZ * c >> 30)
		if !along {
			x, y, z = sinZ, c, -(cosZ * s >> 30)
		}
		side := direction(root(x*x+y*y-z*z), z)
		if !up {
			side = -side
		}
		at := direction(y, x) + side
		if i == 0 {
			sum = int64(int32(at))
		} else {
			sum += int64(int32(at - last))
		}
		last = at
		v := int32((sum*int64(period) + 1<<31) >> 32)
		if !along {
			v = -v
		}
		w.at = append(w.at, int32(i*int64(period)/waveSamples))
		w.f = append(w.f, v)
	}
	w.thin()
}

// thin leaves out points near the line between those that stay (Douglas and Peucker).
func (w *wave) thin() {
	n := int32(len(w.at))
	w.keep = slices.Grow(w.keep[:0], int(n))[:n]
	clear(w.keep)
	w.keep[0], w.keep[n-1] = true, true
	w.stack = append(w.stack[:0], 0, n-1)
	for len(w.stack) > 0 {
		a, b := w.stack[len(w.stack)-2], w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-2]
		p, q := geom.Point{X: unit.Length(w.at[a]), Y: unit.Length(w.f[a])}, geom.Point{X: unit.Length(w.at[b]), Y: unit.Length(w.f[b])}
		worst, far := int32(-1), int64(distance(p, q)*float64(waveTolerance))
		for i := a + 1; i < b; i++ {
			c := geom.Cross(p, q, geom.Point{X: unit.Length(w.at[i]), Y: unit.Length(w.f[i])})
			if c = max(c, -c); c > far {
				worst, far = i, c
			}
		}
		if worst >= 0 {
			w.keep[worst] = true
			w.stack = append(w.stack, a, worst, worst, b)
		}
	}
	k := 0
	for i := range w.at {
		if w.keep[i] {
			w.at[k], w.f[k] = w.at[i], w.f[i]
			k++
		}
	}
	w.at, w.f = w.at[:k], w.f[:k]
}

// place finds where u is: in the piece from point i of a period that begins at base.
func (w *wave) place(u int32) (base int64, i int) {
	base = int64(u) / int64(w.period) * int64(w.period)
	if base > int64(u) {
		base -= int64(w.period)
	}
	within := int32(int64(u) - base)
	i, found := slices.BinarySearch(w.at, within)
	if !found {
		i--
	}
	return base, min(i, len(w.at)-2)
}

// y is the wave at u, which is in the piece from point i of the period at base.
func (w *wave) y(u int32, base int64, i int) int32 {
	return w.f[i] + int32(divide(int64(w.f[i+1]-w.f[i])*(int64(u)-base-int64(w.at[i])), int64(w.at[i+1]-w.at[i])))
}

// cutWaves lists the cuts with waves, edge by edge. Between two points of the wave,
// seen from the wave, an edge is straight and waves are lines.
func (h *Hatcher) cutWaves() {
	h.loose = h.loose[:0]
	if len(h.rings) == 0 {
		return
	}
	for e := range h.edges[:h.rings[len(h.rings)-1].end] {
		a, b := int32(e), h.next(int32(e))
		if h.u[a] > h.u[b] {
			a, b = b, a
		}
		u, v := h.u[a], h.v[a]
		du, dv := int64(h.u[b])-int64(u), int64(h.v[b])-int64(v)
		base, i := h.wave.place(u)
		from := v - h.wave.y(u, base, i)
		for {
			stop := base + int64(h.wave.at[i+1])
			if stop >= int64(h.u[b]) {
				h.cutPiece(int32(e), u, from, h.u[b], h.v[b]-h.wave.y(h.u[b], base, i))
				break
			}
			at := int32(stop)
			to := v + int32(divide(dv*(stop-int64(h.u[a])), du)) - h.wave.f[i+1]
			h.cutPiece(int32(e), u, from, at, to)
			u, from = at, to
			if i++; i == len(h.wave.at)-1 {
				base, i = base+int64(h.wave.period), 0
			}
		}
	}
}

// cutPiece lists where a piece of an edge, as seen from the wave, crosses lines. A
// point on a line counts as above it.
func (h *Hatcher) cutPiece(e, u0, w0, u1, w1 int32) {
	if w0 > w1 {
		u0, w0, u1, w1 = u1, w1, u0, w0
	}
	line := h.raster.first(w0 + 1)
	for at := h.raster.at(line); at <= w1; at = h.raster.at(line) {
		u := u0 + int32(divide(int64(u1-u0)*int64(at-w0), int64(w1-w0)))
		h.loose = append(h.loose, cut{line, u, e, int32(len(h.loose))})
		line++
	}
}

// waveSpan appends the points of a wave from one cut to the next.
func (h *Hatcher) waveSpan(pts []geom.Point, a, b cut) []geom.Point {
	w, line := h.wave, h.raster.at(a.line)
	base, i := w.place(a.u)
	pts = append(pts, h.frame.back(a.u, line+w.y(a.u, base, i)))
	for {
		stop := base + int64(w.at[i+1])
		if stop >= int64(b.u) {
			break
		}
		if stop > int64(a.u) {
			pts = append(pts, h.frame.back(int32(stop), line+w.f[i+1]))
		}
		if i++; i == len(w.at)-1 {
			base, i = base+int64(w.period), 0
		}
	}
	return append(pts, h.frame.back(b.u, line+w.y(b.u, base, i)))
}
