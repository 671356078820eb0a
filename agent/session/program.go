package session

import (
	"sync/atomic"
	"time"

	"platen/hal/motion"
)

// progress turns layer marks, or where there are none operations, into quarters of
// the print: nothing finer is machine data. See marks for the layer.
type progress struct {
	layers  int32
	ops     int64
	quarter atomic.Uint32
}

// watch passes prog on and keeps count.
func (p *progress) watch(prog motion.Program) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		done := int64(0)
		for op, err := range prog {
			switch done++; {
			case p.layers > 0 && op.Kind == motion.BeginLayer:
				p.quarter.Store(uint32(min(3, 4*int64(op.Layer)/int64(p.layers))))
			case p.layers == 0 && p.ops > 0:
				p.quarter.Store(uint32(min(3, 4*done/p.ops)))
			}
			if !yield(op, err) {
				return
			}
		}
		p.quarter.Store(4)
	}
}

// percent is 0, 25, 50, 75 or 100.
func (p *progress) percent() uint8 { return uint8(25 * p.quarter.Load()) }

// statusPeriod is how often a session reports to its agent.
const statusPeriod = time.Second
