package boot_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"platen/updater/boot"
	"platen/updater/slot"
)

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
	p.cfg.ConfirmTimeout = 5 * time.Second
	beyond := time.After(p.cfg.ConfirmTimeout + 500*time.Millisecond)
	stop := p.launch()
	p.waitFor("b confirmed")
	<-beyond
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

// TestLauncherKilled: the agent does not outlive a launcher that is killed, so that
// the next launcher's agent is alone.
func TestLauncherKilled(t *testing.T) {
	p := newPrinter(t, "a=run")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(self)
	cmd.Env = append(p.cfg.Env, envLauncher+"="+p.dir)
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(p.out, r) // ends when the last of them has ended
	}()
	p.waitFor("a run")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.waitFor("a terminated")
	_ = cmd.Wait() // it was killed
	<-copied
	if strings.Contains(p.out.String(), "launcher ended") {
		t.Error("the launcher was not killed")
	}
}
