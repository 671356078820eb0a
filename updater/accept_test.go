package updater_test

import (
	"context"
	"strings"
	"testing"

	"platen/updater"
)

// TestAccept: a release that the caller does not want is neither fetched nor staged, and
// one that it wants is.
func TestAccept(t *testing.T) {
	p := newPrinter(t)
	p.release(2)
	p.mirror(false, nil)
	p.accept = func(_ context.Context, t updater.Target) error {
		if t.Release == 2 {
			return updater.ErrUnapproved
		}
		return nil
	}
	p.refuse(updater.ErrUnapproved)
	for _, path := range p.paths() {
		if strings.HasSuffix(path, ".platen") {
			t.Error("a release that is not wanted was fetched")
		}
	}
	p.release(3)
	p.stage(3)
}
