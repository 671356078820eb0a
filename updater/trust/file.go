package trust

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

// File is a signed file of a repository, whatever it is for.
type File struct {
	Path string // as the metadata has it
	Size int64  // bytes

	sums     metadata.Hashes
	prefixed bool // its name in the repository begins with its digest
}

// Lookup finds a signed file of any repository by its path, the way the specification
// has it (5.6.7), after a Refresh; roles that are not there yet are fetched. What may be
// installed is told by Find alone.
func (c *Client) Lookup(ctx context.Context, name string) (f File, err error) {
	err = guard(func() error {
		t, err := c.find(ctx, name)
		if err != nil {
			return err
		}
		f = File{name, t.Length, t.Hashes, c.set.Root.Signed.ConsistentSnapshot}
		return nil
	})
	if err != nil {
		return File{}, fmt.Errorf("look for a target: %w", err)
	}
	if f.Size < 0 || f.Size > c.cfg.MaxTarget {
		return File{}, fmt.Errorf("a target is longer than %d bytes: %w", c.cfg.MaxTarget, updater.ErrTooLong)
	}
	if _, _, err := f.digest(); err != nil {
		return File{}, err
	}
	return f, nil
}

// Holds reports whether what r reads is the signed contents.
func (f File) Holds(r io.Reader) bool {
	sum, want, err := f.digest()
	if err != nil {
		return false
	}
	n, err := io.Copy(sum, io.LimitReader(r, f.Size+1))
	return err == nil && n == f.Size && string(sum.Sum(nil)) == string(want)
}

// Fetch writes the contents of a file to w, as Download does.
func (c *Client) Fetch(ctx context.Context, f File, w io.Writer) error { return c.fetchFile(ctx, f, w) }

// digest is the hash that the contents are held against: SHA-256, which is all that
// releases may have, or else SHA-512.
func (f File) digest() (sum hash.Hash, want []byte, err error) {
	if want := f.sums["sha256"]; len(want) == sha256.Size {
		return sha256.New(), want, nil
	}
	if want := f.sums["sha512"]; len(want) == sha512.Size {
		return sha512.New(), want, nil
	}
	return nil, nil, fmt.Errorf("a target has no digest that is known here: %w", updater.ErrMetadata)
}

// name is where the repository has the file, each part escaped.
func (f File) name(want []byte) string {
	parts := strings.Split(f.Path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	if f.prefixed {
		last := len(parts) - 1
		parts[last] = fmt.Sprintf("%x.%s", want, parts[last])
	}
	return path.Join(parts...)
}

// Resuming a download: how often in a row nothing more may arrive from any mirror, and
// the wait before each new round of them.
const (
	maxFruitless = 3
	resumeWait   = 500 * time.Millisecond
)

// fetchFile writes a file to w, behind what w has of it already ([updater.Resumed]).
func (c *Client) fetchFile(ctx context.Context, f File, w io.Writer) error {
	sum, want, err := f.digest()
	if err != nil {
		return err
	}
	d := &download{c: c, name: f.name(want), size: f.Size, w: w, sum: sum}
	proven, _ := w.(updater.Proven)
	if has, ok := w.(updater.Resumed); proven != nil && len(want) == sha256.Size {
		d.sum, d.done = nil, min(proven.Head().Size(), f.Size) // w hashes it
	} else if proven = nil; ok {
		if d.done, err = io.Copy(sum, io.LimitReader(has.Head(), f.Size)); err != nil {
			return fmt.Errorf("read what is there already: %w", err)
		}
	}
	if err := d.all(ctx); err != nil {
		return err
	}
	got := sum.Sum(nil)
	if proven != nil {
		on, err := proven.Sum()
		if err != nil {
			return fmt.Errorf("read back what was written: %w", err)
		}
		got = on[:]
	}
	if string(got) != string(want) {
		c.at = (c.at + 1) % len(c.mirrors) // this one, or what came before, is spoilt
		return updater.ErrTarget
	}
	return nil
}

// download is what has been written of one file.
type download struct {
	c    *Client
	name string
	size int64
	w    io.Writer
	sum  hash.Hash
	done int64
}

// all asks the mirrors in turn until the file is complete.
func (d *download) all(ctx context.Context) error {
	for fruitless := 0; d.done < d.size; {
		before := d.done
		err := d.some(ctx)
		if err == nil {
			return nil
		}
		other := errors.Is(err, updater.ErrTruncated) || errors.Is(err, updater.ErrUnavailable)
		if len(d.c.mirrors) > 1 {
			other = other || errors.Is(err, updater.ErrSlow) || errors.Is(err, updater.ErrTooLong)
		}
		if ctx.Err() != nil || !other {
			return err
		}
		d.c.at = (d.c.at + 1) % len(d.c.mirrors)
		if fruitless++; d.done > before {
			fruitless = 0
		}
		if fruitless >= maxFruitless*len(d.c.mirrors) {
			return err
		}
		if fruitless%len(d.c.mirrors) != 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(resumeWait):
		}
	}
	return nil
}

// some writes what one request brings; nil means that the file is complete.
func (d *download) some(ctx context.Context) error {
	p := newPace(ctx, d.c.cfg.Stall)
	defer p.stop()
	body, err := p.open(d.c.mirrors[d.c.at].files, d.name, d.done)
	if err != nil {
		return absent(err)
	}
	defer body.Close()
	in := readAhead(body, d.sum, d.size-d.done)
	defer func() {
		p.end(nil) // a read that waits
		in.stop()
	}()
	for piece := range in.pieces {
		d.done += int64(len(piece))
		if _, err := d.w.Write(piece); err != nil {
			return err
		}
		in.free <- piece // there is room for all of them
	}
	switch {
	case errors.Is(in.err, updater.ErrTooLong):
		return fmt.Errorf("more than %d bytes: %w", d.size, in.err)
	case in.err != io.EOF:
		return in.err
	}
	if d.done < d.size {
		return fmt.Errorf("%d of %d bytes: %w", d.done, d.size, updater.ErrTruncated)
	}
	return nil
}
