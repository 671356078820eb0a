package slicer

import (
	"bytes"
	"context"
	"runtime"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/internal/solids"
)

// Once the fullest layers have been made, layers are made nearly without allocating:
// the upper part of a body whose lower half has layers like it. What is left is slices
// that one of the layers in flight has not needed as large before. The control is the
// lower part.
func TestLayersAllocateLittle(t *testing.T) {
	var file bytes.Buffer
	if err := solids.Blob(12*unit.Millimetre, 100).WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	s := Default()
	s.Height = s.Nozzle
	j := openBytes(t, file.Bytes(), s)
	layers, half := j.Info().Layers, uint64(0)
	start := mallocs()
	for op, err := range j.Program(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if op.Kind == motion.BeginLayer && int(op.Layer) == layers*6/10 {
			half = mallocs()
		}
	}
	lower, upper := int(half-start), int(mallocs()-half)
	t.Logf("%d layers: %d allocations below, %d above", layers, lower, upper)
	if upper > 12*(layers*4/10) {
		t.Errorf("%d allocations in the upper layers, which are %d", upper, layers*4/10)
	}
	if lower < 4*upper {
		t.Errorf("control: only %d allocations in the lower layers", lower)
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
