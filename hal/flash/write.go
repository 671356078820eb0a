package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"platen/hal/flash/image"
	"platen/hal/flash/loader"
)

const (
	attempts  = 5 // passes over an image
	pageTries = 4 // of one page within a pass, where the bootloader allows it
)

// step is one page to be written: with what the image has there, or blank.
type step struct {
	page  int
	blank bool
}

// plan orders the pages that have to be written: page 0, which decides whether the
// application starts, is blank while the others are written, and comes last.
func plan(dirty []int) []step {
	steps := make([]step, 0, len(dirty)+2)
	steps = append(steps, step{page: 0, blank: true})
	for _, n := range dirty {
		if n != 0 {
			steps = append(steps, step{page: n})
		}
	}
	return append(steps, step{page: 0})
}

// write makes the flash hold m. With look, what is right already stays as it is.
func (f *Flasher) write(ctx context.Context, l loader.Loader, t loader.Traits, m *image.Image, look bool) error {
	var last error
	for n := range attempts {
		if n > 0 {
			f.cfg.Logger.Warn("controller is written once more", "attempt", n+1, "error", last)
			var err error
			if t, err = l.Enter(ctx); err != nil {
				return fmt.Errorf("enter the controller's bootloader again: %w", err)
			}
		}
		err := f.pass(ctx, l, t, m, look || n > 0)
		if err == nil || !again(err) {
			return err
		}
		last = err
	}
	return errors.Join(last, f.disable(ctx, l))
}

// disable makes page 0 blank, so that what could not be written well does not start.
func (f *Flasher) disable(ctx context.Context, l loader.Loader) error {
	t, err := l.Enter(ctx)
	if err == nil {
		err = f.put(ctx, l, t, nil, step{page: 0, blank: true})
	}
	if err != nil {
		return fmt.Errorf("keep it from starting: %w", err)
	}
	return nil
}

// again reports whether an error may pass if it is tried once more.
func again(err error) bool { return errors.Is(err, loader.ErrLine) || errors.Is(err, ErrVerify) }

// pass writes the image once and reads all of it back.
func (f *Flasher) pass(ctx context.Context, l loader.Loader, t loader.Traits, m *image.Image, look bool) error {
	dirty := make([]int, f.cfg.Board.Layout.Cover(m.Size()))
	for i := range dirty {
		dirty[i] = i
	}
	if look {
		differ, err := f.compare(ctx, l, m, Compare)
		if err != nil || len(differ) == 0 {
			return err
		}
		if !t.Sequential {
			dirty = differ
		}
	}
	steps := f.plan(dirty)
	for i, s := range steps {
		f.cfg.Progress(Write, i, len(steps))
		if err := f.put(ctx, l, t, m, s); err != nil {
			return fmt.Errorf("write page %d: %w", s.page, err)
		}
	}
	f.cfg.Progress(Write, len(steps), len(steps))
	differ, err := f.compare(ctx, l, m, Verify)
	if err == nil && len(differ) > 0 {
		err = fmt.Errorf("%d pages differ: %w", len(differ), ErrVerify)
	}
	return err
}

// put writes one page and reads it back. A bootloader that is written in sequence
// gets one try: entering it again would begin the sequence again.
func (f *Flasher) put(ctx context.Context, l loader.Loader, t loader.Traits, m *image.Image, s step) error {
	_, size := f.cfg.Board.Layout.Page(s.page)
	want, got := make([]byte, size), make([]byte, size)
	if s.blank {
		for i := range want {
			want[i] = 0xff
		}
	} else {
		m.Page(f.cfg.Board.Layout, s.page, want)
	}
	tries := pageTries
	if t.Sequential {
		tries = 1
	}
	return retry(ctx, l, tries, func() error {
		if err := l.Write(ctx, s.page, want); err != nil {
			return err
		}
		if err := l.Read(ctx, s.page, got); err != nil {
			return err
		}
		if !bytes.Equal(want, got) {
			return ErrVerify
		}
		return nil
	})
}

// retry does something up to tries times, entering the bootloader in between.
func retry(ctx context.Context, l loader.Loader, tries int, do func() error) error {
	for n := 1; ; n++ {
		err := do()
		if err == nil || !again(err) || n == tries {
			return err
		}
		if _, err := l.Enter(ctx); err != nil {
			return fmt.Errorf("enter the controller's bootloader again: %w", err)
		}
	}
}

// compare reads the pages of an image and returns those that differ from it.
func (f *Flasher) compare(ctx context.Context, l loader.Loader, m *image.Image, s Stage) ([]int, error) {
	layout := f.cfg.Board.Layout
	n := layout.Cover(m.Size())
	var differ []int
	var want, got []byte
	for page := range n {
		f.cfg.Progress(s, page, n)
		_, size := layout.Page(page)
		if cap(want) < size {
			want, got = make([]byte, size), make([]byte, size)
		}
		want, got = want[:size], got[:size]
		m.Page(layout, page, want)
		err := retry(ctx, l, pageTries, func() error { return l.Read(ctx, page, got) })
		if err != nil {
			return nil, fmt.Errorf("read back page %d: %w", page, err)
		}
		if !bytes.Equal(want, got) {
			differ = append(differ, page)
		}
	}
	f.cfg.Progress(s, n, n)
	return differ, nil
}
