package sim

import (
	"math"
	"time"
)

// speed is how fast a block is after secs.
func (p *profile) speed(secs float64) float64 {
	switch {
	case secs < p.upTime:
		return p.entry + p.accel*secs
	case secs < p.upTime+p.flatTime:
		return p.top
	}
	return max(0, p.top-p.accel*(secs-p.upTime-p.flatTime))
}

// brake plans a stop from the present speed on: the blocks before the one in which
// the stop is reached only slow down, and that one is divided there.
func (g *grbl) brake() {
	p := &g.plan
	if !p.running {
		return
	}
	v := p.restHere(g.now)
	for i := 0; i < p.n; i++ {
		b := p.at(i)
		b.entry2, b.maxEntry2 = v*v, v*v
		need := v * v / (2 * b.accel)
		if need >= b.length {
			b.nominal = v
			v = math.Sqrt(max(0, v*v-2*b.accel*b.length))
			continue
		}
		if need > 1e-3 && b.length-need > 1e-3 {
			p.divide(i, need)
			b = p.at(i)
			b.nominal = v
		}
		b.stop = true
		break
	}
	if p.n > 0 {
		p.start(g.now)
	}
}

// restHere makes the running block begin where it is, and returns its speed there.
func (p *planner) restHere(now time.Duration) float64 {
	b := p.at(0)
	secs := (now - b.start).Seconds()
	v := b.shape.speed(secs)
	driven := min(b.shape.at(now-b.start), b.length*(1-1e-9))
	p.divide(0, driven)
	p.head = (p.head + 1) % len(p.blocks)
	p.n--
	p.running = false
	return v
}

// divide makes two blocks of one, at mm of its path. There must be room.
func (p *planner) divide(i int, at float64) {
	for j := p.n; j > i+1; j-- {
		*p.at(j) = *p.at(j - 1)
	}
	p.n++
	b := p.at(i)
	rest := *b
	share := at / b.length
	for a := range b.to {
		b.to[a] = b.from[a] + (b.to[a]-b.from[a])*share
	}
	b.toE = b.fromE + (b.toE-b.fromE)*share
	for a := range b.steps {
		b.steps[a] = int64(math.Round(float64(b.steps[a]) * share))
		rest.steps[a] -= b.steps[a]
	}
	if !rest.rest {
		rest.rest, rest.origin, rest.originE = true, b.from, b.fromE
	}
	rest.from, rest.fromE = b.to, b.toE
	rest.length = max(rest.length-at, 1e-9)
	rest.entry2, rest.maxEntry2 = minPlanSpeed*minPlanSpeed, minPlanSpeed*minPlanSpeed
	b.length = max(at, 1e-9)
	b.part = true
	*p.at(i + 1) = rest
}

// scale changes the speed of all that is planned.
func (p *planner) scale(by float64, now time.Duration) {
	running, v := p.running, 0.0
	if running {
		v = p.restHere(now)
		p.at(0).maxEntry2 = v * v
	}
	for i := range p.n {
		b := p.at(i)
		b.nominal *= by
		for a, d := range b.dir {
			if d = math.Abs(d); d > 0 {
				b.nominal = min(b.nominal, p.lim.maxFeed[a]/d)
			}
		}
	}
	if running {
		p.lookAhead()
		p.at(0).entry2 = v * v
		p.start(now)
	}
}
