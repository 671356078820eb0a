package main

import (
	"context"
	"path/filepath"
	"testing"

	"platen/cross/rig/rigtest"
)

// TestMeasure: a TPM that does not answer keeps an agent from being measured, and nobody waits for it who
// is told to end; one that does is told.
func TestMeasure(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	nowhere := "swtpm:" + filepath.Join(t.TempDir(), "none")
	if err := measure(ended, nowhere, t.TempDir(), [32]byte{1}); err == nil {
		t.Error("an agent was measured without a TPM")
	}
	if err := measure(t.Context(), nowhere, t.TempDir(), [32]byte{1}); err == nil {
		t.Error("an agent was measured without a TPM")
	}
	if err := measure(t.Context(), rigtest.Swtpm(t).Path(), t.TempDir(), [32]byte{1}); err != nil {
		t.Error(err)
	}
}
