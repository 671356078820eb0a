package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"platen/agent/attest"
	"platen/agent/cli"
	"platen/updater"
	"platen/updater/boot"
)

// healthTime is how long a release on trial may take to prove itself healthy, with all of its
// probes together; the launcher's patience is longer.
const healthTime = 2 * time.Minute

// updates is the updater and what the agent remembers of it.
type updates struct {
	mu      sync.Mutex // the updater is used by one goroutine at a time
	up      *updater.Updater
	restart func()
	staged  chan struct{} // a release waits in the other slot

	settling
	failed atomic.Int64 // see whyFailed
	beat   atomic.Int64 // when a probe of a release on trial last went on, Unix nanoseconds; 0 once it is confirmed

	stateMu sync.Mutex
	state   string
}

// openUpdates makes the updater of the configuration. Without a launcher the
// slots can be filled but nothing starts them, so that is refused.
func (a *Agent) openUpdates() error {
	u := a.cfg.Update
	if u == nil {
		return nil
	}
	source, err := a.openSource(u)
	if err != nil {
		return err
	}
	slots, err := boot.Open(u.Slots, boot.Running())
	if err != nil {
		return fmt.Errorf("opening the slots: %w", err)
	}
	cfg := updater.Config{
		Board: a.board.ID, Kind: updater.KindAgent, Release: cli.Release(), Source: source, Bootloader: slots, Log: slots.Log(),
		Hold: a.sup.hot, Accept: a.acceptable, Logger: a.log, Hardware: u.Hardware, Images: slots.FS(),
	}
	if c := a.openController(); c != nil {
		cfg.Controller = c
	}
	root, err := OpenRoot(u.Rootfs, a.cfg.Sys, slots.Log(), u.Slots, a.cfg.State)
	if err != nil {
		return err
	}
	if root != nil {
		cfg.Root = root
	}
	up, err := updater.New(cfg)
	if err != nil {
		return err
	}
	a.updates = &updates{up: up, staged: make(chan struct{}, 1)}
	b, err := up.Booted()
	if err != nil {
		return fmt.Errorf("asking which release runs: %w", err)
	}
	a.sup.onTrial(b.Trial)
	switch {
	case b.Trial:
		a.setUpdateState(fmt.Sprintf("release %d on trial", b.Release))
	case b.Bad != 0:
		a.log.Warn("a release failed its trial here", "release", b.Bad, "reason", b.Why.String())
		a.setUpdateState(fmt.Sprintf("release %d failed its trial: %s", b.Bad, b.Why))
		a.failed(b)
	}
	return nil
}

// updateLoop confirms a release on trial once it is healthy and then looks for
// newer ones.
func (a *Agent) updateLoop(ctx context.Context) error {
	if err := a.confirm(ctx); err != nil {
		return err
	}
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case <-a.updates.staged:
			a.restart(ctx)
			return nil
		case <-time.After(a.untilCheck(ctx, first)):
		}
		if _, err := a.stage(ctx); err != nil && !errors.Is(err, updater.ErrUpToDate) && ctx.Err() == nil {
			a.log.Warn("update refused", "code", updater.Code(err), "error", err.Error())
			a.refused(&updateError{err})
		}
	}
}

// sealedPeriod is how often approvals are looked for while the keys are sealed.
const sealedPeriod = time.Minute

// untilCheck is how long to wait before the repository is asked: at the start not at all if
// it may have the approval that is missing.
func (a *Agent) untilCheck(ctx context.Context, first bool) time.Duration {
	period := time.Duration(a.cfg.Update.Period)
	hours := period + a.cfg.Update.Hours.Wait(time.Now().Add(period))
	if _, sealed := errors.AsType[*attest.SealedError](a.unsealed(ctx)); !sealed {
		return hours
	}
	if first {
		return 0
	}
	return min(period, sealedPeriod)
}

// confirm ends the trial of the running release once it has shown that it is healthy. A
// release that does not get there is given back to the launcher, which falls back.
func (a *Agent) confirm(ctx context.Context) error {
	booted, err := a.updates.up.Booted()
	if err != nil {
		return fmt.Errorf("asking which release runs: %w", err)
	}
	if booted.Trial {
		if why, err := a.healthy(ctx); err != nil {
			if ctx.Err() == nil {
				err = errors.Join(err, a.updates.up.GiveUp(why))
			}
			return fmt.Errorf("release %d is not healthy (%s): %w", booted.Release, why, err)
		}
	}
	a.updates.mu.Lock()
	defer a.updates.mu.Unlock()
	err = a.updates.up.Confirm()
	if errors.Is(err, updater.ErrMarks) { // the release is confirmed, and nothing new is taken
		a.log.Error("marks of updates are damaged", "error", err.Error())
		a.updated(0, "marks-damaged")
		a.setUpdateState(updater.Code(err))
		err = nil
	}
	if err != nil {
		return fmt.Errorf("confirming the release: %w", err)
	}
	a.updates.beat.Store(0)
	a.sup.onTrial(false)
	if booted.Trial {
		a.setUpdateState(fmt.Sprintf("release %d confirmed", booted.Release))
		a.updated(booted.Release, "confirmed")
	}
	return nil
}

// restart asks for the restart into the staged release as soon as nothing is printed
// and nothing is hot; from then on no job is taken. A release on trial that finds the
// port taken by a print would not be healthy.
func (a *Agent) restart(ctx context.Context) {
	tick := time.NewTicker(300 * time.Millisecond) // the first answer has left by then
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if a.sup.retire() {
				a.updates.restart()
				return
			}
		}
	}
}

// stage looks for a newer release, writes it into the idle slot, and has the update
// loop restart into it.
func (a *Agent) stage(ctx context.Context) (updater.Target, error) {
	a.updates.mu.Lock()
	defer a.updates.mu.Unlock()
	t, err := a.updates.up.Stage(ctx)
	if errors.Is(err, updater.ErrUpToDate) {
		a.takeReleased(ctx, t.Approvals)
	}
	if err != nil {
		a.setUpdateState(updater.Code(err))
		return t, err
	}
	a.setUpdateState(fmt.Sprintf("release %d staged", t.Release))
	a.log.Info("release staged", "release", t.Release)
	a.updated(t.Release, "staged")
	select {
	case a.updates.staged <- struct{}{}:
	default: // it is said already
	}
	return t, nil
}

func (a *Agent) setUpdateState(s string) {
	a.updates.stateMu.Lock()
	defer a.updates.stateMu.Unlock()
	a.updates.state = s
}

func (a *Agent) updateState() string {
	if a.updates == nil {
		return "not configured"
	}
	a.updates.stateMu.Lock()
	defer a.updates.stateMu.Unlock()
	return a.updates.state
}

func (a *Agent) slotName() string {
	if a.updates == nil {
		return ""
	}
	return boot.Running().String()
}
