package publish_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/publish"
	"platen/updater/slot"
)

// build is a release's contents, of which the next differ little.
func build(n uint64) string {
	var b strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&b, "line %d of the agent\n", i*7919%6007)
		if i%1000 == 0 {
			fmt.Fprintf(&b, "release %d\n", n)
		}
	}
	return b.String()
}

// printer is a printer with release n in slot a.
func (s *site) printer(n uint64) (*updater.Updater, string) {
	s.t.Helper()
	dir := s.t.TempDir()
	if err := boot.Install(dir, s.file(build(n)), n); err != nil {
		s.t.Fatal(err)
	}
	slots, err := boot.Open(dir, slot.A)
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := updater.New(updater.Config{Board: "sim", Kind: "agent", Release: n, Source: s.client(), Bootloader: slots, Log: slots.Log()})
	if err != nil {
		s.t.Fatal(err)
	}
	return u, dir
}

// damage flips a byte in the middle of the one file of the repository that matches.
func (s *site) damage(pattern string) {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, "targets", pattern))
	if err != nil || len(found) != 1 {
		s.t.Fatal(found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		s.t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(found[0], data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// TestDeltasReachPrinters: a printer that has what a delta starts from needs nothing else;
// whatever is wrong with it, the whole release does.
func TestDeltasReachPrinters(t *testing.T) {
	s := newSite(t)
	for n := range uint64(4) {
		if _, err := s.Add(publish.Item{Release: n + 1, Board: "sim", File: s.file(build(n + 1))}, nil, s.now); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Delta("sim", "agent", 4, 2, nil, s.now)
	if err != nil || len(list) != 2 || list[0].Size*50 > list[0].Whole {
		t.Fatalf("%+v, %v", list, err)
	}
	s.mustPublish()
	stage := func(from uint64, spoil func(dir string)) error {
		u, dir := s.printer(from)
		if spoil != nil {
			spoil(dir)
		}
		target, err := u.Stage(context.Background())
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(dir, "b", "platen"))
		if err != nil || target.Release != 4 || !bytes.Equal(got, []byte(build(4))) {
			t.Errorf("from %d: release %d, %d bytes, %v", from, target.Release, len(got), err)
		}
		return nil
	}
	for _, n := range []uint64{1, 3} {
		if err := stage(n, nil); err != nil {
			t.Errorf("from release %d: %v", n, err)
		}
	}
	other := func(dir string) { // what the slot holds is not what its record says
		if err := os.WriteFile(filepath.Join(dir, "a", "platen"), []byte(build(9)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := stage(3, other); err != nil {
		t.Errorf("old contents that are damaged: %v", err)
	}
	s.damage("sim/agent/4/*.platen") // from here on only deltas do
	if err := stage(1, nil); err == nil {
		t.Error("release 1 has no delta, and gets there")
	}
	if err := stage(3, nil); err != nil {
		t.Errorf("by the delta alone: %v", err)
	}
	if err := stage(3, other); err == nil {
		t.Error("neither the delta nor the release is good, and it gets there")
	}
	from := sha256.Sum256([]byte(build(2)))
	s.damage(fmt.Sprintf("sim/agent/4/*.from-%.16x.delta", from[:8]))
	if err := stage(2, nil); err == nil {
		t.Error("a damaged delta is used")
	}
}
