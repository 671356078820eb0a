package telemetry

import (
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
)

// Codes of the catalogue's alerts beyond those of hal/watch, and their severities.
const (
	alertDoor     = 12 // hal/watch.DoorOpen
	alertFilament = 13 // hal/watch.FilamentOut
	alertHotIdle  = 14 // hal/watch.HotIdle
	alertMissing  = 32
	alertFault    = 33
	alertForeign  = 34

	severityNone    = 0
	severityInfo    = 1
	severityWarning = 2
	severityFault   = 3
)

// alert is the gravest thing that is wrong, as the printer itself judges it at full rate:
// code and severity as the catalogue has them. foreign says that the controller was flashed by
// somebody else.
func alert(st seam.Status, foreign bool) (code, severity int64) {
	switch {
	case st.Trip == alertDoor && st.Fault == 0, st.Trip == alertFilament:
		return int64(st.Trip), severityWarning
	case st.Trip == alertHotIdle:
		return int64(st.Trip), severityInfo
	case st.Trip != 0:
		return int64(st.Trip), severityFault
	case st.Fault != 0:
		return alertFault, severityFault
	case foreign:
		return alertForeign, severityFault
	case st.Missing != 0:
		return alertMissing, severityWarning
	}
	return 0, severityNone
}

// A heater is in its band within bandWidth of its target. It may be outside for
// bandTime, and until then it is on its way; what takes longer to heat up is for the
// supervision to judge.
const (
	bandWidth = 10_000 // 1/1000 °C
	bandTime  = 10 * time.Minute
)

// heat judges whether heaters hold their targets.
type heat struct {
	target [seam.MaxHeaters]int32
	since  [seam.MaxHeaters]time.Time // out of band; zero if it is not
}

func (h *heat) watch(st seam.Status, now time.Time) {
	for i, x := range st.Heaters {
		off := max(x.Actual-x.Target, x.Target-x.Actual)
		switch {
		case i >= int(st.NHeaters) || x.Target <= 0 || off <= bandWidth:
			h.since[i] = time.Time{}
		case h.since[i].IsZero() || h.target[i] != x.Target:
			h.since[i] = now
		}
		h.target[i] = x.Target
	}
}

// code is the catalogue's: whether what is heated is as warm as it is to be.
func (h *heat) code(st seam.Status, now time.Time) int64 {
	code := int64(catalog.HeatOff)
	for i, x := range st.Heaters[:st.NHeaters] {
		if x.Target <= 0 {
			continue
		}
		if !h.since[i].IsZero() && now.Sub(h.since[i]) > bandTime {
			return catalog.HeatOutOfBand
		}
		code = catalog.HeatInOrder
	}
	return code
}
