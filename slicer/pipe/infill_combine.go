package pipe

import (
	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/geom"
)

// merged is what a layer carries to the workers about infill that is laid for several
// layers at once. Layers come in groups; what is sparse in all layers of one is laid
// with the highest of them, as high as all together.
type merged struct {
	n      int         // regions in around; a place in all of them, and in rest, is merged
	on     bool        // the group is whole
	height unit.Length // of the lines, on the highest layer of the group; else 0
	around geom.Region
}

func (m *merged) reset() {
	m.n, m.on, m.height = 0, false, 0
	m.around.Reset()
}

func (m *merged) add(r *geom.Region) {
	m.around.Append(r)
	m.n++
}

// group is where a layer is in its group: so many layers of it are below, so many
// above. The first layer is in none.
func (p *Params) group(index int) (below, above int, ok bool) {
	n := p.Skin.Combine
	if n < 2 || index < 1 {
		return 0, 0, false
	}
	below = (index - 1) % n
	above = n - 1 - below
	for i := index - below; i <= index+above; i++ {
		if p.solid(i) {
			return 0, 0, false
		}
	}
	return below, above, true
}

// merge finds what the layers of a group, and those that decide on their skins, leave
// open of l. Every layer of a group finds the same, so each is looked at from all.
func (s *skins) merge(l *Layer, above []*Layer) {
	m := &l.merged
	m.reset()
	down, up, ok := s.p.group(l.Index)
	upper, lower := up+s.p.skinsAbove(), down+s.p.skinsBelow()
	if !ok || len(above) < upper || len(s.past) < lower {
		return
	}
	m.on = true
	if up == 0 {
		m.height = l.Thickness
	}
	for k, a := range above[:upper] {
		if a.upright && !s.p.Shell.Extra { // with the same inside, that is
			continue
		}
		m.add(&a.Outline)
		if k < up {
			m.add(&a.rest)
		}
	}
	same := l.upright
	for k := range lower {
		b := s.past[len(s.past)-1-k]
		if up == 0 && k < down {
			m.height += b.thickness
		}
		if !same || s.p.Shell.Extra {
			m.add(&b.outline)
			if k < down {
				m.add(&b.rest)
			}
		}
		same = b.same
	}
}

// combine takes out of sparse what is laid with the highest layer of the group, and
// lays it there.
func (w *worker) combine(l *Layer) error {
	f, m := &w.fill, &l.merged
	if !m.on || f.sparse.Empty() {
		return nil
	}
	f.lines.Reset()
	f.lines.Append(&l.rest)
	if m.n > 0 {
		if err := w.kernel.Lacking(&f.top, &l.rest, &m.around, m.n); err != nil {
			return err
		}
		if err := w.kernel.Difference(&f.lines, &f.lines, &f.top); err != nil {
			return err
		}
	}
	if err := open(&w.kernel, &f.lines, &f.lines, 4*w.p.Width); err != nil {
		return err
	}
	w.dropSmall(&f.lines)
	if f.lines.Empty() {
		return nil
	}
	if m.height > 0 {
		if err := w.kernel.Intersect(&f.top, &f.lines, &f.sparse); err != nil {
			return err
		}
		if err := w.hatchSparse(l, &f.top, Head{Width: w.p.Width, Height: m.height, Role: motion.Infill}); err != nil {
			return err
		}
	}
	return w.kernel.Difference(&f.sparse, &f.sparse, &f.lines)
}

// dropSmall leaves out islands that may be laid solid on some of the layers.
func (w *worker) dropSmall(r *geom.Region) {
	least := 8 * int64(w.p.Skin.LeastArea) * int64(w.p.Skin.LeastArea)
	pts, ends, start := r.Pts[:0], r.Ends[:0], int32(0)
	for _, end := range r.Ends {
		ring := r.Pts[start:end]
		start = end
		if a := geom.Area2(ring); a < 0 || a >= least {
			pts = append(pts, ring...)
			ends = append(ends, int32(len(pts)))
		}
	}
	r.Pts, r.Ends = pts, ends
}
