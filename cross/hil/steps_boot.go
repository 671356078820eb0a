package hil

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// forger changes what a slot of a disk that lies in a file boots. It returns how to take that
// back, with all that U-Boot may have noted meanwhile.
type forger interface {
	// Forge puts a boot there that the key of the images has signed, and nobody has released.
	Forge(disk, slot string) (undo func(disk string) error, err error)
	// Flip changes one bit of what starts, the n-th of those it picks from.
	Flip(disk, slot string, n uint64) (undo func(disk string) error, err error)
	// Refused is what the console says, one of these, of a boot in which a bit is another.
	Refused(slot string) []string
}

// opened is a board whose disk is a file while it is off.
type opened interface{ Image() string }

// otherBoots has the board start what it must not (T21): a boot that is signed but was not
// released opens no state, so no agent runs and no key is used; of one in which a single bit
// is another U-Boot starts nothing, but the other slot; EDK2 starts it, and it opens no state. The
// control is the board's own boot afterwards, which is believed.
func (b *Bench) otherBoots(ctx context.Context) (string, error) {
	board, ok := b.cfg.Board.(opened)
	maker, ok2 := b.cfg.Make.(forger)
	if !ok || !ok2 {
		return "this board's disk cannot be changed while it is off: not tried", nil
	}
	st, err := b.await(ctx, "to be idle", func(st status) bool { return st.Phase == "idle" })
	if err != nil {
		return "", err
	}
	var says []string
	var from int // of the fleet's events, before the last start
	for _, try := range []struct {
		change func() (func(string) error, error)
		want   []string // of the console, one of them
		means  string
	}{
		{func() (func(string) error, error) { return maker.Forge(board.Image(), st.Slot) },
			[]string{"platen-init: FATAL"}, "a boot that is made like a release and was not released opens no state: "},
		{func() (func(string) error, error) { return maker.Flip(board.Image(), st.Slot, b.rng.Uint64()) },
			maker.Refused(st.Slot), "one flipped bit: "},
	} {
		if err := b.cut(ctx); err != nil {
			return "", err
		}
		undo, err := try.change()
		if err != nil {
			return "", err
		}
		if err := b.on(ctx); err != nil {
			return "", err
		}
		l, err := b.con.Wait(ctx, append([]string{"platen-init: agent started", "Kernel panic"}, try.want...)...)
		if err == nil && !slices.ContainsFunc(try.want, func(w string) bool { return strings.Contains(l, w) }) {
			err = fmt.Errorf("%w: %s", errors.New("the board started what it must not"), l)
		}
		if err != nil {
			return "", err
		}
		says = append(says, try.means+strings.TrimSpace(l))
		if err := b.cut(ctx); err != nil {
			return "", err
		}
		if err := undo(board.Image()); err != nil {
			return "", err
		}
		from = len(b.fleet.Events())
		if err := b.on(ctx); err != nil {
			return "", err
		}
		if _, err := b.started(ctx, "idle"); err != nil {
			return "", fmt.Errorf("%w: its own boot, put back, does not run: %w", errControl, err)
		}
	}
	first, err := b.firstTelemetry(ctx, from, st.Release)
	if err != nil {
		return "", err
	}
	if err := b.attested(ctx, from, st.Release); err != nil {
		return "", err
	}
	return strings.Join(append(says, "its own boot, put back, is believed; "+first), "\n"), nil
}
