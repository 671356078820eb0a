// Command build compiles the device binary for every target, holds each to its size, and
// with -twice shows that a second build has the same bytes.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"platen/cross/targets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var v targets.Version
	flag.StringVar(&v.Version, "version", "0.1.0", "version")
	flag.Uint64Var(&v.Release, "release", 0, "number of the release")
	only := flag.String("target", "", "these targets alone, separated by commas")
	out := flag.String("out", "build/cross", "folder of the binaries")
	twice := flag.Bool("twice", false, "compile each a second time, from nothing and with another cache, and compare")
	flag.Parse()
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	table := targets.Table
	if *only != "" {
		table = nil
		for name := range strings.SplitSeq(*only, ",") {
			t, err := targets.Find(name)
			if err != nil {
				return err
			}
			table = append(table, t)
		}
	}
	var errs []error
	for _, t := range table {
		errs = append(errs, one(ctx, t, *out, v, *twice))
	}
	return errors.Join(errs...)
}

func one(ctx context.Context, t targets.Target, dir string, v targets.Version, twice bool) error {
	path := filepath.Join(dir, "platen-linux-"+t.Name)
	if err := t.Build(ctx, ".", targets.Device, path, v); err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	fmt.Printf("%-36s %9d of %9d bytes  %x\n", path, len(b), t.Budget, sum[:8])
	if int64(len(b)) > t.Budget {
		return fmt.Errorf("the binary for %s is over its budget", t.Name)
	}
	if !twice {
		return nil
	}
	cache, err := os.MkdirTemp("", "platen-cache")
	if err != nil {
		return err
	}
	defer os.RemoveAll(cache)
	if err := os.Setenv("GOCACHE", cache); err != nil {
		return err
	}
	defer os.Unsetenv("GOCACHE")
	again := path + ".again"
	defer os.Remove(again)
	if err := t.Build(ctx, ".", targets.Device, again, v); err != nil {
		return err
	}
	if b, err = os.ReadFile(again); err != nil {
		return err
	}
	if sha256.Sum256(b) != sum {
		return fmt.Errorf("two builds for %s differ", t.Name)
	}
	return nil
}
