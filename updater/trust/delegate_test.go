package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/role"
)

// grant is a role that targets are delegated to, with its key and what it lists.
type grant struct {
	metadata.DelegatedRole
	key     ed25519.PrivateKey
	targets *metadata.Metadata[metadata.TargetsType]
}

func newGrant(t testing.TB, name string, paths ...string) *grant {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := keyID(t, key)
	g := &grant{key: key, targets: metadata.Targets(labStart.AddDate(1, 0, 0))}
	g.DelegatedRole = metadata.DelegatedRole{Name: name, KeyIDs: []string{id}, Threshold: 1, Terminating: true, Paths: paths}
	return g
}

// list enters release n of a board and kind at a path.
func (g *grant) list(t testing.TB, path, board, kind string, n uint64) *grant {
	t.Helper()
	sum := sha256.Sum256(image(int(n)))
	text, err := json.Marshal(custom{Release: n, Board: board, Kind: kind, SHA256: fmt.Sprintf("%x", sum)})
	if err != nil {
		t.Fatal(err)
	}
	file := metadata.TargetFile()
	file.Length, file.Custom, file.Hashes["sha256"] = int64(len(image(int(n)))), (*json.RawMessage)(&text), sum[:]
	g.targets.Signed.Targets[path] = file
	return g
}

// delegations are those of a role.
func delegations(t testing.TB, grants ...*grant) *metadata.Delegations {
	t.Helper()
	d := &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, g := range grants {
		id, public := keyID(t, g.key)
		d.Keys[id] = public
		d.Roles = append(d.Roles, g.DelegatedRole)
	}
	return d
}

// delegate makes the mirror announce targets that delegate to grants, by all the right
// keys; more are roles that lie deeper. Each call takes higher versions.
func (l *lab) delegate(version int64, grants []*grant, more ...*grant) {
	l.t.Helper()
	md := parse(l, "2.targets.json", metadata.Targets())
	md.Signed.Version, md.Signed.Delegations = version, delegations(l.t, grants...)
	roles := map[string][]byte{}
	for _, g := range slices.Concat(grants, more) {
		g.targets.Signed.Version = version
		roles[g.Name] = sign(l.t, g.targets, g.key)
	}
	l.announce(version, sign(l.t, md, l.signers("targets")...), roles)
}

// announce serves targets and delegated roles under a snapshot and a timestamp of that
// version.
func (l *lab) announce(version int64, targets []byte, roles map[string][]byte) {
	l.t.Helper()
	ts := parse(l, "timestamp.json", metadata.Timestamp())
	sn := parse(l, "2.snapshot.json", metadata.Snapshot())
	sn.Signed.Version, ts.Signed.Version = version, version
	sn.Signed.Meta = map[string]*metadata.MetaFiles{"targets.json": metadata.MetaFile(version)}
	for name, data := range maps.All(roles) {
		sn.Signed.Meta[name+".json"] = metadata.MetaFile(version)
		l.serve(fmt.Sprintf("%d.%s.json", version, name), data)
	}
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(version)
	l.serve(fmt.Sprintf("%d.targets.json", version), targets)
	l.serve(fmt.Sprintf("%d.snapshot.json", version), sign(l.t, sn, l.signers("snapshot")...))
	l.serve("timestamp.json", sign(l.t, ts, l.signers("timestamp")...))
}

// TestDelegations: what a board's role lists is released, by its own key; nobody else's
// role is even fetched.
func TestDelegations(t *testing.T) {
	l := newLab(t)
	l.release(1)
	mine := newGrant(t, "sim-controller", "sim/controller/*/*").list(t, "sim/controller/5/image", board, "controller", 5)
	other := newGrant(t, "other-agent", "other/agent/*/*").list(t, "other/agent/9/platen", "other", "agent", 9)
	l.delegate(10, []*grant{mine, other})
	cfg := l.config(t.TempDir())
	cfg.Board = board
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustRefresh(t, c, 1)
	if got, err := c.Find(board, "controller"); err != nil || got.Release != 5 {
		t.Errorf("controller: release %d, %v", got.Release, err)
	}
	if _, err := c.Find("other", "agent"); !errors.Is(err, updater.ErrUnknownBoard) {
		t.Errorf("another board: %v", err)
	}
	if slices.Contains(l.requests(), "10.other-agent.json") {
		t.Error("another board's role was fetched")
	}
	mustRefresh(t, c, 1)
	if got := l.requests(); len(got) != 2 {
		t.Errorf("without news it asked for %q", got)
	}
}

// TestDelegationsRefused: what would leave in doubt who may release what, signed by all
// the right keys.
func TestDelegationsRefused(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	const path = "sim/controller/*/*"
	shaped := func(change func(g *grant)) []*grant {
		g := newGrant(t, "sim-controller", path).list(t, "sim/controller/5/image", board, "controller", 5)
		change(g)
		return []*grant{g}
	}
	version := int64(10)
	for name, x := range map[string]struct {
		grants []*grant
		want   error
	}{
		"the same path twice": {[]*grant{newGrant(t, "a", path), newGrant(t, "b", path)}, updater.ErrMetadata},
		"the same name twice": {[]*grant{newGrant(t, "a", path), newGrant(t, "a", "sim/rootfs/*/*")}, updater.ErrMetadata},
		"not terminating":     {shaped(func(g *grant) { g.Terminating = false }), updater.ErrMetadata},
		"every board":         {[]*grant{newGrant(t, "a", "*/controller/*/*")}, updater.ErrMetadata},
		"everything":          {[]*grant{newGrant(t, "a", "*")}, updater.ErrMetadata},
		"two paths":           {[]*grant{newGrant(t, "a", path, "sim/rootfs/*/*")}, updater.ErrMetadata},
		"no path":             {[]*grant{newGrant(t, "a")}, updater.ErrMetadata},
		"by hashes":           {shaped(func(g *grant) { g.Paths, g.PathHashPrefixes = nil, []string{"00"} }), updater.ErrMetadata},
		"a name with a slash": {[]*grant{newGrant(t, "../targets", path)}, updater.ErrMetadata},
		"a name of the top":   {[]*grant{newGrant(t, "snapshot", path)}, updater.ErrMetadata},
		"every kind":          {[]*grant{newGrant(t, "a", "sim/*/*/*")}, updater.ErrMetadata},
	} {
		version++
		l.delegate(version, x.grants)
		t.Run(name, func(t *testing.T) { refused(t, l.client(), x.want) })
		l.heal()
	}
	version++
	l.delegate(version, shaped(func(*grant) {})) // control
	mustRefresh(t, l.client(), 1)
}

// TestRolesRefused: what is wrong with one role stops what could have been its own, and
// nothing else.
func TestRolesRefused(t *testing.T) {
	l := newLab(t)
	l.release(1)
	const path = "sim/controller/*/*"
	version := int64(10)
	for name, x := range map[string]struct {
		change func(g *grant)
		want   error
	}{
		"control":              {func(*grant) {}, nil},
		"no keys needed":       {func(g *grant) { g.Threshold = 0 }, updater.ErrSignature},
		"more keys than there": {func(g *grant) { g.Threshold = 2 }, updater.ErrSignature},
		"one key twice": {func(g *grant) {
			g.Threshold, g.KeyIDs = 2, []string{g.KeyIDs[0], g.KeyIDs[0]}
		}, updater.ErrSignature},
		"lists another board's": {func(g *grant) { g.list(t, "other/agent/1/platen", "other", "agent", 1) }, updater.ErrMetadata},
		"lists another kind's":  {func(g *grant) { g.list(t, "sim/agent/7/platen", board, "agent", 7) }, updater.ErrMetadata},
		"delegates further": {func(g *grant) {
			g.targets.Signed.Delegations = delegations(t, newGrant(t, "deeper", path))
		}, updater.ErrMetadata},
		"expired": {func(g *grant) { g.targets.Signed.Expires = labStart.AddDate(0, 0, -1) }, updater.ErrExpired},
		"moves the time of all": {func(g *grant) {
			end := labStart.AddDate(500, 0, 0)
			g.targets.Signed.Expires, g.targets.Signed.UnrecognizedFields = end, map[string]any{issuedField: end.AddDate(-1, 0, 0).Format(time.RFC3339)}
		}, nil},
	} {
		version++
		g := newGrant(t, "sim-controller", path).list(t, "sim/controller/5/image", board, "controller", 5)
		x.change(g)
		sound := newGrant(t, "sim-rootfs", "sim/rootfs/*/*").list(t, "sim/rootfs/3/image", board, "rootfs", 3)
		l.delegate(version, []*grant{g, sound})
		t.Run(name, func(t *testing.T) {
			var told []error
			cfg := l.config(t.TempDir())
			cfg.Refused = func(err error) { told = append(told, err) }
			c, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			mustRefresh(t, c, 1)
			if got, err := c.Find(board, "rootfs"); err != nil || got.Release != 3 {
				t.Errorf("another role's: release %d, %v", got.Release, err)
			}
			if _, err := c.Find(board, "controller"); !errors.Is(err, x.want) || (err != nil) != (len(told) == 1 && errors.Is(told[0], x.want)) {
				t.Errorf("find: %v; want %v; told %v", err, x.want, told)
			}
			if got := c.Floor().Time; got.After(labStart.AddDate(1, 0, 0)) {
				t.Errorf("a role has moved the time to %v", got)
			}
		})
		l.heal()
	}
}

// TestRoleOfTheNextMirror: what one mirror spoils of a role, the next one may have.
func TestRoleOfTheNextMirror(t *testing.T) {
	l := newLab(t)
	l.release(1)
	l.delegate(10, []*grant{newGrant(t, "sim-controller", "sim/controller/*/*").list(t, "sim/controller/5/image", board, "controller", 5)})
	good := httptest.NewServer(l) // serves under /tuf
	t.Cleanup(good.Close)
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "10.sim-controller.json") {
			http.NotFound(w, r)
			return
		}
		l.ServeHTTP(w, r)
	}))
	t.Cleanup(bad.Close)
	for name, urls := range map[string][]string{
		"alone": {bad.URL + "/tuf"}, "first": {bad.URL + "/tuf", good.URL + "/tuf"}, "last": {good.URL + "/tuf", bad.URL + "/tuf"},
	} {
		cfg := l.config(t.TempDir())
		cfg.URL, cfg.Mirrors = urls[0], urls[1:]
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		mustRefresh(t, c, 1)
		if got, err := c.Find(board, "controller"); (err == nil && got.Release == 5) == (name == "alone") {
			t.Errorf("%s: release %d, %v", name, got.Release, err)
		}
	}
}

// TestRoleOfAnother: a role's key signs in the place of another role, or says of its own
// file that it is for another board.
func TestRoleOfAnother(t *testing.T) {
	l := newLab(t)
	l.release(1)
	mine := newGrant(t, "sim-controller", "sim/controller/*/*")
	theirs := newGrant(t, "sim-rootfs", "sim/rootfs/*/*")
	theirs.key = mine.key // but not in the delegation: it names the first key
	l.delegate(10, []*grant{mine, theirs})
	c := l.client()
	mustRefresh(t, c, 1)
	if _, err := c.Find(board, "rootfs"); !errors.Is(err, updater.ErrSignature) {
		t.Errorf("a role signed by another role's key: %v", err)
	}
	l.heal()
	liar := newGrant(t, "sim-controller", "sim/controller/*/*").list(t, "sim/controller/5/image", board, "agent", 500)
	l.delegate(11, []*grant{liar})
	c = l.client()
	mustRefresh(t, c, 1)
	if _, err := c.Find(board, "controller"); !errors.Is(err, updater.ErrUnknownBoard) {
		t.Errorf("a controller's firmware that says it is an agent: %v", err)
	}
}

// TestDiamond: a role reached by two ways is verified for each of them.
func TestDiamond(t *testing.T) {
	l := newLab(t)
	l.release(1)
	a, b := newGrant(t, "parent-a", "team-a/*"), newGrant(t, "parent-b", "team-b/*")
	viaA, viaB := newGrant(t, "release", "team-a/*"), newGrant(t, "release", "team-b/*")
	viaA.list(t, "team-a/x", "x", "x", 1).list(t, "team-b/x", "x", "x", 2)
	a.targets.Signed.Delegations, b.targets.Signed.Delegations = delegations(t, viaA), delegations(t, viaB)
	l.delegate(10, []*grant{a, b}, viaA) // signed by the key that A has named alone
	cfg := l.config(t.TempDir())
	cfg.Foreign = true
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := c.Lookup(context.Background(), "team-a/x")
	if err != nil || !f.Holds(bytes.NewReader(image(1))) || f.Holds(bytes.NewReader(image(2))) {
		t.Errorf("by the way of A: %v", err) // the control
	}
	if _, err := c.Lookup(context.Background(), "team-b/x"); !errors.Is(err, updater.ErrSignature) {
		t.Errorf("by the way of B: %v", err)
	}
	if _, err := c.Lookup(context.Background(), "team-c/x"); !errors.Is(err, ErrNoTarget) {
		t.Errorf("by no way: %v", err)
	}
	refused(t, l.client(), updater.ErrMetadata) // a printer takes no such repository at all
}

// TestHashBins: roles by prefixes of hexadecimal digests, as python-tuf writes them, and
// succinct ones.
func TestHashBins(t *testing.T) {
	l := newLab(t)
	l.release(1)
	var bins []*grant
	for _, half := range []string{"01234567", "89abcdef"} {
		g := newGrant(t, "bin-"+half)
		for _, digit := range half {
			g.PathHashPrefixes = append(g.PathHashPrefixes, string(digit))
		}
		bins = append(bins, g)
	}
	for n := range uint64(20) {
		path := fmt.Sprintf("file-%d", n)
		at := bins[0]
		if sum := sha256.Sum256([]byte(path)); sum[0] >= 0x80 {
			at = bins[1]
		}
		at.list(t, path, "x", "x", n+1)
	}
	l.delegate(10, bins)
	cfg := l.config(t.TempDir())
	cfg.Foreign = true
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		f, err := c.Lookup(context.Background(), fmt.Sprintf("file-%d", n))
		if err != nil || !f.Holds(bytes.NewReader(image(n+1))) {
			t.Errorf("file-%d: %v", n, err)
		}
	}
	d := &metadata.Delegations{SuccinctRoles: &metadata.SuccinctRoles{BitLength: 4, NamePrefix: "bin"}}
	if roles, last := rolesFor(d, "file-1"); len(roles) != 1 || !last {
		t.Errorf("succinct roles: %q", roles)
	}
}

// TestSearchEnds: roles that delegate in a circle, and deeper than anybody needs; a
// terminating role, behind which nobody is asked.
func TestSearchEnds(t *testing.T) {
	l := newLab(t)
	l.release(1)
	list := func(g *grant, path string) *grant { return g.list(t, path, "x", "x", 1) }
	a, b := newGrant(t, "circle-a", "circle/*"), newGrant(t, "circle-b", "circle/*")
	a.Terminating, b.Terminating = false, false
	a.targets.Signed.Delegations, b.targets.Signed.Delegations = delegations(t, b), delegations(t, a)
	list(b, "circle/there")
	chain := []*grant{newGrant(t, "deep-0", "deep/*")}
	for n := range 40 {
		next := newGrant(t, fmt.Sprintf("deep-%d", n+1), "deep/*")
		chain[n].targets.Signed.Delegations = delegations(t, next)
		chain = append(chain, next)
	}
	list(chain[10], "deep/ten")
	list(chain[35], "deep/far")
	last, behind := newGrant(t, "last", "both/*"), list(list(newGrant(t, "behind", "*/*"), "both/behind"), "other/behind")
	l.delegate(10, []*grant{a, chain[0], last, behind}, append(chain[1:], b)...)
	cfg := l.config(t.TempDir())
	cfg.Foreign = true
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for path, there := range map[string]bool{
		"circle/there": true, "circle/nowhere": false, "deep/ten": true, "deep/far": false, "both/behind": false, "other/behind": true,
	} {
		l.requests()
		_, err := c.Lookup(context.Background(), path)
		if there && err != nil || !there && !errors.Is(err, ErrNoTarget) {
			t.Errorf("%s: %v", path, err)
		}
		if n := len(l.requests()); n > role.Most {
			t.Errorf("%s: %d requests", path, n)
		}
	}
}
