package sim

import (
	"math"
	"time"
)

// The planner of Marlin 2.0.9 (Marlin/src/module/planner.cpp) in its default
// configuration: a ring of blocks, junction deviation, look-ahead over the whole
// ring, and a short wait before the first block so that there is something to look
// ahead at.
const (
	plannerBlocks = 16 // BLOCK_BUFFER_SIZE; one is always left free
	minPlanSpeed  = 0.05
	minStepRate   = 120 // steps/s of the fastest axis, MINIMAL_STEP_RATE
)

const (
	axX = iota
	axY
	axZ
	axE
	axes
)

// block is one straight move in the ring.
type block struct {
	from, to    [3]float64 // mm, machine coordinates, as commanded
	fromE, toE  float64
	steps       [axes]int64
	dir         [axes]float64 // mm of each axis for a mm of path
	length      float64       // mm of path
	nominal     float64       // mm/s
	accel       float64       // mm/s²
	maxEntry2   float64       // (mm/s)²
	entry2      float64
	start, end  time.Duration
	shape       profile
	line        int64
	extrudesAll bool // extrudes along the bed

	part    bool       // the rest of the move follows in the next block
	rest    bool       // of a move that began at origin
	origin  [3]float64 // where the whole move began
	originE float64
	stop    bool // what follows waits for a start
}

// limits are the settings of a planner: those that M201 to M205 change, and those
// that are built in.
type limits struct {
	stepsPerMM [axes]float64
	maxFeed    [axes]float64 // mm/s
	maxAccel   [axes]float64 // mm/s²
	accel      float64       // P of M204
	retract    float64       // R
	travel     float64       // T

	deviation  float64       // mm, junction deviation; 0 is classic jerk
	jerk       [axes]float64 // mm/s
	minSegment float64       // s: shorter blocks are slowed down while the ring runs low
	firstWait  time.Duration // how long a first block waits for more
	minSteps   int64         // moves of fewer steps of every axis are added to the next
}

// sane keeps settings that would stop the world from doing that.
func (l *limits) sane() {
	for i := range axes {
		l.stepsPerMM[i] = max(l.stepsPerMM[i], 0.1)
		l.maxFeed[i] = max(l.maxFeed[i], 0.01)
		l.maxAccel[i] = max(l.maxAccel[i], 1)
		l.jerk[i] = max(l.jerk[i], 0)
	}
	l.accel, l.retract, l.travel = max(l.accel, 1), max(l.retract, 1), max(l.travel, 1)
}

func defaultLimits() limits {
	return limits{
		stepsPerMM: [axes]float64{80, 80, 400, 500},
		maxFeed:    [axes]float64{300, 300, 5, 25},
		maxAccel:   [axes]float64{3000, 3000, 100, 10000},
		accel:      3000, retract: 3000, travel: 3000,
		deviation: 0.01, minSegment: 0.02,
		firstWait: 100 * time.Millisecond, // BLOCK_DELAY_FOR_1ST_MOVE
		minSteps:  6,                      // MIN_STEPS_PER_SEGMENT
	}
}

// planner holds the blocks that wait or run. It has no clock: its owner tells it
// the time.
type planner struct {
	lim      limits
	blocks   []block
	head, n  int
	running  bool
	exit2    float64 // exit speed the running block was started with
	first    time.Duration
	pos      [axes]int64 // steps, where the last block ends
	posMM    [3]float64  // the same as commanded
	posE     float64
	lastDir  [axes]float64
	lastTop  float64
	lastEach [axes]float64 // mm of each axis for a mm of the last block
	flow     float64       // share of the filament that is fed
	dry      bool          // ran empty, and nobody waited for that
}

// resize makes room for n-1 blocks; what is in the ring is gone.
func (p *planner) resize(n int) {
	if len(p.blocks) != n {
		p.blocks = make([]block, n)
	}
	p.head, p.n, p.running, p.flow = 0, 0, false, 1
}

func (p *planner) at(i int) *block { return &p.blocks[(p.head+i)%len(p.blocks)] }

func (p *planner) active() bool { return p.n > 0 }
func (p *planner) full() bool   { return p.n == len(p.blocks)-1 }
func (p *planner) free() int    { return len(p.blocks) - 1 - p.n }

// setPosition says where the machine stands without moving it.
func (p *planner) setPosition(mm [3]float64, e float64) {
	for i := range mm {
		p.pos[i] = steps(mm[i], p.lim.stepsPerMM[i])
	}
	p.posMM = mm
	p.setE(e)
}

func (p *planner) setE(e float64) {
	p.pos[axE] = steps(e, p.lim.stepsPerMM[axE])
	p.posE = e
}

func steps(mm, perMM float64) int64 { return int64(math.Round(mm * perMM)) }

// add queues a move at feed mm/s and reports whether it made a block: moves of
// fewer than minSteps steps wait to become part of a longer one. There must be room.
func (p *planner) add(now time.Duration, to [3]float64, e, feed float64, line int64) bool {
	b := block{from: p.posMM, to: to, fromE: p.posE, toE: e, line: line}
	target := [axes]int64{axE: steps(e, p.lim.stepsPerMM[axE])}
	for i := range to {
		target[i] = steps(to[i], p.lim.stepsPerMM[i])
	}
	var most int64
	for i := range target {
		b.steps[i] = target[i] - p.pos[i]
		if i == axE && p.flow != 1 {
			b.steps[i] = int64(math.Round(float64(b.steps[i]) * p.flow))
		}
		most = max(most, abs(b.steps[i]))
	}
	if most < max(1, p.lim.minSteps) {
		return false
	}
	p.size(&b, feed)
	p.junction(&b)
	p.pos, p.posMM, p.posE = target, to, e
	*p.at(p.n) = b
	p.n++
	if p.n == 1 {
		p.first = now + p.lim.firstWait
	} else if !p.running && p.n >= 3 {
		p.first = now
	}
	p.lookAhead()
	return true
}

// size gives a block its length, speed and acceleration within the limits of every
// axis.
func (p *planner) size(b *block, feed float64) {
	var mm [axes]float64
	for i := range mm {
		mm[i] = float64(b.steps[i]) / p.lim.stepsPerMM[i]
	}
	least := p.lim.minSteps
	moves := abs(b.steps[axX]) >= least || abs(b.steps[axY]) >= least || abs(b.steps[axZ]) >= least
	b.length = math.Sqrt(mm[0]*mm[0] + mm[1]*mm[1] + mm[2]*mm[2])
	if !moves {
		b.length = math.Abs(mm[axE])
	}
	b.extrudesAll = moves && mm[axE] > 0 && (b.steps[axX] != 0 || b.steps[axY] != 0)
	secs := b.length / feed
	if p.n >= 2 && p.n < len(p.blocks)/2 && secs < p.lim.minSegment { // the ring runs low: slow down
		secs += 2 * (p.lim.minSegment - secs) / float64(p.n)
	}
	b.nominal = b.length / secs
	switch {
	case !moves:
		b.accel = p.lim.retract
	case mm[axE] != 0:
		b.accel = p.lim.accel
	default:
		b.accel = p.lim.travel
	}
	for i := range mm {
		b.dir[i] = mm[i] / b.length
		if share := math.Abs(b.dir[i]); share > 0 {
			b.nominal = min(b.nominal, p.lim.maxFeed[i]/share)
			b.accel = min(b.accel, p.lim.maxAccel[i]/share)
		}
	}
}

// junction limits the speed at which b may be entered from the block before it.
func (p *planner) junction(b *block) {
	norm := 0.0
	for _, d := range b.dir {
		norm += d * d
	}
	norm = math.Sqrt(norm)
	var dir [axes]float64
	cos := 0.0
	for i := range dir {
		dir[i] = b.dir[i] / norm
		cos -= dir[i] * p.lastDir[i]
	}
	b.maxEntry2 = minPlanSpeed * minPlanSpeed
	if p.lim.deviation == 0 {
		b.maxEntry2 = p.jerky2(b)
	} else if p.n > 0 && p.lastTop > 0 && cos < 0.999999 {
		b.maxEntry2 = max(b.maxEntry2, min(p.corner2(b, dir, cos), b.nominal*b.nominal, p.lastTop*p.lastTop))
	}
	p.lastDir, p.lastTop = dir, b.nominal
	p.lastEach = b.dir
}

// corner2 is the square of the speed at which the corner between the last block and
// b can be passed with the junction deviation.
func (p *planner) corner2(b *block, dir [axes]float64, cos float64) float64 {
	cos = max(cos, -0.999999)
	var turn [axes]float64
	norm := 0.0
	for i := range turn {
		turn[i] = dir[i] - p.lastDir[i]
		norm += turn[i] * turn[i]
	}
	norm = math.Sqrt(norm)
	accel := b.accel
	for i := range turn {
		if d := math.Abs(turn[i]) / norm; d > 0 {
			accel = min(accel, p.lim.maxAccel[i]/d)
		}
	}
	sin := math.Sqrt(0.5 * (1 - cos))
	v2 := accel * p.lim.deviation * sin / (1 - sin)
	if b.length < 1 && cos < -0.7071067812 { // short segments of a curve
		v2 = min(v2, b.length*accel/math.Acos(-cos))
	}
	return v2
}

// jerky2 is the square of the speed at which b may be entered when each axis may
// change its speed by its jerk at once.
func (p *planner) jerky2(b *block) float64 {
	from, top := p.lastEach, min(b.nominal, p.lastTop)
	if p.n == 0 || p.lastTop == 0 {
		from, top = [axes]float64{}, b.nominal
	}
	for i := range b.dir {
		if step := math.Abs(b.dir[i] - from[i]); step*top > p.lim.jerk[i] {
			top = p.lim.jerk[i] / step
		}
	}
	return max(top*top, minPlanSpeed*minPlanSpeed)
}

// lookAhead plans the entry speeds of all blocks that do not run yet: backwards so
// that each can brake to the next, then forwards so that each can be reached.
func (p *planner) lookAhead() {
	next := 0
	if p.running {
		next = 1
		if p.n > 1 {
			p.at(1).entry2 = p.exit2
		}
	}
	exit2 := minPlanSpeed * minPlanSpeed
	for i := p.n - 1; i >= next; i-- {
		b := p.at(i)
		if i > next || !p.running {
			b.entry2 = min(b.maxEntry2, exit2+2*b.accel*b.length)
		}
		exit2 = b.entry2
	}
	for i := next; i < p.n-1; i++ {
		b, after := p.at(i), p.at(i+1)
		after.entry2 = min(after.entry2, b.entry2+2*b.accel*b.length)
	}
}

// next is when the planner has something to do, or never.
func (p *planner) next() time.Duration {
	switch {
	case p.n == 0:
		return never
	case p.running:
		return p.at(0).end
	}
	return p.first
}

// start runs the first block.
func (p *planner) start(now time.Duration) {
	b := p.at(0)
	p.exit2 = minPlanSpeed * minPlanSpeed
	if p.n > 1 {
		p.exit2 = p.at(1).entry2
	}
	var most int64
	for _, n := range b.steps {
		most = max(most, abs(n))
	}
	slowest := minStepRate * b.length / float64(most)
	entry, exit := max(slowest, math.Sqrt(b.entry2)), max(slowest, math.Sqrt(p.exit2))
	b.shape = trapezoid(b.length, entry, b.nominal, exit, b.accel)
	p.exit2 = b.shape.exit * b.shape.exit
	b.start, b.end = now, now+max(1, b.shape.duration())
	p.running = true
}

// finish takes the block that ran out of the ring and starts the one behind it.
func (p *planner) finish() block {
	b := *p.at(0)
	p.head = (p.head + 1) % len(p.blocks)
	p.n--
	p.running = false
	if b.stop {
		p.first, p.lastTop = never, 0
	} else if p.n > 0 {
		p.at(0).entry2 = p.exit2
		p.start(b.end)
	} else {
		p.dry = true
		p.lastTop = 0
	}
	return b
}

// stepsAt is where the motors stand now.
func (p *planner) stepsAt(now time.Duration) [axes]int64 {
	at := p.pos
	for i := range p.n {
		b := p.at(i)
		share := 0.0
		if i == 0 && p.running && b.length > 0 {
			share = b.shape.at(now-b.start) / b.length
		}
		for a := range at {
			at[a] -= b.steps[a] - int64(float64(b.steps[a])*share)
		}
	}
	return at
}

// cut throws every block away and returns the part of the running one that had
// been driven by now.
func (p *planner) cut(now time.Duration) (block, bool) {
	b, ran := *p.at(0), p.running
	p.n, p.running, p.lastTop, p.dry = 0, false, 0, false
	if !ran {
		return block{}, false
	}
	share := b.shape.at(now-b.start) / b.length
	for i := range b.to {
		b.to[i] = b.from[i] + (b.to[i]-b.from[i])*share
	}
	b.toE = b.fromE + (b.toE-b.fromE)*share
	for i := range b.steps {
		b.steps[i] = int64(float64(b.steps[i]) * share)
	}
	b.end = now
	p.setPosition(b.to, b.toE)
	return b, true
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}
