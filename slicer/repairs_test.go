package slicer

import (
	"bytes"
	"context"
	"testing"

	"platen/slicer/internal/solids"
)

// Repairs can be asked for at any time, also by others while the job is sliced
// (-race looks), and are there once a loop has ended.
func TestCutRepairs(t *testing.T) {
	var b bytes.Buffer
	if err := solids.Cone()[5:].WriteBinary(&b); err != nil { // with a hole in it
		t.Fatal(err)
	}
	j := openBytes(t, b.Bytes(), Default())
	for l, err := range j.Layers(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if r := j.CutRepairs(); r.Closed+r.Dropped != 0 {
			t.Fatalf("repairs before the end of layer %d", l.Index)
		}
	}
	if r := j.CutRepairs(); r.Closed+r.Dropped == 0 {
		t.Error("a hole was not repaired")
	}
}
