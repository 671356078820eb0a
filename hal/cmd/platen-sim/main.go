// Command platen-sim is a simulated printer on a pseudo terminal, for test rigs and
// demonstrations: it answers like the firmware that it is told to be, heats, moves in
// the time that takes, and fails when it is told to.
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
	firmware, link, speed, faults, volume string
	settings, record, keep                string
	seed                                  uint64
	noise                                 float64
	extruders                             int
	every                                 time.Duration
	emergency, advanced, actions          bool
	dtr, chamber                          bool
}

// workshop makes a machine of grbl's bare defaults: it homes at the lower ends, and
// moves as printers do.
const workshop = "20=1,22=1,23=7,24=200,25=3000,100=80,101=80,102=400,110=18000,111=18000,112=1200,120=1000,121=1000,122=200"

func main() { cli.Main(command()) }

func command() *cobra.Command {
	var o options
	root := cli.Root("platen-sim", "simulated printer on a pseudo terminal", help())
	root.Use = "platen-sim [firmware]"
	root.Args = cobra.MaximumNArgs(1)
	for _, fw := range sim.Firmwares() {
		root.ValidArgs = append(root.ValidArgs, fw.String()+"\t"+fw.About())
	}
	f := root.Flags()
	f.StringVar(&o.link, "pty", "", "symbolic link to make to the serial port, removed on exit")
	f.StringVar(&o.speed, "speed", "1", "simulated seconds in a real one, or max")
	f.StringVar(&o.faults, "fault", "", "what goes wrong, for example corrupt:0.001,drop-ok:1/5000,reset@120s")
	f.StringVar(&o.faults, "faults", "", "the same")
	f.Lookup("faults").Hidden = true // its name until it could do more than one thing
	f.StringVar(&o.volume, "volume", "220x220x250", "travel of the axes in mm")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the faults")
	f.Float64Var(&o.noise, "noise", 0.1, "standard deviation of temperatures in °C; 0 for perfect sensors")
	f.IntVar(&o.extruders, "extruders", 1, "number of hot ends")
	f.BoolVar(&o.chamber, "chamber", false, "the printer has a heated chamber")
	f.DurationVar(&o.every, "status-every", time.Second, "time between two status lines while printing; 0 for none")
	f.BoolVar(&o.emergency, "emergency-parser", false, "marlin2 built with EMERGENCY_PARSER: M112 acts past a full queue")
	f.BoolVar(&o.advanced, "advanced-ok", false, "marlin2 built with ADVANCED_OK: ok carries line number and room")
	f.BoolVar(&o.actions, "host-actions", false, "marlin2 built with HOST_ACTION_COMMANDS: //action: lines and prompts")
	f.StringVar(&o.settings, "settings", workshop, "settings of grbl and grblhal that differ from their defaults")
	f.StringVar(&o.record, "record", "", "file for a recording of what is said, with all design data replaced")
	f.StringVar(&o.keep, "keep", "", "file that keeps where the head stands while the power is off, as screws do")
	f.BoolVar(&o.dtr, "reset-on-open", true, "restart whenever the port is opened, as DTR does on most boards")
	root.AddCommand(bootloaderCmd())
	root.RunE = func(c *cobra.Command, args []string) error {
		o.firmware = sim.Marlin2.String()
		if len(args) > 0 {
			o.firmware = args[0]
		}
		return run(c.Context(), c, &o)
	}
	return root
}

// help is the long help: what it is, the firmwares and the faults.
func help() string {
	var s strings.Builder
	s.WriteString(`Platen-sim is a printer that is not there: a firmware on a pseudo terminal, with a planner, heaters and
an end. It prints where its serial port is, what it is doing, and when a print has ended, and runs until
it is told to stop (SIGTERM). Nothing of a print is kept.

Start with "platen-sim marlin2 --pty /tmp/printer --speed 20" and point the serial port of a printer at
/tmp/printer.

Firmwares:
`)
	for _, fw := range sim.Firmwares() {
		fmt.Fprintf(&s, "  %-20s %s\n", fw, fw.About())
	}
	s.WriteString(`
Faults for --fault, separated by commas. P is a chance for each line, such as 0.001 or 1/5000; T is a
simulated time since power-on, such as 90s:
`)
	for _, k := range sim.FaultKinds() {
		form, does := k.Usage()
		fmt.Fprintf(&s, "  %-20s %s\n", form, does)
	}
	return strings.TrimRight(s.String(), "\n")
}

func (o *options) config() (sim.Config, error) {
	cfg := sim.Config{
		Seed: o.seed, EmergencyParser: o.emergency, AdvancedOK: o.advanced, HostActions: o.actions, ResetOnOpen: o.dtr,
		Extruders: o.extruders, Chamber: o.chamber, Settings: o.settings, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	var err error
	if cfg.Firmware, err = sim.ParseFirmware(o.firmware); err != nil {
		return cfg, cli.Usage("%v", err)
	}
	if !(o.noise >= 0 && o.noise <= 10) {
		return cfg, cli.Usage("--noise: use a number from 0 to 10")
	}
	if cfg.Noise, err = unit.FromDegrees(o.noise); err != nil {
		return cfg, cli.Usage("--noise: %v", err)
	}
	if o.extruders < 1 || o.extruders > 5 {
		return cfg, cli.Usage("--extruders: use 1 to 5")
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
	if cfg.Faults, err = sim.ParseFaults(o.faults); err != nil {
		return cfg, cli.Usage("--fault: %v", err)
	}
	if o.every < 0 {
		return cfg, cli.Usage("--status-every cannot be negative")
	}
	return cfg, nil
}

func run(ctx context.Context, c *cobra.Command, o *options) (err error) {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	if o.keep != "" {
		if cfg.Start, err = readPlace(o.keep); err != nil {
			return err
		}
	}
	p, err := sim.New(cfg)
	if err != nil {
		return err
	}
	if o.keep != "" {
		defer func() { err = errors.Join(err, writePlace(o.keep, p.Place())) }()
	}
	record, done, err := recorder(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	r := &rig{cfg: &cfg, p: p, link: o.link, record: record, w: &watch{p: p, say: sayer(c), every: o.every}}
	if o.link != "" {
		defer r.unlink()
	}
	err = r.plugged(ctx)
	if errors.Is(err, errGone) && cfg.Faults.ReplugAt > 0 {
		if err = r.wait(ctx); err == nil {
			err = r.plugged(ctx)
		}
	}
	if err == nil {
		err = r.w.end("stopped")
	}
	return err
}

// rig is a printer and its place among the files.
type rig struct {
	cfg    *sim.Config
	p      *sim.Printer
	link   string
	linked bool
	record func(io.ReadWriteCloser) io.ReadWriteCloser
	w      *watch
}

// plugged makes a port and serves the printer on it until ctx ends, or until the
// cable is pulled: then it returns errGone.
func (r *rig) plugged(ctx context.Context) error {
	master, path, err := sim.OpenPTY()
	if err != nil {
		return err
	}
	defer master.Close() // the port goes away with it
	if r.link != "" {
		if err := link(path, r.link); err != nil {
			return err
		}
		r.linked = true
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	line := r.record(master)
	defer line.Close() // a recording that failed has said so to its file
	go func() { served <- r.p.Serve(ctx, line) }()
	r.w.served = false
	err = r.w.say(event{Event: "ready", Port: path})
	if err == nil {
		err = r.w.run(ctx, served)
	}
	cancel()
	if !r.w.served {
		<-served // it was told to end, or says what the reader of events would not hear
	}
	return err
}

// wait lets the cable be out for as long as it is to be.
func (r *rig) wait(ctx context.Context) error {
	r.unlink()
	d := r.cfg.Faults.ReplugAt - r.cfg.Faults.UnplugAt
	if r.cfg.Speed > 0 {
		d /= time.Duration(r.cfg.Speed)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *rig) unlink() {
	if r.linked {
		os.Remove(r.link) // fails only if somebody else took it away
		r.linked = false
	}
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
