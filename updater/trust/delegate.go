package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/role"
)

// loadRoles loads the roles that targets of this printer's board are delegated to. One
// whose metadata cannot be used stops what it could have released, and nothing else: who
// holds a role, or loses it, does not hold up the others.
func (c *Client) loadRoles(ctx context.Context, w *walk) error {
	if c.cfg.Foreign {
		return nil
	}
	found, err := role.Places(w.Targets[metadata.TARGETS].Signed.Delegations)
	if err != nil {
		return err
	}
	for _, p := range slices.SortedFunc(maps.Keys(found), func(a, b role.Place) int { return strings.Compare(a.String(), b.String()) }) {
		if c.cfg.Board != "" && p.Board != c.cfg.Board {
			continue
		}
		name := found[p]
		err := c.loadRole(ctx, w, name, metadata.TARGETS)
		if errors.Is(err, errHere) || ctx.Err() != nil {
			return err
		}
		if err == nil {
			err = p.Check(name, w.Targets[name])
		}
		if err != nil {
			delete(w.Targets, name)
			w.broken[p] = err
		}
	}
	return nil
}

// entries are the signed targets of a board and kind: those of the top-level role, and
// those of the role that they are delegated to. An entry of the latter that says of
// itself that it is for another board or of another kind is none.
func (c *Client) entries(board, kind string) iter.Seq2[string, *metadata.TargetFiles] {
	return func(yield func(string, *metadata.TargetFiles) bool) {
		top := c.set.Targets[metadata.TARGETS]
		for path, file := range top.Signed.Targets {
			if !yield(path, file) {
				return
			}
		}
		found, err := role.Places(top.Signed.Delegations)
		if err != nil {
			return
		}
		md := c.set.Targets[found[role.Place{Board: board, Kind: kind}]]
		if md == nil {
			return
		}
		for path, file := range md.Signed.Targets {
			if !yield(path, file) {
				return
			}
		}
	}
}

// loadRole loads a delegated role as its delegator sees it: what another delegator has
// verified does not count.
func (c *Client) loadRole(ctx context.Context, w *walk, role, parent string) error {
	name := url.PathEscape(role)
	if role == "" || len(name) > 200 || role == metadata.ROOT || role == metadata.TIMESTAMP || role == metadata.SNAPSHOT {
		return fmt.Errorf("a role's name cannot be used: %w", updater.ErrMetadata)
	}
	meta := w.Snapshot.Signed.Meta[role+".json"]
	if meta == nil || meta.Length > maxTargets {
		return fmt.Errorf("the snapshot does not name %s: %w", name, updater.ErrMixed)
	}
	if data, err := c.store.load(name, maxTargets); err == nil && c.updateTargets(w, data, role, parent) == nil {
		return nil
	}
	limit := int64(maxTargets)
	if meta.Length > 0 {
		limit = meta.Length
	}
	data, err := c.get(ctx, versioned(w, name, meta.Version), limit)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", name, absent(err))
	}
	if err := c.updateTargets(w, data, role, parent); err != nil {
		return fmt.Errorf("%s: %w", name, classify("targets", err))
	}
	return c.store.save(name, data)
}

// ErrNoTarget reports that no role lists a target.
var ErrNoTarget = errors.New("the repository does not list that file")

// find looks for a target the way the specification has it (5.6.7): through the roles in
// the order in which they are delegated to, depth first, no more than role.Most of them.
func (c *Client) find(ctx context.Context, path string) (*metadata.TargetFiles, error) {
	if c.set == nil {
		return nil, fmt.Errorf("metadata has not been verified yet: %w", updater.ErrUnavailable)
	}
	type step struct{ role, parent string }
	w := &walk{TrustedMetadata: c.set}
	ahead, seen := []step{{metadata.TARGETS, metadata.ROOT}}, map[string]bool{}
	for len(ahead) > 0 && len(seen) <= role.Most {
		at := ahead[len(ahead)-1]
		ahead = ahead[:len(ahead)-1]
		if seen[at.role] {
			continue
		}
		seen[at.role] = true
		if at.role != metadata.TARGETS {
			if err := c.loadRole(ctx, w, at.role, at.parent); err != nil {
				return nil, err
			}
		}
		md := w.Targets[at.role]
		if file := md.Signed.Targets[path]; file != nil {
			return file, nil
		}
		if md.Signed.Delegations == nil {
			continue
		}
		next, last := rolesFor(md.Signed.Delegations, path)
		if last {
			ahead = nil
		}
		for i := len(next) - 1; i >= 0; i-- {
			ahead = append(ahead, step{next[i], at.role})
		}
	}
	return nil, ErrNoTarget
}

// rolesFor are the roles that a path is delegated to, in order, up to the first that is
// terminating.
func rolesFor(d *metadata.Delegations, path string) (roles []string, last bool) {
	if d.SuccinctRoles != nil && d.Roles == nil {
		for _, r := range d.SuccinctRoles.GetRolesForTarget(path) {
			return []string{r.Name}, true
		}
	}
	sum := sha256.Sum256([]byte(path))
	digest := hex.EncodeToString(sum[:])
	for i := range d.Roles {
		r := &d.Roles[i]
		ok := false
		for _, prefix := range r.PathHashPrefixes { // in hexadecimal (4.5), which go-tuf 2.4.2 does not compare
			ok = ok || prefix != "" && strings.HasPrefix(digest, prefix)
		}
		if len(r.Paths) > 0 {
			ok, _ = r.IsDelegatedPath(path)
		}
		if !ok {
			continue
		}
		roles = append(roles, r.Name)
		if r.Terminating {
			return roles, true
		}
	}
	return roles, false
}
