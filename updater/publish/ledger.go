package publish

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater/role"
)

// listing is metadata that lists targets.
type listing = metadata.Metadata[metadata.TargetsType]

// part is the listing of one role, and who signs it: the top-level targets, or a role that
// they delegate to.
type part struct {
	role  string
	place role.Place // of a delegated role
	need  Need
	md    *listing
}

// ledger is all that is released.
type ledger struct {
	top   *part
	parts []*part // the delegated ones, by their names
}

// ledger reads the newest listings and verifies them.
func (r *Repo) ledger() (*ledger, error) {
	l, err := r.listings()
	if err != nil {
		return nil, err
	}
	for _, p := range l.parts {
		if err := distinct(l.top.md, p.md); err != nil {
			return nil, fmt.Errorf("%s: %w: revoke takes the role back", p.role, err)
		}
	}
	return l, nil
}

// distinct refuses a role's listing that has a release of the targets' own.
func distinct(top, md *listing) error {
	own, err1 := releases(top)
	all, err2 := releases(md)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for _, rel := range all {
		if slices.ContainsFunc(own, func(o Release) bool { return o.folder() == rel.folder() }) {
			return fmt.Errorf("release %d of %s for %s is listed twice: %w", rel.Release, rel.Kind, rel.Board, ErrDamaged)
		}
	}
	return nil
}

// listings is ledger for who takes a role back: what a role lists may be what the targets
// have as well.
func (r *Repo) listings() (*ledger, error) {
	top, err := r.targets()
	if err != nil {
		return nil, err
	}
	return r.below(top)
}

// below reads the newest listings under one of the top-level targets. Whoever signs these
// again does so first: a role whose rotation was cut is known by its keys in the targets just
// before.
func (r *Repo) below(top *listing) (*ledger, error) {
	return r.assemble(top, func(p *part, top *listing) error {
		v, err := r.newest(p.role)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%d.%s.json", v, p.role)
		if p.md, err = load(r, name, metadata.Targets()); err != nil {
			return err
		}
		if err := top.VerifyDelegate(p.role, p.md); err != nil || p.md.Signed.Version != v {
			return fmt.Errorf("%s is not signed by enough keys of its role: %w: renew --role %s signs it again after an interrupted rotation", name, ErrDamaged, p.role)
		}
		return nil
	})
}

// assemble is the ledger under a listing of the top-level targets; read fills in the
// listing of each delegated part.
func (r *Repo) assemble(top *listing, read func(p *part, top *listing) error) (*ledger, error) {
	places, err := role.Places(top.Signed.Delegations)
	if err != nil {
		return nil, fmt.Errorf("targets: %w: %w", ErrDamaged, err)
	}
	l := &ledger{top: r.topPart(top)}
	for place, name := range places {
		p := &part{role: name, place: place, need: needOf(top, name)}
		if err := read(p, top); err != nil {
			return nil, err
		}
		if err := place.Check(name, p.md); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		l.parts = append(l.parts, p)
	}
	slices.SortFunc(l.parts, func(a, b *part) int { return strings.Compare(a.role, b.role) })
	return l, nil
}

// topPart is a listing of the top-level targets as the newest root wants it signed.
func (r *Repo) topPart(md *listing) *part {
	return &part{role: metadata.TARGETS, need: needIn(r.root, metadata.TARGETS), md: md}
}

// needOf is who signs for a delegated role; nobody if there is no such role.
func needOf(top *listing, name string) Need {
	if d := delegation(top, name); d != nil {
		return Need{d.Threshold, d.KeyIDs}
	}
	return Need{}
}

// delegation is that to a role, nil if there is none.
func delegation(top *listing, name string) *metadata.DelegatedRole {
	if top.Signed.Delegations == nil {
		return nil
	}
	list := top.Signed.Delegations.Roles
	i := slices.IndexFunc(list, func(d metadata.DelegatedRole) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return &list[i]
}

func (l *ledger) all() []*part { return append([]*part{l.top}, l.parts...) }

// named is the part of a role, nil if there is none.
func (l *ledger) named(name string) *part {
	for _, p := range l.all() {
		if p.role == name {
			return p
		}
	}
	return nil
}

// of is the part that releases what is new of a kind for a board.
func (l *ledger) of(board, kind string) *part {
	for _, p := range l.parts {
		if p.place == (role.Place{Board: board, Kind: kind}) {
			return p
		}
	}
	return l.top
}

// releases lists what is released, by board, kind and number.
func (l *ledger) releases() ([]Release, error) {
	var list []Release
	for _, p := range l.all() {
		more, err := releases(p.md)
		if err != nil {
			return nil, err
		}
		for i := range more {
			if p != l.top {
				more[i].Role = p.role
			}
		}
		list = append(list, more...)
	}
	sortReleases(list)
	return list, nil
}

// part is where a release of the ledger is listed.
func (l *ledger) part(rel Release) *part {
	return l.named(cmp.Or(rel.Role, metadata.TARGETS))
}

// releases lists what one listing releases.
func releases(md *listing) ([]Release, error) {
	var list []Release
	for path, file := range md.Signed.Targets {
		var c custom
		if file.Custom == nil {
			continue
		}
		if err := json.Unmarshal(*file.Custom, &c); err != nil {
			return nil, fmt.Errorf("custom field of %s: %w: %w", path, ErrDamaged, err)
		}
		if c.Delta != nil || c.Paper != nil {
			continue
		}
		list = append(list, Release{
			Release: c.Release, Board: c.Board, Kind: c.Kind, Path: path, Size: file.Length, SHA256: c.SHA256,
			Hardware: c.Hardware, Set: c.Set, Rollout: c.Rollout, PCRs: c.PCRs, Measured: c.Measured, Approvals: c.Approvals,
		})
	}
	sortReleases(list)
	return list, nil
}

func sortReleases(list []Release) {
	slices.SortFunc(list, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Board, b.Board), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Release, b.Release))
	})
}

// which is a release by its number, 0: the newest; and those before it.
func (l *ledger) which(board, kind string, n uint64) (Release, []Release, error) {
	all, err := l.releases()
	if err != nil {
		return Release{}, nil, err
	}
	all = slices.DeleteFunc(all, func(r Release) bool { return r.Board != board || r.Kind != kind })
	i := len(all) - 1
	if n != 0 {
		i = slices.IndexFunc(all, func(r Release) bool { return r.Release == n })
	}
	if i < 0 {
		return Release{}, nil, fmt.Errorf("%w: there is no such release of %s for %s", ErrRelease, kind, board)
	}
	return all[i], all[:i], nil
}

// signersOf are enough keys for a part; none if they sign a draft later.
func (r *Repo) signersOf(p *part, keyDirs []string) ([]key, error) {
	if r.drafted(p.role) {
		return nil, nil
	}
	return enough(p.role, p.need, r.offline(keyDirs))
}

// writePart signs the next version of a part.
func (r *Repo) writePart(p *part, keys []key, now time.Time) error {
	p.md.Signed.Version++
	p.md.Signed.Expires = expiry(now, r.set.Policy.TargetsValid)
	if p.role == metadata.TARGETS {
		issue(&p.md.Signed.UnrecognizedFields, now)
	}
	if err := write(r, fmt.Sprintf("%d.%s.json", p.md.Signed.Version, p.role), p.md, keys); err != nil {
		return err
	}
	if r.drafted(p.role) && p.role != metadata.TARGETS {
		r.draft.Documents[len(r.draft.Documents)-1].Need = []Need{p.need}
	}
	return nil
}

// wanted is the release that a change is about.
type wanted struct {
	board, kind string
	n           uint64 // 0: the newest
}

// change lets change work on the listing that has a release, and signs the outcome with
// keys in keyDirs.
func (r *Repo) change(w wanted, keyDirs []string, now time.Time, change func(md *listing, rel Release, before []Release) error) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	l, err := r.ledger()
	if err != nil {
		return err
	}
	rel, before, err := l.which(w.board, w.kind, w.n)
	if err != nil {
		return err
	}
	p := l.part(rel)
	keys, err := r.signersOf(p, keyDirs)
	if err != nil {
		return err
	}
	if err := change(p.md, rel, before); err != nil {
		return err
	}
	return r.writePart(p, keys, now)
}
