// Package releases knows the agents that were released: it reads them from the
// folder of the fleet's own TUF repository, as published, and again when that
// changes. It does not check signatures: the folder belongs to the operator, and
// printers, which get it over the network, check them.
package releases

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const maxFile = 16 << 20

// Index knows agents by their SHA-256 digest. It is a verify.Releases. Its methods
// may be called from any goroutine.
type Index struct {
	dir    string
	log    *slog.Logger
	change func(known int)
	pause  time.Duration // between two looks at the folder, at least

	mu     sync.Mutex
	fixed  map[[32]byte]uint64
	found  map[[32]byte]uint64
	looked time.Time
	stamp  time.Time // of timestamp.json when it was read
}

// New makes an index of the repository in dir (empty: none) and of fixed, agents
// that are known without a repository. change is told how many are known whenever
// the repository was read; it may be nil. A repository that is not there yet, or
// cannot be read, is logged and looked for again.
func New(dir string, fixed map[[32]byte]uint64, change func(known int), log *slog.Logger) *Index {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if change == nil {
		change = func(int) {}
	}
	x := &Index{dir: dir, log: log, change: change, pause: time.Second, fixed: maps.Clone(fixed)}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refresh()
	return x
}

// Release returns the number of the release whose agent has this digest.
func (x *Index) Release(agent [32]byte) (uint64, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if time.Since(x.looked) >= x.pause {
		x.refresh()
	}
	if n, ok := x.found[agent]; ok {
		return n, true
	}
	n, ok := x.fixed[agent]
	return n, ok
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
	x.looked = time.Now()
	if x.dir == "" {
		return
	}
	fi, err := os.Stat(filepath.Join(x.dir, "timestamp.json"))
	if err != nil {
		if x.stamp.IsZero() {
			x.log.Debug("no repository of releases yet", "dir", x.dir)
		}
		return
	}
	if fi.ModTime().Equal(x.stamp) {
		return
	}
	found, err := read(x.dir)
	if err != nil {
		x.log.Warn("releases cannot be read; those known stay known", "error", err)
		return
	}
	x.found, x.stamp = found, fi.ModTime()
	x.change(x.len())
}

// reference is the part of timestamp and snapshot metadata that leads on, as in the
// TUF specification 1.0, sections 4.4 and 4.5.
type reference struct {
	Signed struct {
		Meta map[string]struct {
			Version int64 `json:"version"`
		} `json:"meta"`
	} `json:"signed"`
}

type targets struct {
	Signed struct {
		Targets map[string]struct {
			Hashes map[string]string `json:"hashes"`
			Custom *struct {
				Release uint64 `json:"release"`
				Kind    string `json:"kind"`
				SHA256  string `json:"sha256"`
			} `json:"custom"`
		} `json:"targets"`
	} `json:"signed"`
}

// read follows timestamp and snapshot to the published targets.
func read(dir string) (map[[32]byte]uint64, error) {
	name := "timestamp.json"
	for _, next := range []string{"snapshot.json", "targets.json"} {
		var r reference
		if err := load(dir, name, &r); err != nil {
			return nil, err
		}
		v := r.Signed.Meta[next].Version
		if v < 1 {
			return nil, fmt.Errorf("%s does not name %s", name, next)
		}
		name = fmt.Sprintf("%d.%s", v, next)
	}
	var t targets
	if err := load(dir, name, &t); err != nil {
		return nil, err
	}
	found := map[[32]byte]uint64{}
	for _, f := range t.Signed.Targets {
		if f.Custom == nil || f.Custom.Kind != "agent" || f.Custom.Release == 0 || f.Custom.SHA256 != f.Hashes["sha256"] {
			continue
		}
		b, err := hex.DecodeString(f.Custom.SHA256)
		if err != nil || len(b) != sha256.Size {
			return nil, fmt.Errorf("%s: release %d has no digest", name, f.Custom.Release)
		}
		found[[32]byte(b)] = f.Custom.Release
	}
	return found, nil
}

func load(dir, name string, v any) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("read releases: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("too large")
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("read releases: %s: %w", name, err)
	}
	return nil
}
