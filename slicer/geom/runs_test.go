package geom

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// Events come in the order of their keys however they were: in long runs, short ones, and
// none at all.
func TestSortEvents(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 7))
	merged, digits := 0, 0
	for _, n := range []int{1, 2, 3, 10, 399, 400, 3000} {
		for _, turns := range []int{1, 2, 7, 30, n} { // how often they go down and up again
			var k Kernel
			for i := range n {
				at := i * turns % (2 * n)
				if at >= n {
					at = 2*n - at - 1
				}
				k.events = append(k.events, event{uint64(at)<<8 | uint64(rng.IntN(2)), int32(i)})
			}
			want := slices.Clone(k.events)
			slices.SortStableFunc(want, func(a, b event) int { return cmp.Compare(a.key, b.key) })
			if k.sortRuns(24); n >= 400 && len(k.starts) > mostRuns {
				digits++
			} else {
				merged++
			}
			if !slices.EqualFunc(k.events, want, func(a, b event) bool { return a.key == b.key }) {
				t.Errorf("%d events that turn %d times are not in order", n, turns)
			}
			slices.SortFunc(k.events, func(a, b event) int { return cmp.Compare(a.frag, b.frag) })
			for i, e := range k.events {
				if e.frag != int32(i) {
					t.Fatalf("%d events that turn %d times: not all are there once", n, turns)
				}
			}
		}
	}
	if merged == 0 || digits == 0 {
		t.Errorf("control: %d were merged, %d sorted by digits", merged, digits)
	}
}
