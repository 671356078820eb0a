package reprap

import (
	"context"
	"flag"
	"os"
	"testing"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/haltest"
	"platen/hal/sim"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err) // the flag is the testing package's own
	}
	os.Exit(m.Run())
}

func traits() haltest.Traits {
	return haltest.Traits{
		Firmware: sim.RepRap, NoBuilds: true, Patient: true,
		SensorFault: hal.FaultSensor, HeaterFault: hal.FaultThermal,
	}
}

// overUSB opens a machine whose board says that its link is USB.
func overUSB(ctx context.Context, port driver.Port, opt driver.Options) (*driver.Machine, error) {
	opt.Pins.USB = true
	return Open(ctx, port, opt)
}

// checked makes the simulated port one that wants CRCs.
func checked(connect haltest.Connect) haltest.Connect {
	return func(t *testing.T, cfg sim.Config) (driver.Port, *sim.Printer) {
		cfg.Checked = true
		return connect(t, cfg)
	}
}

func TestOverUSB(t *testing.T) {
	t.Parallel()
	tr := traits()
	tr.Unchecked = true
	haltest.Run(t, tr, haltest.On(haltest.PTY, overUSB))
}

func TestOverUART(t *testing.T) {
	t.Parallel()
	haltest.Run(t, traits(), haltest.On(checked(haltest.Pipe), Open))
}
