package path

import (
	"math"
	"math/bits"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// ring prints a closed line. widths and hangs are those of its edges; nil is one
// width for all, and no hang.
func (pl *Planner) ring(ring []geom.Point, widths []unit.Length, hangs []uint8, role motion.Role) {
	if len(ring) < 2 {
		return
	}
	start, at := pl.seam(ring, hangs, role)
	pl.ringFrom(start, at, ring, widths, hangs, role)
}

// ringFrom is ring with the place at which it begins: on the edge that leads from
// point start to the next.
func (pl *Planner) ringFrom(start int, at geom.Point, ring []geom.Point, widths []unit.Length, hangs []uint8, role motion.Role) {
	pl.begin(at, pipe.Head{Role: role, Width: pl.p.Width})
	n := len(ring)
	last := n // edges; one that is begun in the middle comes again at the end
	if at != ring[start] {
		last++
	}
	for i := 1; i <= last && pl.ok; i++ {
		edge := (start + i - 1) % n
		if widths != nil && widths[edge] != pl.pen.width {
			pl.setBar(widths[edge], pl.pen.thick)
		}
		if hangs != nil && hangs[edge] != pl.pen.hang {
			if hangs[edge] > 0 {
				pl.setRole(motion.OverhangWall, hangs[edge])
			} else {
				pl.setRole(role, 0)
			}
		}
		if i > n {
			pl.extrude(at)
			return
		}
		pl.extrude(ring[(start+i)%n])
	}
}

// line prints an open line, or a closed one whose ends meet.
func (pl *Planner) line(line []geom.Point, reversed bool, h pipe.Head) {
	if len(line) < 2 {
		return
	}
	if reversed {
		pl.begin(line[len(line)-1], h)
		for i := len(line) - 2; i >= 0 && pl.ok; i-- {
			pl.extrude(line[i])
		}
		return
	}
	pl.begin(line[0], h)
	for _, p := range line[1:] {
		if !pl.ok {
			return
		}
		pl.extrude(p)
	}
}

// begin goes to where a line starts.
func (pl *Planner) begin(p geom.Point, h pipe.Head) {
	thick := either(h.Height, pl.height)
	if h.Width != pl.pen.width || thick != pl.pen.thick {
		pl.setBar(h.Width, thick)
	}
	pl.travel(p)
	switch {
	case pl.pen.drawn:
		pl.giveBack()
	case pl.pen.atZ > pl.z:
		pl.rise(pl.z)
	}
	pl.setRole(h.Role, h.Hang)
	pl.pen.trail.begin(p)
}

// setRole sets what the next lines are, and with it acceleration and fan.
func (pl *Planner) setRole(r motion.Role, hang uint8) {
	pl.pen.role, pl.pen.hang = r, hang
	if a := pl.p.accel(r, hang, pl.first); a != pl.pen.accel && a > 0 {
		pl.pen.accel = a
		pl.emit(motion.Op{Kind: motion.SetAccel, Accel: a})
	}
	if pl.pen.common > 0 && pl.p.Fans.varies() {
		if f := pl.p.Fans.fan(r, hang, pl.pen.common); f != pl.pen.fan {
			pl.setFan(f)
		}
	}
}

// closest is how near two points of a line are for the second to be left out, 2 µm:
// programs are sent with a resolution of 1 µm. The next point makes up for it.
const closest = 2 * unit.Millimetre / 1000

// extrude prints a straight line to p.
func (pl *Planner) extrude(p geom.Point) { pl.extrudeTo(p, 0, 0) }

// extrudeTo prints to p, and to height z if axes has Z.
func (pl *Planner) extrudeTo(p geom.Point, axes motion.Axes, z unit.Length) {
	d2 := distance2(pl.pen.at, p)
	if d2 < int64(closest)*int64(closest) {
		return
	}
	e := pl.filament(d2)
	pl.pen.fed += int64(e)
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.X | motion.Y | motion.E | axes, Role: pl.pen.role,
		To: [3]unit.Length{p.X, p.Y, z}, E: e, Feed: pl.speed(),
		Width: pl.pen.width, Height: pl.pen.thick,
	})
	pl.pen.at = p
	pl.pen.trail.add(p)
}

// filament is what a line takes whose length squared is d2; what is less than a
// unit is carried to the next line. The square root is correctly rounded on every
// machine, and d2 is below 2^53.
func (pl *Planner) filament(d2 int64) unit.Length {
	length := uint64(math.Sqrt(float64(d2)) * (1 << 16))
	hi, lo := bits.Mul64(length, pl.pen.perLength)
	lo, carry := bits.Add64(lo, pl.pen.rest, 0)
	hi += carry
	pl.pen.rest = lo & (1<<48 - 1)
	return unit.Length(hi<<16 | lo>>48)
}

// speed is how fast the present line is printed.
func (pl *Planner) speed() unit.Speed { return pl.pace.slowed(pl.nominal(), outer(pl.pen.role)) }

// nominal is how fast it is printed if the layer takes long enough.
func (pl *Planner) nominal() unit.Speed {
	v := pl.p.Speeds.FirstLayer
	if !pl.first {
		v = pl.p.Speeds.of(pl.pen.role, pl.pen.hang)
	}
	if pl.pen.fastest > 0 {
		v = min(v, pl.pen.fastest)
	}
	return v
}
