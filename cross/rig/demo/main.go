// Command demo takes one job and one update through all of Platen, with the real
// binaries: it starts a software TPM, a simulated printer on a pty and a fleet,
// enrols the printer, grants the fleet its machine data, seals a model with age,
// prints it, updates the agent, attacks what can be attacked, and looks for the
// model in every file that was written meanwhile.
//
// Each step says what happened; the first one that is not as it must be ends the
// demo with exit code 1 and the folder of its logs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"platen/cross/rig"
	"platen/cross/rig/stage"
)

type demo struct {
	stage.Stage
	model  string
	speed  int
	height float64
	began  time.Time

	tpm      *rig.Swtpm
	network  *relay
	attacker *stage.Broker
	fleet    *stage.Process
	sim      *stage.Process
	boot     *stage.Process

	https     string // address of enrolment and updates
	mqtt      string // address of the fleet's own broker
	ca        string // the fleet's CA
	printer   string
	sealTo    string
	recipient string
}

// step is one line of the demo: what it does, and what it says when it is done.
type step struct {
	name string
	run  func(*demo, context.Context) (string, error)
}

var steps = []step{
	{"broker, verifier and update repository", (*demo).startFleet},
	{"printer: TPM, controller, agent", (*demo).startPrinter},
	{"enrolment", (*demo).enrol},
	{"consent", (*demo).grant},
	{"sealed job", (*demo).seal},
	{"print", (*demo).print},
	{"telemetry", (*demo).telemetry},
	{"release 2", (*demo).update},
	{"tampered update", (*demo).tamperedUpdate},
	{"sealed job after the update", (*demo).opened},
	{"replayed batch", (*demo).replayed},
	{"dropped batch", (*demo).dropped},
	{"model in files", (*demo).noLeak},
}

func main() {
	d := &demo{began: time.Now()}
	flag.StringVar(&d.model, "model", filepath.Join("testdata", "models", "tug.stl"), "STL to print")
	flag.StringVar(&d.Bins, "bin", filepath.Join("build", "bin"), "folder of the binaries")
	flag.IntVar(&d.speed, "speed", 0, "how much faster than real time the simulated printer is (default: so that the print takes about 20 s)")
	keep := flag.Bool("keep", false, "keep the demo's folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := d.all(ctx)
	d.stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\nlogs are in %s\n", err, d.Dir)
		os.Exit(1)
	}
	if *keep {
		fmt.Println("kept:", d.Dir)
	} else {
		os.RemoveAll(d.Dir)
	}
	fmt.Printf("\nall of it holds (%s)\n", time.Since(d.began).Round(time.Second))
}

func (d *demo) all(ctx context.Context) error {
	var err error
	if d.Dir, err = os.MkdirTemp("", "platen-demo-"); err != nil {
		return err
	}
	if d.Bins, err = filepath.Abs(d.Bins); err != nil {
		return err
	}
	if d.model, err = filepath.Abs(d.model); err != nil {
		return err
	}
	if _, err := os.Stat(d.model); err != nil {
		return fmt.Errorf("the model cannot be read: %w", err)
	}
	for i, s := range steps {
		fmt.Printf("%2d. %s\n", i+1, s.name)
		said, err := s.run(d, ctx)
		if err != nil {
			fmt.Println("    FAILED")
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for l := range strings.Lines(said) {
			fmt.Printf("    %s\n", strings.TrimRight(l, "\n"))
		}
	}
	return nil
}

// stop ends what runs, the last first.
func (d *demo) stop() {
	d.Stop()
	if d.network != nil {
		d.network.close()
	}
	if d.attacker != nil {
		d.attacker.Close()
	}
	if d.tpm != nil {
		d.tpm.Stop()
	}
}

// errControl reports a control that did not notice what it was planted for.
var errControl = errors.New("control failed: what was planted was not noticed")
