package boot_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"platen/updater/boot"
	"platen/updater/slot"
)

// envAgent makes the test binary behave as an agent: its value is "SLOT=BEHAVIOUR"
// for each slot, separated by commas.
const envAgent = "PLATEN_TEST_AGENT"

func TestMain(m *testing.M) {
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
	deadline := time.After(30 * time.Second)
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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	probe := exec.Command(self, "-test.run=^$")
	if err := probe.Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this user emulation cannot start programs of its own architecture")
	}
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

func TestLaunchStagedReleaseConfirms(t *testing.T) {
	p := newPrinter(t, "a=stage,b=confirm")
	p.write(2)
	var measured []string
	p.cfg.Measure = func(digest [32]byte, n slot.Name) error {
		measured = append(measured, fmt.Sprintf("%s %x", n, digest[:4]))
		return nil
	}
	stop := p.launch()
	p.waitFor("b confirmed")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	rec := p.record()
	if rec.Active != slot.B || rec.Trying != slot.None || rec.Floor != 2 || !rec.Slot(slot.A).Confirmed {
		t.Errorf("record %+v", rec)
	}
	a, b := sha256.Sum256(program(t, 1)), sha256.Sum256(program(t, 2))
	want := []string{fmt.Sprintf("a %x", a[:4]), fmt.Sprintf("b %x", b[:4])}
	if strings.Join(measured, ";") != strings.Join(want, ";") {
		t.Errorf("measured %q, want %q", measured, want)
	}
	p.waitFor("b terminated")
}

func TestLaunchTrialCrashes(t *testing.T) {
	for _, how := range []string{"crash", "stop", "stage"} { // any end before it is confirmed
		p := newPrinter(t, "a=run,b="+how)
		p.stage(2)
		stop := p.launch()
		p.waitFor("a run")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.out.String(), "b "+how) {
			t.Errorf("%s: slot b was not started first:\n%s", how, p.out)
		}
		rec := p.record()
		if rec.Active != slot.A || rec.Trying != slot.None || rec.Bad != 2 || !rec.Slot(slot.B).Empty() || rec.Floor != 1 {
			t.Errorf("%s: record %+v", how, rec)
		}
	}
}

func TestLaunchTrialHangs(t *testing.T) {
	for _, how := range []string{"run", "stubborn"} { // deaf to SIGTERM or not
		p := newPrinter(t, "a=run,b="+how)
		p.stage(2)
		p.cfg.ConfirmTimeout, p.cfg.StopGrace = 300*time.Millisecond, 300*time.Millisecond
		stop := p.launch()
		p.waitFor("a run")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if rec := p.record(); rec.Active != slot.A || rec.Bad != 2 {
			t.Errorf("%s: record %+v", how, rec)
		}
	}
}

func TestLaunchConfirmedInTimeIsNotStopped(t *testing.T) {
	p := newPrinter(t, "a=run,b=confirm")
	p.stage(2)
	p.cfg.ConfirmTimeout = time.Second
	stop := p.launch()
	p.waitFor("b confirmed")
	time.Sleep(1500 * time.Millisecond) // beyond the timeout
	if strings.Contains(p.out.String(), "terminated") {
		t.Error("a confirmed release was stopped")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestLaunchStoppedOnPurpose: stopping the launcher during a trial costs no try, and
// so never ends the trial; power cuts do, after DefaultTries.
func TestLaunchStoppedOnPurpose(t *testing.T) {
	p := newPrinter(t, "a=run,b=run")
	p.stage(2)
	for range boot.DefaultTries + 2 {
		p.out.mu.Lock()
		p.out.text = ""
		p.out.mu.Unlock()
		stop := p.launch()
		p.waitFor("b run")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if rec := p.record(); rec.Trying != slot.B || rec.Tries != boot.DefaultTries {
		t.Errorf("record %+v", rec)
	}
}

func TestLaunchRestartsCrashed(t *testing.T) {
	p := newPrinter(t, "a=crash")
	stop := p.launch()
	p.waitFor("a crash\na crash\na crash\n")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if rec := p.record(); rec.Active != slot.A || rec.Slot(slot.A).Release != 1 {
		t.Errorf("a crash of the confirmed release changed the record: %+v", rec)
	}
}

func TestLaunchEndsWithTheAgent(t *testing.T) {
	p := newPrinter(t, "a=stop")
	if err := boot.Run(context.Background(), p.cfg); err != nil {
		t.Fatal(err)
	}
}

func TestLaunchRefusesTampered(t *testing.T) {
	p := newPrinter(t, "a=run,b=run,none=stop")
	p.stage(2)
	p.damage(slot.B)
	stop := p.launch()
	p.waitFor("a run")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.out.String(), "b run") {
		t.Fatal("a tampered slot was started")
	}
	p.damage(slot.A)
	if err := boot.Run(context.Background(), p.cfg); !errors.Is(err, boot.ErrNothing) {
		t.Fatalf("with both slots tampered: %v", err)
	}
	p.cfg.Factory = filepath.Join(t.TempDir(), "factory")
	if err := os.WriteFile(p.cfg.Factory, program(t, 0), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := boot.Run(context.Background(), p.cfg); err != nil {
		t.Fatal(err)
	}
	p.waitFor("none stop")
}

func TestLaunchPassesThings(t *testing.T) {
	p := newPrinter(t, "a=fd")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "hello"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer r.Close()
	p.cfg.ExtraFiles = []*os.File{r}
	p.cfg.Args = append(p.cfg.Args, "one", "two")
	p.cfg.Env = append(p.cfg.Env, "PLATEN_TEST_MORE=yes", boot.EnvSlot+"=b")
	if err := boot.Run(context.Background(), p.cfg); err != nil {
		t.Fatal(err)
	}
	p.waitFor(`fd hello <nil> args ["one" "two"] env yes`)
}

func TestLaunchForwardsSignals(t *testing.T) {
	p := newPrinter(t, "a=run")
	stop := p.launch()
	p.waitFor("a run")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.waitFor("a hangup")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestLaunchNotAProgram(t *testing.T) {
	p := newPrinter(t, "a=run")
	s, err := boot.Open(p.dir, slot.A)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, slot.B, 2) // text, not a program
	if err := s.Try(slot.B); err != nil {
		t.Fatal(err)
	}
	stop := p.launch()
	p.waitFor("a run")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if rec := p.record(); rec.Trying != slot.None {
		t.Errorf("record %+v", rec)
	}
}
