package hil

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"platen/agent/console"
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
	return b.confirmed(ctx, release)
}

// confirmed waits until a release is.
func (b *Bench) confirmed(ctx context.Context, release uint64) (status, error) {
	return b.await(ctx, "to confirm the release", func(st status) bool {
		return st.Release == release && st.Phase == "idle" && strings.Contains(st.Update, "confirmed")
	})
}

// agentReady is what the init says once the agent answers; by then the console does, too.
const agentReady = "platen-init: agent ready"

// askUpdate has the printer install the newest release, and waits until an agent answers after
// the restart, which comes before or after the request was answered.
func (b *Bench) askUpdate(ctx context.Context) error {
	starts := b.con.Count(agentReady)
	asking, stop := context.WithCancel(ctx)
	defer stop()
	asked := make(chan error, 1)
	go func() {
		_, err := b.con.Ask(asking, nil, "update")
		for errors.Is(err, console.ErrGarbled) {
			_, err = b.con.Ask(asking, nil, "update")
		}
		asked <- err
	}()
	for end := time.Now().Add(2 * patience); b.con.Count(agentReady) == starts; {
		if time.Now().After(end) || b.gone() {
			return fmt.Errorf("the board does not come back from an update; the console said at last: %s", b.con.tail())
		}
		select {
		case err := <-asked:
			var failed *Failed
			if errors.As(err, &failed) {
				return err
			}
			asked = nil // the answer, or its loss in the restart
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// cutUpdate takes the power away while the printer downloads and writes release 3.
func (b *Bench) cutUpdate(ctx context.Context) (string, error) {
	img, err := b.publish(ctx, Spec{Release: 3})
	if err != nil {
		return "", err
	}
	wrote, staged, err := b.cutWriting(ctx, img)
	if err != nil {
		return "", err
	}
	if err := b.on(ctx); err != nil {
		return "", err
	}
	st, err := b.started(ctx, "idle")
	if err != nil {
		return "", err
	}
	if st.Release != 2 && !staged {
		return "", fmt.Errorf("release %d runs after a power cut in the middle of the update from 2", st.Release)
	}
	from := len(b.fleet.Events())
	if st.Release == 2 {
		_, err = b.updated(ctx, 3)
	} else {
		_, err = b.confirmed(ctx, 3)
	}
	if err == nil {
		err = b.attested(ctx, from, 3)
	}
	return fmt.Sprintf("after %d KiB of it were written: release %d ran then, and release 3 at last", wrote>>10, st.Release), err
}

// cutWriting asks for an update and takes the power away while it is written, after wrote bytes.
// Of a board whose writes nobody sees it may be staged by then.
func (b *Bench) cutWriting(ctx context.Context, img Image) (wrote int64, staged bool, err error) {
	size, err := sizes(img.Rootfs, img.Agent)
	if err != nil {
		return 0, false, err
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
	if wrote, err = b.written(ctx, d, before, 1+b.rng.Int64N(size*4/5)); err != nil {
		return 0, false, err
	}
	err = b.cut(ctx)
	<-asked
	return wrote, con.Count(`msg="release staged"`) > 0, err
}

// sizes is how many bytes files have together.
func sizes(names ...string) (sum int64, err error) {
	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		sum += st.Size()
	}
	return sum, nil
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
	if n := b.con.Count(`msg="release confirmed" release=4`); n != 0 {
		return "", errors.New("the printer has confirmed a release that gets nowhere")
	}
	return fmt.Sprintf("release 4 started %d times and never confirmed: release 3 runs again, and says: %s", b.con.Count("broken on purpose"), st.Update), nil
}
