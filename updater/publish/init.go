package publish

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater/slot"
)

// OnlineDir is where the online keys of the repository in dir are, unless one says
// otherwise: beside it, so that they are never served.
func OnlineDir(dir string) string { return filepath.Clean(dir) + ".online" }

// Init makes a repository in dir with fresh keys: offline ones in offline, online
// ones in online ("" is OnlineDir). The folders have to be three different ones. It
// returns ErrExists if there is a repository.
func Init(dir, offline, online string, p Policy, now time.Time) (*Repo, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if online == "" {
		online = OnlineDir(dir)
	}
	dir, offline, online, err := apart(dir, offline, online)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "1.root.json")); err == nil {
		return nil, fmt.Errorf("%s: %w", dir, ErrExists)
	}
	out, err := slot.OpenDir(dir, "targets")
	if err != nil {
		return nil, err
	}
	r := &Repo{dir: dir, online: online, out: out, set: settings{Offline: []string{offline}, Policy: p}}
	if err := r.create(offline, nil, now); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return r, nil
}

// apart makes the three folders absolute and refuses any that lies within another.
func apart(dir, offline, online string) (a, b, c string, err error) {
	var abs [3]string
	for i, p := range [...]string{dir, offline, online} {
		if p == "" {
			return "", "", "", errors.New("a repository needs a folder, and another one for its offline keys")
		}
		if abs[i], err = filepath.Abs(p); err != nil {
			return "", "", "", err
		}
	}
	for i, p := range abs {
		for j, q := range abs {
			rel, err := filepath.Rel(p, q)
			if err == nil && i != j && filepath.IsLocal(rel) {
				return "", "", "", fmt.Errorf("%s lies in %s: public files, offline keys and online keys need folders of their own", q, p)
			}
		}
	}
	return abs[0], abs[1], abs[2], nil
}

// Ceremony is Init with offline keys that their holders made, each where it stays. Only
// the online keys are made; root and empty targets are a Draft, and there is no repository
// before it was signed and submitted. How many keys there are, the policy need not say.
func Ceremony(dir, online string, rootKeys, targetsKeys []crypto.PublicKey, p Policy, now time.Time) (*Draft, error) {
	p.RootKeys, p.TargetsKeys = len(rootKeys), len(targetsKeys)
	if err := p.check(); err != nil {
		return nil, err
	}
	if online == "" {
		online = OnlineDir(dir)
	}
	dir, _, online, err := apart(dir, dir+".offline", online)
	if err != nil {
		return nil, err
	}
	for _, name := range [...]string{filepath.Join(dir, "1.root.json"), filepath.Join(online, "repo.json")} {
		if _, err := os.Stat(name); err == nil {
			return nil, fmt.Errorf("%s: %w", name, ErrExists)
		}
	}
	r := &Repo{dir: dir, online: online, set: settings{Policy: p}}
	return r.Draft(func() error {
		return r.create("", map[string][]crypto.PublicKey{metadata.ROOT: rootKeys, metadata.TARGETS: targetsKeys}, now)
	})
}

// create makes root and empty targets, and what keys are not given, and publishes.
func (r *Repo) create(offline string, given map[string][]crypto.PublicKey, now time.Time) error {
	p := r.set.Policy
	root := metadata.Root(expiry(now, p.RootValid))
	keys := map[string][]key{}
	for _, role := range [...]struct {
		name, dir    string
		n, threshold int
	}{
		{metadata.ROOT, offline, p.RootKeys, p.RootThreshold},
		{metadata.TARGETS, offline, p.TargetsKeys, p.TargetsThreshold},
		{metadata.SNAPSHOT, r.online, 1, 1},
		{metadata.TIMESTAMP, r.online, 1, 1},
	} {
		for i := range role.n {
			k, err := r.keyFor(role.name, role.dir, given[role.name], i)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(keys[role.name], func(o key) bool { return o.id == k.id }) {
				return fmt.Errorf("%w: key %s is there twice, and would count once", ErrKeys, short(k.id))
			}
			if err := root.Signed.AddKey(k.tuf, role.name); err != nil {
				return fmt.Errorf("add key to root: %w", err)
			}
			keys[role.name] = append(keys[role.name], k)
		}
		root.Signed.Roles[role.name].Threshold = role.threshold
	}
	if err := r.saveSettings(); err != nil {
		return err
	}
	targets := metadata.Targets(expiry(now, p.TargetsValid))
	issue(&targets.Signed.UnrecognizedFields, now)
	if err := write(r, "1.targets.json", targets, keys[metadata.TARGETS]); err != nil {
		return err
	}
	// The root makes it a repository, so it comes last.
	issue(&root.Signed.UnrecognizedFields, now)
	if err := write(r, "1.root.json", root, keys[metadata.ROOT]); err != nil {
		return err
	}
	r.root = root
	if r.draft != nil {
		return nil
	}
	_, err := r.publish(now)
	return err
}

// keyFor is the i-th of the keys given for a role, or a fresh one in dir.
func (r *Repo) keyFor(role, dir string, given []crypto.PublicKey, i int) (key, error) {
	if given == nil {
		return newKey(dir, role)
	}
	t, id, err := tufKey(given[i])
	return key{tuf: t, id: id}, err
}
