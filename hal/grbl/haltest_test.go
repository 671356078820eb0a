package grbl_test

import (
	"context"
	"testing"

	"platen/hal"
	"platen/hal/driver"
	"platen/hal/grbl"
	"platen/hal/haltest"
	"platen/hal/sim"
)

// shop is a machine that can home, and moves as fast as the programs of the suite.
const shop = "20=1,22=1,23=7,24=200,25=3000,100=80,101=80,102=400,110=18000,111=18000,112=3000,120=2000,121=2000,122=500"

func traits(fw sim.Firmware) haltest.Traits {
	return haltest.Traits{
		Firmware: fw, Has: []string{"HOMING", "SOFT_LIMITS"}, HasNot: []string{"HARD_LIMITS"},
		NoHeaters: true, NoFilament: true, NoFan: true, NoAccel: true, NoBuilds: true, Unchecked: true,
	}
}

// open opens a machine on a printer that has been set up.
func open(line haltest.Connect) haltest.Open {
	connect := haltest.On(line, func(ctx context.Context, port driver.Port, opt driver.Options) (*driver.Machine, error) {
		opt.Pins.USB = true
		return grbl.Open(ctx, port, opt)
	})
	return func(t *testing.T, cfg sim.Config) (hal.Machine, *sim.Printer) {
		cfg.Settings, cfg.Baud = shop, 115200
		return connect(t, cfg)
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, fw := range []sim.Firmware{sim.GRBL, sim.GRBLHAL} {
		t.Run(fw.String(), func(t *testing.T) {
			t.Parallel()
			haltest.Run(t, traits(fw), open(haltest.Pipe))
		})
	}
}
