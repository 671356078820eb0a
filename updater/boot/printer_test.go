package boot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"platen/cross/rig/rigtest"
	"platen/updater/boot"
	"platen/updater/slot"
)

// envAgent makes the test binary behave as an agent: its value is "SLOT=BEHAVIOUR"
// for each slot, separated by commas.
const envAgent = "PLATEN_TEST_AGENT"

// envLauncher makes the test binary behave as a launcher for the folder of its value.
const envLauncher = "PLATEN_TEST_LAUNCHER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(envLauncher); dir != "" {
		os.Unsetenv(envLauncher)
		err := boot.Run(context.Background(), boot.LaunchConfig{Dir: dir, Args: []string{dir}, Stdout: os.Stdout, Stderr: os.Stderr})
		fmt.Println("launcher ended", err)
		os.Exit(0)
	}
	if plan := os.Getenv(envAgent); plan != "" {
		os.Exit(agent(plan, os.Args[1]))
	}
	os.Exit(m.Run())
}

// agent is the child: dir is the folder of the slots. It says what it does on
// standard output.
func agent(plan, dir string) int {
	running := boot.Running()
	sigs := make(chan os.Signal, 4)
	signal.Notify(sigs, syscall.SIGTERM, syscall.SIGHUP)
	for _, p := range strings.Split(plan, ",") {
		if n, do, _ := strings.Cut(p, "="); n == running.String() {
			fmt.Println(running, do)
			return behave(do, dir, running, sigs)
		}
	}
	return 99
}

func behave(do, dir string, running slot.Name, sigs chan os.Signal) int {
	switch do {
	case "crash":
		return 3
	case "stop":
		return 0
	case "stubborn":
		select {}
	case "confirm":
		s, err := boot.Open(dir, running)
		if err == nil {
			err = s.Confirm(running)
		}
		if err != nil {
			fmt.Println(err)
			return 4
		}
		fmt.Println(running, "confirmed")
	case "stage":
		s, err := boot.Open(dir, running)
		if err == nil {
			err = s.Try(running.Other())
		}
		if err != nil {
			fmt.Println(err)
			return 4
		}
		return boot.ExitRestart
	case "fd":
		data, err := io.ReadAll(os.NewFile(3, "extra"))
		fmt.Printf("fd %s %v args %q env %s\n", data, err, os.Args[2:], os.Getenv("PLATEN_TEST_MORE"))
		return 0
	}
	for s := range sigs {
		fmt.Println(running, s)
		if s == syscall.SIGTERM {
			return 0
		}
	}
	return 0
}

// printer is a folder of slots filled with copies of the test binary.
type printer struct {
	t   *testing.T
	dir string
	out *output
	cfg boot.LaunchConfig
}

// output collects lines and lets the test wait for one.
type output struct {
	mu   sync.Mutex
	text string
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	o.text += string(p)
	o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text
}

func (p *printer) waitFor(want string) {
	p.t.Helper()
	deadline := time.After(2 * time.Minute)
	for !strings.Contains(p.out.String(), want) {
		select {
		case <-p.out.more:
		case <-deadline:
			p.t.Fatalf("the agent never said %q:\n%s", want, p.out)
		}
	}
}

// program is the test binary as release n: bytes after an executable change its hash
// and not what it does.
func program(t *testing.T, n int) []byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	return append(data, fmt.Sprintf("release %d", n)...)
}

func newPrinter(t *testing.T, plan string) *printer {
	t.Helper()
	rigtest.Starts(t)
	p := &printer{t: t, dir: t.TempDir(), out: &output{more: make(chan struct{}, 1)}}
	bin := filepath.Join(t.TempDir(), "platen")
	if err := os.WriteFile(bin, program(t, 1), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := boot.Install(p.dir, bin, 1); err != nil {
		t.Fatal(err)
	}
	p.cfg = boot.LaunchConfig{
		Dir: p.dir, Args: []string{p.dir}, Env: append(os.Environ(), envAgent+"="+plan),
		Stdout: p.out, Stderr: p.out, Backoff: 10 * time.Millisecond, StopGrace: 5 * time.Second, Logger: quiet,
	}
	return p
}

// write puts a release into slot b, named.
func (p *printer) write(release uint64) {
	p.t.Helper()
	s, err := boot.Open(p.dir, slot.A)
	if err != nil {
		p.t.Fatal(err)
	}
	w, err := s.Open(slot.B)
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = w.Write(program(p.t, int(release)))
	if err = errors.Join(err, w.Close()); err != nil {
		p.t.Fatal(err)
	}
	if _, err = s.Log().Update(func(r *slot.Record) error { r.Slot(slot.B).Release = release; return nil }); err != nil {
		p.t.Fatal(err)
	}
}

// stage writes a release into slot b and puts it on trial.
func (p *printer) stage(release uint64) {
	p.t.Helper()
	p.write(release)
	s, err := boot.Open(p.dir, slot.A)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.Try(slot.B); err != nil {
		p.t.Fatal(err)
	}
}

// launch starts the launcher; stop ends it and returns its error.
func (p *printer) launch() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- boot.Run(ctx, p.cfg) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	p.t.Cleanup(func() { _ = stop() })
	return stop
}

func (p *printer) record() slot.Record {
	p.t.Helper()
	d, err := slot.OpenDir(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	defer d.Close()
	rec, err := slot.NewLog(d).Load()
	if err != nil {
		p.t.Fatal(err)
	}
	return rec
}

func (p *printer) damage(n slot.Name) {
	p.t.Helper()
	name := filepath.Join(p.dir, path(n))
	data, err := os.ReadFile(name)
	if err != nil {
		p.t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(name, data, 0o755); err != nil {
		p.t.Fatal(err)
	}
}
