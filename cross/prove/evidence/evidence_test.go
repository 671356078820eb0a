package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"platen/cross/rig/rigtest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		if err := play(role); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestProof is the short form of the proof.
func TestProof(t *testing.T) {
	o := options{messages: 300, kills: 3, seed: 1, output: "json"}
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
	if !ok || len(names) != 4 {
		t.Errorf("claims %v, all hold: %v", names, ok)
	}
}
