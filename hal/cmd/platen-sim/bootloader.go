package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/hal/sim"
	"platen/hal/sim/bootloader"
)

// typical are the chips that are simulated unless flags say otherwise: those of boards
// that are common in printers.
var typical = map[string]struct {
	kind  bootloader.Kind
	about string
	mcu   string
	base  uint32
	pages string
	start uint32
	size  int
}{
	"stk500v2": {bootloader.STK500v2, "an ATmega2560 (RAMBo, Einsy, Arduino Mega, Ultimaker)", "1e9801", 0, "1024x256", 0, 248 << 10},
	"stm32":    {bootloader.STM32, "the ROM of an STM32F103xE, with BOOT0 high whenever its port is opened", "414", 0x08000000, "256x2048", 0x08000000, 512 << 10},
	"katapult": {bootloader.Katapult, "an STM32F103xE with Katapult in its first 8 KiB", "stm32f103xe", 0x08000000, "256x2048", 0x08002000, 504 << 10},
}

type bootOptions struct {
	link, faults, mcu, pages, memory, start string
	size                                    int
	seed                                    uint64
}

// bootloaderCmd is a controller that waits for firmware.
func bootloaderCmd() *cobra.Command {
	var o bootOptions
	c := &cobra.Command{
		Use:   "bootloader stk500v2|stm32|katapult",
		Short: "Be a controller that is flashed, instead of a printer",
		Args:  cobra.ExactArgs(1),
		Long: `Be a motion controller with a bootloader on a pseudo terminal: opening the port resets it, the bootloader
answers, and an application that was written starts and answers M115. With --memory the flash outlives the
command, so that a power cut can be tried: run it with --fault cut@40, flash it, and run it again.

Bootloaders:
  stk500v2   ` + typical["stk500v2"].about + `
  stm32      ` + typical["stm32"].about + `
  katapult   ` + typical["katapult"].about + `

Faults for --fault, separated by commas. P is a chance such as 0.001 or 1/5000:
  corrupt:P, drop:P, garbage:P   for each byte on the line, both ways
  nack:P, late:P                 for each request: refused, or answered 1.5 s late
  cut@N                          the power fails in the Nth operation on the flash; ends the command
  worn@N                         a bit of the Nth page of the application cannot be cleared
  stuck, wrong-baud, protected   nothing is answered; nothing is understood; read protection is on`,
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), c, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.link, "pty", "", "symbolic link to make to the serial port, removed on exit")
	f.StringVar(&o.faults, "fault", "", "what goes wrong, for example corrupt:0.001,cut@40")
	f.StringVar(&o.mcu, "mcu", "", "what the controller calls itself, instead of the usual")
	f.StringVar(&o.pages, "pages", "", "erasable pages as count x bytes, for example 4x16384,1x65536,7x131072")
	f.StringVar(&o.start, "start", "", "address of the application, for example 0x08002000")
	f.IntVar(&o.size, "size", 0, "bytes of the application's part of the flash")
	f.StringVar(&o.memory, "memory", "", "file that holds the flash between runs")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the faults")
	return c
}

func (o *bootOptions) config(kind string) (bootloader.Config, error) {
	t, ok := typical[kind]
	if !ok {
		return bootloader.Config{}, cli.Usage("%q is no bootloader: use stk500v2, stm32 or katapult", kind)
	}
	cfg := bootloader.Config{Kind: t.kind, MCU: t.mcu, Base: t.base, Start: t.start, Size: t.size, Block: 64, Seed: o.seed}
	pages := t.pages
	if o.mcu != "" {
		cfg.MCU = o.mcu
	}
	if o.pages != "" {
		pages = o.pages
	}
	for run := range strings.SplitSeq(pages, ",") {
		count, size, _ := strings.Cut(run, "x")
		n, err := strconv.Atoi(count)
		each, err2 := strconv.Atoi(size)
		if err != nil || err2 != nil || n < 1 || n > 4096 || each < 64 || each > 256<<10 {
			return cfg, cli.Usage("--pages %q: use count x bytes, for example 256x2048", o.pages)
		}
		for range n {
			cfg.Pages = append(cfg.Pages, each)
		}
	}
	if o.start != "" {
		at, err := strconv.ParseUint(o.start, 0, 32)
		if err != nil {
			return cfg, cli.Usage("--start %q is no address", o.start)
		}
		cfg.Start = uint32(at)
	}
	if o.size != 0 {
		cfg.Size = o.size
	}
	var err error
	if cfg.Faults, err = bootloader.ParseFaults(o.faults); err != nil {
		return cfg, cli.Usage("--fault: %v", err)
	}
	return cfg, nil
}

// bootEvent is one line of output.
type bootEvent struct {
	Event    string `json:"event"`          // ready or end
	Port     string `json:"port,omitempty"` // of ready
	Erases   int    `json:"erases"`
	Programs int    `json:"writes"`
	Starts   int    `json:"starts"`
	Outside  int    `json:"outside"` // operations outside of the application's part
}

func (e bootEvent) text() string {
	if e.Event == "ready" {
		return "ready on " + e.Port + "\n"
	}
	return fmt.Sprintf("%s: %d pages erased, %d writes, %d of them outside of the application, %d starts\n",
		e.Event, e.Erases, e.Programs, e.Outside, e.Starts)
}

func (o *bootOptions) run(ctx context.Context, c *cobra.Command, kind string) error {
	cfg, err := o.config(kind)
	if err != nil {
		return err
	}
	chip, err := bootloader.New(cfg)
	if err != nil {
		return cli.Usage("%v", err)
	}
	if err := o.remember(chip); err != nil {
		return err
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		return err
	}
	defer master.Close() // the port goes away with it
	if o.link != "" {
		if err := link(path, o.link); err != nil {
			return err
		}
		defer os.Remove(o.link) // fails only if somebody else took it away
	}
	if err := printBoot(c, bootEvent{Event: "ready", Port: path}); err != nil {
		return err
	}
	err = chip.ServePTY(ctx, master, cfg.Kind == bootloader.STM32)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, o.keep(chip), o.end(c, chip))
}

func (o *bootOptions) end(c *cobra.Command, chip *bootloader.Chip) error {
	s := chip.Stats()
	return printBoot(c, bootEvent{Event: "end", Erases: s.Erases, Programs: s.Programs, Outside: s.Outside, Starts: len(chip.Starts())})
}

func printBoot(c *cobra.Command, e bootEvent) error {
	return cli.Print(c, e, func(w io.Writer) error {
		_, err := io.WriteString(w, e.text())
		return err
	})
}

// remember puts back the flash of an earlier run.
func (o *bootOptions) remember(chip *bootloader.Chip) error {
	if o.memory == "" {
		return nil
	}
	p, err := os.ReadFile(o.memory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the flash of an earlier run: %w", err)
	}
	if len(p) != len(chip.Memory()) {
		return fmt.Errorf("the flash in %s is of another chip: remove it or name another file", o.memory)
	}
	chip.SetMemory(p)
	return nil
}

func (o *bootOptions) keep(chip *bootloader.Chip) error {
	if o.memory == "" {
		return nil
	}
	if err := os.WriteFile(o.memory, chip.Memory(), 0o600); err != nil {
		return fmt.Errorf("keeping the flash: %w", err)
	}
	return nil
}
