package check

import (
	"math"
	"slices"
)

// span is a part of a row.
type span struct{ from, to float64 }

// rows is an area as the parts of close parallel rows that lie in it.
type rows struct {
	lo    float64 // of row 0
	pitch float64
	spans [][]span // sorted and apart once closed
	ends  [][]end
}

// end is where a line crosses a row.
type end struct {
	x    float64
	wind int
}

// reset empties r and lets it have n rows from lo on.
func (r *rows) reset(lo, pitch float64, n int) {
	r.lo, r.pitch = lo, pitch
	for len(r.spans) < n {
		r.spans = append(r.spans, nil)
		r.ends = append(r.ends, nil)
	}
	r.spans, r.ends = r.spans[:n], r.ends[:n]
	for i := range r.spans {
		r.spans[i], r.ends[i] = r.spans[i][:0], r.ends[i][:0]
	}
}

func (r *rows) y(i int) float64 { return r.lo + float64(i)*r.pitch }

// within are the rows from lo to hi.
func (r *rows) within(lo, hi float64) (from, to int) {
	return max(0, int(math.Ceil((lo-r.lo)/r.pitch))), min(len(r.spans)-1, int(math.Floor((hi-r.lo)/r.pitch)))
}

// body fills r with what the lines run around at least once.
func (r *rows) body(raw []seg) {
	for _, g := range raw {
		lo, hi, wind := g.a, g.b, -1
		if lo.y > hi.y {
			lo, hi, wind = hi, lo, 1
		}
		if lo.y == hi.y {
			continue
		}
		from, to := r.within(lo.y, hi.y)
		for i := from; i <= to; i++ {
			if y := r.y(i); y >= lo.y && y < hi.y {
				r.ends[i] = append(r.ends[i], end{lo.x + (hi.x-lo.x)*(y-lo.y)/(hi.y-lo.y), wind})
			}
		}
	}
	for i, es := range r.ends {
		slices.SortFunc(es, func(a, b end) int {
			switch {
			case a.x < b.x:
				return -1
			case a.x > b.x:
				return 1
			}
			return b.wind - a.wind
		})
		wind, from := 0, 0.0
		for _, e := range es {
			was := wind
			wind += e.wind
			if was <= 0 && wind > 0 {
				from = e.x
			} else if was > 0 && wind <= 0 && e.x > from {
				r.spans[i] = append(r.spans[i], span{from, e.x})
			}
		}
	}
}

// add adds all that is within reach of a line. Call close after the last.
func (r *rows) add(g seg, reach float64) {
	if reach <= 0 {
		return
	}
	d := g.b.minus(g.a)
	side := pt{}
	if l := d.long(); l > 0 {
		side = pt{-d.y, d.x}.times(reach / l)
	}
	quad := [4]pt{g.a.plus(side), g.b.plus(side), g.b.minus(side), g.a.minus(side)}
	from, to := r.within(min(g.a.y, g.b.y)-reach, max(g.a.y, g.b.y)+reach)
	for i := from; i <= to; i++ {
		y := r.y(i)
		s := span{math.Inf(1), math.Inf(-1)}
		for _, c := range [2]pt{g.a, g.b} {
			if dy := y - c.y; math.Abs(dy) < reach {
				w := math.Sqrt(reach*reach - dy*dy)
				s = span{min(s.from, c.x-w), max(s.to, c.x+w)}
			}
		}
		for k, p := range quad {
			q := quad[(k+1)%4]
			if (p.y <= y) != (q.y <= y) {
				x := p.x + (q.x-p.x)*(y-p.y)/(q.y-p.y)
				s = span{min(s.from, x), max(s.to, x)}
			}
		}
		if s.to > s.from {
			r.spans[i] = append(r.spans[i], s)
		}
	}
}

// close unites what add has added.
func (r *rows) close() {
	for i, spans := range r.spans {
		slices.SortFunc(spans, func(a, b span) int {
			if a.from < b.from {
				return -1
			}
			return 1
		})
		n := 0
		for _, s := range spans {
			if n > 0 && s.from <= spans[n-1].to {
				spans[n-1].to = max(spans[n-1].to, s.to)
				continue
			}
			spans[n] = s
			n++
		}
		r.spans[i] = spans[:n]
	}
}

// area of all rows.
func (r *rows) area() (sum float64) {
	for _, spans := range r.spans {
		for _, s := range spans {
			sum += s.to - s.from
		}
	}
	return sum * r.pitch
}

// holds reports whether a place is in r, to the nearest row.
func (r *rows) holds(p pt) bool {
	i := int(math.Round((p.y - r.lo) / r.pitch))
	if i < 0 || i >= len(r.spans) {
		return false
	}
	s := r.spans[i]
	k, _ := slices.BinarySearchFunc(s, p.x, func(s span, x float64) int {
		if s.to < x {
			return -1
		}
		return 1
	})
	return k < len(s) && s[k].from <= p.x
}

// less sets r to a without b, which have the same rows.
func (r *rows) less(a, b *rows) *rows {
	r.reset(a.lo, a.pitch, len(a.spans))
	for i, as := range a.spans {
		bs := b.spans[i]
		for _, s := range as {
			for len(bs) > 0 && bs[0].to <= s.from {
				bs = bs[1:]
			}
			rest := bs
			for s.from < s.to && len(rest) > 0 && rest[0].from < s.to {
				if rest[0].from > s.from {
					r.spans[i] = append(r.spans[i], span{s.from, rest[0].from})
				}
				s.from = rest[0].to
				rest = rest[1:]
			}
			if s.from < s.to {
				r.spans[i] = append(r.spans[i], s)
			}
		}
	}
	return r
}
