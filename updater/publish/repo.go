// Package publish makes and maintains the repository that printers update from: a
// folder of static files that any web server can serve, in the format of The Update
// Framework (specification 1.0.31, consistent snapshots).
//
// Start at [Init] and [Open]. A [Repo] has three places:
//
//   - the public folder, which is served;
//   - the offline keys (root and targets), which only [Repo.Add], [Repo.Rotate] and
//     [Repo.Renew] need, and which belong on media that are locked away;
//   - the online folder beside the public one, with the snapshot and timestamp keys
//     and the settings, which [Repo.Publish] needs every few days.
//
// Whoever has the offline keys in folders signs at once. Where each is with somebody else,
// [Ceremony] begins a repository, [Repo.Draft] turns any change into a [Draft] that travels
// from signer to signer, and [Submit] brings it in.
//
// # Requirements
//
//   - A thief of the online keys cannot add a release: releases are signed by a
//     threshold of targets keys.
//   - Whoever fetches while a release is published sees the old or the new state:
//     files carry their version or their hash in their name, and timestamp.json, which
//     does not, is replaced last and in one step.
//   - No N.root.json is ever deleted: printers walk over every one of them.
//   - Release numbers of a board only rise.
package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater/slot"
)

// Policy is how many keys there are, how many of them have to sign, and how long
// metadata is valid.
type Policy struct {
	RootKeys         int           `json:"root_keys"`
	RootThreshold    int           `json:"root_threshold"`
	TargetsKeys      int           `json:"targets_keys"`
	TargetsThreshold int           `json:"targets_threshold"`
	RootValid        time.Duration `json:"root_valid"`
	TargetsValid     time.Duration `json:"targets_valid"`
	SnapshotValid    time.Duration `json:"snapshot_valid"`
	TimestampValid   time.Duration `json:"timestamp_valid"`
}

const day = 24 * time.Hour

// DefaultPolicy is two of three keys for root and for targets; offline metadata is
// valid for a year, the snapshot for 30 days, the timestamp for 7.
func DefaultPolicy() Policy {
	return Policy{
		RootKeys: 3, RootThreshold: 2, TargetsKeys: 3, TargetsThreshold: 2,
		RootValid: 365 * day, TargetsValid: 365 * day, SnapshotValid: 30 * day, TimestampValid: 7 * day,
	}
}

func (p Policy) check() error {
	switch {
	case p.RootThreshold < 1 || p.RootThreshold > p.RootKeys:
		return fmt.Errorf("%d of %d root keys cannot sign: the threshold is from 1 to the number of keys", p.RootThreshold, p.RootKeys)
	case p.TargetsThreshold < 1 || p.TargetsThreshold > p.TargetsKeys:
		return fmt.Errorf("%d of %d targets keys cannot sign: the threshold is from 1 to the number of keys", p.TargetsThreshold, p.TargetsKeys)
	case p.RootKeys > 16 || p.TargetsKeys > 16:
		return errors.New("more than 16 keys for a role are not supported")
	case min(p.RootValid, p.TargetsValid, p.SnapshotValid, p.TimestampValid) < time.Second:
		return errors.New("metadata has to be valid for at least a second")
	}
	return nil
}

// Errors a caller branches on.
var (
	// ErrExists reports that there is a repository already.
	ErrExists = errors.New("there is a repository already")
	// ErrNoRepo reports that there is none.
	ErrNoRepo = errors.New("there is no repository: make one with init")
	// ErrKeys reports that too few of the keys a role needs were found.
	ErrKeys = errors.New("too few keys")
	// ErrRelease reports a release that may not be added.
	ErrRelease = errors.New("release cannot be added")
	// ErrRole reports a role that is not there, or that cannot be left what is asked for.
	ErrRole = errors.New("the role cannot be used")
	// ErrDamaged reports a repository whose files are not what was signed.
	ErrDamaged = errors.New("repository is damaged")
)

// settings is the file repo.json in the online folder.
type settings struct {
	Offline []string `json:"offline"` // folders of the offline keys
	Policy  Policy   `json:"policy"`
}

// Repo is a repository. Its methods are called by one goroutine, in one process at a
// time.
type Repo struct {
	dir, online string
	set         settings
	out         folder                                // dir
	root        *metadata.Metadata[metadata.RootType] // the newest, verified
	past        []*metadata.Metadata[metadata.RootType]
	draft       *Draft // what offline keys are to sign; nil: they do at once
	public      bool   // there is no online folder
}

// folder is every effect on the public folder.
type folder interface {
	slot.FS
	io.Closer
}

// Open opens the repository in dir, whose online folder is online ("" is OnlineDir),
// and verifies its roots.
func Open(dir, online string) (*Repo, error) {
	if online == "" {
		online = OnlineDir(dir)
	}
	r := &Repo{dir: dir, online: online}
	if err := r.open(r.loadSettings); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenPublic opens a public folder, or a copy of one, without the online folder: for
// [Repo.Draft] of whatever adds no file. What is drafted is valid for as long as what was
// signed last.
func OpenPublic(dir string) (*Repo, error) {
	r := &Repo{dir: dir, online: OnlineDir(dir), public: true}
	if err := r.open(r.termsOfLast); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Repo) open(settings func() error) error {
	first, err := os.ReadFile(filepath.Join(r.dir, "1.root.json"))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", r.dir, ErrNoRepo)
	}
	if err != nil {
		return fmt.Errorf("read first root: %w", err)
	}
	if r.root, r.past, err = walkRoots(r.dir, first); err != nil {
		return err
	}
	if err := settings(); err != nil {
		return err
	}
	r.out, err = slot.OpenDir(r.dir, "targets")
	return err
}

// termsOfLast takes for how long metadata is valid from the newest that says when it was
// signed.
func (r *Repo) termsOfLast() error {
	targets, err := r.targetsUnder(append(slices.Clone(r.past), r.root)...)
	if err != nil {
		return err
	}
	p := DefaultPolicy()
	for _, x := range [...]struct {
		term    *time.Duration
		fields  map[string]any
		expires time.Time
	}{
		{&p.RootValid, r.root.Signed.UnrecognizedFields, r.root.Signed.Expires},
		{&p.TargetsValid, targets.Signed.UnrecognizedFields, targets.Signed.Expires},
	} {
		if at, err := issued(x.fields); err == nil && x.expires.After(at) {
			*x.term = x.expires.Sub(at)
		}
	}
	r.set.Policy = p
	return nil
}

// Close lets go of the repository's folder.
func (r *Repo) Close() error { return r.out.Close() }

// walkRoots verifies every root up to the newest, as a printer does, and returns
// that one and those before it.
func walkRoots(dir string, first []byte) (newest *metadata.Metadata[metadata.RootType], past []*metadata.Metadata[metadata.RootType], err error) {
	set, err := trustedmetadata.New(first)
	if err != nil {
		return nil, nil, fmt.Errorf("1.root.json: %w: %w", ErrDamaged, err)
	}
	for {
		name := fmt.Sprintf("%d.root.json", set.Root.Signed.Version+1)
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return set.Root, past, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", name, err)
		}
		past = append(past, set.Root)
		if _, err := set.UpdateRoot(data); err != nil {
			return nil, nil, fmt.Errorf("%s: %w: %w", name, ErrDamaged, err)
		}
	}
}

// Root returns the bytes of the first root: what a printer is made with.
func (r *Repo) Root() ([]byte, error) { return os.ReadFile(filepath.Join(r.dir, "1.root.json")) }

func (r *Repo) loadSettings() error {
	text, err := os.ReadFile(filepath.Join(r.online, "repo.json"))
	if err != nil {
		return fmt.Errorf("read settings (name the online folder if it is not beside the repository): %w", err)
	}
	if err := json.Unmarshal(text, &r.set); err != nil {
		return fmt.Errorf("read settings in %s: %w", r.online, err)
	}
	return nil
}

func (r *Repo) saveSettings() error {
	if r.public {
		return errors.New("settings are in the online folder, which is not here")
	}
	text, err := json.MarshalIndent(r.set, "", "  ")
	if err != nil {
		return err
	}
	dir, err := slot.OpenDir(r.online)
	if err != nil {
		return err
	}
	err = slot.Replace(dir, "repo.json", append(text, '\n'))
	return errors.Join(err, dir.Close())
}

var versioned = regexp.MustCompile(`^([1-9][0-9]{0,17})\.([a-z0-9]+(?:-[a-z0-9]+)*)\.json$`)

// versions are the highest versions of the metadata in the folder, by role.
func (r *Repo) versions() (map[string]int64, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("list repository: %w", err)
	}
	found := map[string]int64{}
	for _, e := range entries {
		m := versioned.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		v, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return nil, err
		}
		found[m[2]] = max(found[m[2]], v)
	}
	return found, nil
}

// newest is the highest version of a role's metadata in the folder, 0 if none.
func (r *Repo) newest(role string) (int64, error) {
	all, err := r.versions()
	return all[role], err
}

// targets reads the newest targets metadata and verifies it against the root.
func (r *Repo) targets() (*listing, error) {
	return r.targetsUnder(r.root)
}

// targetsUnder is targets for any of the roots: after an interrupted rotation the
// newest targets are still signed as an earlier root wants it.
func (r *Repo) targetsUnder(roots ...*metadata.Metadata[metadata.RootType]) (*listing, error) {
	v, err := r.newest(metadata.TARGETS)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%d.targets.json", v)
	md, err := load(r, name, metadata.Targets())
	if err != nil {
		return nil, err
	}
	var signed bool
	for _, root := range roots {
		signed = signed || root.VerifyDelegate(metadata.TARGETS, md) == nil
	}
	if !signed {
		return nil, fmt.Errorf("%s is not signed by enough targets keys of the root: %w: renew signs it again after an interrupted rotation", name, ErrDamaged)
	}
	if md.Signed.Version != v {
		return nil, fmt.Errorf("%s holds version %d: %w", name, md.Signed.Version, ErrDamaged)
	}
	return md, nil
}

// expiry is the end of a validity, in whole seconds as the format has it.
func expiry(now time.Time, d time.Duration) time.Time {
	return now.UTC().Add(d).Truncate(time.Second)
}

// issuedField tells printers without a clock a moment that has passed; package trust
// reads it.
const issuedField = "x-platen-issued"

func issue(fields *map[string]any, now time.Time) {
	if *fields == nil {
		*fields = map[string]any{}
	}
	(*fields)[issuedField] = now.UTC().Format(time.RFC3339)
}

// issuedAfter reports whether metadata was signed clearly after now: printers would
// take it for a sign that everything else has expired.
func issuedAfter(fields map[string]any, now time.Time) bool {
	at, err := issued(fields)
	return err == nil && at.After(now.Add(time.Hour))
}

// issued is the moment that issue has entered.
func issued(fields map[string]any) (time.Time, error) {
	text, _ := fields[issuedField].(string)
	return time.Parse(time.RFC3339, text)
}

// lock keeps other processes from changing the repository meanwhile, and makes sure
// that none has rotated keys since it was opened.
func (r *Repo) lock() (unlock func(), err error) {
	if unlock, err = r.out.Lock(); err != nil {
		return nil, fmt.Errorf("lock repository: %w", err)
	}
	v, err := r.newest(metadata.ROOT)
	if err == nil && v != r.root.Signed.Version {
		err = errors.New("keys were rotated meanwhile: start again")
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}
