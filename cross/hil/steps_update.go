package hil

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"platen/cross/rig/stage"
)

// update has the printer take release 2, agent and root file system as one set.
func (b *Bench) update(ctx context.Context) (string, error) {
	img, err := b.publish(ctx, Spec{Release: 2})
	if err != nil {
		return "", err
	}
	from := len(b.fleet.Events())
	st, err := b.updated(ctx, 2)
	if err != nil {
		return "", err
	}
	if err := b.attested(ctx, from, 2); err != nil {
		return "", err
	}
	if st.Recipient != b.sealTo || st.Printer != b.printer {
		return "", errors.New("it is another printer after the update, or has another key")
	}
	return fmt.Sprintf("release 2 (%.1f MiB compressed) staged, booted from slot %s, confirmed, attested by telemetry; same printer, same job key",
		float64(img.Compressed)/(1<<20), st.Slot), nil
}

// updated asks for an update and waits until a release is confirmed after the restart.
func (b *Bench) updated(ctx context.Context, release uint64) (status, error) {
	if err := b.askUpdate(ctx); err != nil {
		return status{}, err
	}
	return b.await(ctx, "to confirm the release", func(st status) bool {
		return st.Release == release && st.Phase == "idle" && strings.Contains(st.Update, "confirmed")
	})
}

// askUpdate has the printer install the newest release. It restarts by itself, before or after it
// has answered.
func (b *Bench) askUpdate(ctx context.Context) error {
	const started = "platen-init: agent ready" // by then the console answers, too
	ctx, cancel := context.WithCancel(ctx)
	starts := b.con.Count(started)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		for b.con.Count(started) == starts && wait(ctx, 100*time.Millisecond) == nil {
		}
		cancel()
	})
	var failed *Failed
	if _, err := b.con.Ask(ctx, nil, "update"); errors.As(err, &failed) {
		return err
	}
	return nil
}

// cutUpdate takes the power away while the printer downloads and writes release 3.
func (b *Bench) cutUpdate(ctx context.Context) (string, error) {
	if _, err := b.publish(ctx, Spec{Release: 3}); err != nil {
		return "", err
	}
	d, _ := b.cfg.Board.(sliced)
	var before int64
	if d != nil {
		before = d.Disk().Written()
	}
	asked := make(chan struct{})
	con := b.con
	go func() {
		defer close(asked)
		_, _ = con.Ask(ctx, nil, "update") // the power goes before it is answered
	}()
	wrote, err := b.written(ctx, d, before, int64(1+b.rng.IntN(30))<<20)
	if err != nil {
		return "", err
	}
	if err := b.cut(ctx); err != nil {
		return "", err
	}
	<-asked
	if err := b.on(ctx); err != nil {
		return "", err
	}
	st, err := b.started(ctx, "idle")
	if err != nil {
		return "", err
	}
	if st.Release != 2 {
		return "", fmt.Errorf("release %d runs after a power cut in the middle of the update from 2", st.Release)
	}
	from := len(b.fleet.Events())
	if _, err := b.updated(ctx, 3); err != nil {
		return "", err
	}
	if err := b.attested(ctx, from, 3); err != nil {
		return "", err
	}
	return fmt.Sprintf("after %d MiB of it were written: release 2 ran on, and took release 3 at the next try", wrote>>20), nil
}

// written waits until so many more bytes were written to the disk than before. Of a board whose
// disk cannot be looked at it waits some seconds, and how much was written is not known.
func (b *Bench) written(ctx context.Context, d sliced, before, bytes int64) (int64, error) {
	if d == nil {
		return 0, wait(ctx, time.Duration(b.rng.IntN(10_000))*time.Millisecond)
	}
	for end := time.Now().Add(patience); ; {
		if n := d.Disk().Written() - before; n >= bytes {
			return n, nil
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("the update does not write to the disk: %d bytes", d.Disk().Written()-before)
		}
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// wait waits.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// badUpdate publishes release 4, whose root file system starts and gets nowhere.
func (b *Bench) badUpdate(ctx context.Context) (string, error) {
	if _, err := b.publish(ctx, Spec{Release: 4, Broken: true}); err != nil {
		return "", err
	}
	if err := b.askUpdate(ctx); err != nil {
		return "", err
	}
	if _, err := b.con.Wait(ctx, "broken on purpose"); err != nil {
		return "", fmt.Errorf("%w: the bad release did not even start: %w", errControl, err)
	}
	st, err := b.await(ctx, "to fall back", func(st status) bool {
		return st.Release == 3 && st.Phase == "idle" && strings.Contains(st.Update, "4")
	})
	if err != nil {
		return "", err
	}
	if _, err := b.fleet.Wait(ctx, patience, len(b.fleet.Events()), func(e stage.Event) bool { return e.Event == "batch" && e.Release == 3 }); err != nil {
		return "", err
	}
	return fmt.Sprintf("release 4 started %d times and never confirmed: release 3 runs again, and says: %s", b.con.Count("broken on purpose"), st.Update), nil
}
