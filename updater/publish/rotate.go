package publish

import (
	"crypto"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Rotated is what a rotation changed.
type Rotated struct {
	Role    string `json:"role"`
	Removed string `json:"removed"` // key id
	Added   string `json:"added"`   // key id, "" for none
	Root    int64  `json:"root"`    // version of the new root; of a delegated role: as before

	Targets int64 `json:"targets,omitempty"` // of a delegated role: version of the targets that name its keys
}

// Exchange is a change of a role's keys.
type Exchange struct {
	Role  string           // root, targets, snapshot, timestamp or a delegated one
	Lost  string           // beginning of the id of the key that goes; "": the oldest
	Fresh crypto.PublicKey // of the one that comes; nil: one is made
	None  bool             // none comes: the role has a key less
}

// Rotate takes a key of a role out of the trust and puts another one in its place, if any.
// The new root is signed by enough root keys of the old and of the new root, found in
// keyDirs (none: those Init made); a key that is made is put into the first of them, or into
// the online folder. A new targets key signs the targets again; new online keys publish
// again, which also undoes versions that a thief of the old ones drove up. The keys of a
// delegated role stand in the targets, which targets keys sign; its new keys sign what it
// lists.
func (r *Repo) Rotate(e Exchange, keyDirs []string, now time.Time) (Rotated, error) {
	unlock, err := r.lock()
	if err != nil {
		return Rotated{}, err
	}
	defer unlock()
	old := r.root.Signed.Roles[e.Role]
	if old == nil {
		return r.rotateRole(e, r.offline(keyDirs), now)
	}
	if e.Lost, err = e.lost(Need{old.Threshold, old.KeyIDs}); err != nil {
		return Rotated{}, err
	}
	return r.rotate(e, r.offline(keyDirs), now)
}

// lost is the id of the key that goes, of those that a role has.
func (e Exchange) lost(has Need) (string, error) {
	i := slices.IndexFunc(has.Keys, func(id string) bool { return strings.HasPrefix(id, e.Lost) })
	if i < 0 {
		return "", fmt.Errorf("%w: %s has no key whose id begins with %s", ErrKeys, e.Role, e.Lost)
	}
	if e.None && len(has.Keys) <= has.Threshold {
		return "", fmt.Errorf("%w: %s would have fewer keys than have to sign: put another one in its place", ErrKeys, e.Role)
	}
	return has.Keys[i], nil
}

func (r *Repo) rotate(e Exchange, dirs []string, now time.Time) (Rotated, error) {
	keys, err := r.signers(metadata.ROOT, dirs)
	if err != nil {
		return Rotated{}, err
	}
	targets, err := r.targets()
	if err == nil && e.Role == metadata.TARGETS {
		_, err = r.below(targets)
	}
	if err != nil {
		return Rotated{}, err
	}
	next, err := r.copyRoot()
	if err != nil {
		return Rotated{}, err
	}
	fresh, err := r.freshKey(e, dirs)
	if err != nil {
		return Rotated{}, err
	}
	err = next.Signed.RevokeKey(e.Lost, e.Role)
	if err == nil && !e.None {
		err = next.Signed.AddKey(fresh.tuf, e.Role)
	}
	if err != nil {
		return Rotated{}, fmt.Errorf("exchange key: %w", err)
	}
	switch {
	case e.Role == metadata.ROOT && fresh.signer != nil:
		keys = append(keys, fresh)
	case e.Role == metadata.TARGETS && !r.drafted(e.Role): // before anything is written, make sure it can be
		if _, err := enough(e.Role, needIn(next, e.Role), dirs); err != nil {
			return Rotated{}, err
		}
	}
	if err := r.writeRoot(next, keys, now); err != nil {
		return Rotated{}, err
	}
	if e.Role == metadata.TARGETS {
		if err := r.signTargets(targets, dirs, now); err != nil {
			return Rotated{}, err
		}
	}
	if r.draft == nil {
		_, err = r.publish(now)
	}
	return Rotated{Role: e.Role, Removed: e.Lost, Added: fresh.id, Root: next.Signed.Version}, err
}

// freshKey is the key that comes: the one that is given, none, or one that is made.
func (r *Repo) freshKey(e Exchange, dirs []string) (key, error) {
	online := e.Role == metadata.SNAPSHOT || e.Role == metadata.TIMESTAMP
	switch {
	case e.None:
		return key{}, nil
	case e.Fresh != nil:
		t, id, err := tufKey(e.Fresh)
		return key{tuf: t, id: id}, err
	case online:
		return newKey(r.online, e.Role)
	case len(dirs) == 0:
		return key{}, fmt.Errorf("%w: give the public key that takes the place, or a folder for it", ErrKeys)
	}
	return newKey(filepath.Clean(dirs[0]), e.Role)
}

// Renew signs root and targets again without changing them, so that they stay valid
// for another term, and publishes.
func (r *Repo) Renew(keyDirs []string, now time.Time) (Versions, error) {
	unlock, err := r.lock()
	if err != nil {
		return Versions{}, err
	}
	defer unlock()
	dirs := r.offline(keyDirs)
	keys, err := r.signers(metadata.ROOT, dirs)
	if err != nil {
		return Versions{}, err
	}
	if _, err := r.signers(metadata.TARGETS, dirs); err != nil {
		return Versions{}, err
	}
	targets, err := r.targetsUnder(append(slices.Clone(r.past), r.root)...)
	if err == nil {
		_, err = r.below(targets)
	}
	if err != nil {
		return Versions{}, err
	}
	next, err := r.copyRoot()
	if err != nil {
		return Versions{}, err
	}
	if err := r.writeRoot(next, keys, now); err != nil {
		return Versions{}, err
	}
	if err := r.signTargets(targets, dirs, now); err != nil {
		return Versions{}, err
	}
	if r.draft != nil {
		return Versions{}, nil
	}
	return r.publish(now)
}

// copyRoot is the newest root again, to be changed.
func (r *Repo) copyRoot() (*metadata.Metadata[metadata.RootType], error) {
	data, err := r.root.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return metadata.Root().FromBytes(data)
}

// writeRoot signs and writes the next root; printers find it by its number.
func (r *Repo) writeRoot(next *metadata.Metadata[metadata.RootType], keys []key, now time.Time) error {
	next.Signed.Version = r.root.Signed.Version + 1
	next.Signed.Expires = expiry(now, r.set.Policy.RootValid)
	issue(&next.Signed.UnrecognizedFields, now)
	// A removed key signs for the old root; verifiers of the new one ignore it.
	if err := write(r, fmt.Sprintf("%d.root.json", next.Signed.Version), next, keys); err != nil {
		return err
	}
	r.past, r.root = append(r.past, r.root), next
	return nil
}

func (r *Repo) signTargets(md *listing, dirs []string, now time.Time) error {
	p := r.topPart(md)
	keys, err := r.signersOf(p, dirs)
	if err != nil {
		return err
	}
	return r.writePart(p, keys, now)
}
