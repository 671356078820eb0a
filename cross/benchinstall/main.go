// Command benchinstall installs a root file system from a local source in three ways, one
// after the other, a few rounds: by dd with conv=fsync, which does not know what it copies;
// by this project's updater, from a signed repository, made durable, read back and hashed
// as the medium has it; and by RAUC, where it is installed, from a signed bundle of the plain format.
// It prints what each took of time, processor and memory, and the ratios. Run it by make
// bench.
//
// All three write a file of the same file system over nothing, from a source that the page
// cache holds. RAUC's part needs root, for it mounts its bundle. What a child had resident is
// no less than what this program had when it started it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// cost is what an install took.
type cost struct {
	wall, cpu time.Duration
	kib       int64 // most memory that was resident
}

// way is a way to install.
type way struct {
	name string
	do   func(ctx context.Context) (cost, error)
	took []cost
}

func main() {
	if how := os.Getenv(envInstall); how != "" {
		if err := installHere(how); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir := flag.String("dir", "build/bench/install", "folder on the file system to measure")
	mib := flag.Int("mib", 256, "size of the root file system, in MiB")
	rounds := flag.Int("rounds", 5, "how often each installs")
	flag.Parse()
	if err := run(context.Background(), *dir, *mib, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "benchinstall:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, mib, rounds int) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
	}
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "root.img")
	if err := random(image, mib); err != nil {
		return err
	}
	ours, err := newOurs(dir, image)
	if err != nil {
		return err
	}
	ways := []*way{{name: "dd conv=fsync", do: copier(dir, image)}, {name: "platen", do: ours.install}}
	other, err := newRAUC(ctx, dir, image)
	if err == nil {
		defer other.close()
		ways = append(ways, &way{name: "rauc", do: other.install})
	}
	missing := err
	for range rounds {
		for _, w := range ways {
			c, err := w.do(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.took = append(w.took, c)
		}
	}
	report(ways, mib, rounds)
	if missing != nil {
		fmt.Printf("%-16s %v\n", "rauc", missing)
	}
	return nil
}

// random makes a file that nothing can be saved on.
func random(path string, mib int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	rng, p := rand.NewChaCha8([32]byte{1}), make([]byte, 1<<20)
	for range mib {
		rng.Read(p)
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Sync(), f.Close())
}

// copier is dd.
func copier(dir, image string) func(context.Context) (cost, error) {
	to := filepath.Join(dir, "dd")
	return func(ctx context.Context) (cost, error) {
		defer os.Remove(to)
		return measured(exec.CommandContext(ctx, "dd", "if="+image, "of="+to, "bs=1M", "conv=fsync", "status=none"))
	}
}

// measured runs a command to its end.
func measured(c *exec.Cmd) (cost, error) {
	begun := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		return cost{}, fmt.Errorf("%w: %s", err, out)
	}
	took := cost{wall: time.Since(begun), cpu: c.ProcessState.UserTime() + c.ProcessState.SystemTime()}
	if u, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		took.kib = int64(u.Maxrss)
	}
	return took, nil
}

// median is the middle of what rounds took; of the memory, the most.
func (w *way) median() cost {
	of := func(get func(cost) time.Duration) time.Duration {
		var all []time.Duration
		for _, c := range w.took {
			all = append(all, get(c))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	m := cost{wall: of(func(c cost) time.Duration { return c.wall }), cpu: of(func(c cost) time.Duration { return c.cpu })}
	for _, c := range w.took {
		m.kib = max(m.kib, c.kib)
	}
	return m
}

func report(ways []*way, mib, rounds int) {
	fmt.Printf("install of %d MiB from a local source, median of %d rounds (at most 1.1 of dd, 32 MiB, and less than rauc):\n", mib, rounds)
	dd := ways[0].median()
	fmt.Printf("%-16s %10s %8s %8s %10s %10s\n", "", "wall", "of dd", "MB/s", "cpu", "resident")
	for _, w := range ways {
		m := w.median()
		fmt.Printf("%-16s %10s %8.2f %8.0f %10s %6.1f MiB\n", w.name, m.wall.Round(time.Millisecond), float64(m.wall)/float64(dd.wall),
			float64(mib)*1.048576/m.wall.Seconds(), m.cpu.Round(time.Millisecond), float64(m.kib)/1024)
	}
}
