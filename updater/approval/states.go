package approval

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// MostReleases bounds the releases whose states [States] lists: their number doubles with
// each.
const MostReleases = 4

// Measured is a release and the SHA-256 digest of its agent, which its launcher extends
// into [AgentPCR].
type Measured struct {
	Release uint64
	Digest  Digest
}

// States lists the states that printers get into with these releases, oldest first, at
// most [MostReleases]: started in any of them, updated to later ones without a reset of
// the machine in between, and fallen back once from a trial to the one before. boot are
// the registers of the machine below, the same in all states; AgentPCR is not among them.
func States(releases []Measured, boot []PCR) ([]Approval, error) {
	if len(releases) == 0 || len(releases) > MostReleases {
		return nil, fmt.Errorf("states of %d releases: from 1 to %d can be approved at once", len(releases), MostReleases)
	}
	var list []Approval
	for set := 1; set < 1<<len(releases); set++ {
		var ran []Measured
		for i, r := range releases {
			if set>>i&1 == 1 {
				ran = append(ran, r)
			}
		}
		list = append(list, state(ran, boot))
		if n := len(ran); n > 1 {
			list = append(list, state(append(ran, ran[n-2]), boot))
		}
	}
	return list, nil
}

// state is that of a machine in which these agents ran, one after the other.
func state(ran []Measured, boot []PCR) Approval {
	agent := PCR{Index: AgentPCR}
	for _, r := range ran {
		agent.Value = Extend(agent.Value, r.Digest)
	}
	pcrs := append(slices.Clone(boot), agent)
	slices.SortFunc(pcrs, func(a, b PCR) int { return int(a.Index) - int(b.Index) })
	return Approval{Release: ran[len(ran)-1].Release, PCRs: pcrs}
}

// Extend is what a register holds after digest was extended into it.
func Extend(pcr, digest Digest) Digest {
	return sha256.Sum256(append(pcr[:], digest[:]...))
}
