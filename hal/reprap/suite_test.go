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

// overUSB opens a machine whose board says that its link is USB.
func overUSB(ctx context.Context, port driver.Port, opt driver.Options) (*driver.Machine, error) {
	opt.Pins.USB = true
	return Open(ctx, port, opt)
}

var usb, uart = func() (usb, uart haltest.Traits) {
	usb = haltest.Traits{
		Firmware: sim.RepRap, NoBuilds: true, Patient: true,
		SensorFault: hal.FaultSensor, HeaterFault: hal.FaultThermal,
	}
	uart = usb
	usb.Unchecked = true
	uart.Checked, uart.Has = true, []string{"CHECKSUM_REQUIRED"}
	return usb, uart
}()

func TestOverUSB(t *testing.T) {
	t.Parallel()
	haltest.Run(t, usb, haltest.On(haltest.PTY, overUSB))
}

func TestOverUART(t *testing.T) {
	t.Parallel()
	haltest.Run(t, uart, haltest.On(haltest.Pipe, Open))
}

func TestPrint(t *testing.T) {
	t.Parallel()
	haltest.Print(t, uart, Open)
}

func TestHostile(t *testing.T) {
	t.Parallel()
	haltest.Hostile(t, usb, overUSB)
}

func TestStorm(t *testing.T) {
	t.Parallel()
	haltest.Storm(t, uart, Open)
}

func TestWounds(t *testing.T) {
	t.Parallel()
	haltest.Wounds(t, uart, Open, 23)
}

func TestCrash(t *testing.T) {
	t.Parallel()
	haltest.Crash(t, uart, Open)
}

func TestSound(t *testing.T) {
	t.Parallel()
	haltest.Sound(t, uart, Open)
}
