package pipe

import (
	"slices"

	"platen/slicer/geom"
)

// window is a queue of regions that knows what all of them have in common. It is
// two stacks: every region in front comes with the intersection of itself and
// those pushed after it up to the last turn, and behind is the intersection of all
// those pushed since. So each region is intersected about three times on its way
// through, however long the queue is.
type window struct {
	front  []*geom.Region // top last; front[i] is the common part of what it stands for
	back   []*geom.Region // as pushed
	behind geom.Region    // the common part of back
	spare  []*geom.Region
}

func (w *window) len() int { return len(w.front) + len(w.back) }

func (w *window) wipe() {
	for _, list := range [][]*geom.Region{w.front, w.back, w.spare} {
		for _, r := range list {
			r.Wipe()
		}
	}
	w.behind.Wipe()
}

// push appends a copy of r.
func (w *window) push(k *geom.Kernel, r *geom.Region) error {
	c := w.copy(r)
	w.back = append(w.back, c)
	if len(w.back) == 1 {
		w.behind.Reset()
		w.behind.Append(r)
		return nil
	}
	return common(k, &w.behind, r)
}

// pop drops the oldest region. A kernel error while the stacks turn leaves the
// queue with less in common than it has, never with more.
func (w *window) pop(k *geom.Kernel) {
	if len(w.front) == 0 {
		for i, r := range slices.Backward(w.back) {
			if i < len(w.back)-1 {
				if common(k, r, w.front[len(w.front)-1]) != nil {
					r.Reset()
				}
			}
			w.front = append(w.front, r)
		}
		w.back = w.back[:0]
	}
	last := len(w.front) - 1
	w.spare = append(w.spare, w.front[last])
	w.front = w.front[:last]
}

// intersect takes away from dst what is not in all regions of the queue.
func (w *window) intersect(k *geom.Kernel, dst *geom.Region) error {
	if n := len(w.front); n > 0 {
		if err := common(k, dst, w.front[n-1]); err != nil {
			return err
		}
	}
	if len(w.back) > 0 {
		return common(k, dst, &w.behind)
	}
	return nil
}

func (w *window) copy(r *geom.Region) *geom.Region {
	c := &geom.Region{}
	if n := len(w.spare); n > 0 {
		c, w.spare = w.spare[n-1], w.spare[:n-1]
		c.Reset()
	}
	c.Append(r)
	return c
}

// common intersects dst with r. Layers of an upright wall are equal to the point,
// and cost nothing.
func common(k *geom.Kernel, dst, r *geom.Region) error {
	if dst.Empty() || sameRegion(dst, r) {
		return nil
	}
	return k.Intersect(dst, dst, r)
}

// sameRegion reports whether two regions are equal point by point.
func sameRegion(a, b *geom.Region) bool {
	return slices.Equal(a.Ends, b.Ends) && slices.Equal(a.Pts, b.Pts)
}
