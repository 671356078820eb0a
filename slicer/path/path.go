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
	"slices"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/arc"
	"platen/slicer/geom"
	"platen/slicer/mesh"
	"platen/slicer/pipe"
	"platen/slicer/vault"
)

// Params says how layers are printed.
type Params struct {
	Volume      mesh.Box    // in machine coordinates
	Width       unit.Length // of a line
	Filament    unit.Length // diameter
	Speeds      Speeds
	Accel       unit.Accel // 0 leaves the machine's own
	Accels      Accels
	MaxFlow     Flow         // lines that would need more are slower; 0 is no bound
	Advance     Advance      // pressure advance; 0 leaves the machine's own
	HotEnd, Bed unit.Celsius // 0 leaves a heater off
	FirstHotEnd unit.Celsius // on the first layer
	FirstBed    unit.Celsius
	Retraction  Retraction
	Comb        unit.Length // long ways lead through the inside of the part, where there is one; up to this length nothing is drawn back
	Fan         unit.Duty
	Fans        Fans
	FanLayer    int // index of the first layer with the fan on
	OuterFirst  bool
	Seam        Seam        // where outer walls begin
	Arcs        unit.Length // how far arcs may be from the lines that they stand for; 0 makes none
	Raft        int         // layers below the part: the first has index -Raft
	Layers      int         // of the part
	Objects     []mesh.Box  // around each of those that are told apart
	Skips       *Skips      // what is left out; nil is nothing
	PrimeLine   bool        // draw a line at the front edge first, if the model is not there
	// MinLayerTime is the least that a layer takes, so that the one below is firm: a
	// smaller one is printed slower, though not below Speeds.Least: outer walls only
	// where all else does not do. 0 slows none.
	MinLayerTime time.Duration
	Bare         bool // leave heating, homing and the end to others
}

// Planner makes the operations of one program. The zero value is not ready; use
// New.
type Planner struct {
	p        Params
	yield    func(motion.Op) bool
	arcs     *arc.Fitter // what yield leads to; nil leads straight to the consumer
	ok       bool        // the consumer wants more
	layer    int32
	first    bool // it is a first layer
	height   unit.Length
	z        unit.Length
	pen      pen
	pace     pace    // of the present layer
	enough   float64 // s: measuring ends there; 0 is when nothing is measured
	comb     comb
	sorter   sorter
	skips    skipped      // of the present layer
	away     geom.Point   // how far from where its layers say the present object is
	only     uint16       // the first of the objects at hand, if they are printed one after another
	parts    int          // how many those are
	base     int32        // layers of the objects before it
	again    bool         // there are such
	tallest  unit.Length  // height of them
	seams    []geom.Point // of the layer below, from left to right
	newSeams []geom.Point
}

// pen is what the planner knows of the machine: where the nozzle is, and what was
// asked for last.
type pen struct {
	at        geom.Point
	atZ       unit.Length
	high      bool        // atZ is known
	drawn     bool        // filament is drawn back
	trail     trail       // what was printed last
	fed       int64       // filament since it was drawn back last
	rest      uint64      // of the last extrusion, in 1/2^48 units
	perLength uint64      // filament units per unit of the present line × 2^32
	width     unit.Length // of the present line
	thick     unit.Length // its height
	fastest   unit.Speed  // at which it is not too much to melt; 0 is no bound
	role      motion.Role // of the present line
	object    uint16      // that is printed; 0 is none in particular
	spiral    bool        // the layer was one turn of a spiral
	hang      uint8       // how far it hangs over, in quarters
	accel     unit.Accel  // 0: the machine's own
	fan       unit.Duty
	common    unit.Duty // power of the fan for lines that have none of their own
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
	p.Objects = slices.Clone(p.Objects) // what a planner has is moved, and overwritten: it is its own
	pl := &Planner{p: p, yield: yield, ok: true}
	if p.Arcs > 0 {
		pl.arcs = arc.New(p.Arcs, yield)
		pl.yield = pl.arcs.Add
	}
	return pl
}

// Wipe overwrites what the planner remembers.
func (pl *Planner) Wipe() {
	clear(pl.seams[:cap(pl.seams)])
	clear(pl.newSeams[:cap(pl.newSeams)])
	pl.sorter.wipe()
	pl.comb.wipe()
	if pl.arcs != nil {
		pl.arcs.Wipe()
	}
	*pl = Planner{}
}

// Keep has all buffers that have grown moved into the vault of a.
func (pl *Planner) Keep(a *vault.Arena) {
	a.Keep(pl)
	if pl.arcs != nil {
		a.Keep(pl.arcs)
	}
}

func (pl *Planner) emit(op motion.Op) {
	switch {
	case !pl.ok:
	case pl.enough > 0: // only measuring
		pl.count(op)
		pl.ok = pl.pace.counted < pl.enough
	default:
		op.Layer = pl.layer
		if op.Kind == motion.Move {
			op.Object = pl.pen.object
			if pl.away != (geom.Point{}) {
				op = pl.moved(op)
			}
		}
		pl.ok = pl.yield(op)
	}
}

// Layer prints one layer and reports whether more is wanted.
func (pl *Planner) Layer(l *pipe.Layer) bool {
	n := l.Index + pl.p.Raft
	pl.layer, pl.first = pl.base+int32(n), n == 0
	pl.skips.load(pl.p.Skips)
	pl.height = l.Thickness
	pl.z = pl.p.Volume.Min.Z + l.Top
	if !pl.pen.high {
		pl.pen.atZ, pl.pen.high = pl.z-l.Thickness, true // from where the first layer is laid
	}
	pl.measure(l)
	pl.emit(motion.Op{Kind: motion.BeginLayer, To: [3]unit.Length{motion.IZ: pl.z}, Height: l.Thickness})
	pl.settings(n)
	pl.lines(l)
	pl.keepSeams()
	return pl.ok
}

// lines prints all that a layer consists of.
func (pl *Planner) lines(l *pipe.Layer) {
	if l.Spiral {
		pl.spiral(l)
		return
	}
	pl.pen.spiral = false
	if pl.pen.atZ <= pl.z+pl.p.Retraction.Hop { // else it comes from above, and goes there first
		pl.rise(pl.z)
	}
	pl.pen.object = pl.only
	pl.comb.load(nil)
	if pl.first && !pl.again {
		pl.prime(l)
	}
	for i := range l.Skirt.Len() {
		pl.ring(l.Skirt.Ring(i), nil, nil, motion.Skirt)
	}
	pl.newSeams = pl.newSeams[:0]
	pl.sorter.load(l)
	pl.tell()
	pl.fixSeams(l)
	pl.items(l) // what is around and below all islands
	pl.comb.load(l)
	pl.sorter.plan(pl.pen.at)
	for pl.ok && pl.sorter.island(pl.pen.at) {
		pl.items(l)
	}
	pl.pen.object = pl.only
}

// items prints all items that are to do.
func (pl *Planner) items(l *pipe.Layer) {
	for pl.ok && pl.sorter.next(pl.pen.at) {
		it := pl.sorter.picked
		if len(pl.p.Objects) > 0 {
			if pl.pen.object = it.object; pl.skips.has(it.object) {
				continue
			}
		}
		pl.print(l, it)
	}
}

// tell says of all items to which object they belong.
func (pl *Planner) tell() {
	if len(pl.p.Objects) == 0 {
		return
	}
	for i := range pl.sorter.items {
		it := &pl.sorter.items[i]
		switch {
		case pl.only > 0:
			it.object = pl.only
			if pl.parts > 1 {
				it.object += max(objectOf(it.from, pl.p.Objects[:pl.parts]), 1) - 1
			}
		case it.phase != phaseAround:
			it.object = objectOf(it.from, pl.p.Objects)
		}
	}
}

// settings changes temperatures and the fan where a layer asks for it.
func (pl *Planner) settings(index int) {
	hotEnd, bed := pl.p.HotEnd, pl.p.Bed
	if index == 0 {
		hotEnd, bed = pl.p.FirstHotEnd, pl.p.FirstBed
	}
	if index == 1 || index == 0 && pl.again {
		if pl.p.HotEnd != pl.p.FirstHotEnd {
			pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd, Temp: hotEnd})
		}
		if pl.p.Bed != pl.p.FirstBed {
			pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.Bed, Temp: bed})
		}
	}
	if pl.pen.common = pl.layerFan(index); pl.pen.common != pl.pen.fan {
		pl.setFan(pl.pen.common)
	}
}

// print prints one item of a layer.
func (pl *Planner) print(l *pipe.Layer, it item) {
	i := int(it.index)
	switch it.kind {
	case kindWall:
		pl.nest(l, it.index)
	case kindGap:
		pl.stroke(&l.Gaps, &it)
	case kindRun:
		pl.line(l.Runs.Line(i), it.reversed, l.Runs.Heads[i])
		for i++; i < len(l.Runs.Heads) && l.Runs.Heads[i].Follow; i++ {
			pl.line(l.Runs.Line(i), false, l.Runs.Heads[i])
		}
	}
}

// rise moves the nozzle to a height.
func (pl *Planner) rise(z unit.Length) {
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.Z, Role: motion.Travel,
		To: [3]unit.Length{motion.IZ: z}, Feed: pl.p.Speeds.Lift,
	})
	pl.pen.atZ = z
}

// setBar sets what filament a unit of the following lines takes: that of a bar.
func (pl *Planner) setBar(width, height unit.Length) {
	pl.pen.width, pl.pen.thick = width, height
	d := float64(pl.p.Filament)
	bar := float64(width) * float64(height)
	pl.pen.perLength = uint64(math.Round(bar / (math.Pi / 4 * d * d) * (1 << 32)))
	pl.pen.fastest = 0
	if pl.p.MaxFlow > 0 && bar > 0 {
		const unitsPerMM = float64(unit.Millimetre)
		pl.pen.fastest = unit.Speed(max(1, min(float64(pl.p.MaxFlow)*(unitsPerMM*unitsPerMM)/bar, math.MaxInt32)))
	}
}

// travel moves without printing. A long way leads through the inside of the part if
// it can; else, or if it is very long, the filament is drawn back.
func (pl *Planner) travel(p geom.Point) {
	if p == pl.pen.at {
		return
	}
	least := pl.p.Retraction.Travel
	if distance2(pl.pen.at, p) > int64(least)*int64(least) && !pl.pen.drawn {
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
	way, long := pl.comb.find(pl.pen.at, p)
	if len(way) == 0 || long > float64(pl.p.Comb) {
		return false
	}
	for _, q := range way {
		if q != pl.pen.at {
			pl.slide(q)
		}
	}
	return true
}

// slide moves straight on without printing.
func (pl *Planner) slide(p geom.Point) {
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.X | motion.Y, Role: motion.Travel,
		To: [3]unit.Length{p.X, p.Y}, Feed: pl.p.Speeds.Travel,
	})
	pl.pen.at = p
}

func distance2(a, b geom.Point) int64 {
	dx, dy := int64(a.X-b.X), int64(a.Y-b.Y)
	return dx*dx + dy*dy
}
