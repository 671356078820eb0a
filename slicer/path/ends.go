package path

import (
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/pipe"
)

// How far the nozzle goes away from the print at its end, and where the line is
// drawn that fills the nozzle at its beginning.
const (
	lift       = 10 * unit.Millimetre
	primeInset = 3 * unit.Millimetre
	primeMost  = 60 * unit.Millimetre
)

// Begin heats, homes and waits, unless the program is a bare one.
func (pl *Planner) Begin() bool {
	if !pl.p.Bare {
		pl.warmUp()
	}
	if a := pl.p.accel(motion.Travel, 0, true); a > 0 {
		pl.pen.accel = a
		pl.emit(motion.Op{Kind: motion.SetAccel, Accel: a})
	}
	if pl.p.Advance > 0 {
		pl.emit(motion.Op{Kind: motion.SetAdvance, Wait: time.Duration(pl.p.Advance) * 100 * time.Microsecond})
	}
	pl.pen.at = geom.Point{X: pl.p.Volume.Min.X - 1} // unknown: nowhere in the volume
	return pl.ok
}

// warmUp lets the bed and the nozzle warm up while the axes home.
func (pl *Planner) warmUp() {
	p := pl.p
	pl.emit(motion.Op{Kind: motion.SetFan})
	if p.FirstBed > 0 {
		pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.Bed, Temp: p.FirstBed})
	}
	pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd, Temp: p.FirstHotEnd})
	pl.emit(motion.Op{Kind: motion.Home, Axes: motion.X | motion.Y | motion.Z})
	if p.FirstBed > 0 {
		pl.emit(motion.Op{Kind: motion.WaitHeater, Heater: motion.Bed, Temp: p.FirstBed})
	}
	pl.emit(motion.Op{Kind: motion.WaitHeater, Heater: motion.HotEnd, Temp: p.FirstHotEnd})
}

// prime draws a line along the front edge that fills the nozzle, unless something
// of the first layer is near.
func (pl *Planner) prime(l *pipe.Layer) {
	v := pl.p.Volume
	a := geom.Point{X: v.Min.X + primeInset, Y: v.Min.Y + primeInset}
	b := geom.Point{X: min(a.X+primeMost, v.Max.X-primeInset), Y: a.Y}
	if !pl.p.PrimeLine || b.X <= a.X {
		return
	}
	for _, r := range [...]*geom.Region{&l.Outline, &l.Skirt} {
		for _, p := range r.Pts {
			if p.Y < a.Y+2*pl.p.Width && p.X < b.X+2*pl.p.Width {
				return
			}
		}
	}
	pl.begin(a, pipe.Head{Role: motion.Prime, Width: pl.p.Width})
	pl.extrude(b)
}

// End draws the filament back and, unless the program is a bare one, moves the
// nozzle away and switches everything off.
func (pl *Planner) End() bool {
	pl.away = geom.Point{}
	if !pl.pen.drawn && pl.p.Retraction.Length > 0 {
		pl.feed(-pl.p.Retraction.Length, pl.p.Speeds.Retract)
		pl.pen.drawn = true
	}
	if !pl.p.Bare {
		pl.leaveAll()
	}
	if pl.arcs != nil {
		pl.ok = pl.arcs.Flush() && pl.ok
	}
	return pl.ok
}

// leaveAll switches off and moves away.
func (pl *Planner) leaveAll() {
	v := pl.p.Volume
	pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd})
	if pl.p.FirstBed > 0 || pl.p.Bed > 0 {
		pl.emit(motion.Op{Kind: motion.SetHeater, Heater: motion.Bed})
	}
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.Z, Role: motion.Travel,
		To: [3]unit.Length{motion.IZ: min(max(pl.z, pl.tallest)+lift, v.Max.Z)}, Feed: pl.p.Speeds.Lift,
	})
	pl.emit(motion.Op{
		Kind: motion.Move, Axes: motion.X | motion.Y, Role: motion.Travel,
		To: [3]unit.Length{v.Min.X, v.Max.Y}, Feed: pl.p.Speeds.Travel,
	})
	pl.emit(motion.Op{Kind: motion.SetFan})
	pl.emit(motion.Op{Kind: motion.MotorsOff})
}
