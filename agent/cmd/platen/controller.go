package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"platen/agent"
	"platen/agent/cli"
	"platen/agent/config"
	"platen/agent/confine"
	"platen/boards"
	"platen/hal/flash"
	"platen/hal/flash/image"
	"platen/hal/flash/katapult"
	"platen/hal/sensor/gpio"
	"platen/updater/slot"
)

// controllerOptions say which controller is meant.
type controllerOptions struct{ board, device, state string }

// controllerCmd is service of the motion controller's firmware.
func controllerCmd() *cobra.Command {
	var o controllerOptions
	c := &cobra.Command{
		Use:   "controller",
		Short: "Flash the motion controller, or finish flashing it",
		Args:  cobra.NoArgs,
		Long: `Replace the firmware of the motion controller through its bootloader. The agent must not run,
nor a print that goes on without it. Restarting into the bootloader switches heaters and motors off.

Before the first change it is noted that the controller is not confirmed, and it is confirmed once every byte
was read back and the new firmware has answered. Until then no print starts. A power cut in between is finished
by "platen controller resume".`,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := c.PersistentFlags()
	f.StringVar(&o.board, "board", "", "id of a board, or a board file, instead of the configuration's")
	f.StringVar(&o.device, "device", "", "serial device, instead of the configuration's or the board's")
	f.StringVar(&o.state, "state", "", "folder of the journal, instead of the configuration's")
	c.AddCommand(controllerFlashCmd(&o), controllerResumeCmd(&o), controllerSaveCmd(&o), controllerStatusCmd(&o), controllerAcceptCmd(&o))
	return c
}

// doctorController finds a controller that is not confirmed.
func doctorController(cfg *config.Config) []confine.Finding {
	err := flash.Ready(filepath.Join(cfg.State, "controller"))
	if err == nil {
		err = agent.ControllerForeign(filepath.Join(cfg.State, "controller"))
	}
	if err == nil {
		return nil
	}
	return []confine.Finding{{Name: "controller", Level: confine.Fail, What: err.Error(), Remedy: "platen controller resume, or platen controller flash; or accept, if it was right"}}
}

// fill takes what flags leave out from the configuration.
func (o *controllerOptions) fill() error {
	if o.board != "" && o.state != "" {
		return nil
	}
	cfg, err := load()
	if err != nil {
		return err
	}
	if o.board == "" {
		o.board = cfg.Board
	}
	if o.device == "" {
		o.device = cfg.Device
	}
	if o.state == "" {
		o.state = filepath.Join(cfg.State, "controller")
	}
	return nil
}

// controllerReport is what is printed of a controller.
type controllerReport struct {
	Release uint64 `json:"release"`          // confirmed; 0 is none
	Pending bool   `json:"pending"`          // not confirmed: resume, or flash again
	MCU     string `json:"mcu,omitempty"`    // what it calls itself
	Size    int    `json:"bytes,omitempty"`  // of the image
	SHA256  string `json:"sha256,omitempty"` // of the image
	DryRun  bool   `json:"dry_run,omitempty"`
}

func (r controllerReport) text(w io.Writer) error {
	var s strings.Builder
	if r.MCU != "" {
		fmt.Fprintf(&s, "controller %s\n", r.MCU)
	}
	if r.Size > 0 {
		fmt.Fprintf(&s, "image of %d bytes, ", r.Size)
	}
	if r.SHA256 != "" {
		fmt.Fprintf(&s, "sha256 %s\n", r.SHA256)
	}
	switch {
	case r.DryRun:
		s.WriteString("nothing was written\n")
	case r.Pending:
		s.WriteString("not confirmed: no print starts until platen controller resume or flash has ended well\n")
	case r.Release == 0:
		s.WriteString("no release was installed by this command or an update\n")
	default:
		fmt.Fprintf(&s, "release %d, confirmed\n", r.Release)
	}
	_, err := io.WriteString(w, s.String())
	return err
}

// service is an open controller: its flasher and the store of its journal.
type service struct {
	flasher *flash.Flasher
	board   flash.Board
	store   *slot.Dir
	claim   io.Closer // keeps sessions from driving it; nil who only looks at the journal
}

// close lets go of the controller. What counts is in the journal.
func (s *service) close() {
	s.store.Close()
	if s.claim != nil {
		s.claim.Close()
	}
}

// take claims the controller for whoever talks to it.
func (s *service) take(c *cobra.Command) (err error) {
	s.claim, err = flash.Claim(c.Context(), s.store.Path())
	return err
}

func (o *controllerOptions) open(c *cobra.Command) (*service, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	b, err := boards.Open(o.board)
	if err != nil {
		return nil, err
	}
	if b.Flash.Method == "" {
		return nil, fmt.Errorf("board %s does not say how its controller is flashed", b.ID)
	}
	store, err := slot.OpenDir(o.state)
	if err != nil {
		return nil, err
	}
	s := &service{board: flashBoard(b.Flash), store: store}
	link := flash.SerialLink{Find: o.find(b), Restart: restart(b.Flash)}
	question, prefix := "M115", "FIRMWARE_NAME:"
	if b.Controller.Dialect == "grbl" {
		question, prefix = "$I", "[VER:"
	}
	bars := progressBars{c: c}
	s.flasher, err = flash.New(flash.Config{
		Board: s.board, Link: link, Store: store, Logger: logger(), Progress: bars.set,
		Probe: flash.Ask(link, b.Controller.Baud, question, prefix),
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}

// find is how the controller's device is found.
func (o *controllerOptions) find(b *boards.Board) func() (string, error) {
	if o.device != "" {
		return func() (string, error) { return o.device, nil }
	}
	return b.Controller.Find
}

// flashBoard is what a board says, as package flash takes it.
func flashBoard(f boards.Flash) flash.Board {
	b := flash.Board{
		Method: flash.Method(f.Method), MCU: f.MCU, Layout: f.Layout, Baud: f.Baud, Format: image.Binary,
		Entry: katapult.Entry{AppBaud: f.AppBaud, DoubleReset: f.Restart != "none"},
	}
	if f.Hex {
		b.Format = image.Hex
	}
	return b
}

// restart is how the board restarts its controller.
func restart(f boards.Flash) flash.Restart {
	switch f.Restart {
	case "pins":
		return flash.Pins{Reset: f.Reset, Boot: f.Boot, Request: func(c gpio.Config) (gpio.Line, error) {
			chip, err := gpio.OpenChip("/dev", c.Chip)
			if err != nil {
				return nil, err
			}
			defer chip.Close() // the line outlives it
			return chip.Request(c)
		}}
	case "dtr":
		return flash.DTR{}
	}
	return flash.Reopen{}
}

// progressBars shows each stage of an installation.
type progressBars struct {
	c   *cobra.Command
	at  flash.Stage
	bar *cli.Progress
}

func (p *progressBars) set(s flash.Stage, done, total int) {
	if s != p.at {
		p.at = s
		name := map[flash.Stage]string{flash.Compare: "compare", flash.Write: "write", flash.Verify: "read back"}[s]
		p.bar = cli.NewProgress(p.c.ErrOrStderr(), name)
	}
	p.bar.Set(int64(done), int64(total), "")
	if done == total {
		p.bar.Done()
	}
}

// report prints how things are with the controller.
func (s *service) report(c *cobra.Command, r controllerReport) error {
	var err error
	if r.Pending, err = flash.Pending(s.store); err != nil && !errors.Is(err, flash.ErrJournal) {
		return err
	}
	if r.Release, err = flash.Release(s.store); err != nil && !errors.Is(err, flash.ErrJournal) {
		return err
	}
	if err := cli.Print(c, r, r.text); err != nil {
		return err
	}
	if r.Pending && !r.DryRun {
		return &cli.ExitError{Code: cli.ExitDegraded, Err: errors.New("the controller is not confirmed")}
	}
	return nil
}

func controllerFlashCmd(o *controllerOptions) *cobra.Command {
	var release uint64
	var dry, yes bool
	c := &cobra.Command{
		Use:   "flash FILE",
		Short: "Replace the controller's firmware by an image",
		Args:  cobra.ExactArgs(1),
		Long: `Replace the controller's firmware by an image: Intel HEX or a binary, as the board file says. The image is
checked before anything is touched, and so is whether the right controller answers. With --dry-run that is all.`,
		RunE: func(c *cobra.Command, args []string) error {
			return o.flash(c, args[0], release, dry, yes)
		},
	}
	c.Flags().Uint64Var(&release, "release", 1, "number that the image counts as")
	c.Flags().BoolVar(&dry, "dry-run", false, "check the image and the controller, and write nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (o *controllerOptions) flash(c *cobra.Command, path string, release uint64, dry, yes bool) error {
	if release == 0 {
		return cli.Usage("--release has to be above 0")
	}
	s, err := o.open(c)
	if err != nil {
		return err
	}
	defer s.close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, digest, err := s.board.Check(f)
	if err != nil {
		return err
	}
	r := controllerReport{Size: size, SHA256: hex.EncodeToString(digest[:]), DryRun: dry}
	if dry {
		if err := s.take(c); err != nil {
			return err
		}
		if r.MCU, err = s.flasher.Identify(c.Context()); err != nil {
			return err
		}
		return s.report(c, r)
	}
	if err := confirm(c, yes, "This replaces the firmware of the motion controller. Nothing must be hot or printing."); err != nil {
		return err
	}
	if err := s.take(c); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := s.through(func() error { return s.flasher.Install(c.Context(), release, f) }); err != nil {
		return err
	}
	return s.report(c, r)
}

// through sees an installation through. It ends with an error, which says what to do about a controller
// that is not confirmed, or well, and then what the controller says of itself is another thing.
func (s *service) through(install func() error) error {
	restore, err := agent.ControllerFlashing(s.store.Path())
	if err != nil {
		return err
	}
	if err = install(); err == nil {
		return agent.ControllerFlashed(s.store.Path())
	}
	if pending, _ := flash.Pending(s.store); pending {
		return fmt.Errorf("%w; the controller is not confirmed, and no print starts: platen controller resume", err)
	}
	return errors.Join(err, restore())
}

// confirm asks whoever sits at the terminal.
func confirm(c *cobra.Command, yes bool, what string) error {
	if yes {
		return nil
	}
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return cli.Usage("nobody is here to ask: add --yes")
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s\nWrite yes to go on: ", what)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return errors.New("not confirmed; nothing was done")
	}
	return nil
}

func controllerResumeCmd(o *controllerOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "resume",
		Short: "Finish flashing after a power cut",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := o.open(c)
			if err != nil {
				return err
			}
			defer s.close()
			if err := s.take(c); err != nil {
				return err
			}
			if err := s.through(func() error { return s.flasher.Resume(c.Context()) }); err != nil {
				return err
			}
			return s.report(c, controllerReport{})
		},
	}
}

func controllerStatusCmd(o *controllerOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say which firmware was installed, and whether it is confirmed",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.fill(); err != nil {
				return err
			}
			store, err := slot.OpenDir(o.state)
			if err != nil {
				return err
			}
			s := &service{store: store}
			defer s.close()
			r := controllerReport{}
			digest, ok, err := flash.Confirmed(store)
			if err != nil && !errors.Is(err, flash.ErrJournal) {
				return err
			}
			if ok {
				r.SHA256 = hex.EncodeToString(digest[:])
			}
			return s.report(c, r)
		},
	}
}
