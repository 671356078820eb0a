package updater

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// WholeShare is a [Rollout.Share] of all printers.
const WholeShare = 10_000

// Rollout is who gets a release, as its signed metadata says. The zero value admits
// nobody; a release without a rollout is for everybody.
type Rollout struct {
	Share     uint16   `json:"share,omitempty"`     // of 10,000 printers, picked by a hash of who they are
	Rings     []string `json:"rings,omitempty"`     // printers of these rings get it whatever the share
	Paused    bool     `json:"paused,omitempty"`    // nobody else gets it for now
	Withdrawn bool     `json:"withdrawn,omitempty"` // nobody else gets it ever
}

// Admits reports whether a printer may take a release. printer is a name that stays the
// same for its life; a printer that is in a share is in every greater share of the same
// release, and is early in one release and late in another.
func (r *Rollout) Admits(board, kind string, release uint64, printer, ring string) bool {
	if r == nil {
		return true
	}
	if r.Paused || r.Withdrawn {
		return false
	}
	if ring != "" && slices.Contains(r.Rings, ring) {
		return true
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "platen rollout\x00%s\x00%s\x00%d\x00%s", board, kind, release, printer))
	return binary.BigEndian.Uint64(sum[:])%WholeShare < uint64(r.Share)
}
