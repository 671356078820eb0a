package trust

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

// TestRoleOnAWipedDisk: what a delegated role listed before does not come back on a printer
// that has forgotten it. The snapshot, whose version the TPM keeps, names the versions of all
// roles; who has stolen the keys to sign another snapshot gets as far as the release that the
// TPM keeps.
func TestRoleOnAWipedDisk(t *testing.T) {
	l := newLab(t)
	l.release(1)
	g := newGrant(t, "sim-agent", "sim/agent/*/*").list(t, "sim/agent/5/platen", board, "agent", 5)
	l.delegate(10, []*grant{g})
	old := l.shown("timestamp.json")
	g.list(t, "sim/agent/6/platen", board, "agent", 6)
	l.delegate(11, []*grant{g})

	m := &index{}
	c := l.clientWith(m)
	mustRefresh(t, c, 6)
	if err := c.Raise(updater.Floor{Release: 6}); err != nil {
		t.Fatal(err)
	}
	now := l.shown("timestamp.json")
	l.serve("timestamp.json", old)
	refused(t, l.clientWith(m), updater.ErrRollback)
	mustRefresh(t, l.clientWith(nil), 5) // control: who remembers nothing believes it

	l.serve("timestamp.json", now)

	// A snapshot by stolen keys, newer than any: the newest targets, and the role as it was.
	sn := parseShown(l, "11.snapshot.json", metadata.Snapshot())
	ts := parseShown(l, "timestamp.json", metadata.Timestamp())
	sn.Signed.Version, ts.Signed.Version = 12, 12
	sn.Signed.Meta["sim-agent.json"] = metadata.MetaFile(10)
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(12)
	l.serve("12.snapshot.json", sign(t, sn, l.signers("snapshot")...))
	l.serve("timestamp.json", sign(t, ts, l.signers("timestamp")...))
	refused(t, c, updater.ErrRollback) // its disk knows the versions
	wiped := l.clientWith(m)
	if err := wiped.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, err := wiped.Find(board, "agent"); !errors.Is(err, updater.ErrRollback) {
		t.Errorf("found release %d, %v", got.Release, err)
	}
	mustRefresh(t, l.clientWith(nil), 5) // control
}

// shown is what the mirror shows under a name.
func (l *lab) shown(name string) []byte {
	l.t.Helper()
	rsp, err := http.Get(l.url + "/" + name)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rsp.Body.Close()
	data, err := io.ReadAll(rsp.Body)
	if err != nil || rsp.StatusCode != http.StatusOK {
		l.t.Fatalf("%s: %s, %v", name, rsp.Status, err)
	}
	return data
}

// parseShown is parse of what the mirror shows.
func parseShown[T metadata.Roles](l *lab, name string, md *metadata.Metadata[T]) *metadata.Metadata[T] {
	l.t.Helper()
	md, err := md.FromBytes(l.shown(name))
	if err != nil {
		l.t.Fatal(err)
	}
	return md
}
