package updater_test

import (
	"fmt"
	"testing"

	"platen/updater"
)

// TestShares: a share is about as large as it says, grows without losing anybody, and
// falls on others with the next release. The names are fixed, so the counts are.
func TestShares(t *testing.T) {
	const printers = 20_000
	var tenth, half, both, next int
	for i := range printers {
		name := fmt.Sprintf("printer %d", i)
		a := (&updater.Rollout{Share: 1000}).Admits("sim", "agent", 7, name, "")
		b := (&updater.Rollout{Share: 5000}).Admits("sim", "agent", 7, name, "")
		if a && !b {
			t.Fatalf("%s is in a tenth, but not in a half", name)
		}
		if (&updater.Rollout{}).Admits("sim", "agent", 7, name, "") || !(&updater.Rollout{Share: updater.WholeShare}).Admits("sim", "agent", 7, name, "") {
			t.Fatalf("%s is in a share of nobody, or not in that of all", name)
		}
		for _, c := range []struct {
			is bool
			n  *int
		}{{a, &tenth}, {b, &half}} {
			if c.is {
				*c.n++
			}
		}
		if (&updater.Rollout{Share: 1000}).Admits("sim", "agent", 8, name, "") {
			next++
			if a {
				both++
			}
		}
	}
	for _, c := range []struct{ got, want int }{{tenth, printers / 10}, {half, printers / 2}, {next, printers / 10}, {both, printers / 100}} {
		if c.got < c.want*8/10 || c.got > c.want*12/10 {
			t.Errorf("%d printers, want about %d", c.got, c.want)
		}
	}
	var none *updater.Rollout
	if !none.Admits("sim", "agent", 7, "", "") {
		t.Error("a release without a rollout is for everybody")
	}
}
