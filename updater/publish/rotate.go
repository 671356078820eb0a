package publish

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Rotated is what a rotation changed.
type Rotated struct {
	Role    string `json:"role"`
	Removed string `json:"removed"` // key id
	Added   string `json:"added"`   // key id
	Root    int64  `json:"root"`    // version of the new root
}

// Rotate takes a key of a role out of the trust and puts a fresh one in its place:
// the key whose id begins with lost, or the role's oldest if lost is "". The new root
// is signed by enough root keys of the old and of the new root, found in keyDirs
// (none: those Init made); the fresh key is put into the first of them, or into the
// online folder. A new targets key signs the targets again; new online keys publish
// again, which also undoes versions that a thief of the old ones drove up.
func (r *Repo) Rotate(role, lost string, keyDirs []string, now time.Time) (Rotated, error) {
	unlock, err := r.lock()
	if err != nil {
		return Rotated{}, err
	}
	defer unlock()
	old := r.root.Signed.Roles[role]
	if old == nil {
		return Rotated{}, fmt.Errorf("there is no role %q: use root, targets, snapshot or timestamp", role)
	}
	i := slices.IndexFunc(old.KeyIDs, func(id string) bool { return len(lost) <= len(id) && id[:len(lost)] == lost })
	if i < 0 {
		return Rotated{}, fmt.Errorf("%w: %s has no key whose id begins with %s", ErrKeys, role, lost)
	}
	return r.rotate(role, old.KeyIDs[i], r.offline(keyDirs), now)
}

func (r *Repo) rotate(role, removed string, dirs []string, now time.Time) (Rotated, error) {
	keys, err := r.signers(metadata.ROOT, dirs)
	if err != nil {
		return Rotated{}, err
	}
	targets, err := r.targets()
	if err != nil {
		return Rotated{}, err
	}
	next, err := r.copyRoot()
	if err != nil {
		return Rotated{}, err
	}
	fresh, err := newKey(r.placeOf(role, dirs), role)
	if err != nil {
		return Rotated{}, err
	}
	err = errors.Join(next.Signed.RevokeKey(removed, role), next.Signed.AddKey(fresh.tuf, role))
	if err != nil {
		return Rotated{}, fmt.Errorf("exchange key: %w", err)
	}
	switch role {
	case metadata.ROOT:
		keys = append(keys, fresh)
	case metadata.TARGETS: // before anything is written, make sure it can be
		if _, err := enough(next, role, dirs); err != nil {
			return Rotated{}, err
		}
	}
	if err := r.writeRoot(next, keys, now); err != nil {
		return Rotated{}, err
	}
	if role == metadata.TARGETS {
		if err := r.signTargets(targets, dirs, now); err != nil {
			return Rotated{}, err
		}
	}
	_, err = r.publish(now)
	return Rotated{role, removed, fresh.id, next.Signed.Version}, err
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
	targets, err := r.targetsUnder(append(r.past, r.root)...)
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
	return r.publish(now)
}

// placeOf is the folder a fresh key of a role belongs in.
func (r *Repo) placeOf(role string, offline []string) string {
	if role == metadata.SNAPSHOT || role == metadata.TIMESTAMP {
		return r.online
	}
	return filepath.Clean(offline[0])
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

func (r *Repo) signTargets(md *metadata.Metadata[metadata.TargetsType], dirs []string, now time.Time) error {
	keys, err := r.signers(metadata.TARGETS, dirs)
	if err != nil {
		return err
	}
	return r.writeTargets(md, keys, now)
}
