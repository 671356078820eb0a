package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/role"
)

// custom is what a release adds to a target's metadata.
type custom struct {
	Release uint64 `json:"release"`
	Board   string `json:"board"`
	Kind    string `json:"kind"`
	SHA256  string `json:"sha256"` // what the printer measures when it starts it, hex

	Hardware []string `json:"hardware"` // revisions of the board; empty: any
	Set      []member `json:"set"`      // what belongs to it

	Measured  []string         `json:"measured"`  // hex, see [updater.Target]
	PCRs      []register       `json:"pcrs"`      // after a start of it
	Approvals json.RawMessage  `json:"approvals"` // for the agent to read
	Rollout   *updater.Rollout `json:"rollout"`   // nil: for every printer
	Delta     *deltaOf         `json:"delta"`     // then it is no release, see [deltas]
}

// register is a register of the TPM and what it holds.
type register struct {
	Index uint8  `json:"pcr"`
	Value string `json:"value"` // hex
}

// numPCRs is how many registers a bank has.
const numPCRs = 24

// member names a target that belongs to a release of the same board.
type member struct {
	Kind    string `json:"kind"`
	Release uint64 `json:"release"`
	SHA256  string `json:"sha256"` // hex
}

// maxSet bounds the members of a set.
const maxSet = 8

// members resolves the members of a set. Each has to be signed by its own role as well.
func (c *Client) members(board string, members []member) ([]updater.Target, error) {
	if len(members) > maxSet {
		return nil, fmt.Errorf("a set has more than %d members: %w", maxSet, updater.ErrMetadata)
	}
	var set []updater.Target
	for _, m := range members {
		t, err := c.member(board, m)
		if err != nil {
			return nil, err
		}
		set = append(set, t)
	}
	return set, nil
}

func (c *Client) member(board string, m member) (updater.Target, error) {
	var t updater.Target
	if err := c.broken[role.Place{Board: board, Kind: m.Kind}]; err != nil {
		return t, err
	}
	ways := deltas{}
	for name, file := range c.entries(board, m.Kind) {
		var cu custom
		if file.Custom == nil || json.Unmarshal(*file.Custom, &cu) != nil {
			continue
		}
		if cu.Delta != nil {
			ways.add(name, file, *cu.Delta)
			continue
		}
		if t.Release != 0 || cu.Board != board || cu.Kind != m.Kind || cu.Release != m.Release || cu.SHA256 != m.SHA256 {
			continue
		}
		cu.Set = nil // sets are not nested
		var err error
		if t, err = c.target(name, file, cu); err != nil {
			return updater.Target{}, err
		}
	}
	if t.Release == 0 {
		return t, fmt.Errorf("a set names a %s %d that is not released: %w", m.Kind, m.Release, updater.ErrMetadata)
	}
	t.Deltas = ways.to(t)
	return t, nil
}

// candidate is a release that is listed for a board and kind.
type candidate struct {
	target  updater.Target
	err     error // why it cannot be used
	rollout *updater.Rollout
}

// listed are the releases of a board and kind, by number, and the deltas to them.
func (c *Client) listed(board, kind string) (map[uint64]candidate, deltas) {
	found, ways := map[uint64]candidate{}, deltas{}
	for name, file := range c.entries(board, kind) {
		var cu custom
		if file.Custom == nil || json.Unmarshal(*file.Custom, &cu) != nil {
			continue
		}
		if cu.Delta != nil {
			ways.add(name, file, *cu.Delta)
			continue
		}
		if cu.Board != board || cu.Kind != kind {
			continue
		}
		x := candidate{rollout: cu.Rollout}
		if x.target, x.err = c.target(name, file, cu); x.err == nil {
			if _, twice := found[cu.Release]; twice {
				x.err = fmt.Errorf("release %d is there twice: %w", cu.Release, updater.ErrMetadata)
			}
		}
		found[cu.Release] = x
	}
	return found, ways
}

// Find is the highest release for a board in the last verified metadata. One that is not
// sound stands in nobody's way: the highest that is counts, and the reason of a higher one
// is the error if there is nothing new beside it.
func (c *Client) Find(board, kind string) (updater.Target, error) {
	if c.set == nil {
		return updater.Target{}, fmt.Errorf("metadata has not been verified yet: %w", updater.ErrUnavailable)
	}
	if err := c.broken[role.Place{Board: board, Kind: kind}]; err != nil {
		return updater.Target{}, err
	}
	found, ways := c.listed(board, kind)
	var best updater.Target
	var top, worst uint64 // the highest that is listed, for whomever it is; and that is not sound
	for n, x := range found {
		top = max(top, n)
		switch {
		case !c.mayHave(board, kind, n, x.rollout):
		case x.err != nil:
			worst = max(worst, n)
		case n > best.Release:
			best = x.target
		}
	}
	bad := found[worst].err
	if bad != nil {
		c.cfg.Logger.Warn("a release cannot be used", "release", worst, "code", updater.Code(bad), "reason", bad.Error())
	}
	switch {
	case len(found) == 0:
		return updater.Target{}, updater.ErrUnknownBoard
	case top < c.floor.Release:
		return updater.Target{}, fmt.Errorf("highest release %d is below the floor %d: %w", top, c.floor.Release, updater.ErrRollback)
	case bad != nil && worst >= best.Release && best.Release <= c.floor.Release:
		return updater.Target{}, bad
	case best.Release < c.floor.Release, best.Release == 0:
		return updater.Target{}, fmt.Errorf("release %d is not for this printer: %w", top, updater.ErrUpToDate)
	}
	best.Deltas = ways.to(best)
	return best, nil
}

// targetPath is what a target may be called: plain names, no way up.
var targetPath = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$`)

// target checks a signed entry: signed does not mean sound.
func (c *Client) target(name string, file *metadata.TargetFiles, cu custom) (updater.Target, error) {
	sum := file.Hashes["sha256"]
	switch {
	case len(name) > 255 || !targetPath.MatchString(name):
		return updater.Target{}, fmt.Errorf("a target's path has characters it may not have: %w", updater.ErrMetadata)
	case len(sum) != sha256.Size || cu.SHA256 != hex.EncodeToString(sum):
		return updater.Target{}, fmt.Errorf("release %d: its digests differ: %w", cu.Release, updater.ErrMetadata)
	case cu.Release == 0:
		return updater.Target{}, fmt.Errorf("a release has no number: %w", updater.ErrMetadata)
	case file.Length <= 0:
		return updater.Target{}, fmt.Errorf("release %d has no length: %w", cu.Release, updater.ErrMetadata)
	case file.Length > c.cfg.MaxTarget:
		return updater.Target{}, fmt.Errorf("release %d is longer than %d bytes: %w", cu.Release, c.cfg.MaxTarget, updater.ErrTooLong)
	}
	measured, err := cu.measured()
	if err != nil {
		return updater.Target{}, fmt.Errorf("release %d: %w", cu.Release, err)
	}
	pcrs, err := cu.registers()
	if err != nil {
		return updater.Target{}, fmt.Errorf("release %d: %w", cu.Release, err)
	}
	set, err := c.members(cu.Board, cu.Set)
	if err != nil {
		return updater.Target{}, fmt.Errorf("release %d: %w", cu.Release, err)
	}
	return updater.Target{
		Set: set, Hardware: cu.Hardware, Measured: measured, PCRs: pcrs,
		Path: name, Board: cu.Board, Kind: cu.Kind, Release: cu.Release,
		Size: file.Length, SHA256: [32]byte(sum), Approvals: cu.Approvals,
	}, nil
}

// measured reads what a release names of what printers measure.
func (cu custom) measured() (list [][32]byte, err error) {
	if len(cu.Measured) > updater.MaxMeasured {
		return nil, fmt.Errorf("it names more than %d digests of what is measured: %w", updater.MaxMeasured, updater.ErrMetadata)
	}
	for _, text := range cu.Measured {
		d, err := hex.DecodeString(text)
		if err != nil || len(d) != sha256.Size {
			return nil, fmt.Errorf("it names a digest that is none: %w", updater.ErrMetadata)
		}
		list = append(list, [32]byte(d))
	}
	return list, nil
}

// registers reads what a release says of registers.
func (cu custom) registers() (map[uint8][32]byte, error) {
	var all map[uint8][32]byte
	for _, r := range cu.PCRs {
		d, err := hex.DecodeString(r.Value)
		_, twice := all[r.Index]
		if err != nil || len(d) != sha256.Size || r.Index >= numPCRs || twice {
			return nil, fmt.Errorf("it says of a register what cannot be: %w", updater.ErrMetadata)
		}
		if all == nil {
			all = map[uint8][32]byte{}
		}
		all[r.Index] = [32]byte(d)
	}
	return all, nil
}

// Download streams the contents of t, which Find has returned, to w. A connection
// that breaks is resumed where it broke, at the next mirror if there is one. Memory does
// not grow with the size. What was written to w is good only if Download returns nil;
// after updater.ErrTarget the next Download begins at another mirror.
func (c *Client) Download(ctx context.Context, t updater.Target, w io.Writer) error {
	f := File{Path: t.Path, Size: t.Size, sums: metadata.Hashes{"sha256": t.SHA256[:]}, prefixed: true}
	if err := c.fetchFile(ctx, f, w); err != nil {
		return fmt.Errorf("download release %d: %w", t.Release, err)
	}
	return nil
}
