package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"platen/cross/rig/rigtest"
	"platen/updater/boot/boottest"
)

func TestMain(m *testing.M) {
	if code, child := asChild(); child {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// some is a short form of the cuts.
func some() plan {
	if testing.Short() {
		return plan{300, 100, 200, 1}
	}
	return plan{100, 100, 50, 1}
}

func TestCuts(t *testing.T) {
	for name := range boottest.Boards {
		if testing.Short() && name != "uboot-count" && name != "grub" {
			continue // one that counts tries, one that has one
		}
		t.Run(name, func(t *testing.T) {
			text, err := claimCuts(name, some())
			if err != nil {
				t.Fatal(err)
			}
			t.Log(text)
		})
	}
}

func TestClaims(t *testing.T) {
	for name, try := range map[string]func() (string, error){
		"controls": claimControls, "floor": claimFloor, "cold": claimCold,
		"kills": func() (string, error) { return claimKills(12, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			text, err := try()
			if err != nil {
				t.Fatal(err)
			}
			t.Log(text)
		})
	}
}

// built is the agent's binary, beside which a simulated printer is.
func built(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command("go", "build", "-o", dir+"/", "platen/agent/cmd/platen", "platen/hal/cmd/platen-sim")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "platen")
}

// TestReal kills the real agent a few times, through each of the ways; its short form are
// scripts of the scenarios.
func TestReal(t *testing.T) {
	if testing.Short() {
		t.Skip("the real agent is killed by make prove-update")
	}
	text, err := claimReal(options{kills: 6, seed: 1, platen: built(t)})
	rigtest.Check(t, err)
	t.Log(text)
}

// TestDisks cuts a real file system a few times, where that is possible.
func TestDisks(t *testing.T) {
	if testing.Short() {
		t.Skip("a real file system is cut by make prove-update")
	}
	if err := canCut(); err != nil {
		t.Skip(err)
	}
	text, err := claimDisks(options{disks: 8, seed: 1, platen: built(t)})
	if errors.Is(err, errNoDisks) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log(text)
}

// TestKillsInTheMiddle: kills come while a release is written though those at random
// moments all come before, as on a machine that has much else to do.
func TestKillsInTheMiddle(t *testing.T) {
	s, err := newShop(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.late = 1
	begun, _, err := s.killAll(update{"stage", filled, s.look}, 4, 1)
	if err != nil || begun < 2 {
		t.Errorf("%d kills left a release half written: %v", begun, err)
	}
}

// TestTorn: of a file that is written in its place the control accepts either release, and
// nothing between them.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "slots", "a", "platen")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		holds []byte
		want  error
	}{"old": {program(1), nil}, "new": {program(2), nil}, "half": {program(2)[:1<<19], errTorn}, "empty": {nil, errTorn}} {
		if err := os.WriteFile(file, x.holds, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := whole(dir, true); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
