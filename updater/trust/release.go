package trust

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

// mayHave reports whether a release is for this printer. One that it has is, whatever
// became of the rollout since: taking it back is no news, and no alarm.
func (c *Client) mayHave(board, kind string, release uint64, r *updater.Rollout) bool {
	return release <= c.floor.Release || r.Admits(board, kind, release, c.cfg.Printer, c.cfg.Ring)
}

// deltaOf is what the signed entry of a delta says it makes, and out of what: digests in
// hex.
type deltaOf struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// deltas are the signed deltas of the metadata, by the digest of what they make.
type deltas map[[sha256.Size]byte][]updater.Delta

// add enters a delta. One that is not sound counts as not there: the whole target is.
func (d deltas) add(name string, file *metadata.TargetFiles, of deltaOf) {
	from, err1 := hex.DecodeString(of.From)
	to, err2 := hex.DecodeString(of.To)
	sum := file.Hashes["sha256"]
	if err1 != nil || err2 != nil || len(from) != sha256.Size || len(to) != sha256.Size || len(sum) != sha256.Size ||
		len(name) > 255 || !targetPath.MatchString(name) || file.Length <= 0 {
		return
	}
	d[[sha256.Size]byte(to)] = append(d[[sha256.Size]byte(to)], updater.Delta{
		Path: name, From: [sha256.Size]byte(from), Size: file.Length, SHA256: [sha256.Size]byte(sum),
	})
}

// to are the deltas that make t and are shorter than it, the shortest first.
func (d deltas) to(t updater.Target) []updater.Delta {
	list := slices.DeleteFunc(d[t.SHA256], func(x updater.Delta) bool { return x.Size >= t.Size })
	slices.SortFunc(list, func(a, b updater.Delta) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), cmp.Compare(a.Path, b.Path))
	})
	return list
}
