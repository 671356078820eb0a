package grbl_test

import (
	"context"
	"os"
	"testing"

	"platen/hal/driver"
	"platen/hal/grbl"
	"platen/hal/haltest"
	"platen/hal/sim"
)

// shop is a machine that can home, and moves as fast as the programs of the suite.
const shop = "20=1,22=1,23=7,24=200,25=3000,100=80,101=80,102=400,110=18000,111=18000,112=3000,120=2000,121=2000,122=500"

func traits(fw sim.Firmware) haltest.Traits {
	return haltest.Traits{
		Firmware: fw, Settings: shop, Has: []string{"HOMING", "SOFT_LIMITS"}, HasNot: []string{"HARD_LIMITS"},
		NoHeaters: true, NoFilament: true, NoFan: true, NoAccel: true, NoBuilds: true, Unchecked: true,
	}
}

// open opens a machine whose board says that its link damages nothing.
func open(ctx context.Context, port driver.Port, opt driver.Options) (*driver.Machine, error) {
	opt.Pins.USB = true
	return grbl.Open(ctx, port, opt)
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for _, fw := range []sim.Firmware{sim.GRBL, sim.GRBLHAL} {
		t.Run(fw.String(), func(t *testing.T) {
			t.Parallel()
			haltest.Run(t, traits(fw), haltest.On(haltest.Pipe, open))
		})
	}
}

// TestPrint prints 100,000 lines on a slow day, over a line that damages none.
func TestPrint(t *testing.T) {
	t.Parallel()
	if racing && os.Getenv("PLATEN_SOAK") == "" {
		t.Skip("takes minutes with -race, where the long program of TestSuite has to do: make soak prints it all")
	}
	for _, fw := range []sim.Firmware{sim.GRBL, sim.GRBLHAL} {
		t.Run(fw.String(), func(t *testing.T) { haltest.Print(t, traits(fw), open) })
	}
}

// TestHostile lets everything fail that ends a print.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, fw := range []sim.Firmware{sim.GRBL, sim.GRBLHAL} {
		t.Run(fw.String(), func(t *testing.T) { haltest.Hostile(t, traits(fw), open) })
	}
}
