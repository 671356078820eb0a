package updater_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"platen/cross/rig/rigtest"
	"platen/updater"
	"platen/updater/boot"
	"platen/updater/trust"
)

// envAgent makes the test binary behave as an agent whose folders are in the
// directory of its value and whose repository is at the URL in envURL.
const (
	envAgent = "PLATEN_TEST_AGENT"
	envURL   = "PLATEN_TEST_URL"
)

func TestMain(m *testing.M) {
	if base := os.Getenv(envAgent); base != "" {
		os.Exit(agent(base, os.Getenv(envURL)))
	}
	os.Exit(m.Run())
}

// agent does what an agent does with its updater: confirm, or stage and ask for the
// restart, or go on.
func agent(base, url string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	u, err := openAgent(base, url)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	b, err := u.Booted()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("runs %d in %s, trial %v\n", b.Release, b.Slot, b.Trial)
	if err := u.Confirm(); err != nil {
		fmt.Println(err)
		return 1
	}
	t, err := u.Stage(context.Background())
	if err == nil {
		fmt.Printf("staged %d\n", t.Release)
		return boot.ExitRestart
	}
	fmt.Printf("%d stays: %s\n", b.Release, updater.Code(err))
	<-term
	return 0
}

func openAgent(base, url string) (*updater.Updater, error) {
	root, err := os.ReadFile(filepath.Join(base, "repo", "1.root.json"))
	if err != nil {
		return nil, err
	}
	src, err := trust.New(trust.Config{Dir: filepath.Join(base, "trust"), FactoryRoot: root, URL: url})
	if err != nil {
		return nil, err
	}
	s, err := boot.Open(filepath.Join(base, "slots"), boot.Running())
	if err != nil {
		return nil, err
	}
	return updater.New(updater.Config{Board: "sim", Kind: "agent", Source: src, Bootloader: s, Log: s.Log()})
}

// lines collects what children print.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) waitFor(t *testing.T, want string) {
	t.Helper()
	for range 1500 {
		if strings.Contains(l.String(), want) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the agents never said %q:\n%s", want, l)
}

// program writes the test binary as release n; bytes after an executable change its
// hash and not what it does.
func (p *printer) program(n uint64) string {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		p.t.Fatal(err)
	}
	name := p.path(fmt.Sprintf("platen-%d", n))
	if err := os.WriteFile(name, fmt.Appendf(data, "release %d", n), 0o755); err != nil {
		p.t.Fatal(err)
	}
	return name
}

// TestLaunchedUpdate runs real agents below a real launcher: release 1 finds release
// 2 on the web server, stages it and asks for the restart; release 2 confirms itself.
// Release 3, altered on its way, is refused, and release 2 goes on.
func TestLaunchedUpdate(t *testing.T) {
	rigtest.Starts(t)
	p := newPrinterAt(t, time.Now())
	if err := os.RemoveAll(p.path("slots")); err != nil {
		t.Fatal(err)
	}
	if err := boot.Install(p.path("slots"), p.program(1), 1); err != nil {
		t.Fatal(err)
	}
	p.releaseFile(2, p.program(2))
	out := &lines{}
	launch := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- boot.Run(ctx, boot.LaunchConfig{
				Dir: p.path("slots"), Stdout: out, Stderr: out,
				Env: append(os.Environ(), envAgent+"="+p.base, envURL+"="+p.url),
			})
		}()
		stop = sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("launcher: %v", err)
			}
		})
		t.Cleanup(stop)
		return stop
	}
	stop := launch()
	out.waitFor(t, "runs 2 in b, trial true\n2 stays: up_to_date\n")
	stop()
	if want := "runs 1 in a, trial false\nstaged 2\nruns 2"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("the agents said:\n%s", out)
	}
	p.releaseFile(3, p.program(3))
	p.mirror(false, func(path string, w http.ResponseWriter) bool {
		if !strings.Contains(path, "/3/") {
			return false
		}
		data, err := os.ReadFile(p.path("repo") + path)
		if err != nil {
			return false
		}
		data[len(data)-1] ^= 1
		w.Write(data)
		return true
	})
	stop = launch()
	out.waitFor(t, "runs 2 in b, trial false\n2 stays: target\n")
	stop()
	p.mirror(false, nil) // control: the same release, unaltered
	stop = launch()
	out.waitFor(t, "runs 3 in a, trial true\n3 stays: up_to_date\n")
	stop()
}
