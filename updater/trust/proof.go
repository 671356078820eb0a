package trust

import (
	"context"
	"encoding/hex"
	"fmt"
	"path"

	"platen/updater"
	"platen/updater/translog"
)

// Logged holds a release and its set against the transparency log that Config.Log asks
// for, by the proofs that lie beside the targets. It returns an error that wraps
// updater.ErrLog if none of the mirrors has one that is good.
func (c *Client) Logged(ctx context.Context, t updater.Target) error {
	if c.cfg.Log == nil {
		return nil
	}
	for _, t := range append([]updater.Target{t}, t.Set...) {
		if err := c.logged(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) logged(ctx context.Context, t updater.Target) (err error) {
	name := path.Join(path.Dir(t.Path), hex.EncodeToString(t.SHA256[:])+"."+path.Base(t.Path)+".tlog-proof")
	for i := range c.mirrors {
		var proof []byte
		if proof, err = c.read(ctx, c.mirrors[i].files, name, translog.MaxProof); err != nil {
			err = fmt.Errorf("release %d: %w: fetch its proof: %w", t.Release, updater.ErrLog, err)
		} else if err = c.cfg.Log.Check(t, proof); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}
