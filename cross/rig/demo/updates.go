package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platen/cross/rig/stage"
)

// update publishes release 2 and has the printer take it, once its states are approved.
func (d *demo) update(ctx context.Context) (string, error) {
	if err := d.release(ctx, 2); err != nil {
		return "", err
	}
	if code, err := d.Refused(ctx, "platen", "update", "--config", d.Path("platen.toml")); err != nil || code != "update-unapproved" {
		return "", fmt.Errorf("a release under which no job could be opened: code %q, %w", code, err)
	}
	if err := d.approve(ctx); err != nil {
		return "", err
	}
	from := len(d.fleet.Events())
	if _, err := d.Platen(ctx, "update"); err != nil {
		return "", err
	}
	st, err := d.waitStatus(ctx, 90*time.Second, func(st status) bool {
		return st.Release == 2 && st.Phase == "idle" && st.Update == "release 2 confirmed"
	})
	if err != nil {
		return "", err
	}
	e, err := d.fleet.Wait(ctx, 60*time.Second, from, func(e stage.Event) bool { return e.Event == "batch" && e.Release == 2 })
	if err != nil {
		return "", fmt.Errorf("telemetry does not attest release 2: %w", err)
	}
	return fmt.Sprintf("refused while its states were not approved; then staged, booted from slot %s, confirmed; batch %d attests release %d", st.Slot, e.Seq, e.Release), nil
}

// tamperedUpdate flips one bit of the binary of release 3 on the server.
func (d *demo) tamperedUpdate(ctx context.Context) (string, error) {
	if err := errors.Join(d.release(ctx, 3), d.approve(ctx)); err != nil {
		return "", err
	}
	target, err := newest(filepath.Join(d.Path("tuf"), "targets"))
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(target)
	if err != nil {
		return "", err
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(target, b, 0o644); err != nil {
		return "", err
	}
	code, err := d.Refused(ctx, "platen", "update", "--config", d.Path("platen.toml"))
	if err != nil {
		return "", err
	}
	st, err := d.status(ctx)
	if err != nil || st.Release != 2 {
		return "", fmt.Errorf("release %d runs after a refused update: %w", st.Release, err)
	}
	return "refused as " + code + "; release 2 still runs", nil
}

// newest is the file below dir that was written last.
func newest(dir string) (string, error) {
	var path string
	var at time.Time
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if fi, err := e.Info(); err == nil && fi.ModTime().After(at) {
			path, at = p, fi.ModTime()
		}
		return nil
	})
	if err == nil && path == "" {
		err = errors.New("the repository has no target")
	}
	return path, err
}
