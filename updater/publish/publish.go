package publish

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Versions is what a publication announces.
type Versions struct {
	Root      int64     `json:"root"`
	Targets   int64     `json:"targets"`
	Snapshot  int64     `json:"snapshot"`
	Timestamp int64     `json:"timestamp"`
	Expires   time.Time `json:"expires"` // when printers stop believing it

	// Lapsed are delegated roles whose metadata has expired: printers take nothing of
	// theirs until it is renewed, and all else as before.
	Lapsed []string `json:"lapsed,omitempty"`
}

// Publish announces what was added: a snapshot of the newest targets, and last of
// all the timestamp, by the online keys. It has to be repeated, with or without news,
// before the timestamp expires. It returns ErrDamaged, and announces nothing, if a
// released file is not what was signed.
func (r *Repo) Publish(now time.Time) (Versions, error) {
	unlock, err := r.lock()
	if err != nil {
		return Versions{}, err
	}
	defer unlock()
	return r.publish(now)
}

func (r *Repo) publish(now time.Time) (Versions, error) {
	l, err := r.ledger()
	if err != nil {
		return Versions{}, err
	}
	targets := l.top.md
	if targets.Signed.IsExpired(now) || r.root.Signed.IsExpired(now) {
		return Versions{}, errors.New("root or targets metadata has expired: renew it with the offline keys")
	}
	if issuedAfter(targets.Signed.UnrecognizedFields, now) || issuedAfter(r.root.Signed.UnrecognizedFields, now) {
		return Versions{}, errors.New("root or targets metadata was signed in the future: check the clocks of both machines, then renew")
	}
	for _, p := range l.all() {
		if err := r.checkFiles(p.md); err != nil {
			return Versions{}, err
		}
	}
	list, err := l.releases()
	if err != nil {
		return Versions{}, err
	}
	if err := r.logReleases(list); err != nil {
		return Versions{}, err
	}
	snapshot, meta, err := r.snapshot(now)
	if err != nil {
		return Versions{}, err
	}
	ts, err := r.timestamp(meta, now)
	if err != nil {
		return Versions{}, err
	}
	first := ts.Signed.Expires
	for _, at := range [...]time.Time{snapshot.Signed.Expires, targets.Signed.Expires, r.root.Signed.Expires} {
		if at.Before(first) {
			first = at
		}
	}
	v := Versions{Root: r.root.Signed.Version, Targets: targets.Signed.Version, Snapshot: snapshot.Signed.Version, Timestamp: ts.Signed.Version, Expires: first}
	for _, p := range l.parts {
		if p.md.Signed.IsExpired(now) {
			v.Lapsed = append(v.Lapsed, p.role)
		}
	}
	return v, nil
}

// snapshot writes the next snapshot and returns it with what the timestamp says of it.
func (r *Repo) snapshot(now time.Time) (*metadata.Metadata[metadata.SnapshotType], *metadata.MetaFiles, error) {
	keys, err := r.signers(metadata.SNAPSHOT, []string{r.online})
	if err != nil {
		return nil, nil, err
	}
	all, err := r.versions()
	if err != nil {
		return nil, nil, err
	}
	md := metadata.Snapshot(expiry(now, r.set.Policy.SnapshotValid))
	md.Signed.Version = all[metadata.SNAPSHOT] + 1
	delete(all, metadata.ROOT)
	delete(all, metadata.SNAPSHOT)
	// Roles that were taken back stay: printers refuse a snapshot that forgets one (5.5.5).
	for name, v := range all {
		if md.Signed.Meta[name+".json"], err = r.describe(fmt.Sprintf("%d.%s.json", v, name), v); err != nil {
			return nil, nil, err
		}
	}
	name := fmt.Sprintf("%d.snapshot.json", md.Signed.Version)
	if err := write(r, name, md, keys); err != nil {
		return nil, nil, err
	}
	own, err := r.describe(name, md.Signed.Version)
	return md, own, err
}

// timestamp replaces timestamp.json by the next one.
func (r *Repo) timestamp(snapshot *metadata.MetaFiles, now time.Time) (*metadata.Metadata[metadata.TimestampType], error) {
	keys, err := r.signers(metadata.TIMESTAMP, []string{r.online})
	if err != nil {
		return nil, err
	}
	md := metadata.Timestamp(expiry(now, r.set.Policy.TimestampValid))
	data, err := os.ReadFile(filepath.Join(r.dir, "timestamp.json"))
	switch {
	case err == nil:
		old, err := metadata.Timestamp().FromBytes(data)
		if err != nil {
			return nil, fmt.Errorf("timestamp.json: %w: %w: restore it from a backup, so that versions go on rising", ErrDamaged, err)
		}
		md.Signed.Version = old.Signed.Version + 1
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("read timestamp: %w", err)
	}
	md.Signed.Meta["snapshot.json"] = snapshot
	return md, write(r, "timestamp.json", md, keys)
}

// describe is version, length and digest of a metadata file.
func (r *Repo) describe(name string, version int64) (*metadata.MetaFiles, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	sum := sha256.Sum256(data)
	meta := metadata.MetaFile(version)
	meta.Length = int64(len(data))
	meta.Hashes = metadata.Hashes{"sha256": sum[:]}
	return meta, nil
}

// Role is the state of one role.
type Role struct {
	Role      string    `json:"role"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires"`
	Keys      int       `json:"keys"`
	Threshold int       `json:"threshold"`
	Expired   bool      `json:"expired"`
	Of        string    `json:"of,omitempty"` // of a delegated one: BOARD/KIND
}

// Status is the state of a repository.
type Status struct {
	Roles     []Role    `json:"roles"`
	Releases  []Release `json:"releases"`
	Published bool      `json:"published"` // the newest targets are announced
}

// Status describes the repository at the moment now.
func (r *Repo) Status(now time.Time) (Status, error) {
	l, err := r.ledger()
	if err != nil {
		return Status{}, err
	}
	var st Status
	if st.Releases, err = l.releases(); err != nil {
		return Status{}, err
	}
	ts, err := load(r, "timestamp.json", metadata.Timestamp())
	if err != nil {
		return Status{}, err
	}
	version := int64(0)
	if m := ts.Signed.Meta["snapshot.json"]; m != nil {
		version = m.Version
	}
	sn, err := load(r, fmt.Sprintf("%d.snapshot.json", version), metadata.Snapshot())
	if err != nil {
		return Status{}, err
	}
	st.Published = true
	for _, p := range l.all() {
		m := sn.Signed.Meta[p.role+".json"]
		st.Published = st.Published && m != nil && m.Version == p.md.Signed.Version
	}
	targets := l.top.md
	for _, x := range [...]struct {
		role    string
		version int64
		expires time.Time
	}{
		{metadata.ROOT, r.root.Signed.Version, r.root.Signed.Expires},
		{metadata.TARGETS, targets.Signed.Version, targets.Signed.Expires},
		{metadata.SNAPSHOT, sn.Signed.Version, sn.Signed.Expires},
		{metadata.TIMESTAMP, ts.Signed.Version, ts.Signed.Expires},
	} {
		role := r.root.Signed.Roles[x.role]
		st.Roles = append(st.Roles, Role{x.role, x.version, x.expires, len(role.KeyIDs), role.Threshold, now.After(x.expires), ""})
	}
	for _, p := range l.parts {
		md := p.md.Signed
		st.Roles = append(st.Roles, Role{p.role, md.Version, md.Expires, len(p.need.Keys), p.need.Threshold, now.After(md.Expires), p.place.String()})
	}
	return st, nil
}

func load[T metadata.Roles](r *Repo, name string, md *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		return nil, fmt.Errorf("read %s (publish writes it): %w", name, err)
	}
	md, err = md.FromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, ErrDamaged, err)
	}
	return md, nil
}
