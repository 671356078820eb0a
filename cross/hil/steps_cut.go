package hil

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"platen/cross/hil/cutdisk"
	"platen/cross/rig/leak"
)

// rewound is a board of which a moment can be kept, and gone back to as often as one likes, whose
// disk and memory can be looked at, and whose network cable can be pulled. Switched on by Rewind it goes
// on where it stood.
type rewound interface {
	opened
	Disk() *cutdisk.Disk
	Keep(ctx context.Context) error
	Rewind(ctx context.Context) (Wires, error)
	Unplug(out bool)
	Memory(ctx context.Context, path string) error
	// WithTPM calls fn with the path of a TPM that has what the board's TPM keeps, as after a reset.
	WithTPM(ctx context.Context, fn func(path string) error) error
}

// cutPrint takes the power away in the middle of prints. A virtual board is put back to the moment before
// its print each time, and cut at another; what is left on its disk, and all that was ever written to it,
// is searched after every cut, and its memory in the middle of a print, where the model has to be found,
// and after a print, where it must not be.
func (b *Bench) cutPrint(ctx context.Context) (string, error) {
	if b.moves == 0 { // tried alone
		if _, err := b.print(ctx); err != nil {
			return "", err
		}
	}
	job := b.later
	board, ok := b.cfg.Board.(rewound)
	if !ok {
		for i := range b.revivals() {
			if i > 0 { // the queue is in memory
				var err error
				if job, err = b.offer(ctx); err != nil {
					return "", err
				}
			}
			if err := b.cutAt(ctx, job, b.moment()); err != nil {
				return "", err
			}
			if err := b.broken(ctx); err != nil {
				return "", fmt.Errorf("power cut %d: %w", i+1, err)
			}
		}
		return fmt.Sprintf("%d in a print's middle: the printer came back, knew that a print was broken, and let it go; its disk was not searched", b.revivals()), nil
	}
	// The moment is one without a controller: a new one is found when it goes on.
	b.ctl.cut()
	if _, err := b.await(ctx, "to miss its controller", func(st status) bool { return st.Phase == "connecting" }); err != nil {
		return "", err
	}
	if err := b.leave(board.Keep(ctx)); err != nil {
		return "", err
	}
	return b.cutMany(ctx, board, job)
}

// revivals is how often the board is switched on again after a power cut in a print: on one that
// cannot be put back, after each.
func (b *Bench) revivals() int {
	if b.cfg.Short {
		return 1
	}
	return 3
}

// moment is after how many moves of a print the power goes: any, but for the last few.
func (b *Bench) moment() int { return 1 + b.rng.IntN(max(1, b.moves*19/20)) }

// scanned is what was searched.
type scanned struct{ cuts, boots, disks, written int64 }

// cutMany cuts the power of the same print again and again. After some cuts the board is switched on,
// and after the last one it stays so. None but the last is known to the fleet: the cable is out meanwhile.
func (b *Bench) cutMany(ctx context.Context, board rewound, job string) (string, error) {
	board.Unplug(true)
	says, err := b.memories(ctx, board, job)
	if err != nil {
		return "", err
	}
	state, err := b.openState(ctx, board)
	if err != nil {
		return "", err
	}
	var seen scanned
	each := (b.cfg.Cuts + b.revivals() - 1) / b.revivals()
	for i := range b.cfg.Cuts {
		err := b.middle(ctx, board, job, b.moment(), func() error { return b.cut(ctx) })
		if err != nil {
			return "", fmt.Errorf("power cut %d: %w", i+1, err)
		}
		if err := b.scan(board, state, &seen); err != nil {
			return "", fmt.Errorf("power cut %d: %w", i+1, err)
		}
		last := i == b.cfg.Cuts-1
		board.Unplug(!last)
		if !last && (i+1)%each != 0 {
			continue
		}
		if err := b.broken(ctx); err != nil {
			return "", fmt.Errorf("power cut %d: %w", i+1, err)
		}
		seen.boots++
		if !last {
			if err := b.cut(ctx); err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("%d power cuts at random moments of a print: none of %d patterns of the model is on the disk (%d MiB searched, and its encrypted state in clear) or in the %d KiB that were written to it;\nafter %d of them it was switched on, knew that a print was broken, and let it go\n%s",
		seen.cuts, b.patterns().Len(), seen.disks>>20, seen.written>>10, seen.boots, says), nil
}

// rewind puts a board that is off back to the moment that was kept, and waits until it has found its controller.
// It says so itself: whoever asks takes processor time from it.
func (b *Bench) rewind(ctx context.Context, board rewound) error {
	w, err := board.Rewind(ctx)
	if err != nil {
		return err
	}
	if err := b.wire(w, "back"); err != nil {
		return err
	}
	_, err = b.con.Wait(ctx, `msg="session ready"`)
	return err
}

// cutAt prints a job and takes the power away after so many of its moves.
func (b *Bench) cutAt(ctx context.Context, job string, moves int) error {
	from, err := b.start(ctx, job)
	if err != nil {
		return err
	}
	if err := b.ctl.After(ctx, from, moves); err != nil {
		return err
	}
	return b.cut(ctx)
}

// middle puts a board back, prints a job and does something after so many of its moves. If the print may have
// been over by then, because this machine was late, it does all of it again, earlier.
func (b *Bench) middle(ctx context.Context, board rewound, job string, moves int, do func() error) error {
	for ; moves > 0; moves /= 2 {
		if err := b.rewind(ctx, board); err != nil {
			return err
		}
		from, err := b.start(ctx, job)
		if err != nil {
			return err
		}
		if err := b.ctl.After(ctx, from, moves); err != nil {
			return err
		}
		if err := do(); err != nil {
			return err
		}
		if b.ctl.Moves()-from < b.moves {
			return nil
		}
		if b.con != nil {
			if err := b.cut(ctx); err != nil {
				return err
			}
		}
	}
	return errors.New("this machine is too slow: each print is over before anything can be done in its middle")
}

// broken switches a board on that lost its power in a print: it has to know, and to let the print go.
func (b *Bench) broken(ctx context.Context) error {
	if err := b.on(ctx); err != nil {
		return err
	}
	st, err := b.started(ctx, "idle")
	if err != nil {
		return err
	}
	if st.Broken == nil {
		return errors.New("the printer does not know that a print was broken")
	}
	if err := b.complains(ctx, "print"); err != nil {
		return err
	}
	_, err = b.con.Ask(ctx, nil, "discard", "--yes")
	return err
}

// scan searches what a power cut has left on the disk, as it is there and with the state in clear, all that was
// written to it, and what the console said.
func (b *Bench) scan(board rewound, state *clearState, seen *scanned) error {
	d := board.Disk()
	if err := b.clean(board.Image(), d.LogPath(), b.console.Name()); err != nil {
		return err
	}
	err := state.read(board.Image(), func(r io.Reader) error {
		hits, err := b.patterns().Reader(r, "the state in clear")
		return errors.Join(err, found(hits))
	})
	if err != nil {
		return err
	}
	seen.cuts++
	seen.disks += d.Size()
	seen.written += d.Written()
	return nil
}

// clean is an error if the model is in one of the files.
func (b *Bench) clean(paths ...string) error {
	set := b.patterns()
	for _, path := range paths {
		hits, err := set.File(path)
		if err := errors.Join(err, found(hits)); err != nil {
			return err
		}
	}
	return nil
}

// found is an error if there are hits.
func found(hits []leak.Hit) error {
	if len(hits) == 0 {
		return nil
	}
	return fmt.Errorf("%w: a %s at byte %d of %s", errFound, hits[0].Kind, hits[0].Offset, filepath.Base(hits[0].Path))
}

// memories looks for the model in the board's memory: in the middle of a print, where it has to be,
// and when the print was stopped or is done, where it must not be any more.
func (b *Bench) memories(ctx context.Context, board rewound, job string) (string, error) {
	var middle int
	var kinds string
	err := b.middle(ctx, board, job, b.moves/2, func() (err error) {
		middle, kinds, err = b.memory(ctx, board)
		return err
	})
	if err != nil {
		return "", err
	}
	if middle == 0 {
		return "", fmt.Errorf("%w: the model is not found in memory in the middle of its print", errControl)
	}
	if _, err := b.await(ctx, "to have printed", func(st status) bool { return st.Phase == "idle" }); err != nil {
		return "", err
	}
	after, left, err := b.memory(ctx, board)
	if err == nil && after > 0 {
		err = fmt.Errorf("%w: at %d places of the memory when its print was done (%s)", errFound, after, left)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("memory: something of the model at %d places or more in the middle of its print (%s), at none when it was done", middle, kinds), b.cut(ctx)
}

// memory counts the places in a board's memory at which something of the model is, and says of what kinds. It
// does not count on where there are many ([leak.Set.Reader]).
func (b *Bench) memory(ctx context.Context, board rewound) (n int, kinds string, err error) {
	path := b.Path("memory.img")
	defer os.Remove(path)
	if err := board.Memory(ctx, path); err != nil {
		return 0, "", err
	}
	hits, err := b.patterns().File(path)
	if err != nil {
		return 0, "", err
	}
	count := map[string]int{}
	var names []string
	for _, h := range hits {
		if count[h.Kind]++; count[h.Kind] == 1 {
			names = append(names, h.Kind)
		}
	}
	for i, k := range names {
		names[i] = fmt.Sprintf("%s %d", k, count[k])
	}
	return len(hits), strings.Join(names, ", "), nil
}

// errFound reports a model where none may be.
var errFound = errors.New("the model is where it must not be")
