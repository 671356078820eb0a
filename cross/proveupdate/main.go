// Command proveupdate tries to break the sentence that no power cut at any point leaves a
// printer that does not boot, and prints one line for each claim: what was tried, how often,
// and which seeded mistakes were caught. Run it by make prove-update.
//
// The invariants, after any cut and a start (and after a cut of that start):
//
//	I1  an old or a new release boots, never neither
//	I2  agent, root file system and controller firmware come to rest as one released set
//	I3  nothing that was reported as done is lost
//	I4  the floor of releases never falls
//	I5  the next update succeeds without help
//	I6  nothing can be booted that was not read back whole
//	I7  no session can heat or move unless the controller has its set's firmware
//
// Tier 1 cuts in memory: package updatertest says what a cut leaves. Tier 2 cuts a real ext4
// under platen install and under this program as an agent (root, /dev/fuse and loop devices;
// else it is skipped and says why). Kills are of real processes: of this program as an agent,
// and of platen as it is shipped, with a TPM and a web server, by its launcher, in updates of
// whole sets: see board.
//
// Controllers that are flashed through their bootloaders are simulated in time of their own,
// which only tests have: TestControllers, which make prove-update runs with as many states as
// the rest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if code, child := asChild(); child {
		os.Exit(code)
	}
	var o options
	flag.IntVar(&o.each, "each", 4, "try one in so many of the states that power cuts leave")
	flag.IntVar(&o.kills, "kills", 300, "kill so many installs")
	flag.IntVar(&o.disks, "disks", 60, "try so many states of a real file system")
	flag.Uint64Var(&o.seed, "seed", 1, "of what is drawn")
	flag.StringVar(&o.platen, "platen", "build/host/platen", "the agent's binary")
	only := flag.String("only", "", "try the claims whose names contain this")
	flag.Parse()
	failed := false
	for _, c := range claims(o) {
		if !strings.Contains(c.name, *only) {
			continue
		}
		begun := time.Now()
		text, err := c.try()
		took := time.Since(begun).Round(100 * time.Millisecond)
		switch {
		case errors.Is(err, errNoDisks):
			fmt.Printf("skipped %s: %s (%v)\n", c.name, strings.TrimPrefix(err.Error(), "skipped: "), took)
		case err != nil:
			failed = true
			fmt.Printf("BROKEN  %s: %v (%v)\n", c.name, err, took)
		default:
			fmt.Printf("ok      %s: %s (%v)\n", c.name, text, took)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// options are how much is tried.
type options struct {
	each, kills, disks int
	seed               uint64
	platen             string
}

// claim is one line.
type claim struct {
	name string
	try  func() (string, error)
}

func claims(o options) []claim {
	p := plan{o.each, 400, 16, o.seed}
	return []claim{
		{"power cuts, sets, U-Boot's bootcount", func() (string, error) { return claimCuts("uboot-count", p) }},
		{"power cuts, sets, U-Boot's BOOT_ORDER", func() (string, error) { return claimCuts("uboot-order", p) }},
		{"power cuts, sets, GRUB", func() (string, error) { return claimCuts("grub", p) }},
		{"power cuts, sets, Raspberry Pi", func() (string, error) { return claimCuts("rpi", p) }},
		{"power cuts, sets, UEFI", func() (string, error) { return claimCuts("efi", p) }},
		{"controls of the power cuts", claimControls},
		{"floor of releases", claimFloor},
		{"never while hot", claimCold},
		{"kills of an update's download", func() (string, error) { return claimKills(o.kills, o.seed) }},
		{"kills of the real agent", func() (string, error) { return claimReal(o) }},
		{"power cuts under a real ext4", func() (string, error) { return claimDisks(o) }},
	}
}
