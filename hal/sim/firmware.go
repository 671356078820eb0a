package sim

import (
	"fmt"
	"strings"
	"time"

	"platen/hal/unit"
)

// Firmware is what runs on the simulated controller.
type Firmware uint8

const (
	Marlin2   Firmware = iota // Marlin 2.0.9.5, default configuration; the options of Config are its build options
	Marlin1                   // Marlin 1.0 as the Ultimaker 2 has it
	PrusaMK3                  // Prusa-Firmware 3.14 of the MK3S
	Repetier                  // Repetier-Firmware 1.0.4
	RepRap                    // RepRapFirmware 3
	GRBL                      // grbl 1.1h
	GRBLHAL                   // grblHAL
	firmwares                 // how many there are
)

// makers says for each firmware how it is called, what it is and how it is made.
// The controller is complete but for the firmware when it is made; restart is called
// next.
var makers = [firmwares]struct {
	name, about string
	make        func(*mcu) firmware
	baud        int
	volume      [3]unit.Length // of the machine it is built for
	ambient     unit.Celsius   // what its sensors read at 22 °C
}{
	Marlin2:  {"marlin2", "Marlin 2.0.9.5 on an 8-bit RAMPS board", newMarlin2, 250000, cube, 21870},
	Marlin1:  {"um2", "Marlin 1.0 of the Ultimaker 2", newMarlin1, 250000, [3]unit.Length{230 * mm, 224*mm + mm/2, 230 * mm}, 22400},
	PrusaMK3: {"mk3", "Prusa-Firmware 3.14 of the MK3S", newMK3, 115200, [3]unit.Length{255 * mm, 212*mm + mm/2, 210 * mm}, 21500},
	Repetier: {"repetier", "Repetier-Firmware 1.0.4 on a RAMPS board", newRepetier, 250000, cube, 21870},
	RepRap:   {"reprap", "RepRapFirmware 3.5 on a Duet 3 6HC", newRepRap, 115200, cube, 21870},
	GRBL:     {"grbl", "grbl 1.1h on an Arduino Uno", newGRBL, 115200, cube, 21870},
	GRBLHAL:  {"grblhal", "grblHAL", newGRBLHAL, 115200, cube, 21870},
}

const mm = unit.Millimetre

var cube = [3]unit.Length{200 * mm, 200 * mm, 200 * mm}

// firmware is a program on the controller. It is plain sequential code on the
// goroutine of Serve: whenever it spends time (mcu.spend, mcu.print, mcu.rest,
// mcu.hold), interrupts run on the way, and afterwards it has to ask mcu.up whether
// it still runs. What it embeds or is given as *mcu is the board: clock, line,
// planner, heat, journal.
type firmware interface {
	// restart forgets what a reset forgets, and sets the board up as the firmware
	// does (size of the receive buffer and of the planner, limits). No time passes.
	restart()
	// run runs from the banner until mcu.stop is resetting or poweredOff; once it
	// is killed, it lies dead (mcu.lieDead) until one of these.
	run()
	// receive is the receive interrupt: one byte has arrived.
	receive(c byte)
	// idle is one turn of what the firmware does while a command waits: it reads
	// the line, looks after heaters, sends reports. It returns when it has to be
	// called again even if no interrupt comes before.
	idle() time.Duration
	// regulate is the temperature interrupt, every tempTick after the physics: it
	// sets the power of each heater.
	regulate()
}

// String is the name that ParseFirmware reads.
func (f Firmware) String() string {
	if f < firmwares {
		return makers[f].name
	}
	return fmt.Sprintf("firmware %d", uint8(f))
}

// About is a line about the firmware for a person.
func (f Firmware) About() string {
	if f < firmwares {
		return makers[f].about
	}
	return ""
}

// Firmwares lists every firmware there is.
func Firmwares() []Firmware {
	var all []Firmware
	for f := range firmwares {
		if makers[f].make != nil {
			all = append(all, f)
		}
	}
	return all
}

// ParseFirmware reads the name of a firmware, such as "marlin2".
func ParseFirmware(s string) (Firmware, error) {
	var names []string
	for _, f := range Firmwares() {
		if s == f.String() {
			return f, nil
		}
		names = append(names, f.String())
	}
	return 0, fmt.Errorf("firmware %q is not known: use one of %s", s, strings.Join(names, ", "))
}
