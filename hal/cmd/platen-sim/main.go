// Command platen-sim is a simulated printer on a pseudo terminal, for test rigs and
// demonstrations: it answers like Marlin 2, heats, moves in the time that takes, and
// fails when it is told to.
//
// It keeps nothing of what it prints: moves are counted and forgotten.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/hal/sim"
	"platen/hal/unit"
)

type options struct {
	link, speed, faults, volume string
	seed                        uint64
	every                       time.Duration
	emergency, advanced, dtr    bool
}

func main() { cli.Main(command()) }

func command() *cobra.Command {
	var o options
	root := cli.Root("platen-sim", "simulated printer on a pseudo terminal", `Platen-sim is a printer that is not there: Marlin 2.0.9 on a pseudo terminal, with a planner, heaters
and an end. It prints where its serial port is, what it is doing, and when a print has ended, and runs
until it is told to stop (SIGTERM). Nothing of a print is kept.

Start with "platen-sim --pty /tmp/printer --speed 20" and point the serial port of a printer at /tmp/printer.
Faults for --faults, separated by commas: corrupt:P, drop-ok:P and dup-ok:P with a chance from 0 to 1;
reset@T, thermistor-open@T, heater-dead@T and unplug@T with a simulated time such as 90s.`)
	f := root.Flags()
	f.StringVar(&o.link, "pty", "", "symbolic link to make to the serial port, removed on exit")
	f.StringVar(&o.speed, "speed", "1", "simulated seconds in a real one, or max")
	f.StringVar(&o.faults, "faults", "", "what goes wrong, for example corrupt:0.01,reset@90s")
	f.StringVar(&o.volume, "volume", "220x220x250", "travel of the axes in mm")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the faults")
	f.DurationVar(&o.every, "status-every", time.Second, "time between two status lines while printing; 0 for none")
	f.BoolVar(&o.emergency, "emergency-parser", false, "build with EMERGENCY_PARSER: M112 acts past a full queue")
	f.BoolVar(&o.advanced, "advanced-ok", false, "build with ADVANCED_OK: ok carries line number and room")
	f.BoolVar(&o.dtr, "reset-on-open", true, "restart whenever the port is opened, as DTR does on most boards")
	root.RunE = func(c *cobra.Command, _ []string) error { return run(c.Context(), c, &o) }
	return root
}

func (o *options) config() (sim.Config, error) {
	cfg := sim.Config{
		Seed: o.seed, EmergencyParser: o.emergency, AdvancedOK: o.advanced, ResetOnOpen: o.dtr,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	cfg.Speed = sim.Fastest
	if o.speed != "max" {
		n, err := strconv.Atoi(o.speed)
		if err != nil || n < 1 || n > 100_000 {
			return cfg, cli.Usage("--speed %q: use a whole number from 1 to 100000, or max", o.speed)
		}
		cfg.Speed = n
	}
	sides := strings.Split(o.volume, "x")
	for i := range cfg.Volume {
		mm := 0
		if len(sides) == len(cfg.Volume) {
			mm, _ = strconv.Atoi(sides[i]) // zero is refused below
		}
		if mm < 10 || mm > 500 {
			return cfg, cli.Usage("--volume %q: use three lengths from 10 to 500 mm, for example 220x220x250", o.volume)
		}
		cfg.Volume[i] = unit.Length(mm) * unit.Millimetre
	}
	var err error
	if cfg.Faults, err = sim.ParseFaults(o.faults); err != nil {
		return cfg, cli.Usage("--faults: %v", err)
	}
	if o.every < 0 {
		return cfg, cli.Usage("--status-every cannot be negative")
	}
	return cfg, nil
}

func run(ctx context.Context, c *cobra.Command, o *options) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	p, err := sim.New(cfg)
	if err != nil {
		return err
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		return err
	}
	defer master.Close() // the printer goes away with it
	if o.link != "" {
		if err := link(path, o.link); err != nil {
			return err
		}
		defer os.Remove(o.link) // fails only if somebody else took it away
	}
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, master) }()
	w := &watch{p: p, say: sayer(c), every: o.every}
	err = w.say(event{Event: "ready", Port: path})
	if err == nil {
		err = w.run(ctx, served)
	}
	cancel()
	if !w.served {
		<-served // it was told to end, or says what the reader of events would not hear
	}
	if err == nil {
		err = w.end("stopped")
	}
	return err
}

// link makes name a symbolic link to path, over one that an earlier run left.
func link(path, name string) error {
	if st, err := os.Lstat(name); err == nil && st.Mode()&os.ModeSymlink != 0 {
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("replacing an old link: %w", err)
		}
	}
	if err := os.Symlink(path, name); err != nil {
		return fmt.Errorf("linking the serial port: %w; remove what is in its place or choose another --pty", err)
	}
	return nil
}

// sayer prints events as text, or as one JSON object a line.
func sayer(c *cobra.Command) func(event) error {
	if cli.OutputOf(c) == cli.Text {
		return func(e event) error {
			_, err := io.WriteString(c.OutOrStdout(), e.text())
			return err
		}
	}
	return func(e event) error { return e.writeJSON(c.OutOrStdout()) }
}

// errGone ends the command when the printer was unplugged by a fault.
var errGone = errors.New("the printer was unplugged by a fault")
