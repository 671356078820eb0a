package boards

import (
	"strings"
	"testing"
	"time"

	"platen/hal/motion"
	"platen/hal/sensor/gpio"
	"platen/hal/sensor/iio"
	"platen/hal/unit"
	"platen/hal/watch"
)

// box is a [watch] and sensors of every kind, behind the simulated printer's file.
const box = `
[watch]
stale = "12s"
hot_idle = "20m"
door = "halt"
filament = "ignore"
[watch.hot_end]
band = "6C"
gain_time = "25s"
swing = "40%"
off = ["full", "apart"]
[watch.bed]
max = "130C"

[[sensors]]
name = "room"
kind = "iio"
role = "ambient"
at = "ads1015"
read = "voltage0"
supply = "3300mV"
pullup = "10000ohm"
r25 = "10000ohm"
beta = "3950K"
[[sensors]]
name = "hotend-fan"
kind = "gpio"
role = "fan"
at = "gpiochip0"
pin = 22
pull = "up"
pulses = 2
cools = "hot_end"
least_rpm = 1000
[[sensors]]
name = "part-fan"
kind = "hwmon"
role = "fan"
at = "emc2305"
read = "fan1"
fan = 0
least_duty = "25%"
least_rpm = 500
action = "pause"
[[sensors]]
name = "filament"
kind = "gpio"
role = "filament"
at = "pinctrl-bcm2711"
pin = 17
active = "low"
debounce = "20ms"
[[sensors]]
name = "door"
kind = "gpio"
role = "door"
at = "pinctrl-bcm2711"
pin = 27
[[sensors]]
name = "supply"
kind = "gpio"
role = "power"
at = "pinctrl-bcm2711"
pin = 4
[[sensors]]
name = "controller-runs"
kind = "gpio"
role = "run"
at = "pinctrl-bcm2711"
pin = 5
[[sensors]]
name = "psu"
kind = "hwmon"
role = "temperature"
at = "lm75"
read = "temp1"
`

// bare is the simulated printer's file without its own supervision.
func bare(t *testing.T) string {
	t.Helper()
	text, _, ok := strings.Cut(simText(t), "[watch]")
	if !ok {
		t.Fatal("sim.toml has no [watch]")
	}
	return text
}

func TestSensorsAndWatch(t *testing.T) {
	b, err := Parse("sim.toml", []byte(bare(t)+box))
	if err != nil {
		t.Fatal(err)
	}
	w := b.Watch
	if w.Stale != 12*time.Second || w.HotIdle != 20*time.Minute || w.Door != watch.Halt || w.Filament != watch.Ignore ||
		w.HotEnd.Band != 6*unit.Degree || w.HotEnd.GainTime != 25*time.Second || w.HotEnd.Swing != 102 || w.HotEnd.FullTime != -1 ||
		w.HotEnd.Apart != -1 || w.HotEnd.Max != b.Limits.HotEnd.Max+20*unit.Degree || w.Bed.Max != 130*unit.Degree {
		t.Errorf("watch: %+v", w)
	}
	if len(b.Sensors) != 8 {
		t.Fatalf("%d sensors", len(b.Sensors))
	}
	room, hot, part, filament, power := b.Sensors[0], b.Sensors[1], b.Sensors[2], b.Sensors[3], b.Sensors[5]
	if *room.Thermistor != (iio.Thermistor{Supply: 3300, Pullup: 10_000, R25: 10_000, Beta: 3950}) {
		t.Errorf("thermistor: %+v", room.Thermistor)
	}
	if hot.Pin != (gpio.Config{Chip: "gpiochip0", Offset: 22, Pull: gpio.PullUp, Edges: gpio.Rising}) || hot.Fan != (watch.Fan{Cools: true, Of: motion.HotEnd, LeastRPM: 1000, Action: watch.Halt}) {
		t.Errorf("hot end's fan: %+v", hot)
	}
	if part.Fan != (watch.Fan{LeastDuty: 64, LeastRPM: 500, Action: watch.Pause}) {
		t.Errorf("part fan: %+v", part.Fan)
	}
	if filament.Pin != (gpio.Config{Chip: "pinctrl-bcm2711", Offset: 17, ActiveLow: true, Debounce: 20 * time.Millisecond, Edges: gpio.BothEdges}) || !power.Pin.Output || !b.Sensors[6].Pin.Output {
		t.Errorf("pins: %+v, %+v", filament.Pin, power.Pin)
	}
	plain, err := Load("sim")
	if err != nil {
		t.Fatal(err)
	}
	if w := plain.Watch; w.HotIdle != 15*time.Minute || w.Door != watch.Pause || w.Filament != watch.Pause || len(plain.Sensors) != 0 {
		t.Errorf("a board that says nothing: %+v", w)
	}
}

// TestBadSensors changes one thing at a time.
func TestBadSensors(t *testing.T) {
	good := bare(t) + box
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", `pulses = 2`, `pulse = 2`, "unknown key"},
		{"unknown rule", `"full", "apart"`, `"everything"`, "is not known"},
		{"unknown action", `door = "halt"`, `door = "shout"`, "watch.door"},
		{"filament does not halt", `filament = "ignore"`, `filament = "halt"`, "watch.filament"},
		{"stale", `stale = "12s"`, `stale = "1s"`, "watch.stale"},
		{"hot idle", `hot_idle = "20m"`, `hot_idle = "20s"`, "watch.hot_idle"},
		{"long look", `gain_time = "25s"`, `still_time = "10m"`, "at most"},
		{"name", `name = "room"`, `name = "The Room"`, "name is 1 to 24"},
		{"same name", `name = "door"`, `name = "filament"`, "another's already"},
		{"role", `role = "door"`, `role = "window"`, "is none of"},
		{"two doors", `role = "filament"`, `role = "door"`, "another of role door"},
		{"kind", `kind = "hwmon"`, `kind = "gpio"`, ""},
		{"door on iio", "name = \"room\"\nkind = \"iio\"\nrole = \"ambient\"", "name = \"room\"\nkind = \"iio\"\nrole = \"door\"", "kind of a door"},
		{"no chip", `at = "gpiochip0"`, `at = ""`, "no chip"},
		{"no input", "at = \"emc2305\"\nread = \"fan1\"", `at = "emc2305"`, "read names"},
		{"pulses", `pulses = 2`, `pulses = 0`, "pulses is"},
		{"slow", `least_rpm = 1000`, `least_rpm = 10`, "least_rpm"},
		{"no such fan", `fan = 0`, `fan = 7`, "tool.fans"},
		{"cools", `cools = "hot_end"`, `cools = "the room"`, "is not hot_end"},
		{"pull", `pull = "up"`, `pull = "sideways"`, "pull is up"},
		{"thermistor", `beta = "3950K"`, ``, "give r25 and beta"},
		{"ohms", `"10000ohm"`, `"10k"`, "whole number"},
		{"debounce", `debounce = "20ms"`, `debounce = "5s"`, "debounce"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s: %q is not in the file", c.name, c.old)
			continue
		}
		if _, err := Parse("sim.toml", []byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestExampleSensors: what the comment in a board file says can be added, can.
func TestExampleSensors(t *testing.T) {
	const name = "rpi4-skr-mini-e3-v3.toml"
	text, err := files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, example, ok := strings.Cut(string(text), "# [[sensors]]")
	if !ok {
		t.Fatal("no example")
	}
	b, err := Parse(name, []byte(before+"\n[[sensors]]"+strings.ReplaceAll("\n"+example, "\n#", "\n")))
	if err != nil || len(b.Sensors) != 4 {
		t.Errorf("%v", err)
	}
}
