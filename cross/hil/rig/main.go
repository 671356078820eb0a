// Command rig tries a whole printer: make rig. It builds the image of a virtual ARM printer,
// starts it with a TPM, a simulated controller at its serial port and a fleet on this machine, and
// runs what cross/hil tries: enrolment, telemetry, a sealed job, updates, a bad one, and power cuts in
// the middle of each. What was said and what came of it is in build/rig. With -board it runs on a real
// board, whose file says how to reach its console and its relay.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"platen/cross/hil"
	"platen/cross/hil/virtual"
	"platen/cross/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begun := time.Now()
	dir, err := run(ctx)
	if errors.Is(err, image.ErrFetch) && os.Getenv("CI") != "" {
		fmt.Println("rig: skipped:", err) // what an image is made of is not there
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "\nrig: %v\nconsole.log, the other logs and results.txt are in %s\n", err, dir)
		os.Exit(1)
	}
	fmt.Printf("\nall of it holds (%s); logs and results are in %s\n", time.Since(begun).Round(time.Second), dir)
}

func run(ctx context.Context) (dir string, err error) {
	var cfg hil.Config
	out := flag.String("out", filepath.Join("build", "rig"), "folder of logs and results; what was there is removed")
	bins := flag.String("bin", filepath.Join("build", "bin"), "folder of the commands for this machine")
	board := flag.String("board", "", "file that describes a real board; the default is a virtual one")
	flag.BoolVar(&cfg.Short, "short", false, "leave updates out, and most power cuts")
	flag.IntVar(&cfg.Cuts, "cuts", 0, "how often to cut the power in a print (default 50, or 4 in short)")
	flag.Uint64Var(&cfg.Seed, "seed", uint64(time.Now().UnixNano()), "of what is drawn")
	boot := flag.String("firmware", "uboot", "what starts the virtual board: uboot, or efi (EDK2)")
	only := flag.String("run", "", "try only what has this in its name, and what that needs")
	flag.Parse()
	if dir, err = filepath.Abs(*out); err != nil {
		return dir, err
	}
	if cfg.Bins, err = filepath.Abs(*bins); err != nil {
		return dir, err
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return dir, err
	}
	fmt.Printf("seed %d\n", cfg.Seed)
	cfg.Dir, cfg.Out = dir, os.Stdout
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return dir, err
	}
	cache := filepath.Join("build", "image", "cache")
	if *board != "" {
		if err := wired(&cfg, *board, work, cache); err != nil {
			return dir, err
		}
		return dir, try(ctx, cfg, hil.Only(hil.Scenarios(), *only))
	}
	m, err := newMaker(".", work, cache, virtualBoard, *boot)
	if err != nil {
		return dir, err
	}
	return dir, virtually(ctx, cfg, m, *only)
}

// virtually tries everything on a virtual printer, and then the search on one that leaks.
func virtually(ctx context.Context, cfg hil.Config, m *maker, only string) error {
	cfg.Make = m
	if err := onVirtual(ctx, cfg, m, hil.Only(hil.Scenarios(), only)); err != nil || cfg.Short && only == "" {
		return err
	}
	m.dir = filepath.Join(cfg.Dir, "work-control")
	cfg.Leaky, cfg.Dir = true, filepath.Join(cfg.Dir, "control")
	if err := errors.Join(os.MkdirAll(cfg.Dir, 0o755), os.MkdirAll(m.dir, 0o700)); err != nil {
		return err
	}
	return onVirtual(ctx, cfg, m, hil.Only(hil.Controls(), only))
}

// wired has what is tried be tried on the real board that a file describes.
func wired(cfg *hil.Config, file, work, cache string) error {
	b, err := hil.ReadWired(file)
	if err != nil {
		return err
	}
	cfg.Board = b
	cfg.Make, err = newMaker(".", work, cache, strings.TrimSuffix(path.Base(b.Printer), ".toml"), "uboot")
	return err
}

// onVirtual tries scenarios, if there are any, on a new virtual printer, whose folder goes away if all went well.
func onVirtual(ctx context.Context, cfg hil.Config, m *maker, scenarios []hil.Scenario) error {
	if len(scenarios) == 0 {
		return os.RemoveAll(m.dir)
	}
	v, err := virtual.New(ctx, virtual.Config{Dir: m.dir, Firmware: m.firmware, Seed: cfg.Seed})
	if err != nil {
		return err
	}
	cfg.Board = v
	if err := errors.Join(try(ctx, cfg, scenarios), v.Close()); err != nil {
		return err
	}
	return os.RemoveAll(m.dir)
}

// try runs all that is tried on a board.
func try(ctx context.Context, cfg hil.Config, scenarios []hil.Scenario) error {
	b, err := hil.NewBench(cfg)
	if err != nil {
		return err
	}
	_, err = b.Try(ctx, scenarios)
	return errors.Join(err, b.Close())
}
