package hil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"platen/cross/hil/cutdisk"
	"platen/cross/rig/leak"
)

// layers is how many the canary has: 3 mm in layers of 0.2 mm.
const layers = 15

// offer seals the canary to the printer, has the fleet offer it, and waits until it is ready
// there. It returns the job's id.
func (b *Bench) offer(ctx context.Context) (string, error) {
	b.jobs++
	plain, sealed := b.Path("canary.stl"), b.Path(fmt.Sprintf("job-%d.age", b.jobs))
	if err := os.WriteFile(plain, b.canary.STL(), 0o600); err != nil {
		return "", err
	}
	defer os.Remove(plain)
	if _, err := b.Run(ctx, "age", "-r", b.sealTo, "-o", sealed, plain); err != nil {
		return "", err
	}
	o, err := b.offered(ctx, "--file", sealed, "--key", b.Path("operator"))
	if err == nil {
		err = b.ready(ctx, o.Job)
	}
	b.sealed, b.sources = sealed, o.Sources
	return o.Job, err
}

// offer is what the fleet says of one.
type offer struct {
	Job     string
	Sources []string
}

// offered has the fleet offer something.
func (b *Bench) offered(ctx context.Context, what ...string) (o offer, err error) {
	out, err := b.Run(ctx, "platen-fleet", append([]string{"offer", b.printer, "--dir", b.Path("fleet"), "-o", "json"}, what...)...)
	if err == nil {
		err = json.Unmarshal(out, &o)
	}
	return o, err
}

// ticketed drops a job that was offered, and offers its sealed file anew by a ticket that is
// kept. It returns the new job's id and the ticket's file.
func (b *Bench) ticketed(ctx context.Context, job string) (string, string, error) {
	if _, err := b.con.Ask(ctx, nil, "queue", "drop", job); err != nil {
		return "", "", err
	}
	ticket := b.Path("ticket")
	env, err := b.Run(ctx, "platen-fleet", "ticket", b.sealed, "--key", b.Path("operator"), "--printer", b.printer, "--source", strings.Join(b.sources, ","))
	if err == nil {
		err = os.WriteFile(ticket, env, 0o600)
	}
	if err != nil {
		return "", "", err
	}
	o, err := b.offered(ctx, "--ticket", ticket)
	if err != nil {
		return "", "", err
	}
	return o.Job, ticket, b.ready(ctx, o.Job)
}

// queue is what scenarios read of platen queue.
type queue struct {
	Jobs    []struct{ ID, State, Why string }
	Refused []struct{ Code string } `json:"refused_offers"`
}

// refuses is whether an offer was refused for a reason.
func (q queue) refuses(code string) bool {
	return slices.ContainsFunc(q.Refused, func(r struct{ Code string }) bool { return r.Code == code })
}

// ready waits until a job of the printer's queue can be printed.
func (b *Bench) ready(ctx context.Context, job string) error {
	return b.awaitQueue(ctx, fmt.Sprintf("to get job %.8s ready", job), func(q queue) bool {
		return slices.ContainsFunc(q.Jobs, func(j struct{ ID, State, Why string }) bool {
			return strings.HasPrefix(job, j.ID) && j.State == "ready"
		})
	})
}

// awaitQueue asks for the queue until ok likes it.
func (b *Bench) awaitQueue(ctx context.Context, what string, ok func(queue) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var q queue
		out, err := b.askOnce(ctx, "queue")
		if err == nil {
			err = json.Unmarshal([]byte(out), &q)
		}
		if err == nil && ok(q) {
			return nil
		}
		if err := wait(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("the printer was waited for %s: %w; its queue: %s", what, err, out)
		}
	}
}

// early is what is said of a job by a printer whose clock is behind that of whoever wrote its ticket, as that of a
// board is which goes by instructions and has had few.
const early = "not valid yet"

// mostPause is for how long such a printer is left alone at most before it is asked again: its clock keeps up with
// ours only while it has nothing to do.
const mostPause = 30 * time.Second

// start begins to print a job, and returns how many moves the controller had been told by then.
func (b *Bench) start(ctx context.Context, job string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	from := b.ctl.Moves()
	for pause := time.Second; ; pause = min(2*pause, mostPause) {
		_, err := b.con.Ask(ctx, nil, "queue", "print", job, "--detach")
		if failed, ok := errors.AsType[*Failed](err); !ok || !strings.Contains(failed.Text, early) {
			return from, err
		}
		if werr := wait(ctx, pause); werr != nil {
			return from, errors.Join(err, werr)
		}
	}
}

// print prints a sealed job to its end; the controller is the judge.
func (b *Bench) print(ctx context.Context) (string, error) {
	var err error
	// One for later, whose ticket is then older than this one's: it will not be early.
	if b.later, err = b.offer(ctx); err != nil {
		return "", err
	}
	job, err := b.offer(ctx)
	if err != nil {
		return "", err
	}
	job, ticket, err := b.ticketed(ctx, job)
	if err != nil {
		return "", err
	}
	before := b.ctl.Stats()
	from, err := b.start(ctx, job)
	if err != nil {
		return "", err
	}
	begun := len(b.fleet.Events())
	if err := b.ctl.After(ctx, from, 1); err != nil {
		return "", err
	}
	if _, err := b.await(ctx, "to have printed", func(st status) bool { return st.Phase == "idle" }); err != nil {
		return "", err
	}
	s := b.ctl.Stats()
	b.moves = b.ctl.Moves() - from
	if s.Layers-before.Layers != layers || s.Filament <= before.Filament || s.Cold+s.Clamped+s.Unhomed+s.Kills > 0 {
		return "", fmt.Errorf("the controller counts %d layers of %d, and %d cold, %d clamped, %d unhomed moves, %d kills",
			s.Layers-before.Layers, layers, s.Cold, s.Clamped, s.Unhomed, s.Kills)
	}
	if err := b.attested(ctx, begun, 1); err != nil {
		return "", err
	}
	if err := b.secondCopy(ctx, ticket); err != nil {
		return "", err
	}
	hits, err := b.patterns().Reader(strings.NewReader(string(b.ctl.Program())), "the controller's line")
	if err != nil || len(hits) == 0 {
		return "", fmt.Errorf("%w: the program that was printed is not found where it must be (%v)", errControl, err)
	}
	return fmt.Sprintf("sealed to the TPM, offered over MQTT: the controller counts %d layers, %d moves that feed %.2f m of filament, in %s of machine time;\ntelemetry goes on, a second copy by the same ticket was refused",
		s.Layers-before.Layers, b.moves, float64(s.Filament-before.Filament)/1e6, (s.SimTime - before.SimTime).Round(time.Second)), nil
}

// secondCopy offers a ticket for one copy again that was printed: it has to be refused for that.
func (b *Bench) secondCopy(ctx context.Context, ticket string) error {
	if _, err := b.offered(ctx, "--ticket", ticket); err != nil {
		return err
	}
	err := b.awaitQueue(ctx, "to refuse a second copy on a ticket for one", func(q queue) bool { return q.refuses("ticket-copies") })
	if err != nil {
		return fmt.Errorf("%w: %w", errControl, err)
	}
	return nil
}

// patterns is everything that must be nowhere but in memory and on the controller's line.
func (b *Bench) patterns() *leak.Set {
	s := leak.NewSet()
	s.AddCanary(b.canary)
	s.AddLines(b.ctl.Program(), 4000)
	return s
}

// sliced is a board whose disk can be cut at any moment that has been.
type sliced interface{ Disk() *cutdisk.Disk }

// leaks prints the canary on an image that leaks on purpose: the same search has to find it, on
// the disk and in what the console said.
func (b *Bench) leaks(ctx context.Context) (string, error) {
	d, ok := b.cfg.Board.(sliced)
	if !ok {
		return "", errors.New("the disk of this board cannot be looked at")
	}
	begun := d.Disk().Events()
	job, err := b.offer(ctx)
	if err != nil {
		return "", err
	}
	from, err := b.start(ctx, job)
	if err != nil {
		return "", err
	}
	if err := b.ctl.After(ctx, from, 20); err != nil {
		return "", err
	}
	state := b.Path("state.img")
	defer os.Remove(state)
	if err := d.Disk().State(state, d.Disk().Events(), cutdisk.LoseAll, b.rng); err != nil {
		return "", err
	}
	set := b.patterns()
	for name, path := range map[string]string{"on the disk": state, "in what was written to the disk": d.Disk().LogPath(), "in the console's log": b.console.Name()} {
		if hits, err := set.File(path); err != nil || len(hits) == 0 {
			return "", fmt.Errorf("%w: a model %s (%v)", errControl, name, err)
		}
	}
	return fmt.Sprintf("on the disk after a power cut, in what was ever written to it (%d writes and flushes), and in the console's log", d.Disk().Events()-begun), nil
}
