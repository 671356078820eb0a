// Package role says which delegations a repository of releases may have: to whom the
// targets of a kind for a board (a [Place]) may be left. Package publish makes no others
// and package trust takes no others.
//
// TUF allows more than that: roles whose paths overlap, roles that delegate further, paths
// by the prefixes of their hashes. With those, who may release what depends on the order of
// a search. Here there is one answer, and it can be read in one file.
package role

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

// Place is what one delegation is about: the targets of a kind for a board.
type Place struct{ Board, Kind string }

// String is BOARD/KIND.
func (p Place) String() string { return p.Board + "/" + p.Kind }

// Pattern is the path that a role of the place is delegated.
func (p Place) Pattern() string { return p.String() + "/*/*" }

// holds reports that a target's path lies in the place: BOARD/KIND/x/y.
func (p Place) holds(path string) bool {
	rest, ok := strings.CutPrefix(path, p.String()+"/")
	return ok && strings.Count(rest, "/") == 1
}

// Check refuses metadata of the role of a place that delegates further, or that lists what
// lies elsewhere: updater.ErrMetadata.
func (p Place) Check(role string, md *metadata.Metadata[metadata.TargetsType]) error {
	if md.Signed.Delegations != nil {
		return fmt.Errorf("%s delegates further: %w", role, updater.ErrMetadata)
	}
	for path := range md.Signed.Targets {
		if !p.holds(path) {
			return fmt.Errorf("%s lists what it was not given: %w", role, updater.ErrMetadata)
		}
	}
	return nil
}

var (
	plain     = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	placePath = regexp.MustCompile(`^([a-z0-9]+(?:-[a-z0-9]+)*)/([a-z0-9]+(?:-[a-z0-9]+)*)/\*/\*$`)
)

// Most bounds the delegated roles of a repository, and those that a lookup visits.
const Most = 32

// Places reads the delegations of the top-level targets: which role has which place. Each
// role has a plain name, is terminating and has one path, that of its place, that no other
// role has: then there is one answer to who may release what. Anything else is
// updater.ErrMetadata.
func Places(d *metadata.Delegations) (map[Place]string, error) {
	found := map[Place]string{}
	if d == nil {
		return found, nil
	}
	refuse := func(why string) (map[Place]string, error) {
		return nil, fmt.Errorf("a delegation %s: %w", why, updater.ErrMetadata)
	}
	if d.SuccinctRoles != nil || len(d.Roles) > Most {
		return refuse("is not to a few roles by their names")
	}
	names := map[string]bool{metadata.ROOT: true, metadata.TIMESTAMP: true, metadata.SNAPSHOT: true, metadata.TARGETS: true}
	for _, r := range d.Roles {
		switch {
		case len(r.Name) > 128 || !plain.MatchString(r.Name) || names[r.Name]:
			return refuse("has a name that it may not have, or that another one has")
		case !r.Terminating:
			return refuse("is not terminating")
		case len(r.Paths) != 1 || len(r.PathHashPrefixes) > 0:
			return refuse("is not of one path")
		}
		m := placePath.FindStringSubmatch(r.Paths[0])
		if m == nil {
			return refuse("is of a path that is not BOARD/KIND/*/*")
		}
		p := Place{m[1], m[2]}
		if found[p] != "" {
			return refuse("is of the path of another one")
		}
		names[r.Name], found[p] = true, r.Name
	}
	return found, nil
}
