package publish_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"platen/updater"
	"platen/updater/boot"
	"platen/updater/publish"
	"platen/updater/slot"
)

// idle is a controller that nothing is installed on.
type idle struct{}

func (idle) Installed(context.Context) (uint64, error)        { return 1, nil }
func (idle) Install(context.Context, uint64, io.Reader) error { return errors.ErrUnsupported }
func (idle) Save(context.Context, io.Writer) error            { return errors.ErrUnsupported }

// TestDeltasOfASet: a printer that has the firmware a delta starts from needs nothing else
// for the firmware of a set.
func TestDeltasOfASet(t *testing.T) {
	s := newSite(t)
	for n := range uint64(2) {
		if _, err := s.Add(publish.Item{Release: n + 1, Board: "sim", Kind: updater.KindController, File: s.file(build(n + 1))}, nil, s.now); err != nil {
			t.Fatal(err)
		}
	}
	set := []publish.Member{{Kind: updater.KindController, Release: 2}}
	_, err := s.Add(publish.Item{Release: 5, Board: "sim", File: s.file("agent 5"), Set: set}, nil, s.now)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.Delta("sim", updater.KindController, 2, 1, nil, s.now); err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	s.mustPublish()
	s.damage("sim/controller/2/*.platen") // so only the delta does

	for _, has := range []uint64{1, 9} {
		dir := t.TempDir()
		old := []byte(build(has))
		err := errors.Join(boot.Install(dir, s.file("agent 1"), 1), os.WriteFile(filepath.Join(dir, "controller-a"), old, 0o600))
		if err != nil {
			t.Fatal(err)
		}
		slots, err := boot.Open(dir, slot.A)
		if err != nil {
			t.Fatal(err)
		}
		_, err = slots.Log().Update(func(r *slot.Record) error {
			*r.Image(slot.A) = slot.Part{Release: has, Size: uint64(len(old)), Digest: sha256.Sum256(old)}
			r.Slot(slot.A).Image = slot.A
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		u, err := updater.New(updater.Config{Board: "sim", Kind: updater.KindAgent, Source: s.client(), Bootloader: slots,
			Log: slots.Log(), Controller: idle{}, Images: slots.FS()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = u.Stage(t.Context())
		if has != 1 {
			if err == nil {
				t.Error("a release that is damaged is staged without a delta for what is there")
			}
			continue
		}
		got, err2 := os.ReadFile(filepath.Join(dir, "controller-b"))
		if err = errors.Join(err, err2); err != nil || !bytes.Equal(got, []byte(build(2))) {
			t.Errorf("by the delta alone: %d bytes, %v", len(got), err)
		}
	}
}
