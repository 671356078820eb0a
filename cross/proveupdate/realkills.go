package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"platen/updater"
	"platen/updater/slot"
)

// real kills the real agent of a printer in its updates, and knows what must be left.
type real struct {
	*printer
	rng   *rand.Rand
	sums  map[[32]byte]uint64 // what was released
	floor uint64              // the highest that was seen
	done  uint64              // the release that was confirmed last

	trials int // kills in the trial of this release
	counts struct{ writing, starting, trial, flashing, root, sets, confirmed int }
}

// claimReal is that kills of the real agent, wherever an update is, and cuts of the power of
// everything that runs on the printer, break no invariant, and that each update gets through.
func claimReal(o options) (string, error) {
	if _, err := os.Stat(o.platen); err != nil {
		return "", fmt.Errorf("the agent's binary: %w (make build)", err)
	}
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "plkill") // short: the path of a unix socket has at most 107 bytes
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	p, err := newPrinter(ctx, dir, o.platen)
	if p != nil {
		defer p.close(ctx)
	}
	if err != nil {
		return "", err
	}
	r := &real{printer: p, rng: rand.New(rand.NewPCG(o.seed, 7)), sums: map[[32]byte]uint64{}, done: 1}
	if err := r.all(ctx, o.kills); err != nil {
		return "", err
	}
	// The 6 KiB of a controller are written in no time: whether a kill meets that is chance, and each of its
	// states is cut by the controllers' own proof.
	if c := r.counts; o.kills >= 100 && (c.trial == 0 || r.board.roots && c.root == 0) {
		return "", fmt.Errorf("some kills of each kind have to come: %+v", c)
	}
	if err := r.control(ctx); err != nil {
		return "", err
	}
	c, of := r.counts, "agent, root file system and controller"
	if !r.board.roots {
		of = "agent and controller (root file systems: only as root, with mount namespaces)"
	}
	return fmt.Sprintf("%d kills: %d while a release was written, %d of them its root file system, %d before or after, %d in its trial, %d of them while the controller was flashed; %d in sets of %s; %d releases confirmed; "+
		"%d times a session stood beside a whole firmware; a slot and a controller that were changed caught",
		o.kills, c.writing, c.root, c.starting, c.trial, c.flashing, c.sets, of, c.confirmed, r.sessions), nil
}

func (r *real) all(ctx context.Context, kills int) error {
	r.sums[sha256.Sum256(r.program(1))] = 1
	if err := r.release(); err != nil {
		return err
	}
	for n := range kills {
		if err := r.on(ctx); err != nil {
			return err
		}
		if err := r.once(ctx, n); err != nil {
			return fmt.Errorf("kill %d: %w", n, err)
		}
	}
	if err := r.on(ctx); err != nil {
		return err
	}
	return r.through(ctx)
}

func (r *real) release() error {
	if err := r.next(); err != nil {
		return err
	}
	r.sums[sha256.Sum256(r.program(r.last))] = r.last
	r.trials = 0
	return nil
}

// once kills once. Every sixteenth time what is under way is let through first.
func (r *real) once(ctx context.Context, n int) error {
	rec, err := r.record()
	if err != nil {
		return err
	}
	if rec.Trying == slot.None && n%16 == 15 || rec.Trying != slot.None && r.trials >= 2 {
		if err := r.through(ctx); err != nil {
			return err
		}
		if err := r.release(); err != nil {
			return err
		}
		rec.Trying = slot.None
	}
	if len(r.board.parts(r.last).target().Set) > 0 {
		r.counts.sets++
	}
	if rec.Trying != slot.None {
		return r.inTrial(ctx, n)
	}
	staged, err := r.interrupt(ctx, n)
	if err != nil {
		return err
	}
	return r.look(staged)
}

// inTrial cuts the power in a trial: an agent that is killed in its own has failed it. Every
// other time that is once the controller is being flashed, if that is to come, however long it
// takes; else at a random moment.
func (r *real) inTrial(ctx context.Context, n int) error {
	brings := r.board.parts(r.last).controller
	await := n%2 == 1 && brings != 0 && !r.board.holds(brings)
	limit := time.Now().Add(patience)
	if !await {
		limit = time.Now().Add(time.Duration(r.rng.Int64N(int64(2 * time.Second))))
	}
	for time.Now().Before(limit) && (!await || r.board.chip.Ops() == 0 && !r.board.ordered() && r.trying()) {
		time.Sleep(time.Millisecond)
	}
	ops := r.board.chip.Ops()
	if err := r.cutPower(ctx); err != nil {
		return err
	}
	if ops > 0 && !r.board.holds(brings) {
		r.counts.flashing++
	}
	if rec, err := r.record(); err == nil && rec.Trying == slot.None {
		r.counts.starting++ // it was confirmed before
	} else {
		r.trials, r.counts.trial = r.trials+1, r.counts.trial+1
	}
	return r.look(0)
}

// trying reports whether a release is on trial.
func (r *real) trying() bool {
	rec, err := r.record()
	return err == nil && rec.Trying != slot.None
}

// draw is the part of a file of so many bytes with which a kill comes: behind what is there of
// it already, and so far before the end that what is written at once is not all of the rest.
// hold is how much of it is sent until then. Without room for that, both are 0.
func (r *real) draw(kind slot.Kind, size int64) (part, hold int64) {
	const least, most = 1 << 20, slot.WriteOnce + 1<<20
	from := int64(least)
	if rec, err := r.record(); err == nil && rec.Filling.Kind == kind {
		from += int64(rec.Filling.Done)
	}
	if from >= size-most-least {
		return 0, 0
	}
	part = from + r.rng.Int64N(size-most-least-from)
	return part, part + most
}

// interrupt starts an update and kills in it: at a random moment, once a random part of the
// release or of its root file system is written, however long that takes, or at a random
// moment after its end. staged is the release that was reported as staged before.
func (r *real) interrupt(ctx context.Context, n int) (staged uint64, err error) {
	part, hold, come, how := int64(0), int64(0), r.arrived, r.rng.IntN(16)
	switch root := r.board.parts(r.last).root; {
	case how < 9 && r.board.lacks(root):
		part, hold = r.draw(slot.Root, rootSize)
		r.shop.kind.Store(updater.KindRoot)
		come = func(begun time.Time) int64 {
			if !r.board.written(begun) { // what is there was left by an earlier kill
				return 0
			}
			return r.board.rooted(root, part)
		}
	case how < 11:
		part, hold = r.draw(slot.Agent, int64(len(r.program(r.last))))
		r.shop.kind.Store(updater.KindAgent)
	}
	r.shop.hold.Store(hold)
	defer r.shop.hold.Store(0)
	agent, begun := r.agentPID(), time.Now()
	c := exec.CommandContext(ctx, r.Bin("platen"), "update", "--config", "platen.toml")
	c.Dir = r.Dir
	if err := c.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	said, over := r.until(ended, func() bool { return part > 0 && come(begun) >= part }, part == 0 && how < 14)
	if how >= 14 {
		time.Sleep(time.Duration(r.rng.Int64N(int64(time.Second))))
	}
	if n%3 == 0 && agent != 0 { // this one: the next may be on trial
		err = r.killAgent(agent)
	} else {
		err = r.cutPower(ctx)
	}
	if !over {
		said = <-ended
	}
	if said == nil {
		staged = r.last
	}
	switch {
	case over:
		r.counts.starting++ // whatever it had written before
	case r.board.half(r.board.parts(r.last).root, begun):
		r.counts.writing, r.counts.root = r.counts.writing+1, r.counts.root+1
	case r.arrived(begun) > 0:
		r.counts.writing++
	default:
		r.counts.starting++
	}
	return staged, err
}

// until waits for the moment of a kill: until something has come, or until a moment that is
// drawn. It ends early, over, if the command has, and says how.
func (r *real) until(ended <-chan error, come func() bool, drawn bool) (said error, over bool) {
	limit := time.Now().Add(patience)
	if drawn {
		limit = time.Now().Add(time.Duration(r.rng.Int64N(int64(2 * time.Second))))
	}
	for time.Now().Before(limit) && (drawn || !come()) {
		select {
		case said := <-ended:
			return said, true
		case <-time.After(time.Millisecond):
		}
	}
	return nil, false
}

// through lets the update get through to its confirmation (I5).
func (r *real) through(ctx context.Context) error {
	rec, err := r.record()
	if err != nil {
		return err
	}
	if rec.Trying == slot.None && rec.Slot(rec.Active).Release != r.last {
		_, err := r.Run(ctx, "platen", "update", "--config", "platen.toml")
		if now, err2 := r.record(); err != nil && (err2 != nil || now.Trying == slot.None) {
			return breaks("I5", "the next update: %v\n%s", err, r.log())
		}
	}
	_, err = r.await(ctx, func(s said) bool {
		rec, err := r.record()
		runs := s.Slot == rec.Active.String() && rec.Slot(rec.Active).Release == r.last
		return err == nil && (rec.Trying == slot.None && runs || rec.Bad != 0)
	})
	if err != nil {
		return breaks("I5", "release %d is not confirmed: %v", r.last, err)
	}
	r.done = r.last
	r.counts.confirmed++
	if err := r.look(0); err != nil {
		return err
	}
	if rec, err = r.record(); err != nil {
		return err
	}
	return r.board.together(rec)
}

// look checks what a kill has left. staged is a release that was reported as staged.
func (r *real) look(staged uint64) error {
	rec, err := r.record()
	switch {
	case err != nil:
		return breaks("I1", "the slot record: %v", err)
	case rec.Active == slot.None || !rec.Slot(rec.Active).Confirmed:
		return breaks("I1", "no slot is confirmed: %+v", rec)
	case rec.Slot(rec.Active).Release < r.done:
		return breaks("I3", "release %d is what starts after %d was confirmed", rec.Slot(rec.Active).Release, r.done)
	case rec.Bad != 0:
		return breaks("I3", "release %d, which is sound, has failed its trial: %s", rec.Bad, rec.Why)
	case staged != 0 && rec.Slot(rec.Active).Release != staged && (rec.Trying == slot.None || rec.Slot(rec.Trying).Release != staged):
		return breaks("I3", "release %d was reported as staged and does not start: %+v", staged, rec)
	case rec.Floor < r.floor || rec.Floor < r.done && r.done > 1:
		return breaks("I4", "the floor is %d, it was %d, and release %d was confirmed", rec.Floor, r.floor, r.done)
	}
	r.floor = rec.Floor
	if err := r.board.armed(); err != nil {
		return err
	}
	for _, n := range [...]slot.Name{slot.A, slot.B} {
		if s := rec.Slot(n); s.Confirmed || n == rec.Trying {
			if err := r.holds(n, *s); err != nil {
				return err
			}
		}
	}
	return nil
}

// holds is I6: what may start is all of a release.
func (r *real) holds(n slot.Name, s slot.Slot) error {
	text, err := os.ReadFile(filepath.Join(r.Dir, "slots", n.String(), "platen"))
	if err != nil {
		return breaks("I6", "slot %s may start: %v", n, err)
	}
	sum := sha256.Sum256(text)
	if sum != s.Digest || r.sums[sum] == 0 || r.sums[sum] != s.Release {
		return breaks("I6", "slot %s may start as release %d and does not hold it", n, s.Release)
	}
	return nil
}

// idle switches the printer on and waits for its session.
func (r *real) idle(ctx context.Context) error {
	if err := r.on(ctx); err != nil {
		return err
	}
	_, err := r.await(ctx, func(s said) bool { return s.Phase == "idle" })
	return err
}

// control changes one byte of the controller below a session, and one of a slot that may
// start. Without that the session is found, and nothing is wrong.
func (r *real) control(ctx context.Context) error {
	if err := r.idle(ctx); err != nil {
		return err
	}
	if err := r.cutPower(ctx); err != nil {
		return err
	}
	if r.sessions == 0 {
		return errors.New("no session was ever there")
	}
	if err := r.idle(ctx); err != nil {
		return err
	}
	r.board.chip.Load(append(firmware(r.last), 1))
	if is, ok := errors.AsType[broken](r.cutPower(ctx)); !ok || is.invariant != "I7" {
		return fmt.Errorf("control: a controller that was changed is not noticed: %v", is)
	}
	rec, err := r.record()
	if err != nil {
		return err
	}
	path := filepath.Join(r.Dir, "slots", rec.Active.String(), "platen")
	text, err := os.ReadFile(path)
	if err == nil {
		text[len(text)/2] ^= 1
		err = errors.Join(os.Remove(path), os.WriteFile(path, text, 0o755)) // the running one is not written
	}
	if err != nil {
		return err
	}
	if is, ok := errors.AsType[broken](r.look(0)); !ok || is.invariant != "I6" {
		return fmt.Errorf("control: a slot that was changed is not noticed: %v", is)
	}
	return nil
}
