package session

import (
	"sync/atomic"

	"platen/agent/seam"
	"platen/hal/motion"
	"platen/hal/unit"
)

// fed counts the filament of a job.
type fed struct{ total atomic.Int64 } // of unit.Length; what was drawn back is taken off

// watch passes prog on and counts.
func (f *fed) watch(prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		for op, err := range prog {
			if !yield(op, err) {
				return
			}
			if op.Axes&motion.E != 0 {
				f.total.Add(int64(op.E))
			}
		}
	}
}

// bucket is the number of the bucket that the total falls into: see [seam.Receipt].
func (f *fed) bucket() uint8 {
	const metre = 1000 * int64(unit.Millimetre)
	total := f.total.Load()
	if total <= 0 {
		return 0
	}
	n := uint8(1)
	for edge := metre; edge < total && n < seam.MostMaterial; edge *= 2 {
		n++
	}
	return n
}
