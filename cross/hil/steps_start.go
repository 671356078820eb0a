package hil

import (
	"context"
	"fmt"

	"platen/cross/rig/stage"
)

// How many seconds of processor time a start may take, from the kernel's on, until the agent answers,
// and until the fleet has the first telemetry of it. They are judged where a processor is as fast each
// time: see [About].Counted.
const (
	mostStart     = 2
	mostTelemetry = 5
)

// usage is what a board has used since its kernel started, as its init says it (agent/pid1).
type usage struct {
	uptime, cpu float64 // seconds
	kib         int64   // of memory that are in use
}

func parseUsage(text string) (u usage, err error) {
	if n, err := fmt.Sscanf(text, "uptime_s=%g cpu_s=%g memory_kib=%d", &u.uptime, &u.cpu, &u.kib); n != 3 {
		return u, fmt.Errorf("what the init says of its start cannot be read: %w", err)
	}
	return u, nil
}

// judged is an error if a start took more processor time than it may.
func (b *Bench) judged(what string, cpu, most float64) error {
	if b.cfg.Board.About().Counted && cpu > most {
		return fmt.Errorf("%s took %.2f s of processor, at most %.2f are allowed", what, cpu, most)
	}
	return nil
}

// startTime looks at the start that was the last: of a printer that has its keys and its state already.
// The control is that the count goes on.
func (b *Bench) startTime(ctx context.Context) (string, error) {
	u, err := b.con.ready(ctx)
	if err == nil {
		err = b.judged("the start", u.cpu, mostStart)
	}
	if err != nil {
		return "", err
	}
	now, err := b.used(ctx)
	if err == nil && now.cpu <= u.cpu {
		err = fmt.Errorf("%w: %.2f s of processor when the agent was ready, and %.2f s now", errControl, u.cpu, now.cpu)
	}
	how := "as fast as this board is: not judged"
	if b.cfg.Board.About().Counted {
		how = "a nanosecond for each instruction"
	}
	return fmt.Sprintf("agent ready after %.2f s of processor, %.2f s of uptime (%s); it was %.2f s in the first start of all, which makes keys and the state",
		u.cpu, u.uptime, how, b.first.cpu), err
}

// firstTelemetry waits for the first batch of a release among the fleet's events from number from on,
// and says how much processor time the board has used at most by then: it is asked after the fleet has it.
func (b *Bench) firstTelemetry(ctx context.Context, from int, release uint64) (string, error) {
	if _, err := b.fleet.Wait(ctx, patience, from, func(e stage.Event) bool { return e.Event == "batch" && e.Release == release }); err != nil {
		return "", err
	}
	u, err := b.used(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("first telemetry after %.2f s of processor at most, %.2f s of uptime", u.cpu, u.uptime), b.judged("the first telemetry after a start", u.cpu, mostTelemetry)
}

// used asks what the board has used so far.
func (b *Bench) used(ctx context.Context) (usage, error) {
	text, err := b.con.Ask(ctx, nil, "usage")
	if err != nil {
		return usage{}, err
	}
	return parseUsage(text)
}
