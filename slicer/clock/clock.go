// Package clock tells how long a program takes, with the acceleration of the machine
// that runs it: every move speeds up and brakes within the limits of each axis, and
// passes the corner to the next as fast as those allow.
//
// A [Clock] plans as controllers do: over the moves that their memory holds, so that
// a row of short ones is no faster than they can stop from within it. Operations go
// in one by one, nothing is kept of them but that window, and nothing is allocated.
// Heating and homing are not counted: they depend on how warm and where the machine
// is. The rules are those of Marlin 2 (Marlin/src/module/planner.cpp: junction
// deviation, or jerk axis by axis); others are within a few per cent of them.
package clock

import (
	"log/slog"
	"math"
	"time"

	"platen/hal/motion"
	"platen/hal/unit"
)

const (
	axisE = 3
	axes  = 4
	// window is how many moves a controller looks ahead by default.
	window = 15
	most   = 64
	// crawl is the speed in mm/s at which a row of moves begins and ends.
	crawl = 0.05
)

// Machine is what limits the motion of a machine. Axes are X, Y, Z and the filament.
type Machine struct {
	MaxFeed  [4]unit.Speed
	MaxAccel [4]unit.Accel
	Accel    unit.Accel  // of printed lines
	Retract  unit.Accel  // of the filament alone
	Travel   unit.Accel  // of everything else
	Corner   unit.Length // junction deviation; 0 is none, and Jerk holds
	Jerk     [4]unit.Speed
	Window   int // moves that are looked ahead, 2 to 64; 0 is 15
}

// Default is Marlin 2 as it comes.
func Default() Machine {
	const mms = unit.MillimetrePerSecond
	return Machine{
		MaxFeed:  [4]unit.Speed{300 * mms, 300 * mms, 5 * mms, 25 * mms},
		MaxAccel: [4]unit.Accel{3000, 3000, 100, 10000},
		Accel:    3000, Retract: 3000, Travel: 3000,
		Corner: unit.Micrometres(10),
	}
}

// move is one straight move that is not over.
type move struct {
	dir     [axes]float64 // mm of each axis for a mm of path
	unit    [axes]float64 // the same, with the filament as one more axis, of length 1
	length  float64       // mm
	nominal float64       // mm/s
	accel   float64       // mm/s²
	enter2  float64       // the most with which it may begin, (mm/s)²
	entry2  float64       // with which it begins as far as is known
}

// Clock adds up the time of a program. It is design data.
type Clock struct {
	m       Machine
	feed    [axes]float64 // MaxFeed in mm/s
	accel   [axes]float64 // MaxAccel
	at      [3]unit.Length
	moves   [most]move
	head, n int
	total   float64
}

// New makes a clock at zero. The head is taken to be at the origin.
func New(m Machine) *Clock {
	if m.Window == 0 {
		m.Window = window
	}
	m.Window = max(2, min(m.Window, most))
	for i := range m.MaxFeed {
		m.MaxFeed[i], m.MaxAccel[i] = max(m.MaxFeed[i], 1), max(m.MaxAccel[i], 1)
	}
	m.Accel, m.Retract, m.Travel = max(m.Accel, 1), max(m.Retract, 1), max(m.Travel, 1)
	c := &Clock{m: m}
	for i := range c.feed {
		c.feed[i], c.accel[i] = m.MaxFeed[i].MMPerSecond(), float64(m.MaxAccel[i])
	}
	return c
}

// String says nothing of the program.
func (c *Clock) String() string { return "clock" }

// GoString says nothing of the program.
func (c *Clock) GoString() string { return "clock" }

// LogValue says nothing of the program.
func (c *Clock) LogValue() slog.Value { return slog.StringValue("clock") }

// Add adds an operation.
func (c *Clock) Add(op motion.Op) {
	switch op.Kind {
	case motion.Move:
		c.add(op)
	case motion.ArcLeft, motion.ArcRight: // as controllers drive them
		for chord := range op.Chords(c.at, unit.Millimetre) {
			c.add(chord)
		}
	case motion.SetAccel:
		c.m.Accel = max(op.Accel, 1)
	case motion.Home:
		c.stop()
		c.at = [3]unit.Length{}
	case motion.WaitHeater, motion.MotorsOff, motion.Level, motion.Pause:
		c.stop()
	case motion.Dwell:
		c.stop()
		c.total += op.Wait.Seconds()
	}
}

// Total is the time of everything that was added, as if it ended there.
func (c *Clock) Total() time.Duration {
	rest := *c
	rest.stop()
	return time.Duration(rest.total * float64(time.Second))
}

// stop waits until all moves are over.
func (c *Clock) stop() {
	for c.n > 0 {
		c.finish()
	}
}

func (c *Clock) move(i int) *move { return &c.moves[(c.head+i)%most] }

// add adds a move to the window; the first one in it ends when it is full.
func (c *Clock) add(op motion.Op) {
	var mm [axes]float64
	for i, a := range [...]motion.Axes{motion.X, motion.Y, motion.Z} {
		if op.Has(a) {
			mm[i] = (op.To[i] - c.at[i]).MM()
			c.at[i] = op.To[i]
		}
	}
	if op.Has(motion.E) {
		mm[axisE] = op.E.MM()
	}
	length := norm([axes]float64{mm[0], mm[1], mm[2]})
	alone := length == 0
	if alone {
		length = math.Abs(mm[axisE])
	}
	if length == 0 {
		return
	}
	if c.n == c.m.Window {
		c.finish()
	}
	b := c.move(c.n)
	b.length, b.entry2 = length, 0
	switch {
	case alone:
		b.accel = float64(c.m.Retract)
	case mm[axisE] != 0:
		b.accel = float64(c.m.Accel)
	default:
		b.accel = float64(c.m.Travel)
	}
	b.nominal = max(op.Feed.MMPerSecond(), crawl)
	for i := range mm {
		b.dir[i] = mm[i] / length
		share := math.Abs(b.dir[i])
		if share*b.nominal > c.feed[i]*nearly { // else it is far from the limit
			b.nominal = min(b.nominal, c.feed[i]/share)
		}
		if share*b.accel > c.accel[i]*nearly {
			b.accel = min(b.accel, c.accel[i]/share)
		}
	}
	n := norm(b.dir)
	for i := range b.dir {
		b.unit[i] = b.dir[i] / n
	}
	b.enter2 = c.corner2(b)
	c.n++
	c.plan()
}

// nearly leaves room for rounding where a product is compared instead of a quotient.
const nearly = 1 - 1e-9

// corner2 is the square of the speed with which b may follow the latest move.
func (c *Clock) corner2(b *move) float64 {
	least := crawl * crawl
	if c.m.Corner == 0 {
		return max(c.jerk2(b), least)
	}
	if c.n == 0 {
		return least
	}
	last := c.move(c.n - 1)
	var turn [axes]float64
	cos := 0.0
	for i := range turn {
		p, q := last.unit[i], b.unit[i]
		cos -= float64(p * q)
		turn[i] = q - p
	}
	if cos > 0.999999 { // straight back
		return least
	}
	cos = max(cos, -0.999999)
	accel, n := b.accel, norm(turn)
	for i := range turn {
		if d := math.Abs(turn[i]); d*accel > c.accel[i]*n*nearly {
			accel = min(accel, c.accel[i]/(d/n))
		}
	}
	sin := math.Sqrt((1 - cos) / 2)
	v2 := min(accel*c.m.Corner.MM()*sin/(1-sin), b.nominal*b.nominal, last.nominal*last.nominal)
	if b.length < 1 && cos < -math.Sqrt2/2 { // a piece of a curve
		// The turn is 2·asin(half), and up to an eighth of a circle that is below 2.06·half.
		if half := math.Sqrt((1 + cos) / 2); v2*2.06*half > b.length*accel {
			v2 = min(v2, b.length*accel/math.Acos(-cos))
		}
	}
	return max(least, v2)
}

// jerk2 is the same where each axis may change its speed by its jerk at once.
func (c *Clock) jerk2(b *move) float64 {
	from, top := [axes]float64{}, b.nominal
	if c.n > 0 {
		last := c.move(c.n - 1)
		from, top = last.dir, min(top, last.nominal)
	}
	for i := range b.dir {
		if step := math.Abs(b.dir[i] - from[i]); step*top > c.m.Jerk[i].MMPerSecond() {
			top = c.m.Jerk[i].MMPerSecond() / step
		}
	}
	return top * top
}

// norm is a length. Here and below products are rounded by themselves, so that all
// machines tell the same time.
func norm(v [axes]float64) float64 {
	return math.Sqrt(float64(v[0]*v[0]) + float64(v[1]*v[1]) + float64(v[2]*v[2]) + float64(v[3]*v[3]))
}

// gain is how much the square of the speed can change on a move.
func (b *move) gain() float64 { return float64(2 * b.accel * b.length) }

// plan lets every move end so that the machine can stop at the end of the latest,
// which is new: from that backwards, up to where nothing changes any more.
func (c *Clock) plan() {
	exit2 := crawl * crawl
	for i := c.n - 1; i > 0; i-- {
		b := c.move(i)
		entry2 := min(b.enter2, exit2+b.gain())
		if entry2 == b.entry2 {
			return
		}
		b.entry2, exit2 = entry2, entry2
	}
}

// finish takes the first move out of the window.
func (c *Clock) finish() {
	exit2 := crawl * crawl
	if c.n > 1 {
		exit2 = c.move(1).entry2
	}
	b := c.move(0)
	if b.entry2 == 0 { // nothing was before it
		b.entry2 = min(b.enter2, exit2+b.gain())
	}
	exit2 = min(exit2, b.entry2+b.gain())
	c.total += b.time(exit2)
	c.head = (c.head + 1) % most
	if c.n--; c.n > 0 {
		c.move(0).entry2 = exit2
	}
}

// time is how long a move takes that ends with the given speed: it speeds up, goes
// on, and brakes.
func (b *move) time(exit2 float64) float64 {
	nominal2 := b.nominal * b.nominal
	entry2 := min(b.entry2, nominal2)
	exit2 = min(exit2, nominal2)
	// Where a move is too short to brake it goes slower at once, as controllers do.
	exit2 = max(exit2, entry2-b.gain())
	top2 := min(nominal2, (b.gain()+entry2+exit2)/2)
	top := math.Sqrt(top2)
	ramps := (2*top - math.Sqrt(entry2) - math.Sqrt(exit2)) / b.accel
	flat := b.length - (2*top2-entry2-exit2)/(2*b.accel)
	return ramps + max(flat, 0)/top
}
