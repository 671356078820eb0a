package watch

import (
	"math"
	"math/rand/v2"
	"time"

	"platen/hal"
	"platen/hal/motion"
	"platen/hal/unit"
)

// plant is a heater as physics and firmware make it: a body that gains and loses heat,
// a sensor that follows it late, with noise and in steps, and the firmware's control.
type plant struct {
	id       motion.Heater
	gain     float64 // K/s at full power
	tau      float64 // s, of losses
	fanLoss  float64 // further losses at full fan, as a share
	lag      float64 // s, of the sensor
	noise    float64 // K, standard deviation
	step     float64 // K, of the converter
	kp, ki   float64 // power (0 to 1) per K, and per K s
	tuned    float64 // how well the power to hold a target is known; 1 is exactly
	bang     bool    // on and off instead of PID
	ambient  float64
	temp     float64
	sensor   float64
	target   float64
	power    float64
	integral float64
	fan      float64
	flow     float64 // K/s that filament takes away

	// Faults.
	dead, stuckOn bool
	frozen        bool
	offset        float64
	drift         float64 // K/s of the offset
	noPower       bool    // the firmware does not report power
}

const tick = 0.2 // s

func (p *plant) advance() {
	p.offset += tick * p.drift
	p.control()
	power := p.power
	if p.dead {
		power = 0
	}
	if p.stuckOn {
		power = 1
	}
	loss := (p.temp - p.ambient) / p.tau * (1 + p.fanLoss*p.fan)
	p.temp += tick * (p.gain*power - loss - p.flow)
	if !p.frozen {
		p.sensor += tick / p.lag * (p.temp - p.sensor)
	}
}

// control is a PI within 10 K, or bang-bang, as in Marlin.
func (p *plant) control() {
	e := p.target - (p.sensor + p.offset)
	switch {
	case p.target == 0:
		p.power, p.integral = 0, 0
	case p.bang:
		if e > 0 {
			p.power = 1
		} else {
			p.power = 0
		}
	case e > 10:
		p.power, p.integral = 1, p.steady()
	case e < -10:
		p.power, p.integral = 0, p.steady()
	default:
		p.integral = math.Max(0, math.Min(1, p.integral+p.ki*e*tick))
		p.power = math.Max(0, math.Min(1, p.kp*e+p.integral))
	}
}

// steady is the power that a tuned controller begins with: what it takes to hold the
// target, more or less.
func (p *plant) steady() float64 {
	return math.Min(1, p.tuned*(p.target-p.ambient)/(p.gain*p.tau))
}

// state is the plant's line in a report.
func (p *plant) state(r *rand.Rand) hal.HeaterState {
	v := p.sensor + p.offset
	if !p.frozen {
		v += r.NormFloat64() * p.noise
	}
	if p.step > 0.01 {
		v = math.Round(v/p.step) * p.step
	}
	h := hal.HeaterState{ID: p.id, Actual: unit.Celsius(v * 1000), Target: unit.Celsius(p.target * 1000)}
	if !p.noPower {
		h.Power = unit.Duty(p.power * 255)
	}
	return h
}

// bench is a machine of plants under a judge.
type bench struct {
	rand   *rand.Rand
	plants []*plant
	cfg    Config
	j      judge
	at     time.Duration
	next   time.Duration // of the next report
	jitter float64
	box    Box
	d      doing
	dumb   bool // reports come no more
}

func newBench(seed uint64, plants ...*plant) *bench {
	b := &bench{rand: rand.New(rand.NewPCG(seed, 1)), plants: plants, d: doing{running: true}}
	b.cfg.Stale = staleAuto
	b.j.cfg = &b.cfg
	return b
}

func (b *bench) set(p *plant, target float64) {
	b.j.ask(p.id, unit.Celsius(target*1000))
	p.target = target
}

// run lets time pass and returns the first reason, and when it came.
func (b *bench) run(d time.Duration) (Reason, Action, time.Duration) {
	var st hal.State
	epoch := time.Unix(1_000_000, 0)
	for end := b.at + d; b.at < end; b.at += 200 * time.Millisecond {
		for _, p := range b.plants {
			p.advance()
		}
		if b.at >= b.next && !b.dumb {
			b.next = b.at + time.Duration((1+b.jitter*(b.rand.Float64()-0.5))*float64(time.Second))
			st.NHeaters = len(b.plants)
			for i, p := range b.plants {
				st.Heaters[i] = p.state(b.rand)
			}
			st.Reported = epoch.Add(b.at)
		}
		if r, a := b.j.look(b.at, &st, &b.box, b.d); r != None {
			return r, a, b.at
		}
	}
	return None, Ignore, b.at
}

// hotEnd and bed are ordinary ones: a 40 W cartridge, a 250 W plate.
func hotEnd() *plant {
	return &plant{id: motion.HotEnd, gain: 5.1, tau: 66, fanLoss: 0.5, lag: 1.5, noise: 0.1, step: 0.1, kp: 0.08, ki: 0.004, tuned: 1, ambient: 22, temp: 22, sensor: 22}
}

func bed() *plant {
	return &plant{id: motion.Bed, gain: 0.6, tau: 270, lag: 4, noise: 0.05, step: 0.1, bang: true, ambient: 22, temp: 22, sensor: 22}
}
