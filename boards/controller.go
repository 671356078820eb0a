package boards

import (
	"cmp"
	"time"
)

// controller fills in what a file leaves out.
func (f fileController) controller() Controller {
	return Controller{
		Dialect: f.Dialect, Device: f.Device, Baud: int(f.Baud),
		Link: cmp.Or(f.Link, "uart"), Reset: cmp.Or(f.Reset, "none"), Level: f.Level,
		Emergency: f.Emergency, Watchdog: time.Duration(f.Watchdog), Models: f.Models, MCU: f.MCU, ByHand: f.ByHand,
	}
}
