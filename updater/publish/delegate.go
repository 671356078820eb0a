package publish

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater/role"
)

// Grant leaves the releases of a kind for a board to a role of its own: agent, rootfs,
// controller, or whatever else a fleet distributes by signed files.
type Grant struct {
	Role      string // its name: a-z, 0-9 and hyphens; "": BOARD-KIND
	Board     string
	Kind      string
	Threshold int                // of its keys that have to sign; 0: 1
	Keys      []crypto.PublicKey // none: one is made, in the first folder of keys
}

// Delegated is what a delegation says.
type Delegated struct {
	Role      string   `json:"role"`
	Of        string   `json:"of"` // BOARD/KIND
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"` // ids

	Kept []Release `json:"kept,omitempty"` // of a role that was taken back: what is the targets' own now
}

// maxKeys is how many keys a role may have.
const maxKeys = 16

// Delegate leaves what a grant names to its role, whose listing is empty at first: the
// targets keys sign that, and those of the role, found in keyDirs. From then on Add and
// whatever else is about new releases of that kind for that board is signed by the role's
// keys alone. What was released before stays with the targets. It returns ErrRole if
// there is such a role, or one of that place.
func (r *Repo) Delegate(g Grant, keyDirs []string, now time.Time) (Delegated, error) {
	p := &part{role: g.Role, place: role.Place{Board: g.Board, Kind: g.Kind}, md: metadata.Targets()}
	if !word.MatchString(g.Board) || !word.MatchString(g.Kind) || len(g.Board)+len(g.Kind) > 128 {
		return Delegated{}, fmt.Errorf("%w: board and name are made of a-z, 0-9 and single hyphens", ErrRole)
	}
	if p.role == "" {
		p.role = g.Board + "-" + g.Kind
	}
	unlock, err := r.lock()
	if err != nil {
		return Delegated{}, err
	}
	defer unlock()
	l, err := r.ledger()
	if err != nil {
		return Delegated{}, err
	}
	if l.of(g.Board, g.Kind) != l.top || l.named(p.role) != nil {
		return Delegated{}, fmt.Errorf("%w: %s or %s is delegated already: rotate its keys, or revoke it first", ErrRole, p.role, p.place)
	}
	keys, err := r.granted(&g, p.role, r.offline(keyDirs))
	if err != nil {
		return Delegated{}, err
	}
	p.need.Threshold = g.Threshold
	for _, k := range keys {
		p.need.Keys = append(p.need.Keys, k.id)
	}
	if err := l.top.grant(p, keys); err != nil {
		return Delegated{}, err
	}
	if p.md.Signed.Version, err = r.newest(p.role); err != nil { // of a role that was there once
		return Delegated{}, err
	}
	return Delegated{p.role, p.place.String(), p.need.Threshold, p.need.Keys, nil}, r.writeBoth(l.top, p, keyDirs, now, true)
}

// granted are the keys of a grant.
func (r *Repo) granted(g *Grant, name string, dirs []string) ([]key, error) {
	if g.Threshold == 0 {
		g.Threshold = 1
	}
	if n := max(len(g.Keys), 1); g.Threshold < 1 || g.Threshold > n || n > maxKeys {
		return nil, fmt.Errorf("%w: %d of %d keys cannot sign: there are up to %d, and the threshold is from 1 to their number", ErrKeys, g.Threshold, n, maxKeys)
	}
	if len(g.Keys) == 0 {
		k, err := r.freshKey(Exchange{Role: name}, dirs)
		return []key{k}, err
	}
	var list []key
	for _, public := range g.Keys {
		t, id, err := tufKey(public)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(o key) bool { return o.id == id }) {
			return nil, fmt.Errorf("%w: key %s is there twice, and would count once", ErrKeys, short(id))
		}
		list = append(list, key{tuf: t, id: id})
	}
	return list, nil
}

// grant enters a delegation to p into the top-level targets.
func (top *part) grant(p *part, keys []key) error {
	d := top.md.Signed.Delegations
	if d == nil {
		d = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		top.md.Signed.Delegations = d
	}
	for _, k := range keys {
		d.Keys[k.id] = k.tuf
	}
	d.Roles = append(d.Roles, metadata.DelegatedRole{
		Name: p.role, KeyIDs: p.need.Keys, Threshold: p.need.Threshold, Terminating: true, Paths: []string{p.place.Pattern()},
	})
	if _, err := role.Places(d); err != nil {
		return fmt.Errorf("%w: %w", ErrRole, err)
	}
	return nil
}

// writeBoth signs the top-level targets, and then the listing of a role of theirs. That of
// one that comes is there first: nothing names it yet, and after a cut the other way round
// nothing could be read. In a draft it is second all the same: see [Submit].
func (r *Repo) writeBoth(top, p *part, keyDirs []string, now time.Time, comes bool) error {
	topKeys, err1 := r.signersOf(top, keyDirs)
	keys, err2 := r.signersOf(p, keyDirs)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	write := []func() error{
		func() error { return r.writePart(top, topKeys, now) },
		func() error { return r.writePart(p, keys, now) },
	}
	if comes && r.draft == nil {
		slices.Reverse(write)
	}
	if err := write[0](); err != nil {
		return err
	}
	return write[1]()
}

// rotateRole is Rotate for a delegated role.
func (r *Repo) rotateRole(e Exchange, dirs []string, now time.Time) (Rotated, error) {
	l, err := r.ledger()
	if err != nil {
		return Rotated{}, err
	}
	p := l.named(e.Role)
	if p == nil {
		return Rotated{}, fmt.Errorf("%w: there is no role %q: use root, targets, snapshot, timestamp or a delegated one", ErrRole, e.Role)
	}
	if e.Lost, err = e.lost(p.need); err != nil {
		return Rotated{}, err
	}
	fresh, err := r.freshKey(e, dirs)
	if err != nil {
		return Rotated{}, err
	}
	d := l.top.md.Signed.Delegations
	p.need.Keys = slices.DeleteFunc(slices.Clone(p.need.Keys), func(id string) bool { return id == e.Lost })
	if !e.None {
		if slices.Contains(p.need.Keys, fresh.id) {
			return Rotated{}, fmt.Errorf("%w: %s has key %s already", ErrKeys, e.Role, short(fresh.id))
		}
		p.need.Keys, d.Keys[fresh.id] = append(p.need.Keys, fresh.id), fresh.tuf
	}
	delegation(l.top.md, e.Role).KeyIDs = p.need.Keys
	tidy(d)
	if err := r.writeBoth(l.top, p, dirs, now, false); err != nil {
		return Rotated{}, err
	}
	if r.draft == nil {
		_, err = r.publish(now)
	}
	return Rotated{Role: e.Role, Removed: e.Lost, Added: fresh.id, Root: r.root.Signed.Version, Targets: l.top.md.Signed.Version}, err
}

// tidy takes keys out of delegations that no role has.
func tidy(d *metadata.Delegations) {
	for id := range d.Keys {
		if !slices.ContainsFunc(d.Roles, func(x metadata.DelegatedRole) bool { return slices.Contains(x.KeyIDs, id) }) {
			delete(d.Keys, id)
		}
	}
}

// Undelegate takes back what a role was left, signed by targets keys in keyDirs. Its
// releases up to number keep, with what belongs to them, are the targets' own from now on;
// the later ones are withdrawn from everybody. Its keys may be stolen: of what it lists
// nothing counts that is not about its place, or that takes the place of what the targets
// have. It returns ErrRole if there is no such role.
func (r *Repo) Undelegate(name string, keep uint64, keyDirs []string, now time.Time) (Delegated, error) {
	unlock, err := r.lock()
	if err != nil {
		return Delegated{}, err
	}
	defer unlock()
	l, err := r.listings()
	if err != nil {
		return Delegated{}, err
	}
	p := l.named(name)
	if p == nil || p == l.top {
		return Delegated{}, fmt.Errorf("%w: nothing is delegated to %q", ErrRole, name)
	}
	keys, err := r.signersOf(l.top, keyDirs)
	if err != nil {
		return Delegated{}, err
	}
	kept, err := p.handOver(l.top.md, keep)
	if err != nil {
		return Delegated{}, err
	}
	d := l.top.md.Signed.Delegations
	d.Roles = slices.DeleteFunc(d.Roles, func(x metadata.DelegatedRole) bool { return x.Name == name })
	tidy(d)
	return Delegated{name, p.place.String(), p.need.Threshold, p.need.Keys, kept}, r.writePart(l.top, keys, now)
}

// handOver enters into a listing the releases of a role up to a number, and what belongs to
// them.
func (p *part) handOver(top *listing, keep uint64) ([]Release, error) {
	if keep == 0 {
		return nil, nil
	}
	all, err := releases(p.md)
	if err != nil {
		return nil, err
	}
	var kept []Release
	for _, rel := range all {
		if (role.Place{Board: rel.Board, Kind: rel.Kind}) != p.place || rel.Release > keep || rel.Path != rel.folder()+"/platen" || top.Signed.Targets[rel.Path] != nil {
			continue
		}
		for at, file := range p.md.Signed.Targets {
			if path.Dir(at) == rel.folder() && (at == rel.Path || belongs(file, rel)) {
				top.Signed.Targets[at] = file
			}
		}
		kept = append(kept, rel)
	}
	return kept, nil
}

// belongs reports that a file says of itself that it goes along with a release.
func belongs(file *metadata.TargetFiles, rel Release) bool {
	var c custom
	if file.Custom == nil || json.Unmarshal(*file.Custom, &c) != nil || c.Release != 0 {
		return false
	}
	if d := c.Delta; d != nil {
		return c.Paper == nil && d.Board == rel.Board && d.Kind == rel.Kind && d.Release == rel.Release
	}
	return c.Paper != nil && c.Paper.Board == rel.Board && c.Paper.Kind == rel.Kind && c.Paper.Release == rel.Release
}

// RenewRole signs the listing of a delegated role for another term, by its keys in keyDirs.
// It also ends a rotation of the role's keys that was interrupted.
func (r *Repo) RenewRole(name string, keyDirs []string, now time.Time) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	top, err := r.targets()
	if err != nil {
		return err
	}
	places, err := role.Places(top.Signed.Delegations)
	if err != nil {
		return fmt.Errorf("targets: %w: %w", ErrDamaged, err)
	}
	p := &part{role: name, need: needOf(top, name)}
	for place, of := range places {
		if of == name {
			p.place = place
		}
	}
	if p.place == (role.Place{}) {
		return fmt.Errorf("%w: nothing is delegated to %q", ErrRole, name)
	}
	if p.md, err = r.listingUnder(name, top); err != nil {
		return err
	}
	if err := p.place.Check(name, p.md); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	keys, err := r.signersOf(p, keyDirs)
	if err != nil {
		return err
	}
	return r.writePart(p, keys, now)
}

// listingUnder is the newest listing of a role as it was signed under the newest targets or
// those before them.
func (r *Repo) listingUnder(name string, top *listing) (*listing, error) {
	v, err := r.newest(name)
	if err != nil {
		return nil, err
	}
	md, err := load(r, fmt.Sprintf("%d.%s.json", v, name), metadata.Targets())
	if err != nil || top.VerifyDelegate(name, md) == nil {
		return md, err
	}
	before, err := load(r, fmt.Sprintf("%d.targets.json", top.Signed.Version-1), metadata.Targets())
	if err != nil {
		return nil, err
	}
	var signed bool
	for _, root := range append(slices.Clone(r.past), r.root) {
		signed = signed || root.VerifyDelegate(metadata.TARGETS, before) == nil
	}
	if !signed || before.VerifyDelegate(name, md) != nil {
		return nil, fmt.Errorf("%d.%s.json is not signed by enough keys of its role: %w", v, name, ErrDamaged)
	}
	return md, nil
}

// explainRoles says what listings of top-level targets leave to others.
func explainRoles(md *listing) []string {
	var lines []string
	if d := md.Signed.Delegations; d != nil {
		for _, x := range d.Roles {
			line := fmt.Sprintf("  leaves %s to %s: %d of", strings.Join(x.Paths, " "), x.Name, x.Threshold)
			for _, id := range x.KeyIDs {
				line += " " + short(id)
			}
			lines = append(lines, line)
		}
	}
	return lines
}
