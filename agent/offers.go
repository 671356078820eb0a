package agent

import (
	"slices"
	"sync"
	"time"

	"platen/agent/intake"
)

// mostRefused bounds how many kinds of refused offers are told apart: the oldest goes.
const mostRefused = 16

// refusedOffers is what became of offers that were not taken, for who owns the printer: to whoever
// made one nothing is said, for it may be anybody who gets that far.
type refusedOffers struct {
	mu   sync.Mutex
	list []intake.RefusedOffers // the latest last
}

// note counts an offer that was refused.
func (r *refusedOffers) note(code string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := intake.RefusedOffers{Code: code}
	if i := slices.IndexFunc(r.list, func(x intake.RefusedOffers) bool { return x.Code == code }); i >= 0 {
		one = r.list[i]
		r.list = slices.Delete(r.list, i, i+1)
	}
	one.Count, one.Last = one.Count+1, now.UTC().Truncate(time.Second)
	r.list = append(r.list[max(0, len(r.list)+1-mostRefused):], one)
}

// view is all of them.
func (r *refusedOffers) view() []intake.RefusedOffers {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}
