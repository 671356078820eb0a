package trust

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/role"
)

// Every lists the releases of a kind for all boards in the last verified metadata, by
// number: what a verifier may meet on printers, whatever the rollout. A client with a
// Board in its Config lists those of that board's delegated roles alone. An entry that is
// signed but not sound is left out, as is what a role lists whose metadata cannot be used:
// see Stopped.
func (c *Client) Every(kind string) ([]updater.Target, error) {
	if c.set == nil {
		return nil, fmt.Errorf("metadata has not been verified yet: %w", updater.ErrUnavailable)
	}
	top := c.set.Targets[metadata.TARGETS]
	roles, err := role.Places(top.Signed.Delegations)
	if err != nil {
		return nil, err
	}
	var list []updater.Target
	take := func(md *metadata.Metadata[metadata.TargetsType], board string) {
		if md == nil {
			return
		}
		for path, file := range md.Signed.Targets {
			var cu custom
			if file.Custom == nil || json.Unmarshal(*file.Custom, &cu) != nil || cu.Delta != nil || cu.Kind != kind || board != "" && cu.Board != board {
				continue
			}
			if t, err := c.target(path, file, cu); err == nil {
				list = append(list, t)
			}
		}
	}
	take(top, "")
	for p, role := range roles {
		if p.Kind == kind {
			take(c.set.Targets[role], p.Board)
		}
	}
	slices.SortFunc(list, func(a, b updater.Target) int {
		return cmp.Or(cmp.Compare(a.Release, b.Release), cmp.Compare(a.Path, b.Path))
	})
	return list, nil
}

// Stopped is of which boards a role's metadata could not be used in the last refresh, and why:
// what Every lists of those is not all that counts.
func (c *Client) Stopped() map[string]error {
	boards := map[string]error{}
	for p, err := range c.broken {
		boards[p.Board] = fmt.Errorf("what is released for %s: %w", p, err)
	}
	return boards
}
