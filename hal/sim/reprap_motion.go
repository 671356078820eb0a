package sim

// linear is G0 and G1 (GCodes::DoStraightMove).
func (r *reprap) linear(c *rrfCommand, name string) answer {
	to, e, why := r.destination(c, name)
	if why.text == "" {
		r.push(to, e)
	}
	return why
}

// arc is G2 and G3 (GCodes::DoArcMove): an arc in the plane of the bed.
func (r *reprap) arc(c *rrfCommand, name string) answer {
	from, e0 := r.pose.at, r.pose.e
	to, e, why := r.destination(c, name)
	if why.text != "" {
		return why
	}
	dx, _ := c.value('I')
	dy, _ := c.value('J')
	if dx == 0 && dy == 0 {
		return failed("G2/G3: no I or J or R parameter")
	}
	a := arcPath{from: from, to: to, e0: e0, e: e, dx: dx, dy: dy, clockwise: c.num == 2}
	a.pieces(func(to [3]float64, e float64) bool {
		r.push(to, e)
		return r.up()
	})
	return answer{}
}

// destination reads where a move goes; an answer with a text refuses it.
func (r *reprap) destination(c *rrfCommand, name string) (to [3]float64, e float64, why answer) {
	p := &r.pose
	to, e = p.at, p.e
	for i, w := range []byte("XYZ") {
		v, ok := c.value(w)
		if !ok {
			continue
		}
		if !p.homed[i] {
			r.stats.Unhomed++
			return to, e, failed(name + ": insufficient axes homed")
		}
		if to[i] = v + p.shift[i]; p.relative {
			to[i] = v + p.at[i]
		}
		if limit := r.cfg.Volume[i].MM(); to[i] < 0 || to[i] > limit {
			r.stats.Clamped++
			to[i] = max(0, min(to[i], limit))
		}
	}
	if v, ok := c.value('E'); ok {
		if e = v; p.relE {
			e += p.e
		}
	}
	if f, ok := c.value('F'); ok && f > 0 {
		p.feed = f / 60
	}
	return to, e, answer{}
}

// push drives a straight way, without filament where the hot end is too cold for it.
func (r *reprap) push(to [3]float64, e float64) {
	p := &r.pose
	if need := rrfExtrude; e != p.e {
		if e < p.e {
			need = rrfRetract
		}
		if r.tool < 0 || !r.therm.cold && r.therm.all[r.tool].reading() < need || r.guards[r.tool].failed {
			r.stats.Cold++
			r.cold = true
			p.e = e
			r.plan.setE(e)
		}
	}
	r.drive(to, e, p.feed*p.percent/100, r.lineN)
}
