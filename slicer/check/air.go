package check

// airStep is how far points of a way are apart that are looked at, in mm.
const airStep = 0.05

// flights counts ways through air, outside of this layer and the one below, on which
// the filament is not drawn back.
func (j *judge) flights(l *layer) {
	chain, run, far := -1, 0.0, 0.0
	end := func() {
		if far = max(far, run); far > j.o.Air.MM() {
			j.sum.air++
			j.sum.airWay += far
		}
		run, far = 0, 0
	}
	for _, t := range l.travels {
		if t.chain != chain {
			end()
			chain = t.chain
		}
		a, b := j.place(t.a), j.place(t.b)
		long := b.minus(a).long()
		n := int(long/airStep) + 1
		for i := range n {
			p := a.to(b, (float64(i)+0.5)/float64(n))
			if t.loose && !j.body.holds(p) && !j.under.holds(p) {
				run += long / float64(n)
				continue
			}
			far, run = max(far, run), 0
		}
	}
	end()
}
