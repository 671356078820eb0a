package publish

import (
	"crypto/ecdsa"
	"fmt"
	"time"

	"platen/updater/approval"
)

// Agent is the kind of the releases that printers measure and that are approved.
const Agent = "agent"

// States are those of a board that [Repo.Approve] approves.
type States struct {
	Board    string         // board id
	Releases int            // how many of the newest releases: at most approval.MostReleases; 0 is 3
	Boot     []approval.PCR // registers of the machine below, which hold the same under all of them
}

// Approve signs, with the approver's key, the states in which printers of a board may open
// jobs while they run one of its newest releases, and puts them into the metadata of the
// newest, in place of what was approved before; that takes the keys that sign it, in keyDirs.
// Printers see it after the next Publish. It returns ErrRelease if there is no release, or
// ErrKeys.
func (r *Repo) Approve(s States, approver *ecdsa.PrivateKey, keyDirs []string, now time.Time) (Release, error) {
	if s.Releases == 0 {
		s.Releases = 3
	}
	if s.Releases < 1 || s.Releases > approval.MostReleases {
		return Release{}, fmt.Errorf("%w: states of from 1 to %d releases can be approved at once", ErrRelease, approval.MostReleases)
	}
	unlock, err := r.lock()
	if err != nil {
		return Release{}, err
	}
	defer unlock()
	l, err := r.ledger()
	if err != nil {
		return Release{}, err
	}
	all, err := l.releases()
	if err != nil {
		return Release{}, err
	}
	var newest Release
	var ran []approval.Measured
	for _, rel := range all { // by number
		if rel.Board != s.Board || rel.Kind != Agent {
			continue
		}
		m := approval.Measured{Release: rel.Release}
		if err := m.Digest.UnmarshalText([]byte(rel.SHA256)); err != nil {
			return Release{}, fmt.Errorf("%s: %w: %w", rel.Path, ErrDamaged, err)
		}
		newest, ran = rel, append(ran, m)
	}
	if len(ran) == 0 {
		return Release{}, fmt.Errorf("%w: there is none of %s for %s to approve", ErrRelease, Agent, s.Board)
	}
	newest.Approvals, err = approval.States(ran[max(0, len(ran)-s.Releases):], s.Boot)
	if err != nil {
		return Release{}, fmt.Errorf("%w: %w", ErrRelease, err)
	}
	for i, a := range newest.Approvals {
		if newest.Approvals[i], err = a.Sign(approver); err != nil {
			return Release{}, err
		}
	}
	p := l.part(newest)
	keys, err := r.signersOf(p, keyDirs)
	if err != nil {
		return Release{}, err
	}
	if err := enter(p.md, newest); err != nil {
		return Release{}, err
	}
	return newest, r.writePart(p, keys, now)
}
