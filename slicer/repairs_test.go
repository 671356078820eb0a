package slicer

import (
	"bytes"
	"context"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
)

// Repairs can be asked for at any time, also by others while the job is sliced
// (-race looks), and are there once a loop has ended.
func TestCutRepairs(t *testing.T) {
	var holed solids.Soup // with more holes than there is room to close
	for i, tri := range solids.Sphere(solids.Point{}, 12*unit.Millimetre, 96) {
		if i%5 > 0 {
			holed = append(holed, tri)
		}
	}
	var b bytes.Buffer
	if err := holed.WriteBinary(&b); err != nil {
		t.Fatal(err)
	}
	j := openBytes(t, b.Bytes(), Default())
	if j.Info().Repairs.Open == 0 {
		t.Fatal("the mesh was closed")
	}
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
