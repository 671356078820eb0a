package boards

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// controller fills in what a file leaves out.
func (f fileController) controller() Controller {
	return Controller{
		Dialect: f.Dialect, Device: f.Device, Baud: int(f.Baud),
		Link: cmp.Or(f.Link, "uart"), Reset: cmp.Or(f.Reset, "none"), Level: f.Level,
		Emergency: f.Emergency, Watchdog: time.Duration(f.Watchdog), Models: f.Models,
	}
}

func (c Controller) check() error {
	for _, v := range []struct {
		key, is string
		may     []string
	}{
		{"dialect", c.Dialect, []string{"marlin", "repetier", "reprap", "grbl"}},
		{"link", c.Link, []string{"uart", "usb"}},
		{"reset", c.Reset, []string{"none", "dtr"}},
		{"level", c.Level, []string{"", "G29", "G32", "G80"}},
	} {
		if !slices.Contains(v.may, v.is) {
			return fmt.Errorf("controller.%s %q is not known: use one of %s", v.key, v.is, strings.TrimPrefix(strings.Join(v.may, ", "), ", "))
		}
	}
	return nil
}
