package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

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

// TestDisks cuts a real file system a few times, where that is possible.
func TestDisks(t *testing.T) {
	if testing.Short() {
		t.Skip("a real file system is cut by make prove-update")
	}
	if err := canCut(); err != nil {
		t.Skip(err)
	}
	platen := filepath.Join(t.TempDir(), "platen")
	if out, err := exec.Command("go", "build", "-o", platen, "platen/agent/cmd/platen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := claimDisks(options{disks: 8, seed: 1, platen: platen})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(text)
}
