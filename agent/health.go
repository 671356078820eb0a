package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"platen/agent/seam"
	"platen/hal/unit"
	"platen/updater/slot"
)

// probe is one thing that a release on trial has to show.
type probe struct {
	why slot.Why // that it fails with
	try func(context.Context) error
}

// probes are what a release has to show before it is confirmed, in their order.
func (a *Agent) probes() []probe {
	return []probe{
		{slot.NoTPM, func(ctx context.Context) error { _, err := a.tpm.Quote(ctx, [32]byte{}); return err }},
		{slot.NoFirmware, a.probeFirmware},
		{slot.NoController, a.probeController},
		{slot.BadHeat, a.probeHeat},
		{slot.NoUplink, a.probeUplink},
	}
}

// probeEvery is the pause before a probe that failed is tried again.
const probeEvery = 200 * time.Millisecond

// healthy waits until the release has shown everything, and says what it has not. The time
// in which its controller is flashed does not count.
func (a *Agent) healthy(ctx context.Context) (slot.Why, error) { return a.prove(ctx, a.probes()) }

// prove tries each of the probes: all of them together have healthTime, but for that of the
// controller's firmware.
func (a *Agent) prove(ctx context.Context, probes []probe) (slot.Why, error) {
	left := healthTime
	for _, p := range probes {
		bound := left
		if p.why == slot.NoFirmware {
			bound = settleTime
		}
		begun := time.Now()
		if err := a.until(ctx, bound, p.try); err != nil {
			return p.why, err
		}
		if p.why != slot.NoFirmware {
			left -= time.Since(begun)
		}
	}
	return slot.Unknown, nil
}

// until tries something again until it succeeds or the time is over.
func (a *Agent) until(ctx context.Context, bound time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		a.updates.beat.Store(time.Now().UnixNano())
		err := try(ctx)
		if err == nil || errors.Is(err, errHopeless) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(probeEvery):
		}
	}
}

// probeSilence is how long the probes of a release on trial may say nothing before the board
// is left to its watchdog.
const probeSilence = time.Minute

// lively reports whether the release is confirmed, or its probes go on.
func (a *Agent) lively() bool {
	if a.updates == nil {
		return true
	}
	beat := a.updates.beat.Load()
	return beat == 0 || time.Since(time.Unix(0, beat)) < probeSilence
}

// maxSettles is how often a release on trial may fail to give the controller its firmware.
const maxSettles = 3

// errHopeless reports a probe that is not worth another try.
var errHopeless = errors.New("given up")

// probeFirmware is that the controller has the firmware of the set.
func (a *Agent) probeFirmware(context.Context) error {
	if a.settled() {
		return nil
	}
	if err := a.updates.unsettled.Load(); err != nil && a.updates.tries.Load() >= maxSettles {
		return fmt.Errorf("%w: %w", errHopeless, *err)
	}
	return errors.New("the controller does not have the firmware of this release yet")
}

// probeController is that a session has shaken hands with the controller.
func (a *Agent) probeController(context.Context) error {
	if _, ready, _ := a.sup.snapshot(); ready.Dialect == 0 {
		return errors.New("its session does not reach the printer")
	}
	return nil
}

// What the thermometers of a machine that does nothing say: it may still be hot from its
// last job.
const (
	coldest = -25 * unit.Degree
	hottest = 350 * unit.Degree
)

// probeHeat is that the machine has no fault, heats nothing, and its temperatures are some.
func (a *Agent) probeHeat(context.Context) error {
	st, ready, busy := a.sup.snapshot()
	switch {
	case ready.Dialect == 0 || st.NHeaters == 0 && st.Phase == seam.PhaseConnecting:
		return errors.New("its session does not report temperatures")
	case st.Fault != 0 || st.Trip != 0:
		return errors.New("the machine reports a fault")
	}
	for _, h := range st.Heaters[:st.NHeaters] {
		if t := unit.Celsius(h.Actual); t < coldest || t > hottest {
			return fmt.Errorf("heater %s does not say a temperature that can be", heaterName(h.ID))
		}
		if h.Target > 0 && !busy {
			return fmt.Errorf("heater %s is on while nothing is printed", heaterName(h.ID))
		}
	}
	return nil
}

// probeUplink is that the fleet's broker, if this printer sends it anything, is the right one and
// has taken the printer.
func (a *Agent) probeUplink(ctx context.Context) error {
	if a.cfg.Update.Offline || a.consent == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeSilence/2)
	defer cancel()
	for _, g := range a.consent.Grants(time.Now()) {
		for _, f := range a.fleets {
			if res := f.result(); res == nil || res.Recipient != g.Recipient {
				continue
			}
			if err := f.greeted(ctx); err != nil {
				return fmt.Errorf("reaching the fleet: %w", err)
			}
		}
	}
	return nil
}
