package role

import (
	"errors"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

// TestPlaces: one role for each place, and nothing that leaves in doubt whose a path is.
func TestPlaces(t *testing.T) {
	one := func(name, path string) metadata.DelegatedRole {
		return metadata.DelegatedRole{Name: name, Threshold: 1, Terminating: true, Paths: []string{path}}
	}
	sim := Place{Board: "sim", Kind: "controller"}
	for name, x := range map[string]struct {
		roles []metadata.DelegatedRole
		ok    bool
	}{
		"none": {nil, true}, "two": {[]metadata.DelegatedRole{one("a", sim.Pattern()), one("b", "sim/agent/*/*")}, true},
		"one place twice": {[]metadata.DelegatedRole{one("a", sim.Pattern()), one("b", sim.Pattern())}, false},
		"one name twice":  {[]metadata.DelegatedRole{one("a", sim.Pattern()), one("a", "sim/agent/*/*")}, false},
		"too wide":        {[]metadata.DelegatedRole{one("a", "sim/*/*/*")}, false},
		"too many":        {make([]metadata.DelegatedRole, Most+1), false},
		"goes on":         {[]metadata.DelegatedRole{{Name: "a", Paths: []string{sim.Pattern()}}}, false},
		"of the top":      {[]metadata.DelegatedRole{one("targets", sim.Pattern())}, false},
	} {
		places, err := Places(&metadata.Delegations{Roles: x.roles})
		if x.ok && (err != nil || len(places) != len(x.roles)) || !x.ok && !errors.Is(err, updater.ErrMetadata) {
			t.Errorf("%s: %v, %v", name, places, err)
		}
	}
	for path, ok := range map[string]bool{
		"sim/controller/5/platen": true, "sim/controller/5/a/b": false, "sim/controller/5": false, "sim/agent/5/platen": false, "sim/controller-x/5/platen": false,
	} {
		md := metadata.Targets()
		md.Signed.Targets[path] = metadata.TargetFile()
		if err := sim.Check("a", md); ok != (err == nil) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
