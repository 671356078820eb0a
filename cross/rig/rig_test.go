package rig_test

import (
	"os"
	"testing"
	"time"

	"platen/agent/attest"
	"platen/cross/rig/rigtest"
)

func bootCount(t *testing.T, path string) uint64 {
	t.Helper()
	tpm, err := attest.New(t.Context(), attest.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := tpm.Close(); err != nil {
		t.Fatal(err)
	}
	return tpm.BootCount()
}

func TestSwtpm(t *testing.T) {
	start := time.Now()
	s := rigtest.Swtpm(t)
	t.Logf("made and started in %v", time.Since(start))
	for _, ca := range s.CAs {
		if _, err := os.Stat(ca); err != nil {
			t.Error(err)
		}
	}
	before := bootCount(t, s.Path())
	if again := bootCount(t, s.Path()); again != before {
		t.Errorf("a new connection counted as a reset: boot %d, then %d", before, again)
	}
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := bootCount(t, s.Path()); after != before+1 {
		t.Errorf("boot %d after a reset, %d before", after, before)
	}
}
