package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"platen/cross/rig/rigtest"
)

// programs builds those that the proof runs, in a folder with a short path.
func programs(t testing.TB) string {
	t.Helper()
	bins, err := os.MkdirTemp("", "plbin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(bins) })
	build := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", bins+"/",
		"platen/agent/cmd/platen", "platen/agent/cmd/platen-fleet", "platen/hal/cmd/platen-sim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bins
}

// TestProof is the short form of the proof.
func TestProof(t *testing.T) {
	o := options{messages: 300, kills: 3, seed: 1, output: "json", bins: programs(t)}
	var out bytes.Buffer
	ok, err := prove(t.Context(), o, &out)
	rigtest.Check(t, err)
	var names []string
	for dec := json.NewDecoder(&out); ; {
		var c claim
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.Name)
		t.Logf("%s %s: %s | %s | control: %s", c.State, c.Name, c.Claim, c.Evidence, c.Control)
	}
	if !ok || len(names) != 5 {
		t.Errorf("claims %v, all hold: %v", names, ok)
	}
}
