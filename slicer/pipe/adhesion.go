package pipe

import (
	"errors"
	"math"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/fill"
	"platen/slicer/geom"
	"platen/slicer/mesh"
)

// Brim says where lines lie around the first layer that hold it down.
type Brim uint8

// The places of brims.
const (
	BrimOff   Brim = iota
	BrimOuter      // around the part
	BrimInner      // in its holes
	BrimBoth
	BrimEars // at sharp corners
)

// Adhesion says what holds the part on the bed, and what fills the nozzle before it.
// Whether there is room for it is for whoever asks.
type Adhesion struct {
	SkirtLayers int          // that have a skirt; 0 is one
	Shade       []geom.Point // what skirts of several layers must stay outside of, for the first copy
	SkirtLine   int64        // there are as many skirts as make a line of this length, in 1/65536 mm
	Brim        Brim
	BrimWidth   unit.Length // of all its lines, or the radius of ears
	BrimGap     unit.Length // between it and the part
	EarAngle    mesh.Angle  // corners sharper than this have ears
	Raft        Raft
}

// mostSkirts bounds the skirts that a length asks for.
const mostSkirts = 50

// lowest is the index of the first layer there is.
func (p Params) lowest() int { return -p.Adhesion.Raft.Layers }

// skirted reports whether a layer has a skirt.
func (p Params) skirted(index int) bool {
	a := p.Adhesion
	return (p.Skirts > 0 || a.SkirtLine > 0) && index < p.lowest()+max(a.SkirtLayers, 1)
}

// adhesion makes what holds the part on the bed.
func (w *worker) adhesion(l *Layer) error {
	if l.Index == 0 && w.p.Adhesion.Brim != BrimOff {
		if err := w.brim(l); err != nil {
			return err
		}
	}
	if w.p.skirted(l.Index) {
		return w.skirt(l)
	}
	return nil
}

// skirt lays lines around all that stands on the bed. A line that would leave the
// volume, or that a model in very many pieces makes too hard to find, is left out.
func (w *worker) skirt(l *Layer) error {
	a := w.p.Adhesion
	inside := w.p.SkirtGap + w.p.Width/2
	switch {
	case a.Raft.Layers > 0:
		inside += a.Raft.Margin
	case a.Brim == BrimOuter || a.Brim == BrimBoth || a.Brim == BrimEars:
		inside += a.BrimGap + a.BrimWidth
	}
	long := int64(0)
	for i := 0; i < w.p.Skirts || i < mostSkirts && long < a.SkirtLine; i++ {
		away := inside + unit.Length(i)*w.p.Width
		switch err := w.around(l, away); {
		case errors.Is(err, geom.ErrOutside) || errors.Is(err, geom.ErrComplex):
			return nil
		case err != nil:
			return err
		}
		if !within(&w.belt, w.p.Volume) {
			return nil
		}
		l.Skirt.Append(&w.belt)
		for k := range w.belt.Len() {
			long += perimeter(w.belt.Ring(k))
		}
	}
	return nil
}

// around sets belt to lines at a distance around all of the layer's base.
func (w *worker) around(l *Layer, away unit.Length) error {
	if err := w.kernel.Union(&w.belt, &l.base); err != nil {
		return err
	}
	outer(&w.ring, &w.belt)
	if err := w.kernel.Simplify(&w.ring, &w.ring, w.rough()); err != nil {
		return err
	}
	if err := w.kernel.Offset(&w.ring, &w.ring, away, geom.JoinRound); err != nil {
		return err
	}
	outer(&w.belt, &w.ring)
	return w.kernel.Union(&w.belt, &w.belt)
}

// rough is how exact lines must be that keep away from all that stands on the bed:
// what is moved far costs much where it has many corners.
func (w *worker) rough() unit.Length {
	if w.p.Support.Plan.Empty() {
		return unit.Millimetre / 20
	}
	return smooth
}

// outer sets dst to the outer rings of r, without holes.
func outer(dst, r *geom.Region) {
	dst.Reset()
	for i := range r.Len() {
		if ring := r.Ring(i); geom.Area2(ring) > 0 {
			dst.Add(ring)
		}
	}
}

// within reports whether all of a region is in a box.
func within(r *geom.Region, b mesh.Box) bool {
	if r.Empty() {
		return true
	}
	lo, hi := extent(r.Pts)
	return lo.X >= b.Min.X && lo.Y >= b.Min.Y && hi.X <= b.Max.X && hi.Y <= b.Max.Y
}

// perimeter is how long a ring is.
func perimeter(ring []geom.Point) int64 {
	sum := 0.0
	p := ring[len(ring)-1]
	for _, q := range ring {
		dx, dy := float64(q.X-p.X), float64(q.Y-p.Y)
		sum += math.Sqrt(float64(dx*dx) + float64(dy*dy))
		p = q
	}
	return int64(sum)
}

// brim lays lines around the first layer, and around the support that stands beside it.
func (w *worker) brim(l *Layer) error {
	a := w.p.Adhesion
	if err := w.kernel.Union2(&w.ring, &l.Outline, &l.Support); err != nil {
		return err
	}
	if a.Brim == BrimEars {
		return w.ears(l)
	}
	head := Head{Width: w.p.Width, Role: motion.Brim}
	away := a.BrimGap + w.p.Width/2
	for range int((a.BrimWidth + w.p.Width/2) / w.p.Width) {
		if err := w.kernel.Offset(&w.ring, &w.ring, away, geom.JoinRound); err != nil {
			return err
		}
		if err := w.kernel.Simplify(&w.ring, &w.ring, simplify); err != nil {
			return err
		}
		for i := range w.ring.Len() {
			ring := w.ring.Ring(i)
			if out := geom.Area2(ring) > 0; out && a.Brim != BrimInner || !out && a.Brim != BrimOuter {
				addRing(&l.Runs, ring, head)
			}
		}
		away = w.p.Width
	}
	return nil
}

// coarse is how much of a corner may be rounded for it to be one that lifts.
const coarse = unit.Millimetre / 2

// ears lays round patches at the sharp corners of what is in ring.
func (w *worker) ears(l *Layer) error {
	a := w.p.Adhesion
	if err := w.kernel.Simplify(&w.belt, &w.ring, coarse); err != nil {
		return err
	}
	least := cosine(a.EarAngle)
	w.solid.Reset()
	for i := range w.belt.Len() {
		ring := w.belt.Ring(i)
		if geom.Area2(ring) <= 0 {
			continue
		}
		for k, p := range ring {
			if sharp(ring[(k+len(ring)-1)%len(ring)], p, ring[(k+1)%len(ring)], least) {
				disc(&w.solid, p, a.BrimWidth)
			}
		}
	}
	if err := w.kernel.Offset(&w.ring, &w.ring, a.BrimGap, geom.JoinMiter); err != nil {
		return err
	}
	if err := w.kernel.Difference(&w.belt, &w.solid, &w.ring); err != nil {
		return err
	}
	head := Head{Width: w.p.Width, Role: motion.Brim}
	for step := w.p.Width / 2; ; step = w.p.Width {
		if err := w.kernel.Offset(&w.belt, &w.belt, -step, geom.JoinMiter); err != nil || w.belt.Empty() {
			return err
		}
		for i := range w.belt.Len() {
			addRing(&l.Runs, w.belt.Ring(i), head)
		}
	}
}

// cosine is rounded so that it is the same on every machine.
func cosine(a mesh.Angle) float64 {
	const fine = 1 << 40
	return math.Round(math.Cos(float64(a)/float64(180*mesh.Degree)*math.Pi)*fine) / fine
}

// sharp reports whether the inside of a corner, of a ring that runs counter-clockwise,
// is narrower than an angle with the given cosine.
func sharp(a, p, b geom.Point, cos float64) bool {
	if geom.Cross(a, p, b) <= 0 {
		return false
	}
	ux, uy, vx, vy := float64(a.X-p.X), float64(a.Y-p.Y), float64(b.X-p.X), float64(b.Y-p.Y)
	dot := float64(ux*vx) + float64(uy*vy)
	long := math.Sqrt(float64(ux*ux)+float64(uy*uy)) * math.Sqrt(float64(vx*vx)+float64(vy*vy))
	return dot > float64(cos*long)
}

// disc appends a round ring to r.
func disc(r *geom.Region, at geom.Point, radius unit.Length) {
	const n = 48
	for i := range n {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / n)
		r.Pts = append(r.Pts, geom.Point{
			X: at.X + unit.Length(math.Floor(float64(radius)*(math.Round(cos*(1<<20))/(1<<20))+0.5)),
			Y: at.Y + unit.Length(math.Floor(float64(radius)*(math.Round(sin*(1<<20))/(1<<20))+0.5)),
		})
	}
	r.Ends = append(r.Ends, int32(len(r.Pts)))
}

// Raft is layers below the part that are wider than it.
type Raft struct {
	Layers    int         // 0 is no raft
	Margin    unit.Length // by which it is wider on every side
	Gap       unit.Length // of air below the part
	Base      unit.Length // height of the lowest layer
	Height    unit.Length // of the others
	Thickness unit.Length // width of the lowest layer's lines
}

// Rise is how high a raft lifts the part.
func (r Raft) Rise() unit.Length {
	if r.Layers == 0 {
		return 0
	}
	return r.Base + unit.Length(r.Layers-1)*r.Height + r.Gap
}

// place sets the height of a raft's layer, whose index is below 0.
func (r Raft) place(l *Layer) {
	n := l.Index + r.Layers
	l.Top, l.Thickness = r.Base+unit.Length(n)*r.Height, r.Height
	if n == 0 {
		l.Thickness = r.Base
	}
}

// raft lays a layer of the raft: the lowest wide and open, the topmost closed, those
// between them in between.
func (w *worker) raft(l *Layer) error {
	r := w.p.Adhesion.Raft
	width, density := w.p.Width, fill.Percent(60)
	switch l.Index {
	case -r.Layers:
		width, density = r.Thickness, 50
	case -1:
		density = 100
	}
	if err := w.kernel.Simplify(&w.ring, &l.base, w.rough()); err != nil {
		return err
	}
	if err := w.kernel.Offset(&w.ring, &w.ring, r.Margin, geom.JoinRound); err != nil {
		return err
	}
	if err := w.kernel.Simplify(&l.Support, &w.ring, smooth/3); err != nil {
		return err
	}
	l.Outline.Reset() // the part is not in this layer
	if err := w.kernel.Offset(&w.ring, &l.Support, -width/2, geom.JoinMiter); err != nil {
		return err
	}
	head := Head{Width: width, Role: motion.Raft}
	for i := range w.ring.Len() {
		addRing(&l.Runs, w.ring.Ring(i), head)
	}
	if err := w.kernel.Offset(&w.ring, &w.ring, -width/2, geom.JoinMiter); err != nil || w.ring.Empty() {
		return err
	}
	angle := propAngle
	if (l.Index+r.Layers)%2 != 0 {
		angle = roofAngle
	}
	spacing := fill.Spacing(width, density)
	err := w.hatcher.Hatch(&l.Runs.Lines, &w.ring, fill.Params{Angle: angle, Spacing: spacing, MinSpan: width / 2, MaxJoin: 2 * spacing})
	l.Runs.Give(head)
	return err
}
