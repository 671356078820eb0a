package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"platen/updater/slot"
)

// TestProbesShareTheirTime: a release that needs long for each of its probes is given up by
// itself before its launcher does that; the time of the controller's firmware is its own.
func TestProbesShareTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Agent{updates: &updates{}}
		begun := time.Now()
		after := func(d time.Duration) func(context.Context) error {
			var first time.Time
			return func(context.Context) error {
				if first.IsZero() {
					first = time.Now()
				}
				if time.Since(first) < d {
					return errors.New("not yet")
				}
				return nil
			}
		}
		const flashed, each = settleTime - time.Minute, healthTime * 2 / 3
		why, err := a.prove(t.Context(), []probe{
			{slot.NoTPM, after(0)}, {slot.NoFirmware, after(flashed)}, {slot.NoController, after(each)}, {slot.NoUplink, after(each)},
		})
		if took := time.Since(begun); err == nil || why != slot.NoUplink || took > flashed+healthTime+time.Second || took >= confirmTime {
			t.Errorf("two probes of %v: %s after %v, %v", each, why, took, err)
		}
		why, err = a.prove(t.Context(), []probe{{slot.NoFirmware, after(flashed)}, {slot.NoController, after(each)}, {slot.NoUplink, after(0)}})
		if err != nil || why != slot.Unknown {
			t.Errorf("control: %s, %v", why, err)
		}
	})
}
