package watch

import (
	"time"

	"platen/hal/unit"
)

// MaxLook is the longest stretch of time that a rule may look back.
const MaxLook = 2 * time.Minute

// historyLen and historyStep bound a history to the last two minutes and a half.
const (
	historyLen  = 160
	historyStep = 900 * time.Millisecond
)

// history is the near past of one heater, about one sample a second.
type history struct {
	ring [historyLen]sample
	n    int // samples there are
	next int
}

type sample struct {
	at    time.Duration
	temp  unit.Celsius
	power unit.Duty
}

// add notes a sample unless the one before is very young.
func (h *history) add(at time.Duration, t unit.Celsius, p unit.Duty) {
	if h.n > 0 && at-h.back(0).at < historyStep {
		return
	}
	h.ring[h.next] = sample{at, t, p}
	h.next = (h.next + 1) % historyLen
	h.n = min(h.n+1, historyLen)
}

// back is the sample i before the newest.
func (h *history) back(i int) *sample { return &h.ring[(h.next-1-i+2*historyLen)%historyLen] }

// span is what a stretch of time up to now was like.
type span struct {
	whole       bool // there were samples for all of it
	first       unit.Celsius
	min, max    unit.Celsius
	early, late int       // mean power of the older and the newer half
	least       unit.Duty // least power
}

// last looks back for d.
func (h *history) last(d time.Duration) span {
	var s span
	if h.n < 2 {
		return s
	}
	now := h.back(0).at
	s.min, s.max, s.least = h.back(0).temp, h.back(0).temp, unit.FullDuty
	var sum, count [2]int
	for i := range h.n {
		b := h.back(i)
		age := now - b.at
		half := 1
		if age > d/2 {
			half = 0
		}
		sum[half] += int(b.power)
		count[half]++
		s.min, s.max, s.least = min(s.min, b.temp), max(s.max, b.temp), min(s.least, b.power)
		s.first = b.temp
		if age >= d {
			s.whole = true
			break
		}
	}
	s.early, s.late = sum[0]/max(count[0], 1), sum[1]/max(count[1], 1)
	s.whole = s.whole && count[0] > 3 && count[1] > 3
	return s
}
