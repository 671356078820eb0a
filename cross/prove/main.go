// Command prove shows that a model exists in clear only in the memory of a session, and
// is gone when its job ends. It prints canaries, models that are nowhere else, on the
// real binaries and looks for them wherever they must not be: in every file, in blocks
// that are free again, in logs, in what the broker sees, in cores, in the memory of every
// other process; it reads from /proc and from a trace of system calls what a session can
// still do; and it kills agent, session and power at moments drawn by chance.
//
// Every claim has its control: a build with mistakes planted in it ([spills]) goes through
// the same, and each of them has to be found. One line a claim says what was looked at,
// what the control found, and whether it holds. Exit code 1 says that a claim or a control
// does not.
//
// It needs root: nobody else may look at the memory of a session, or trace it.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are the command's flags.
type options struct {
	bins, module, output string
	kills                int
	wide, keep           bool
	seed                 uint64
}

// claim is one line of the proof.
type claim struct {
	Name     string `json:"name"`
	Claim    string `json:"claim"`
	Evidence string `json:"evidence"`
	Control  string `json:"control"`
	// State is "ok", "FAILED", or "not run" where this machine cannot show it.
	State string `json:"state"`
}

// The states of a claim.
const (
	holds  = "ok"
	failed = "FAILED"
	notRun = "not run"
)

func main() {
	var o options
	short := flag.Bool("short", false, "the form for CI: folders that can be written to in place of all of /, one traced print, 10 kills")
	flag.StringVar(&o.bins, "bin", filepath.Join("build", "bin"), "folder of platen, platen-fleet and age")
	flag.StringVar(&o.module, "source", ".", "folder of the source, of which the leaking build is made")
	flag.StringVar(&o.output, "o", "text", "text, or json for one object a claim")
	flag.IntVar(&o.kills, "kills", 0, "how often something is killed (default 200, or 10)")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of models and moments (default: drawn)")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder of the proof")
	flag.Parse()
	o.wide = !*short
	if o.kills == 0 {
		if o.kills = 200; *short {
			o.kills = 10
		}
	}
	if o.seed == 0 {
		var b [8]byte
		rand.Read(b[:])
		o.seed = binary.LittleEndian.Uint64(b[:])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	ok, err := prove(ctx, o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "seed %d, %s\n", o.seed, time.Since(began).Round(time.Second))
	if !ok {
		os.Exit(1)
	}
}

// prove prints every claim and reports whether all that could be shown here hold.
func prove(ctx context.Context, o options, w io.Writer) (bool, error) {
	if os.Geteuid() != 0 {
		return false, errors.New("this needs root: nobody else may look at the memory of a session")
	}
	var err error
	for _, p := range []*string{&o.bins, &o.module} {
		if *p, err = filepath.Abs(*p); err != nil {
			return false, err
		}
	}
	// Cores are welcome here: who wants none has to see to it.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); err != nil {
		return false, fmt.Errorf("raising the limit of cores: %w", err)
	}
	h, err := newHouse(ctx, o.bins)
	if err != nil {
		if h != nil && !o.keep {
			err = errors.Join(err, h.close())
		}
		return false, err
	}
	p := &proof{o: o, h: h, w: w, ok: true}
	err = p.all(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "the end of the agent's log:\n%s", h.lastLog())
	}
	if o.keep {
		fmt.Fprintln(os.Stderr, "kept:", h.desk.Dir)
		h.off(syscall.SIGKILL)
		h.desk.Stop()
		return p.ok && err == nil, err
	}
	return p.ok && err == nil, errors.Join(err, h.close())
}

// proof is what is shown, and to whom.
type proof struct {
	o  options
	h  *house
	w  io.Writer
	ok bool
}

// all goes through everything.
func (p *proof) all(ctx context.Context) error {
	if err := buildLeaky(ctx, p.o.module, p.h.desk.Dir, p.h.leaky); err != nil {
		return err
	}
	clean, err := p.h.canary(ctx, p.h.box.Bin("platen"), draw(p.o.seed), p.o.wide)
	if err != nil {
		return fmt.Errorf("printing canaries: %w", err)
	}
	killed, err := p.kills(ctx)
	if err != nil {
		return fmt.Errorf("killing: %w", err)
	}
	// From here on the printer's file system has what mistakes have left there.
	leaky, err := p.h.canary(ctx, p.h.leaky, draw(p.o.seed+10), false)
	if err != nil {
		return fmt.Errorf("printing canaries with the leaking build: %w", err)
	}
	for _, c := range p.seen(clean, leaky) {
		p.say(c)
	}
	c, err := p.calls(ctx)
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	p.say(c)
	if p.o.wide {
		if c, err = p.spare(ctx); err != nil {
			return fmt.Errorf("tracing the scenarios: %w", err)
		}
		p.say(c)
	}
	control, err := p.killLeaky(ctx)
	if err != nil {
		return fmt.Errorf("killing the leaking build: %w", err)
	}
	p.say(killed.claim(control))
	return nil
}

// say prints a claim.
func (p *proof) say(c claim) {
	if c.State == failed {
		p.ok = false
	}
	if p.o.output == "json" {
		json.NewEncoder(p.w).Encode(c)
		return
	}
	fmt.Fprintf(p.w, "%-8s %-11s %s | %s | control: %s\n", c.State, c.Name, c.Claim, strings.TrimSpace(c.Evidence), c.Control)
}

// judged is a claim that holds if nothing is wrong and its control was caught.
func judged(name, what string, wrong bool, evidence string, caught bool, control string) claim {
	c := claim{name, what, evidence, control, holds}
	if wrong {
		c.State = failed
	}
	if !caught {
		c.State, c.Control = failed, "NOT CAUGHT: "+control
	}
	return c
}
