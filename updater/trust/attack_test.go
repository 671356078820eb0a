package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

func fetched(t *testing.T, c *Client, target updater.Target) ([]byte, error) {
	t.Helper()
	var b bytes.Buffer
	err := c.Download(context.Background(), target, &b)
	return b.Bytes(), err
}

func TestReleases(t *testing.T) {
	l := newLab(t)
	c := l.client()
	if err := c.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Find(board, "agent"); !errors.Is(err, updater.ErrUnknownBoard) {
		t.Errorf("in an empty repository: %v", err)
	}
	for n := 1; n <= 3; n++ {
		l.release(n)
		target := mustRefresh(t, c, uint64(n))
		got, err := fetched(t, c, target)
		if err != nil || !bytes.Equal(got, image(n)) {
			t.Errorf("release %d: %d bytes, %v", n, len(got), err)
		}
	}
	for _, who := range [][2]string{{"other", "agent"}, {board, "rootfs"}} {
		if _, err := c.Find(who[0], who[1]); !errors.Is(err, updater.ErrUnknownBoard) {
			t.Errorf("find %v: %v", who, err)
		}
	}
}

func TestRollback(t *testing.T) {
	l := newLab(t)
	l.release(1)
	old := l.read("timestamp.json")
	l.release(2)
	c := l.client()
	mustRefresh(t, c, 2)
	l.serve("timestamp.json", old)
	refused(t, c, updater.ErrRollback)
	again := l.clientIn(c.cfg.Dir)
	if err := again.Refresh(context.Background()); !errors.Is(err, updater.ErrRollback) {
		t.Errorf("after a restart: %v", err)
	}
	mustRefresh(t, l.client(), 1) // control: who has seen nothing newer believes it
}

// TestRollbackOfSnapshot: stolen online keys announce an older snapshot under a newer
// timestamp, and older targets under a newer snapshot.
func TestRollbackOfSnapshot(t *testing.T) {
	l := newLab(t)
	l.release(1)
	oldTargets := l.read("2.targets.json")
	l.release(2)
	c := l.client()
	mustRefresh(t, c, 2)
	ts := parse(l, "timestamp.json", metadata.Timestamp())
	ts.Signed.Version++
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(ts.Signed.Meta["snapshot.json"].Version - 1)
	l.serve("timestamp.json", sign(t, ts, l.signers("timestamp")...))
	refused(t, c, updater.ErrRollback)
	l.heal()
	l.forge(oldTargets, 2)
	refused(t, c, updater.ErrRollback)
}

// TestWipedDisk: the store is wiped and the mirror goes back to an older release that
// is still signed and valid. The floor, kept in the slot record as well, refuses it.
func TestWipedDisk(t *testing.T) {
	l := newLab(t)
	l.release(1)
	old := l.read("timestamp.json")
	l.release(2)
	c := l.client()
	mustRefresh(t, c, 2)
	if err := c.Raise(updater.Floor{Release: 2}); err != nil {
		t.Fatal(err)
	}
	l.serve("timestamp.json", old)
	if err := os.RemoveAll(filepath.Join(c.cfg.Dir, "timestamp.json")); err != nil {
		t.Fatal(err)
	}
	for name, floor := range map[string]updater.Floor{"slot record": {Release: 2}, "nothing": {}} {
		wiped := l.client()
		if err := wiped.Raise(floor); err != nil {
			t.Fatal(err)
		}
		if err := wiped.Refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		_, err := wiped.Find(board, "agent")
		if want := floor.Release != 0; errors.Is(err, updater.ErrRollback) != want {
			t.Errorf("floor from %s: %v", name, err)
		}
	}
	kept := l.clientIn(c.cfg.Dir) // its own copy of the floor
	if kept.Floor().Release != 2 {
		t.Errorf("the store's floor is %d", kept.Floor().Release)
	}
}

func TestFreeze(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	ends := parse(l, "timestamp.json", metadata.Timestamp()).Signed.Expires
	l.now = ends.Add(-time.Second)
	mustRefresh(t, c, 1)
	l.now = ends.Add(time.Second)
	refused(t, c, updater.ErrExpired)
	l.publish()
	mustRefresh(t, c, 1)
}

func TestMixAndMatch(t *testing.T) {
	l := newLab(t)
	l.release(1)
	l.release(2)
	c := l.client()
	mustRefresh(t, c, 2)
	l.release(3)
	for _, x := range []struct {
		path, wrong string
		want        error
	}{ // in the order of fetching, since what was verified is not fetched again
		{"timestamp.json", "4.snapshot.json", updater.ErrSignature}, // signed, another role
		{"4.snapshot.json", "3.snapshot.json", updater.ErrMixed},    // signed, older
		{"4.targets.json", "3.targets.json", updater.ErrMixed},
	} {
		l.serve(x.path, l.read(x.wrong))
		refused(t, c, x.want)
		l.heal()
	}
	mustRefresh(t, c, 3)
}

// TestChangedBytes changes every 13th byte of each file the mirror serves: no
// release 2 appears, whatever it does to the parser.
func TestChangedBytes(t *testing.T) {
	l := newLab(t)
	l.release(1)
	l.release(2)
	step := 13
	if testing.Short() {
		step = 701
	}
	for _, path := range []string{"timestamp.json", "3.snapshot.json", "3.targets.json"} {
		data := l.read(path)
		c := l.client()
		for i := 0; i < len(data); i += step {
			bad := bytes.Clone(data)
			bad[i] ^= 0x01
			l.serve(path, bad)
			if err := c.Refresh(context.Background()); err == nil {
				t.Fatalf("%s: byte %d changed and nothing noticed", path, i)
			} else if updater.Code(err) == "failed" {
				t.Fatalf("%s: byte %d: no code: %v", path, i, err)
			}
			c.store = store{emptied(t, c)}
		}
		l.heal()
		mustRefresh(t, c, 2)
	}
}

// TestSignedButUnsound: enough release keys signed, and it still may not be used. It stands
// in nobody's way: who has not release 1 yet gets that, whoever has it is told what is wrong.
func TestSignedButUnsound(t *testing.T) {
	l := newLab(t)
	l.release(1)
	for name, x := range map[string]struct {
		path   string
		change func(f *metadata.TargetFiles)
		want   error
	}{
		"up":           {"../../../etc/passwd", nil, updater.ErrMetadata},
		"absolute":     {"/etc/passwd", nil, updater.ErrMetadata},
		"escaped":      {"sim/%2e%2e/x", nil, updater.ErrMetadata},
		"NUL":          {"sim/a\x00b", nil, updater.ErrMetadata},
		"backslash":    {`sim\agent`, nil, updater.ErrMetadata},
		"empty part":   {"sim//x", nil, updater.ErrMetadata},
		"query":        {"sim/x?y", nil, updater.ErrMetadata},
		"no length":    {"sim/x", func(f *metadata.TargetFiles) { f.Length = 0 }, updater.ErrMetadata},
		"negative":     {"sim/x", func(f *metadata.TargetFiles) { f.Length = -5 }, updater.ErrMetadata},
		"huge":         {"sim/x", func(f *metadata.TargetFiles) { f.Length = 1 << 62 }, updater.ErrTooLong},
		"other digest": {"sim/x", func(f *metadata.TargetFiles) { f.Hashes["sha256"] = make([]byte, 32) }, updater.ErrMetadata},
		"sha512 only": {"sim/x", func(f *metadata.TargetFiles) {
			delete(f.Hashes, "sha256")
			f.Hashes["sha512"] = make([]byte, 64)
		}, updater.ErrMetadata},
		"twice": {"sim/x", func(f *metadata.TargetFiles) {
			text := json.RawMessage(bytes.Replace(*f.Custom, []byte(`"release":2`), []byte(`"release":1`), 1))
			f.Custom = &text
		}, updater.ErrMetadata},
	} {
		t.Run(name, func(t *testing.T) {
			md := evil(t, l, x.path, 3)
			if x.change != nil {
				x.change(md.Signed.Targets[x.path])
			}
			l.forge(sign(t, md, l.signers("targets")...), 3)
			c := l.client()
			if err := c.Refresh(context.Background()); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Find(board, "agent"); name != "twice" && (err != nil || got.Release != 1) {
				t.Errorf("what is sound beside it: release %d, %v", got.Release, err)
			}
			if err := c.Raise(updater.Floor{Release: 1}); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Find(board, "agent"); !errors.Is(err, x.want) {
				t.Errorf("find: release %d, %v", got.Release, err)
			}
		})
		l.heal()
	}
}

// TestFastForward: a thief of the online keys drives versions up, so that nothing
// honest is newer. Rotating the keys heals it.
func TestFastForward(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	sn := parse(l, "2.snapshot.json", metadata.Snapshot())
	sn.Signed.Version = 1 << 40
	sn.Signed.Meta["targets.json"].Version = 2
	ts := parse(l, "timestamp.json", metadata.Timestamp())
	ts.Signed.Version = 1 << 40
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(1 << 40)
	l.serve("timestamp.json", sign(t, ts, l.signers("timestamp")...))
	l.serve(fmt.Sprintf("%d.snapshot.json", int64(1)<<40), sign(t, sn, l.signers("snapshot")...))
	mustRefresh(t, c, 1)
	l.heal()
	l.release(2)
	refused(t, c, updater.ErrRollback)
	for _, role := range []string{"snapshot", "timestamp"} {
		if err := l.rotate(role); err != nil {
			t.Fatal(err)
		}
	}
	mustRefresh(t, c, 2)
}
