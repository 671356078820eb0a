package rig_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/attest"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

func resetCount(t *testing.T, path string) uint32 {
	t.Helper()
	link, err := attest.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	rsp, err := tpm2.ReadClock{}.Execute(link)
	if err != nil {
		t.Fatal(err)
	}
	return rsp.CurrentTime.ClockInfo.ResetCount
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
	before := resetCount(t, s.Path())
	if again := resetCount(t, s.Path()); again != before {
		t.Errorf("a new connection counted as a reset: %d, then %d", before, again)
	}
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := resetCount(t, s.Path()); after != before+1 {
		t.Errorf("reset count %d after a reset, %d before", after, before)
	}
}
