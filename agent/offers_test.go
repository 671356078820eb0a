package agent

import (
	"fmt"
	"testing"
	"time"
)

// TestRefusedOffers: offers that are refused are counted by their codes, and however many kinds
// there are, the latest are shown.
func TestRefusedOffers(t *testing.T) {
	var r refusedOffers
	if v := r.view(); len(v) != 0 {
		t.Errorf("before any: %v", v)
	}
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.Local)
	for i := range 10_000 {
		r.note([]string{"ticket-form", "ticket-signature"}[i%2], at.Add(time.Duration(i)*time.Minute))
	}
	v := r.view()
	if len(v) != 2 || v[0].Code != "ticket-form" || v[0].Count != 5000 || v[1].Count != 5000 || !v[1].Last.Equal(at.Add(9999*time.Minute).Truncate(time.Second)) {
		t.Errorf("two kinds: %+v", v)
	}
	r.note("ticket-form", at)
	for i := range mostRefused - 1 {
		r.note(fmt.Sprint(i), at)
	}
	if v = r.view(); len(v) != mostRefused || v[0].Code != "ticket-form" || v[0].Count != 5001 {
		t.Errorf("%d kinds, the oldest is %+v", len(v), v[0])
	}
}
