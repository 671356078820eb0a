package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"platen/hal/flash/image"
	"platen/hal/flash/loader"
)

// ErrUnread reports a controller whose firmware cannot be kept.
var ErrUnread = errors.New("the controller's firmware cannot be kept: it is not confirmed, or is no firmware that this board could take back")

// Save writes the firmware that is in the controller to w, in the format in which the board
// takes images, so that Install can put it back: every byte of the application area up to
// the last that is not blank, read twice alike. The application is started again. It fails
// with ErrUnread if the controller is not confirmed, and with loader.ErrProtected if it does
// not let itself be read.
func (f *Flasher) Save(ctx context.Context, w io.Writer) error {
	if pending, err := Pending(f.cfg.Store); pending {
		return errors.Join(ErrUnread, err)
	}
	l, err := f.open()
	if err != nil {
		return err
	}
	defer l.Close() // only reads
	if _, err := f.enter(ctx, l); err != nil {
		return err
	}
	p, err := f.readAll(ctx, l)
	if err = errors.Join(err, f.back(ctx, l)); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := image.Encode(&out, p, f.cfg.Board.Format, f.cfg.Board.Layout); err != nil {
		return err
	}
	if _, err := f.cfg.Board.parse(bytes.NewReader(out.Bytes())); err != nil {
		return errors.Join(ErrUnread, err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// readAll reads the application area up to its last byte that is not blank.
func (f *Flasher) readAll(ctx context.Context, l loader.Loader) ([]byte, error) {
	layout := f.cfg.Board.Layout
	p := make([]byte, layout.Size())
	for page := range layout.Pages() {
		f.cfg.Progress(Compare, page, layout.Pages())
		at, size := layout.Page(page)
		again := make([]byte, size)
		err := retry(ctx, l, pageTries, func() error {
			if err := l.Read(ctx, page, p[at:at+size]); err != nil {
				return err
			}
			if err := l.Read(ctx, page, again); err != nil {
				return err
			}
			if !bytes.Equal(p[at:at+size], again) {
				return ErrVerify
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read page %d: %w", page, err)
		}
	}
	f.cfg.Progress(Compare, layout.Pages(), layout.Pages())
	n := len(p)
	for n > 0 && p[n-1] == 0xff {
		n--
	}
	return p[:n], nil
}
