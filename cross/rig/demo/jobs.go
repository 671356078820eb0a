package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platen/agent/cli"
	"platen/cross/rig/stage"
)

// seal seals the model with stock age and has the operator sign a ticket.
func (d *demo) seal(ctx context.Context) (string, error) {
	if _, err := d.Run(ctx, "age", "-r", d.sealTo, "-o", d.Path("job.age"), d.model); err != nil {
		return "", err
	}
	if err := d.ticket(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s sealed to %s… with age, ticket signed for one copy", filepath.Base(d.model), d.sealTo[:16]), nil
}

// ticket has the operator sign a ticket for one copy of the sealed job.
func (d *demo) ticket(ctx context.Context) error {
	ticket, err := d.Run(ctx, "platen-fleet", "ticket", d.Path("job.age"), "--key", d.Path("operator"), "--printer", d.printer)
	if err != nil {
		return err
	}
	return os.WriteFile(d.Path("job.ticket"), ticket, 0o644)
}

// print prints the sealed job and tells what the simulated printer counted.
func (d *demo) print(ctx context.Context) (string, error) {
	from := len(d.sim.Events())
	bar := cli.NewProgress(os.Stderr, "    printing")
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for n := from; ; {
			e, err := d.sim.Wait(ctx, time.Hour, n, func(e stage.Event) bool { return e.Event == "status" || e.Event == "end" })
			if err != nil || e.Event == "end" {
				return
			}
			n = len(d.sim.Events())
			bar.Set(int64(1000*e.Z), int64(1000*d.height), fmt.Sprintf("z %.1f mm, %d lines, %.0f °C", e.Z, e.Lines, e.HotEnd))
		}
	}()
	began := time.Now()
	_, err := d.Platen(ctx, "print", d.Path("job.age"), "--ticket", d.Path("job.ticket"))
	took := time.Since(began)
	if err != nil {
		return "", err
	}
	end, err := d.sim.Wait(ctx, 30*time.Second, from, func(e stage.Event) bool { return e.Event == "end" })
	<-finished
	bar.Done()
	if err != nil {
		return "", err
	}
	if code, err := d.Refused(ctx, "platen", "print", d.Path("job.age"), "--ticket", d.Path("job.ticket"), "--config", d.Path("platen.toml")); err != nil || code != "ticket-copies" {
		return "", fmt.Errorf("a second copy on a ticket for one: code %q, %w", code, err)
	}
	return fmt.Sprintf("%d layers, %d lines, %.1f m of filament, %s of machine time in %s; a second copy was refused",
		end.Layers, end.Lines, end.Filament/1000, time.Duration(end.SimTime*float64(time.Second)).Round(time.Second), took.Round(time.Second)), nil
}

// inspect asks the desk slicer how high the model is, for the progress bar, and how
// large, for the speed of the simulated printer.
func (d *demo) inspect(ctx context.Context) error {
	out, err := d.Run(ctx, "platen-slice", "inspect", d.model, "-o", "json")
	if err != nil {
		return err
	}
	var info struct {
		Size   [3]float64 `json:"size_mm"`
		Volume float64    `json:"volume_mm3"`
	}
	if err := json.Unmarshal(out, &info); err != nil || info.Size[2] <= 0 {
		return fmt.Errorf("platen-slice inspect did not give the size: %v", err)
	}
	d.height = info.Size[2]
	if d.speed == 0 {
		const flow, wanted = 4, 20 // mm³ a second of printing; seconds of the demo
		d.speed = int(max(60, min(1000, info.Volume/flow/wanted)))
	}
	return nil
}

// opened shows that what was sealed before the update opens under release 2: a second
// ticket for the same file is taken as far as the session's having all of it.
func (d *demo) opened(ctx context.Context) (string, error) {
	if err := d.ticket(ctx); err != nil {
		return "", err
	}
	st, err := d.waitStatus(ctx, 60*time.Second, func(st status) bool { return st.Phase == "idle" && st.Keys == "approved" })
	if err != nil {
		return "", err
	}
	if st.Approved != 2 || st.Recipient != d.sealTo {
		return "", fmt.Errorf("approved as release %d, or the recipient changed", st.Approved)
	}
	if _, err := d.Platen(ctx, "print", d.Path("job.age"), "--ticket", d.Path("job.ticket"), "--detach"); err != nil {
		return "", err
	}
	if _, err := d.Platen(ctx, "cancel"); err != nil {
		return "", err
	}
	if _, err := d.waitStatus(ctx, 60*time.Second, func(st status) bool { return st.Phase == "idle" }); err != nil {
		return "", err
	}
	return "the job that was sealed before the update opens under release 2, on another ticket; cancelled", nil
}
