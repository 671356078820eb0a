// Package path turns finished layers into the operations of a program: in which
// order lines are printed, where rings begin, when filament is drawn back, how much
// of it a line takes, and what comes before the first layer and after the last.
//
// A [Planner] knows where the nozzle is; it is the only stage of the slicer with a
// memory from layer to layer. Islands of a layer are printed nearest first, within
// one the walls, then what fills them. A line of width w and height h takes the
// filament for a bar of w × h: lines that lie side by side fill the space exactly.
// The amount is carried on to the last fraction of a unit, so that nothing drifts
// however many moves there are.
package path

import (
	"log/slog"
	"math"
	"math/bits"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/pipe"
)

// Params says how layers are printed.
type Params struct {
	Volume        mesh.Box    // in machine coordinates
	Width         unit.Length // of a line
	Filament      unit.Length // diameter
	Speeds        Speeds
	Accel         unit.Accel   // 0 leaves the machine's own
	HotEnd, Bed   unit.Celsius // 0 leaves a heater off
	FirstHotEnd   unit.Celsius // on the first layer
	FirstBed      unit.Celsius
	Retract       unit.Length // filament drawn back before long travel
	RetractTravel unit.Length // travel above which it is
	Wipe          unit.Length // way back along the line on which it is, 0 draws it back in place
	Hop           unit.Length // lift of the nozzle while it is drawn back
	Comb          unit.Length // long ways lead through the inside of the part, where there is one; up to this length nothing is drawn back
	Fan           unit.Duty
	FanLayer      int // index of the first layer with the fan on
	OuterFirst    bool
	SeamAligned   bool // rings begin above those of the layer below, else nearest
	PrimeLine     bool // draw a line at the front edge first, if the model is not there
	// MinLayerTime is the least that a layer takes, so that the one below is firm: a
	// smaller one is printed slower, though not below 10 mm/s. 0 slows none.
	MinLayerTime time.Duration
	Bare         bool // leave heating, homing and the end to others
}

// Planner makes the operations of one program. The zero value is not ready; use
// New.
type Planner struct {
	p         Params
	yield     func(motion.Op) bool
	ok        bool // the consumer wants more
	at        geom.Point
	layer     int32
	height    unit.Length
	z         unit.Length
	atZ       unit.Length
	high      bool        // atZ is known
	drawn     bool        // filament is drawn back
	trail     trail       // what was printed last
	rest      uint64      // of the last extrusion, in 1/2^48 units
	perLength uint64      // filament units per unit of the present line × 2^32
	width     unit.Length // of the present line
	thick     unit.Length // its height
	hang      uint8       // how far it hangs over, in quarters
	pace      pace        // of the present layer
	comb      comb
	sorter    sorter
	seams     []geom.Point // of the layer below, from left to right
	newSeams  []geom.Point
}

// String says nothing of the planner.
func (pl *Planner) String() string { return "planner" }

// GoString says nothing of the planner.
func (pl *Planner) GoString() string { return "planner" }

// LogValue says nothing of the planner.
func (pl *Planner) LogValue() slog.Value { return slog.StringValue("planner") }

// New makes a planner that hands its operations to yield. Once yield returns false
// nothing follows.
func New(p Params, yield func(motion.Op) bool) *Planner {
	return &Planner{p: p, yield: yield, ok: true}
}

// Wipe overwrites what the planner remembers.
func (pl *Planner) Wipe() {
	clear(pl.seams[:cap(pl.seams)])
	clear(pl.newSeams[:cap(pl.newSeams)])
	pl.sorter.wipe()
	pl.comb.wipe()
	*pl = Planner{}
}

func (pl *Planner) emit(op motion.Op) {
	if pl.ok {
		op.Layer = pl.layer
		pl.ok = pl.yield(op)
	}
}

// Layer prints one layer and reports whether more is wanted.
func (pl *Planner) Layer(l *pipe.Layer) bool {
	pl.layer = int32(l.Index)
	pl.height = l.Thickness
	pl.z = pl.p.Volume.Min.Z + l.Top
	if !pl.high {
		pl.atZ, pl.high = pl.z-l.Thickness, true // from where the first layer is laid
	}
	pl.measure(l)
	pl.emit(motion.Op{Kind: motion.BeginLayer, To: [3]unit.Length{motion.IZ: pl.z}, Height: l.Thickness})
	pl.settings(l.Index)
	pl.lines(l)
	pl.keepSeams()
	return pl.ok
}

// lines prints all that a layer consists of.
func (pl *Planner) lines(l *pipe.Layer) {
	pl.rise(pl.z)
	pl.comb.load(nil)
	if l.Index == 0 {
		pl.prime(l)
	}
	for i := range l.Skirt.Len() {
		pl.ring(l.Skirt.Ring(i), nil, nil, motion.Skirt)
	}
	pl.newSeams = pl.newSeams[:0]
	pl.sorter.load(l, pl.p.OuterFirst)
	for pl.ok && pl.sorter.next(pl.at) { // what is around and below all islands
		pl.print(l, pl.sorter.picked)
	}
	pl.comb.load(l)
	for pl.ok && pl.sorter.island(pl.at) {
		for pl.ok && pl.sorter.next(pl.at) {
			pl.print(l, pl.sorter.picked)
		}
	}
}

// settings changes temperatures and the fan where a layer asks for it.
func (pl *Planner) settings(index int) {
	if index == 1 {
		if pl.p.HotEnd != pl.p.FirstHotEnd {
			pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd, Temp: pl.p.HotEnd})
		}
		if pl.p.Bed != pl.p.FirstBed {
			pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.Bed, Temp: pl.p.Bed})
		}
	}
	if index == pl.p.FanLayer && pl.p.Fan > 0 {
		pl.emit(motion.Op{Kind: motion.SetFan, Fan: pl.p.Fan})
	}
}

// print prints one item of a layer.
func (pl *Planner) print(l *pipe.Layer, it item) {
	i := int(it.index)
	switch it.kind {
	case kindWall:
		role := motion.InnerWall
		if it.wall == 0 {
			role = motion.OuterWall
		}
		pl.wall(l, it, role)
	case kindGap:
		pl.line(l.Gaps.Line(i), it.reversed, pipe.Head{Role: motion.ThinWall, Width: l.Gaps.Widths[i]})
	case kindSkin:
		pl.line(l.Skin.Line(i), it.reversed, pipe.Head{Role: motion.SolidInfill, Width: l.SkinWidth})
	case kindInfill:
		pl.line(l.Infill.Line(i), it.reversed, pipe.Head{Role: motion.Infill, Width: pl.p.Width})
	case kindRun:
		pl.line(l.Runs.Line(i), it.reversed, l.Runs.Heads[i])
		for i++; i < len(l.Runs.Heads) && l.Runs.Heads[i].Follow; i++ {
			pl.line(l.Runs.Line(i), false, l.Runs.Heads[i])
		}
	}
}

// wall prints a ring of a wall.
func (pl *Planner) wall(l *pipe.Layer, it item, role motion.Role) {
	r := l.Walls.Wall(int(it.wall))
	ring := r.Ring(int(it.index))
	widths := l.Walls.Widths(int(it.wall))
	if widths != nil {
		end := int(r.Ends[it.index])
		widths = widths[end-len(ring) : end]
	}
	hangs := l.Hangs.Wall(int(it.wall))
	if hangs != nil {
		end := int(r.Ends[it.index])
		hangs = hangs[end-len(ring) : end]
	}
	pl.ring(ring, widths, hangs, role)
}

// ring prints a closed line. widths and hangs are those of its edges; nil is one
// width for all, and no hang.
func (pl *Planner) ring(ring []geom.Point, widths []unit.Length, hangs []uint8, role motion.Role) {
	if len(ring) < 2 {
		return
	}
	start := pl.seam(ring, role)
	pl.begin(ring[start], pipe.Head{Role: role, Width: pl.p.Width})
	for i := 1; i <= len(ring) && pl.ok; i++ {
		edge := (start + i - 1) % len(ring)
		if widths != nil && widths[edge] != pl.width {
			pl.setBar(widths[edge], pl.thick)
		}
		as := role
		if hangs != nil {
			if pl.hang = hangs[edge]; pl.hang > 0 {
				as = motion.OverhangWall
			}
		}
		pl.extrude(ring[(start+i)%len(ring)], as)
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
			pl.extrude(line[i], h.Role)
		}
		return
	}
	pl.begin(line[0], h)
	for _, p := range line[1:] {
		if !pl.ok {
			return
		}
		pl.extrude(p, h.Role)
	}
}

// begin goes to where a line starts.
func (pl *Planner) begin(p geom.Point, h pipe.Head) {
	pl.hang = h.Hang
	thick := h.Height
	if thick == 0 {
		thick = pl.height
	}
	if h.Width != pl.width || thick != pl.thick {
		pl.setBar(h.Width, thick)
	}
	pl.travel(p)
	if pl.drawn {
		if pl.atZ != pl.z {
			pl.rise(pl.z)
		}
		pl.feed(pl.p.Retract)
		pl.drawn = false
	}
	pl.trail.begin(p)
}

// rise moves the nozzle to a height.
func (pl *Planner) rise(z unit.Length) {
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.Z, Role: motion.Travel,
		To: [3]unit.Length{motion.IZ: z}, Feed: pl.p.Speeds.Lift,
	})
	pl.atZ = z
}

// setBar sets what filament a unit of the following lines takes: that of a bar.
func (pl *Planner) setBar(width, height unit.Length) {
	pl.width, pl.thick = width, height
	d := float64(pl.p.Filament)
	bar := float64(width) * float64(height)
	pl.perLength = uint64(math.Round(bar / (math.Pi / 4 * d * d) * (1 << 32)))
}

// travel moves without printing. A long way leads through the inside of the part if
// it can; else, or if it is very long, the filament is drawn back.
func (pl *Planner) travel(p geom.Point) {
	if p == pl.at {
		return
	}
	if distance2(pl.at, p) > int64(pl.p.RetractTravel)*int64(pl.p.RetractTravel) && !pl.drawn {
		if pl.combed(p) {
			return
		}
		pl.leave()
	}
	pl.slide(p)
}

// combed goes to p inside the part, and reports whether there is such a way.
func (pl *Planner) combed(p geom.Point) bool {
	if pl.p.Comb == 0 {
		return false
	}
	way, long := pl.comb.find(pl.at, p)
	if len(way) == 0 || long > float64(pl.p.Comb) {
		return false
	}
	for _, q := range way {
		if q != pl.at {
			pl.slide(q)
		}
	}
	return true
}

// leave draws the filament back and lifts the nozzle.
func (pl *Planner) leave() {
	if pl.p.Retract == 0 {
		return
	}
	pl.draw()
	if z := min(pl.z+pl.p.Hop, pl.p.Volume.Max.Z); z > pl.z {
		pl.rise(z)
	}
}

// slide moves straight on without printing.
func (pl *Planner) slide(p geom.Point) {
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.X | motion.Y, Role: motion.Travel,
		To: [3]unit.Length{p.X, p.Y}, Feed: pl.p.Speeds.Travel,
	})
	pl.at = p
}

// feed moves the filament alone.
func (pl *Planner) feed(e unit.Length) {
	pl.emit(motion.Op{Kind: motion.Move, Axes: motion.E, Role: motion.Retraction, E: e, Feed: pl.p.Speeds.Retract})
}

// closest is how near two points of a line are for the second to be left out, 2 µm:
// programs are sent with a resolution of 1 µm. The next point makes up for it.
const closest = 2 * unit.Millimetre / 1000

// extrude prints a straight line to p.
func (pl *Planner) extrude(p geom.Point, role motion.Role) {
	if distance2(pl.at, p) < int64(closest)*int64(closest) {
		return
	}
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.X | motion.Y | motion.E, Role: role,
		To: [3]unit.Length{p.X, p.Y}, E: pl.filament(distance2(pl.at, p)), Feed: pl.speed(role),
		Width: pl.width, Height: pl.thick,
	})
	pl.at = p
	pl.trail.add(p)
}

// filament is what a line takes whose length squared is d2; what is less than a
// unit is carried to the next line. The square root is correctly rounded on every
// machine, and d2 is below 2^53.
func (pl *Planner) filament(d2 int64) unit.Length {
	length := uint64(math.Sqrt(float64(d2)) * (1 << 16))
	hi, lo := bits.Mul64(length, pl.perLength)
	lo, carry := bits.Add64(lo, pl.rest, 0)
	hi += carry
	pl.rest = lo & (1<<48 - 1)
	return unit.Length(hi<<16 | lo>>48)
}

// speed is how fast a line of the present layer is printed.
func (pl *Planner) speed(role motion.Role) unit.Speed {
	return pl.pace.slowed(pl.nominal(role))
}

// nominal is how fast a line is printed if the layer takes long enough.
func (pl *Planner) nominal(role motion.Role) unit.Speed {
	if pl.layer == 0 {
		return pl.p.Speeds.FirstLayer
	}
	return pl.p.Speeds.of(role, pl.hang)
}

func distance2(a, b geom.Point) int64 {
	dx, dy := int64(a.X-b.X), int64(a.Y-b.Y)
	return dx*dx + dy*dy
}
