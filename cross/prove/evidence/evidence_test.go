package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"platen/cross/rig/rigtest"
)

// built is the folder of the programs, made by the first test that wants it; its path is short, for
// sockets lie beside it.
var built = sync.OnceValues(func() (string, error) {
	bins, err := os.MkdirTemp("", "plbin")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", bins+"/",
		"platen/agent/cmd/platen", "platen/agent/cmd/platen-fleet", "platen/hal/cmd/platen-sim")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return bins, fmt.Errorf("go build: %w: %s", err, out)
	}
	return bins, nil
})

func TestMain(m *testing.M) {
	wanted := false
	programs = func(t testing.TB) string {
		t.Helper()
		wanted = true
		bins, err := built()
		if err != nil {
			t.Fatal(err)
		}
		return bins
	}
	code := m.Run()
	if wanted {
		bins, _ := built() // which said before what went wrong
		os.RemoveAll(bins)
	}
	os.Exit(code)
}

// programs is the folder of those that the proof runs.
var programs func(testing.TB) string

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
