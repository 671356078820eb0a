package publish

import (
	"crypto/ecdsa"
	"fmt"
	"slices"
	"time"

	"platen/updater"
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

// run is an agent and the registers of the boot below it.
type run struct {
	agent approval.Measured
	boot  []approval.PCR
}

// runs are the newest agents among all releases, by number, each with the registers that
// are said and those that its root file system was released with: the one of its set, or else
// of the set before. A machine restarts into another root file system, which is another state
// from the start.
func (s States) runs(all []Release) (newest Release, runs []run, err error) {
	boot := s.Boot
	for _, rel := range all {
		if rel.Board != s.Board || rel.Kind != Agent {
			continue
		}
		for _, m := range rel.Set {
			i := slices.IndexFunc(all, func(r Release) bool {
				return r.Board == rel.Board && r.Kind == m.Kind && r.Release == m.Release && r.Kind == updater.KindRoot
			})
			if i >= 0 {
				boot = onTop(s.Boot, all[i].PCRs)
			}
		}
		m := approval.Measured{Release: rel.Release}
		if err := m.Digest.UnmarshalText([]byte(rel.SHA256)); err != nil {
			return newest, nil, fmt.Errorf("%s: %w: %w", rel.Path, ErrDamaged, err)
		}
		newest, runs = rel, append(runs, run{m, boot})
	}
	if len(runs) == 0 {
		return newest, nil, fmt.Errorf("%w: there is none of %s for %s to approve", ErrRelease, Agent, s.Board)
	}
	newest.Approvals = nil
	return newest, runs[max(0, len(runs)-s.Releases):], nil
}

// onTop is what was said, with what is known in its place.
func onTop(said, known []approval.PCR) []approval.PCR {
	boot := slices.Clone(known)
	for _, p := range said {
		if !slices.ContainsFunc(known, func(k approval.PCR) bool { return k.Index == p.Index }) {
			boot = append(boot, p)
		}
	}
	return boot
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
	newest, runs, err := s.runs(all)
	if err != nil {
		return Release{}, err
	}
	for from, to := 0, 1; to <= len(runs); to++ {
		if to < len(runs) && slices.Equal(runs[to].boot, runs[from].boot) {
			continue
		}
		var ran []approval.Measured
		for _, r := range runs[from:to] {
			ran = append(ran, r.agent)
		}
		states, err := approval.States(ran, runs[from].boot)
		if err != nil {
			return Release{}, fmt.Errorf("%w: %w", ErrRelease, err)
		}
		newest.Approvals, from = append(newest.Approvals, states...), to
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
