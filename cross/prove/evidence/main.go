// Command evidence shows that what the fleet reads was said by the printer, in this order,
// with nothing missing, whatever the broker does and whoever is killed. It runs the
// printer's side on a software TPM, a real Mosquitto and the fleet's side, with a proxy
// between printer and broker that has a certificate for each of them. Lies are told between
// the libraries of both ends; what is killed are the programs themselves: platen run with its
// encrypted spool and its session, platen-fleet up, mosquitto.
//
// Every claim has its control. One line a claim says what was done, what the control
// found, and whether it holds; exit code 1 says that a claim or a control does not.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	messages, kills int
	seed            uint64
	output, bins    string
}

// claim is one line of the proof.
type claim struct {
	Name     string `json:"name"`
	Claim    string `json:"claim"`
	Evidence string `json:"evidence"`
	Control  string `json:"control"`
	State    string `json:"state"`
}

// The states of a claim.
const (
	holds  = "ok"
	failed = "FAILED"
)

func main() {
	var o options
	flag.IntVar(&o.messages, "messages", 100_000, "messages that go to the broker")
	flag.IntVar(&o.kills, "kills", 200, "how often agent, broker or verifier is killed")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of lies and moments (default: drawn)")
	flag.StringVar(&o.bins, "bin", filepath.Join("build", "bin"), "folder of platen, platen-fleet and platen-sim")
	flag.StringVar(&o.output, "o", "text", "text, or json for one object a claim")
	flag.Parse()
	var err error
	if o.bins, err = filepath.Abs(o.bins); err != nil {
		fmt.Fprintln(os.Stderr, "evidence:", err)
		os.Exit(1)
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
	fmt.Fprintf(os.Stderr, "seed %d, %s\n", o.seed, time.Since(began).Round(time.Second))
	if err != nil {
		fmt.Fprintln(os.Stderr, "evidence:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// prove prints every claim and reports whether all hold.
func prove(ctx context.Context, o options, out io.Writer) (bool, error) {
	ok := true
	say := func(c claim) {
		ok = ok && c.State == holds
		if o.output == "json" {
			_ = json.NewEncoder(out).Encode(c) // whoever reads may have gone
			return
		}
		fmt.Fprintf(out, "%-8s %-9s %s | %s | control: %s\n", c.State, c.Name, c.Claim, c.Evidence, c.Control)
	}
	for _, part := range []struct {
		run      func(*world) error
		autosave bool
	}{
		{func(w *world) error { return attack(ctx, w, o.messages, o.seed, say) }, false},
		{func(w *world) error { return killing(ctx, w, o.bins, o.kills, o.seed, say) }, true},
	} {
		w, err := newWorld(ctx, part.autosave)
		if err != nil {
			return false, err
		}
		err = part.run(w)
		if err != nil {
			err = fmt.Errorf("%w; the broker's log ends: %s", err, w.brokerLog())
		}
		w.close()
		if err != nil {
			return false, err
		}
	}
	return ok, nil
}
