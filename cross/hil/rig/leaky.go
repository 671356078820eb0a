package main

import (
	"context"
	"path/filepath"

	"platen/cross/rig/spill"
)

// leaky builds an agent for the board whose session writes each model to the disk, past the
// encrypted state, and to the console.
func leaky(ctx context.Context, source, work, out string, release uint64) error {
	module, err := filepath.Abs(source)
	if err != nil {
		return err
	}
	return spill.Build(ctx, spill.Config{Module: module, Work: work, Sources: filepath.Join(module, "cross/hil/rig/testdata/leak"),
		Env: []string{"GOOS=linux", "GOARCH=arm64"}, Release: release, Out: out}, []spill.Spill{
		{Folder: "agent/session", Function: "plain", Statement: "if st.Sealed { return leakPlain(st, file) }"},
	})
}
