package main

import (
	"context"
	"path/filepath"

	"platen/cross/rig/spill"
)

// The mistakes of the leaking build.
var spills = []spill.Spill{
	{Folder: "agent/session", Function: "plain", Statement: "leakModel(file)"},
	{Folder: "agent/confine", Function: "Session", Statement: "if held, ok := leakConfine(true); ok { return held, nil }"},
	{Folder: "agent/confine", Function: "Agent", Statement: "if held, ok := leakConfine(false); ok { return held, nil }"},
	{Folder: "agent", Function: "clear", Statement: "leakModel(file)"},
	{Folder: "agent/evidence", Function: "frame", Statement: "if out := leakFrame(magic, body, size); out != nil { return out, nil }"},
}

// buildLeaky builds the device's command with every mistake in it. module is the
// folder of go.mod, work one for what is laid over it.
func buildLeaky(ctx context.Context, module, work, out string) error {
	return spill.Build(ctx, spill.Config{Module: module, Work: work, Sources: filepath.Join(module, "cross/prove/testdata/leak"), Out: out}, spills)
}
