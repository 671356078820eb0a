package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"regexp"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

// custom is what a release adds to a target's metadata.
type custom struct {
	Release uint64 `json:"release"`
	Board   string `json:"board"`
	Kind    string `json:"kind"`
	SHA256  string `json:"sha256"` // what the printer measures when it starts it, hex

	Approvals json.RawMessage `json:"approvals"` // for the agent to read
}

// Find is the highest release for a board in the last verified metadata.
func (c *Client) Find(board, kind string) (updater.Target, error) {
	if c.set == nil {
		return updater.Target{}, fmt.Errorf("metadata has not been verified yet: %w", updater.ErrUnavailable)
	}
	var best updater.Target
	for name, file := range c.set.Targets[metadata.TARGETS].Signed.Targets {
		var cu custom
		if file.Custom == nil || json.Unmarshal(*file.Custom, &cu) != nil || cu.Board != board || cu.Kind != kind {
			continue
		}
		t, err := c.target(name, file, cu)
		if err != nil {
			return updater.Target{}, err
		}
		if t.Release == best.Release {
			return updater.Target{}, fmt.Errorf("release %d is there twice: %w", t.Release, updater.ErrMetadata)
		}
		if t.Release > best.Release {
			best = t
		}
	}
	if best.Release == 0 {
		return updater.Target{}, updater.ErrUnknownBoard
	}
	if best.Release < c.floor.Release {
		return updater.Target{}, fmt.Errorf("highest release %d is below the floor %d: %w",
			best.Release, c.floor.Release, updater.ErrRollback)
	}
	return best, nil
}

// targetPath is what a target may be called: plain names, no way up.
var targetPath = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$`)

// target checks a signed entry: signed does not mean sound.
func (c *Client) target(name string, file *metadata.TargetFiles, cu custom) (updater.Target, error) {
	sum := file.Hashes["sha256"]
	switch {
	case len(name) > 255 || !targetPath.MatchString(name):
		return updater.Target{}, fmt.Errorf("a target's path has characters it may not have: %w", updater.ErrMetadata)
	case len(sum) != sha256.Size || cu.SHA256 != hex.EncodeToString(sum):
		return updater.Target{}, fmt.Errorf("release %d: its digests differ: %w", cu.Release, updater.ErrMetadata)
	case cu.Release == 0:
		return updater.Target{}, fmt.Errorf("a release has no number: %w", updater.ErrMetadata)
	case file.Length <= 0:
		return updater.Target{}, fmt.Errorf("release %d has no length: %w", cu.Release, updater.ErrMetadata)
	case file.Length > c.cfg.MaxTarget:
		return updater.Target{}, fmt.Errorf("release %d is longer than %d bytes: %w", cu.Release, c.cfg.MaxTarget, updater.ErrTooLong)
	}
	return updater.Target{
		Path: name, Board: cu.Board, Kind: cu.Kind, Release: cu.Release,
		Size: file.Length, SHA256: [32]byte(sum), Approvals: cu.Approvals,
	}, nil
}

// Resuming a download: how often in a row nothing more may arrive, and the wait
// before each new request.
const (
	maxFruitless = 3
	resumeWait   = 500 * time.Millisecond
)

// Download streams the contents of t, which Find has returned, to w. A connection
// that breaks is resumed where it broke. Memory does not grow with the size. What
// was written to w is good only if Download returns nil.
func (c *Client) Download(ctx context.Context, t updater.Target, w io.Writer) error {
	d := &download{c: c, t: t, w: w, sum: sha256.New()}
	for fruitless := 0; ; {
		before := d.done
		err := d.some(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil || !errors.Is(err, updater.ErrTruncated) && !errors.Is(err, updater.ErrUnavailable) {
			return fmt.Errorf("download release %d: %w", t.Release, err)
		}
		if fruitless++; d.done > before {
			fruitless = 0
		}
		if fruitless >= maxFruitless {
			return fmt.Errorf("download release %d: %w", t.Release, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(resumeWait):
		}
	}
	if [32]byte(d.sum.Sum(nil)) != t.SHA256 {
		return fmt.Errorf("download release %d: %w", t.Release, updater.ErrTarget)
	}
	return nil
}

// download is what has been written of one target.
type download struct {
	c    *Client
	t    updater.Target
	w    io.Writer
	sum  hash.Hash
	done int64
}

// some writes what one request brings; nil means that the target is complete.
func (d *download) some(ctx context.Context) error {
	p := newPace(ctx, d.c.cfg.Stall)
	defer p.stop()
	name := path.Join("targets", path.Dir(d.t.Path), hex.EncodeToString(d.t.SHA256[:])+"."+path.Base(d.t.Path))
	body, err := p.open(d.c.fetch, name, d.done)
	if err != nil {
		return absent(err)
	}
	defer body.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if d.done+int64(n) > d.t.Size {
			return fmt.Errorf("more than %d bytes: %w", d.t.Size, updater.ErrTooLong)
		}
		if n > 0 {
			d.sum.Write(buf[:n])
			d.done += int64(n)
			if _, err := d.w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if d.done < d.t.Size {
		return fmt.Errorf("%d of %d bytes: %w", d.done, d.t.Size, updater.ErrTruncated)
	}
	return nil
}
