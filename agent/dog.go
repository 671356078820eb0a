package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"platen/agent/config"
	"platen/hal/watchdog"
)

// dog is the board's watchdog, as far as this agent has it.
//
// The agent pets it for as long as sessions are under control. A session gets a
// descriptor of it as well, and pets once its agent is gone: so the print goes on if only
// the agent died, and the board starts again if neither can switch heaters off any more.
// A watchdog that an earlier session still has cannot be opened; it is tried again until
// that one has ended.
type dog struct {
	mu  sync.Mutex
	dog *watchdog.Dog
	err error // why it is not open
}

// open tries to open the watchdog and reports whether it is worth trying again.
func (d *dog) open(cfg *config.Config, log *slog.Logger) bool {
	w, err := watchdog.Open(cfg.Watchdog, time.Duration(cfg.WatchdogTime))
	d.mu.Lock()
	defer d.mu.Unlock()
	first := d.err == nil
	d.dog, d.err = w, err
	switch {
	case err == nil:
		info := w.Info()
		log.Info("watchdog runs", "identity", info.Identity, "timeout", w.Timeout().String(), "stoppable", info.CanDisarm, "caused_boot", info.CausedBoot)
		return false
	case errors.Is(err, watchdog.ErrBusy):
		if first {
			log.Warn("the watchdog is in use, by a session that prints or by another program: tried again")
		}
		return true
	}
	log.Error("no watchdog", "error", err.Error())
	return false
}

// file is the descriptor to hand to a session, nil if there is none.
func (d *dog) file() *os.File {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dog == nil {
		return nil
	}
	return d.dog.File()
}

// state is what platen status shows.
func (d *dog) state(configured bool) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !configured:
		return "not configured"
	case d.dog != nil:
		return "runs, " + d.dog.Timeout().String()
	case errors.Is(d.err, watchdog.ErrBusy):
		return "with a session that prints, or another program"
	case d.err != nil:
		return "missing: see platen doctor"
	}
	return "not open yet"
}

// pets is how often in a timeout it is petted.
const pets = 6

// pet pets until ctx ends. Then it stops the watchdog, unless a session goes on with a
// print, which pets by itself, or another release is about to start, which is to show
// that it can.
func (a *Agent) pet(ctx context.Context) error {
	next := time.NewTimer(time.Hour)
	defer next.Stop()
	a.sup.move() // it may not have begun yet
	for {
		period := time.Duration(a.cfg.WatchdogTime) / pets
		a.dog.mu.Lock()
		w, retry := a.dog.dog, errors.Is(a.dog.err, watchdog.ErrBusy)
		a.dog.mu.Unlock()
		switch {
		case w == nil && !retry:
			return nil
		case w == nil:
			a.dog.open(a.cfg, a.log)
		case !a.lively():
			a.log.Error("the release on trial does not go on: the board is left to its watchdog")
		case !a.sup.alive():
			a.log.Error("sessions are out of control: the board is left to its watchdog")
		default:
			period = min(period, w.Timeout()/pets)
			if err := w.Pet(); err != nil {
				return err
			}
		}
		next.Reset(period)
		select {
		case <-next.C:
		case <-ctx.Done():
			return a.letGo(ctx)
		}
	}
}

// letGo ends the agent's part in the watchdog.
func (a *Agent) letGo(ctx context.Context) error {
	a.dog.mu.Lock()
	w := a.dog.dog
	a.dog.dog = nil
	a.dog.mu.Unlock()
	if w == nil {
		return nil
	}
	if _, _, busy := a.sup.snapshot(); busy || errors.Is(context.Cause(ctx), ErrRestart) {
		return w.Close()
	}
	return w.Disarm()
}
