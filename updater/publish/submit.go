package publish

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater/role"
	"platen/updater/slot"
)

// Submit verifies a draft as printers will and writes it into the repository in dir. It
// returns ErrKeys if signatures are missing or wrong, and ErrDraft if the repository has
// gone on since; then nothing is written.
func Submit(dir, online string, d *Draft, now time.Time) (Versions, error) {
	r, err := Open(dir, online)
	first := errors.Is(err, ErrNoRepo)
	if first {
		r, err = d.begin(dir, online)
	}
	if err != nil {
		return Versions{}, err
	}
	lock := r.lock
	if first { // its root is not in the folder yet
		lock = r.out.Lock
	}
	unlock, err := lock()
	if err != nil {
		return Versions{}, errors.Join(err, r.Close())
	}
	v, err := r.submit(d, now)
	unlock()
	return v, errors.Join(err, r.Close())
}

// begin opens the folders of a repository whose first root is in the draft.
func (d *Draft) begin(dir, online string) (*Repo, error) {
	i := slices.IndexFunc(d.Documents, func(doc Document) bool { return doc.File == "1.root.json" })
	if i < 0 {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoRepo)
	}
	set, err := trustedmetadata.New(d.Documents[i].Metadata)
	if err != nil {
		return nil, fmt.Errorf("1.root.json: %w: %w", ErrKeys, err)
	}
	if online == "" {
		online = OnlineDir(dir)
	}
	r := &Repo{dir: dir, online: online, root: set.Root}
	if err := r.loadSettings(); err != nil {
		return nil, err
	}
	r.out, err = slot.OpenDir(dir, "targets")
	return r, err
}

func (r *Repo) submit(d *Draft, now time.Time) (Versions, error) {
	u := under{r: r, root: r.root}
	comes := r.coming()
	var first, files []func() error
	for _, doc := range d.Documents {
		v, err := r.newest(doc.Role)
		if err != nil {
			return Versions{}, err
		}
		there := r.holds(doc, v) // the last Submit was cut short
		if !there {
			v++
		}
		if name := fmt.Sprintf("%d.%s.json", v, doc.Role); doc.File != name {
			return Versions{}, fmt.Errorf("%w: the repository has gone on: %s would be next, not %s; draft it again", ErrDraft, name, doc.File)
		}
		if err = u.verify(doc, v, there, now); err != nil {
			return Versions{}, err
		}
		write := func() error { return slot.Replace(r.out, doc.File, doc.Metadata) }
		switch {
		case there:
		case comes(doc.Role): // before the targets that name it
			first = append(first, write)
		default:
			files = append(files, write)
		}
	}
	if files = append(first, files...); len(files) == 0 {
		return Versions{}, fmt.Errorf("%w: the repository has gone on: all of this is there already; publish announces it", ErrDraft)
	}
	if err := timely(&u.root.Signed, u.root.Signed.UnrecognizedFields, now); err != nil {
		return Versions{}, fmt.Errorf("%w: the root %w", ErrDraft, err)
	}
	if v, err := r.newest(metadata.ROOT); err != nil || v == 0 {
		slices.Reverse(files) // the root makes it a repository, so it comes last
	}
	for _, write := range files {
		if err := write(); err != nil {
			return Versions{}, fmt.Errorf("write draft: %w", err)
		}
	}
	r.root = u.root
	return r.publish(now)
}

// coming says of a delegated role whether the targets that are there do not name it yet.
func (r *Repo) coming() func(role string) bool {
	top, err := r.targetsUnder(append(slices.Clone(r.past), r.root)...)
	return func(role string) bool {
		return err == nil && r.root.Signed.Roles[role] == nil && delegation(top, role) == nil
	}
}

// holds reports whether a document is the newest of its role, version v, byte for byte.
func (r *Repo) holds(doc Document, v int64) bool {
	if doc.File != fmt.Sprintf("%d.%s.json", v, doc.Role) {
		return false
	}
	data, err := os.ReadFile(filepath.Join(r.dir, doc.File))
	return err == nil && bytes.Equal(data, doc.Metadata)
}

// under is what the next document of a draft is verified under.
type under struct {
	r    *Repo
	root *metadata.Metadata[metadata.RootType]
	top  *listing // nil: the newest targets of the repository
}

// verify checks a document, which is to be version v: what follows it is under it. A root
// that is there already is the one that it is under.
func (u *under) verify(doc Document, v int64, there bool, now time.Time) error {
	var version int64
	var err error
	switch {
	case doc.Role == metadata.ROOT:
		version, err = u.verifyRoot(doc, v, there, now)
	case doc.Role == metadata.SNAPSHOT || doc.Role == metadata.TIMESTAMP:
		err = fmt.Errorf("%w: it holds metadata of the role %s", ErrDraft, doc.Role)
	default:
		version, err = u.verifyListing(doc, now)
	}
	if err == nil && version != v {
		err = fmt.Errorf("%w: %s holds version %d", ErrDraft, doc.File, version)
	}
	return err
}

func (u *under) verifyRoot(doc Document, v int64, there bool, now time.Time) (int64, error) {
	if v == 1 || there {
		return u.root.Signed.Version, nil
	}
	set := &trustedmetadata.TrustedMetadata{Root: u.root, RefTime: now}
	if _, err := set.UpdateRoot(doc.Metadata); err != nil {
		return 0, fmt.Errorf("%s: %w: %w", doc.File, ErrKeys, err)
	}
	u.root = set.Root
	return u.root.Signed.Version, nil
}

func (u *under) verifyListing(doc Document, now time.Time) (int64, error) {
	md, err := metadata.Targets().FromBytes(doc.Metadata)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %w", doc.File, ErrKeys, err)
	}
	if doc.Role == metadata.TARGETS {
		if err := u.root.VerifyDelegate(metadata.TARGETS, md); err != nil {
			return 0, fmt.Errorf("%s: %w: %w", doc.File, ErrKeys, err)
		}
		if _, err := role.Places(md.Signed.Delegations); err != nil {
			return 0, fmt.Errorf("%s: %w: %w", doc.File, ErrDraft, err)
		}
		u.top = md
	} else if err := u.verifyRole(doc, md); err != nil {
		return 0, err
	}
	if err := timely(&md.Signed, md.Signed.UnrecognizedFields, now); err != nil {
		return 0, fmt.Errorf("%w: %s %w", ErrDraft, doc.File, err)
	}
	return md.Signed.Version, nil
}

// verifyRole checks the listing of a delegated role.
func (u *under) verifyRole(doc Document, md *listing) (err error) {
	if u.top == nil {
		if u.top, err = u.r.targetsUnder(u.root); err != nil {
			return err
		}
	}
	places, err := role.Places(u.top.Signed.Delegations)
	if err != nil {
		return fmt.Errorf("targets: %w: %w", ErrDamaged, err)
	}
	for place, name := range places {
		if name != doc.Role {
			continue
		}
		if err := u.top.VerifyDelegate(name, md); err != nil {
			return fmt.Errorf("%s: %w: %w", doc.File, ErrKeys, err)
		}
		if err := errors.Join(place.Check(name, md), distinct(u.top, md)); err != nil {
			return fmt.Errorf("%s: %w: %w", doc.File, ErrDraft, err)
		}
		return nil
	}
	return fmt.Errorf("%w: nothing is delegated to a role that it has metadata of", ErrDraft)
}

// timely refuses what could not be announced at the moment now.
func timely(md interface{ IsExpired(time.Time) bool }, fields map[string]any, now time.Time) error {
	switch {
	case md.IsExpired(now):
		return errors.New("has expired: draft a renewal")
	case issuedAfter(fields, now):
		return errors.New("was signed in the future: check the clocks of both machines, then draft it again")
	}
	return nil
}
