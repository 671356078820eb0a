package repetier

import (
	"flag"
	"os"
	"testing"

	"platen/hal"
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

var traits = haltest.Traits{
	Firmware: sim.Repetier, NoBuilds: true,
	Has: []string{"AUTOREPORT_TEMP", "EMERGENCY_PARSER"}, HasNot: []string{"AUTOLEVEL"},
	SensorFault: hal.FaultSensor, HeaterFault: hal.FaultThermal,
}

func TestOverPipe(t *testing.T) {
	t.Parallel()
	haltest.Run(t, traits, haltest.On(haltest.Pipe, Open))
}

func TestOverPTY(t *testing.T) {
	t.Parallel()
	haltest.Run(t, traits, haltest.On(haltest.PTY, Open))
}

func TestPrint(t *testing.T) {
	t.Parallel()
	haltest.Print(t, traits, Open)
}

func TestHostile(t *testing.T) {
	t.Parallel()
	haltest.Hostile(t, traits, Open)
}

func TestStorm(t *testing.T) {
	t.Parallel()
	haltest.Storm(t, traits, Open)
}

func TestWounds(t *testing.T) {
	t.Parallel()
	haltest.Wounds(t, traits, Open, 7)
}

func TestCrash(t *testing.T) {
	t.Parallel()
	haltest.Crash(t, traits, Open)
}

func TestSound(t *testing.T) {
	t.Parallel()
	haltest.Sound(t, traits, Open)
}
