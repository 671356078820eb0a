// Package releases knows the agents that were released: it takes them from a TUF
// repository as printers do, from metadata that enough keys have signed, chained to one
// root, and again when that changes. What is not signed, not newer or has expired changes
// nothing: the releases that are known stay known. If that is one role's metadata, so it is
// for the board whose releases are left to that role.
package releases

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"platen/agent/durable"
	"platen/agent/fleet/verify"
	"platen/updater"
	"platen/updater/trust"
)

// Repo is where releases are published, and from what they are verified. The zero Repo is
// none.
type Repo struct {
	// Dir is the folder of the repository.
	Dir string
	// Cache is a folder of the index's own, for verified metadata; it is made if need be.
	Cache string
	// Root is the file of the root metadata that releases are verified from. If it is
	// empty, the repository's first root is taken when it is first seen, kept in Cache, and
	// never taken again.
	Root string
}

// rootName is the root in Cache that was taken when the repository was first seen.
const rootName = "root.json"

// Index knows agents by their SHA-256 digest. It is a verify.Releases. Its methods
// may be called from any goroutine.
type Index struct {
	repo   Repo
	log    *slog.Logger
	change func(known int)
	pause  time.Duration // before what was refused is looked at again, at least

	mu     sync.Mutex
	fixed  map[[32]byte]uint64
	found  map[[32]byte]found
	client *trust.Client // nil until the repository was seen
	stamp  time.Time     // of timestamp.json when it was read
	bad    time.Time     // of one that was refused, and when that was
	looked time.Time
	wait   time.Duration // before that is looked at again
}

// found is a release that was published, and for which board.
type found struct {
	verify.Release
	board string
}

// Close lets go of the repository. What is known stays known.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.client == nil {
		return nil
	}
	err := x.client.Close()
	x.client, x.repo = nil, Repo{}
	return err
}

// New makes an index of a repository and of fixed, agents
// that are known without a repository. change is told how many are known whenever
// the repository was read; it may be nil. A repository that is not there yet, or
// cannot be read, is logged and looked for again.
func New(repo Repo, fixed map[[32]byte]uint64, change func(known int), log *slog.Logger) *Index {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if change == nil {
		change = func(int) {}
	}
	x := &Index{repo: repo, log: log, change: change, pause: time.Second, fixed: maps.Clone(fixed)}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refresh()
	return x
}

// Release returns the release whose agent has this digest. What has been
// published by now counts: a printer may run it already.
func (x *Index) Release(agent [32]byte) (verify.Release, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refresh()
	if r, ok := x.found[agent]; ok {
		return r.Release, true
	}
	n, ok := x.fixed[agent]
	return verify.Release{Number: n}, ok
}

// Len is how many agents are known.
func (x *Index) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.len()
}

func (x *Index) len() int {
	n := len(x.fixed)
	for d := range x.found {
		if _, ok := x.fixed[d]; !ok {
			n++
		}
	}
	return n
}

func (x *Index) refresh() {
	if x.repo.Dir == "" {
		return
	}
	fi, err := os.Stat(filepath.Join(x.repo.Dir, "timestamp.json"))
	if err != nil {
		if x.stamp.IsZero() {
			x.log.Debug("no repository of releases yet", "dir", x.repo.Dir)
		}
		return
	}
	stamp := fi.ModTime()
	again := stamp.Equal(x.bad)
	if stamp.Equal(x.stamp) || again && time.Since(x.looked) < x.wait {
		return
	}
	took, err := x.read()
	if err == nil {
		x.stamp = stamp
	} else {
		x.bad, x.looked, x.wait = stamp, time.Now(), x.pause
		x.log.Warn("releases are refused; those known stay known", "error", err)
	}
	if took && err != nil {
		x.wait = 60 * x.pause // a role may have lapsed for long
	}
	if took && (err == nil || !again) {
		x.change(x.len())
	}
}

// read verifies what is published, and reports whether it counts. Where one role's metadata
// cannot be used, the rest does, and the error says why.
func (x *Index) read() (took bool, err error) {
	if x.client == nil {
		root, err := x.root()
		if err != nil {
			return false, err
		}
		x.client, err = trust.New(trust.Config{Dir: x.repo.Cache, FactoryRoot: root, URL: x.repo.Dir, Logger: x.log})
		if err != nil {
			return false, fmt.Errorf("open the repository: %w", err)
		}
	}
	if err := x.client.Refresh(context.Background()); err != nil { // a folder: nothing to wait for
		return false, err
	}
	now, stopped, err := published(x.client)
	if err != nil {
		return false, err
	}
	for agent, r := range x.found {
		if _, ok := now[agent]; !ok && stopped[r.board] != nil {
			now[agent] = r
		}
	}
	x.found = now
	return true, errors.Join(slices.Collect(maps.Values(stopped))...)
}

// published is every released agent, with what it may run with; and the boards that it has none
// of since a role's metadata cannot be used, and why: that might say more of what they may run with.
func published(c *trust.Client) (all map[[32]byte]found, stopped map[string]error, err error) {
	stopped = c.Stopped()
	agents, err := c.Every(updater.KindAgent)
	if err != nil {
		return nil, nil, err
	}
	images, err := c.Every(updater.KindController)
	if err != nil {
		return nil, nil, err
	}
	controllers := map[string][][32]byte{} // by board
	for _, t := range images {
		controllers[t.Board] = append(controllers[t.Board], measured(t)...)
	}
	roots, err := c.Every(updater.KindRoot)
	if err != nil {
		return nil, nil, err
	}
	boots := map[string][]verify.Boot{} // by board
	for _, t := range roots {
		if len(t.PCRs) > 0 {
			boots[t.Board] = append(boots[t.Board], t.PCRs)
		}
	}
	all = map[[32]byte]found{}
	for _, t := range agents {
		if stopped[t.Board] != nil {
			continue
		}
		r := verify.Release{Number: t.Release, Boards: t.Measured, Controllers: controllers[t.Board], Boots: boots[t.Board]}
		for _, m := range t.Set {
			if m.Kind == updater.KindRoot {
				r.Boots, r.Bound = nil, len(m.PCRs) > 0
				if r.Bound {
					r.Boots = []verify.Boot{m.PCRs}
				}
			}
		}
		all[t.SHA256] = found{r, t.Board}
	}
	return all, stopped, nil
}

// measured is what a printer may measure that has this image in its controller: digests that
// the release names, where what lies in flash is not the file itself.
func measured(t updater.Target) [][32]byte {
	if len(t.Measured) > 0 {
		return t.Measured
	}
	return [][32]byte{t.SHA256}
}

// root is the root that everything is verified from.
func (x *Index) root() ([]byte, error) {
	if x.repo.Root != "" {
		return readFile(x.repo.Root)
	}
	kept := filepath.Join(x.repo.Cache, rootName)
	b, err := readFile(kept)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = readFile(filepath.Join(x.repo.Dir, "1.root.json")); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(x.repo.Cache, 0o700); err != nil {
		return nil, fmt.Errorf("keep the root of releases: %w", err)
	}
	if err := durable.Replace(kept, b); err != nil {
		return nil, fmt.Errorf("keep the root of releases: %w", err)
	}
	x.log.Info("releases are verified from the repository's first root from now on", "root", kept)
	return b, nil
}

func readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the root of releases: %w", err)
	}
	return b, nil
}
