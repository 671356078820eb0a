package watch_test

import (
	"os"
	"testing"

	"platen/hal"
	"platen/hal/haltest"
	"platen/hal/marlin"
	"platen/hal/sim"
	"platen/hal/watch"
)

// TestSupervisedMachineKeepsTheContract: whoever has a machine does not notice that it
// is supervised. The printers of the suite run faster than real ones, and warm faster
// than any rule about rates takes.
func TestSupervisedMachineKeepsTheContract(t *testing.T) {
	if os.Getenv("PLATEN_SOAK") == "" {
		t.Skip("the whole suite of machines: make soak")
	}
	bare := haltest.On(haltest.Pipe, marlin.Open)
	quick := watch.Tuning{Rate: -1}
	haltest.Run(t, haltest.Traits{Has: []string{"AUTOREPORT_TEMP"}, HasNot: []string{"EMERGENCY_PARSER"}}, func(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer) {
		m, p := bare(t, cfg)
		w := watch.Over(m, watch.Config{HotEnd: quick, Bed: quick})
		t.Cleanup(func() { w.Close() })
		return w, p
	})
}
