package watch_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"platen/hal"
	"platen/hal/marlin"
	"platen/hal/motion"
	"platen/hal/serial"
	"platen/hal/sim"
	"platen/hal/unit"
	"platen/hal/watch"
)

// TestMain lets all cases run side by side: they mostly wait for heat.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err) // the flag is the testing package's own
	}
	os.Exit(m.Run())
}

// TestFaultsOfHeaters breaks the hot end of a simulated Marlin while it prints. Whoever
// sees it first, firmware or supervisor, the heaters are off at the end, and soon after
// the fault.
func TestFaultsOfHeaters(t *testing.T) {
	if testing.Short() {
		t.Skip("heats in real time")
	}
	t.Parallel()
	const speed = 2 // a hot end that warms and cools twice as fast as the usual one
	const at = 12 * time.Second
	for name, c := range map[string]struct {
		fault  sim.Faults
		faults []hal.Fault // FaultNone: nothing is to happen
	}{
		"control":          {sim.Faults{}, []hal.Fault{hal.FaultNone}},
		"heater dead":      {sim.Faults{HeaterDeadAt: at}, []hal.Fault{hal.FaultThermal}},
		"heater stuck on":  {sim.Faults{HeaterOnAt: at}, []hal.Fault{hal.FaultThermal, hal.FaultSensor}},
		"thermistor open":  {sim.Faults{ThermistorOpenAt: at}, []hal.Fault{hal.FaultSensor}},
		"thermistor short": {sim.Faults{ThermistorShortAt: at}, []hal.Fault{hal.FaultSensor}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.fault.HeaterDeadAt > 0 && os.Getenv("PLATEN_SOAK") == "" {
				t.Skip("cools for long: make soak")
			}
			t.Parallel()
			p, m := supervised(t, sim.Config{Speed: speed, Hotend: 205 * unit.Degree, Faults: c.fault})
			long := 6 * time.Second
			if c.faults[0] != hal.FaultNone {
				long = 60 * time.Second // it ends by the fault
			}
			err := m.Run(t.Context(), hold(long))
			fault := hal.FaultNone
			if f, ok := errors.AsType[*hal.FaultError](err); ok {
				fault = f.Fault
			} else if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.faults {
				if fault == want {
					fault, c.faults = hal.FaultNone, nil
				}
			}
			if c.faults != nil {
				t.Errorf("fault %v, want one of %v", fault, c.faults)
			}
			for end := time.Now().Add(30 * time.Second); p.Stats().HotendSet != 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("the hot end is still set to %v", p.Stats().HotendSet)
				}
			}
			if err == nil {
				return
			}
			after := p.Stats().SimTime - at
			t.Logf("%v by %v, safe %v of the printer's time after the fault", err, m.Tripped(), after.Round(time.Second))
			if after > 3*time.Minute { // 30 s here; this is a guard on a slow machine
				t.Errorf("safe only after %v", after)
			}
		})
	}
}

// hold is a program that holds 210 °C for d, in small moves.
func hold(d time.Duration) motion.Program {
	return func(yield func(motion.Op, error) bool) {
		if !yield(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd, Temp: 210 * unit.Degree}, nil) {
			return
		}
		for end := time.Now().Add(d); time.Now().Before(end); {
			if !yield(motion.Op{Kind: motion.Dwell, Wait: 200 * time.Millisecond}, nil) {
				return
			}
		}
		yield(motion.Op{Kind: motion.SetHeater, Heater: motion.HotEnd}, nil)
	}
}

// supervised is a simulated printer with its driver and a supervisor.
func supervised(t *testing.T, cfg sim.Config) (*sim.Printer, *watch.Machine) {
	t.Helper()
	p, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); p.Serve(ctx, master) }()
	t.Cleanup(func() { cancel(); <-served; master.Close() })
	port, err := serial.Open(serial.Config{Device: path, Baud: 250000})
	if err != nil {
		t.Fatal(err)
	}
	m, err := marlin.Open(t.Context(), port, marlin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := watch.Over(m, watch.Config{})
	t.Cleanup(func() { w.Close() })
	return p, w
}
