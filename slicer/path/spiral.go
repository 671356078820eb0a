package path

import (
	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// spiral prints the only wall of a layer as one turn that rises from the layer below
// to this one. The first turn grows from nothing to the full height, and the last
// is followed by one that fills up what is left below the rim.
func (pl *Planner) spiral(l *pipe.Layer) {
	if l.Walls.Len() == 0 || l.Walls.Wall(0).Len() == 0 {
		return
	}
	ring := l.Walls.Wall(0).Ring(0)
	start, _ := nearest(ring, pl.pen.at)
	top, begins := pl.z, !pl.pen.spiral
	if begins { // at the height of the layer below
		pl.comb.load(nil)
		pl.z = top - l.Thickness
	}
	reach := 3 * int64(pl.p.Width)
	if begins || distance2(pl.pen.at, ring[start]) > reach*reach {
		pl.begin(ring[start], pipe.Head{Role: motion.Vase, Width: pl.p.Width})
	} // else the turn goes on from where the one below has ended
	pl.z, pl.pen.spiral = top, true
	lo, hi := top-l.Thickness, top
	pl.turn(ring, start, lo, hi, func(part float64) float64 {
		if begins {
			return part
		}
		return 1
	})
	if l.Index == pl.p.Layers-1 {
		pl.turn(ring, start, hi, hi, func(part float64) float64 { return 1 - part })
	}
	pl.pen.atZ = pl.z
}

// turn prints a ring from height lo to hi. flow says for a share of the way how much
// of a whole line there is.
func (pl *Planner) turn(ring []geom.Point, start int, lo, hi unit.Length, flow func(float64) float64) {
	long, at := 0.0, pl.pen.at
	for i := range ring {
		p := ring[(start+1+i)%len(ring)]
		long += far(at, p)
		at = p
	}
	gone := 0.0
	for i := range ring {
		if !pl.ok {
			return
		}
		p := ring[(start+1+i)%len(ring)]
		step := far(pl.pen.at, p)
		share := flow((gone + step/2) / long)
		gone += step
		pl.setBar(unit.Length(float64(pl.p.Width)*share)+1, pl.height)
		z := hi
		if i < len(ring)-1 {
			z = between(lo, hi, gone/long)
		}
		pl.extrudeTo(p, motion.Z, z)
	}
}
