package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"platen/updater"
	"platen/updater/boot/boottest"
	"platen/updater/slot"
	"platen/updater/updatertest"
)

// story is what a printer lives through.
type story struct {
	offers []set          // what is released, in their order
	ends   map[uint64]set // what each release runs with in the end
}

// The stories; release 4 fails its trial everywhere.
var (
	// All three parts, agent and controller, a set that fails, agent and root file system.
	usual = story{[]set{{2, 2, 2}, {3, 0, 3}, {4, 4, 4}, {5, 5, 0}},
		map[uint64]set{1: {1, 1, 0}, 2: {2, 2, 2}, 3: {3, 2, 3}, 4: {4, 4, 4}, 5: {5, 5, 3}, 9: {9, 9, 9}}}
	// The first set there is fails, and an agent alone follows.
	firstFails = story{[]set{{4, 4, 4}, {5, 0, 0}},
		map[uint64]set{1: {1, 1, 0}, 4: {4, 4, 4}, 5: {5, 1, 0}, 9: {9, 9, 9}}}
)

const (
	failing = 4 // the release that fails its trial
	newest  = 9 // what every printer is updated to in the end
)

// live is the story of a printer: each update, with what was reported as done.
func (w *world) live(mark func(string)) error {
	for _, o := range w.story.offers {
		a, err := w.start(o)
		if err != nil {
			return err
		}
		if err := w.bug.stage(w, a, o); err != nil {
			return fmt.Errorf("stage %d: %w", o.agent, err)
		}
		mark(fmt.Sprintf("staged %d", o.agent))
		if a, err = w.start(o); err != nil {
			return err
		}
		if a.choice.Entry.Release != o.agent || !a.choice.Trial {
			return fmt.Errorf("release %d starts instead of %d", a.choice.Entry.Release, o.agent)
		}
		if err := w.finish(a, mark); err != nil {
			return err
		}
	}
	return nil
}

// finish is what an agent does after its start: give the controller its firmware, and
// confirm the release, or fail.
func (w *world) finish(a *agent, mark func(string)) error {
	if err := a.up.Settle(context.Background()); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	n := a.choice.Entry.Release
	if n == failing {
		if err := a.up.GiveUp(slot.BadHeat); err != nil {
			return err
		}
		_, err := slot.NewLog(w.disk).Update(func(r *slot.Record) error {
			r.FallBack(slot.Crashed)
			return nil
		})
		if err != nil {
			return err
		}
		mark(fmt.Sprintf("failed %d", n))
		if a, err = w.start(set{}); err != nil {
			return err
		}
		return a.up.Settle(context.Background())
	}
	if err := a.up.Confirm(); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	mark(fmt.Sprintf("confirmed %d", n))
	return nil
}

// promised is what the marks before a cut promise.
func promised(acked []string) (confirmed, failed, staged uint64) {
	confirmed = 1
	for _, m := range acked {
		var n uint64
		if _, err := fmt.Sscanf(m, "confirmed %d", &n); err == nil {
			confirmed, staged = n, 0
		} else if _, err := fmt.Sscanf(m, "staged %d", &n); err == nil {
			staged = n
		} else if _, err := fmt.Sscanf(m, "failed %d", &n); err == nil {
			failed, staged = n, 0
		}
	}
	return confirmed, failed, staged
}

// broken is an invariant that does not hold.
type broken struct {
	invariant string // "I1" to "I7"
	what      string
}

func (b broken) Error() string { return b.invariant + ": " + b.what }

func breaks(invariant, format string, args ...any) error {
	return broken{invariant, fmt.Sprintf(format, args...)}
}

// survive starts a printer after a cut, checks the invariants, and lets it go on until it
// has come to rest.
func (w *world) survive(acked []string) error {
	confirmed, failed, staged := promised(acked)
	if err := w.armed(); err != nil {
		return err
	}
	a, err := w.start(set{})
	if err != nil {
		return breaks("I1", "%v", err)
	}
	n := a.choice.Entry.Release
	switch {
	case n < confirmed:
		return breaks("I3", "release %d starts after %d was confirmed", n, confirmed)
	case n < staged && staged != failing:
		return breaks("I3", "release %d starts after %d was staged", n, staged)
	case n == failed:
		return breaks("I3", "release %d starts after it failed", n)
	}
	if err := w.whole(a); err != nil {
		return err
	}
	if err := w.floors(confirmed); err != nil {
		return err
	}
	if err := w.gate(a); err != nil {
		return err
	}
	if err := w.finish(a, func(string) {}); err != nil {
		return breaks("I1", "release %d does not get through its start: %v", n, err)
	}
	return w.atRest()
}

// armed is I6: what the bootloader may start was read back whole before.
func (w *world) armed() error {
	env, err := w.fw.Env(w.disk)
	if err != nil {
		return err
	}
	active, trying, err := env.Load()
	if err != nil {
		return breaks("I1", "the bootloader's environment: %v", err)
	}
	for _, n := range [...]slot.Name{active, trying} {
		if n != slot.None && !boottest.Sound(w.disk, n) {
			return breaks("I6", "the bootloader may start root file system %s, which is not whole", n)
		}
	}
	return nil
}

// whole is I6: what starts is what was signed.
func (w *world) whole(a *agent) error {
	p, err := slot.ReadAll(w.disk, a.choice.Slot.String()+"/platen", 1<<20)
	if err != nil || !bytes.Equal(p, contents(updater.KindAgent, a.choice.Entry.Release)) {
		return breaks("I6", "slot %s starts and does not hold release %d", a.choice.Slot, a.choice.Entry.Release)
	}
	return w.rootIs(a.root, w.story.ends[a.choice.Entry.Release].root)
}

func (w *world) rootIs(n slot.Name, want uint64) error {
	p, err := slot.ReadAll(w.disk, boottest.Partition(n), 1<<20)
	if err != nil || !bytes.HasPrefix(p, contents(updater.KindRoot, want)) {
		return breaks("I2", "root file system %s is not the one of its release (%d)", n, want)
	}
	return nil
}

func (w *world) floors(confirmed uint64) error {
	rec, err := slot.NewLog(w.disk).Load()
	if err != nil || rec.Floor < confirmed && confirmed > 1 {
		return breaks("I4", "the floor is %d (%v) after release %d was confirmed", rec.Floor, err, confirmed)
	}
	return nil
}

// gate is I7: if a session could be started now, the controller has the firmware of what
// runs.
func (w *world) gate(a *agent) error {
	ok, err := a.up.Settled(context.Background())
	if err != nil || !ok || w.ctrl.pending() {
		return nil // nothing heats or moves
	}
	return w.controllerIs("I7", w.story.ends[a.choice.Entry.Release].controller)
}

func (w *world) controllerIs(invariant string, want uint64) error {
	if !w.ctrl.holds(want) {
		return breaks(invariant, "the controller does not have the firmware of the release (%d)", want)
	}
	return nil
}

// atRest is I2: agent, root file system and controller are one set.
func (w *world) atRest() error {
	a, err := w.start(set{})
	if err != nil {
		return breaks("I1", "%v", err)
	}
	if a.choice.Trial {
		return breaks("I2", "release %d is still on trial", a.choice.Entry.Release)
	}
	if err := w.whole(a); err != nil {
		return err
	}
	if ok, err := a.up.Settled(context.Background()); err != nil || !ok {
		return breaks("I2", "the controller is not settled: %v", err)
	}
	return w.controllerIs("I2", w.story.ends[a.choice.Entry.Release].controller)
}

// next is I5: the next update succeeds without help.
func (w *world) next() error {
	o := set{newest, newest, newest}
	a, err := w.start(o)
	if err == nil {
		_, err = a.up.Stage(context.Background())
	}
	if err == nil {
		a, err = w.start(o)
	}
	if err == nil && a.choice.Entry.Release != newest {
		err = errors.New("it does not start")
	}
	if err == nil {
		err = w.finish(a, func(string) {})
	}
	if err != nil {
		return breaks("I5", "the next update: %v", err)
	}
	return w.atRest()
}

// plan is how much of what may happen is tried: of the states that cuts leave one in Each,
// and of those one in Twice is cut again while it recovers, of which one in Again is tried.
type plan struct {
	Each, Twice, Again int
	Seed               uint64
}

// cuts cuts a printer's story in every way, according to a plan. It returns the number of
// states tried, and the first invariant that does not hold.
func cuts(s story, fw boottest.Firmware, b bug, p plan) (states int, err error) {
	d := updatertest.NewDisk()
	w, err := newWorld(d, fw, b)
	if err != nil {
		return 0, err
	}
	w.story = s
	d.Mark("factory")
	if err := w.live(d.Mark); err != nil {
		return 0, fmt.Errorf("without any cut: %w", err)
	}
	at := func(d *updatertest.Disk) *world {
		return &world{disk: d, ctrl: mcu{d}, fw: fw, bug: b, story: s, boot: [16]byte{100}}
	}
	for c := range d.Some(p.Seed, p.Each) {
		if len(c.Acked) == 0 {
			continue // the factory is not cut
		}
		states++
		if err := at(c.Disk).survive(c.Acked); err != nil {
			return states, fmt.Errorf("%s: %w", c.At, err)
		}
		if states%p.Twice != 0 {
			continue
		}
		n, err := cutAgain(c, at, p)
		if states += n; err != nil {
			return states, fmt.Errorf("%s / %w", c.At, err)
		}
		if err := at(c.Disk).next(); err != nil {
			return states, fmt.Errorf("%s: %w", c.At, err)
		}
	}
	return states, nil
}

// cutAgain cuts what a printer did after a cut.
func cutAgain(c updatertest.Crash, at func(*updatertest.Disk) *world, p plan) (states int, err error) {
	for twice := range c.Disk.Some(p.Seed, p.Again) {
		states++
		if err := at(twice.Disk).survive(c.Acked); err != nil {
			return states, fmt.Errorf("%s: %w", twice.At, err)
		}
	}
	return states, nil
}
