package motion

import (
	"iter"
	"math"

	"platen/hal/unit"
)

// Arc reports whether the op is one of the two arcs.
func (o Op) Arc() bool { return o.Kind == ArcLeft || o.Kind == ArcRight }

// sweep is the circle of an arc that begins at from: where it begins as an angle, how
// far it turns, counter-clockwise above 0, and its radius at either end in units.
func (o Op) sweep(from [3]unit.Length) (begin, turn, r0, r1 float64) {
	x0, y0 := float64(from[IX])-float64(o.Centre[IX]), float64(from[IY])-float64(o.Centre[IY])
	x1, y1 := float64(o.To[IX])-float64(o.Centre[IX]), float64(o.To[IY])-float64(o.Centre[IY])
	begin = math.Atan2(y0, x0)
	turn = math.Atan2(y1, x1) - begin
	if x0 == x1 && y0 == y1 {
		turn = 0
	}
	if o.Kind == ArcLeft && turn <= 0 {
		turn += 2 * math.Pi
	}
	if o.Kind == ArcRight && turn >= 0 {
		turn -= 2 * math.Pi
	}
	return begin, turn, math.Hypot(x0, y0), math.Hypot(x1, y1)
}

// ArcLength is how long the way of an arc is that begins at from, rounded up.
func (o Op) ArcLength(from [3]unit.Length) unit.Length {
	_, turn, r0, r1 := o.sweep(from)
	way := math.Abs(turn) * max(r0, r1)
	dz := 0.0
	if o.Has(Z) {
		dz = float64(o.To[IZ]) - float64(from[IZ])
	}
	return unit.Length(min(math.Ceil(math.Hypot(way, dz)), math.MaxInt32))
}

// ArcMismatch is how far apart the distances of both ends of an arc from its centre
// are.
func (o Op) ArcMismatch(from [3]unit.Length) unit.Length {
	_, _, r0, r1 := o.sweep(from)
	return unit.Length(min(math.Ceil(math.Abs(r0-r1)), math.MaxInt32))
}

// ArcBox is the smallest box, in X and Y, around the way of an arc that begins at
// from, rounded outwards.
func (o Op) ArcBox(from [3]unit.Length) (lo, hi [2]unit.Length) {
	begin, turn, r0, r1 := o.sweep(from)
	r := max(r0, r1)
	for k := range 2 {
		lo[k], hi[k] = min(from[k], o.To[k]), max(from[k], o.To[k])
	}
	// The quarters of the circle that lie on the way.
	first, last := begin, begin+turn
	if turn < 0 {
		first, last = last, first
	}
	const quarter = math.Pi / 2
	for q := math.Ceil(first / quarter); q*quarter <= last; q++ {
		k, sign := int(q)&1, 1.0
		if int(q)&2 != 0 {
			sign = -1
		}
		at := float64(o.Centre[k]) + sign*r
		lo[k] = min(lo[k], toLength(math.Floor(at)))
		hi[k] = max(hi[k], toLength(math.Ceil(at)))
	}
	return lo, hi
}

func toLength(v float64) unit.Length {
	return unit.Length(max(math.MinInt32, min(math.MaxInt32, v)))
}

// Chords yields an arc that begins at from as straight moves that are at most long,
// or a quarter of a turn: all but their ends and E are as the arc says.
func (o Op) Chords(from [3]unit.Length, long unit.Length) iter.Seq[Op] {
	return func(yield func(Op) bool) {
		begin, turn, r0, r1 := o.sweep(from)
		way := math.Abs(turn) * max(r0, r1)
		n := int(max(1, math.Ceil(math.Abs(turn)/(math.Pi/2)), math.Ceil(way/float64(max(long, 1)))))
		step := o
		step.Kind, step.Centre = Move, [2]unit.Length{}
		fed := unit.Length(0)
		for i := 1; i <= n; i++ {
			share := float64(i) / float64(n)
			step.To = o.To
			if i < n {
				sin, cos := math.Sincos(begin + float64(turn*share))
				r := r0 + float64((r1-r0)*share)
				step.To[IX] = toLength(math.Round(float64(o.Centre[IX]) + float64(r*cos)))
				step.To[IY] = toLength(math.Round(float64(o.Centre[IY]) + float64(r*sin)))
				if o.Has(Z) {
					step.To[IZ] = from[IZ] + toLength(math.Round((float64(o.To[IZ])-float64(from[IZ]))*share))
				}
			}
			due := unit.Length(int64(o.E) * int64(i) / int64(n))
			step.E, fed = due-fed, due
			if !yield(step) {
				return
			}
		}
	}
}
