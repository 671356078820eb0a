package slicer

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/vault"
)

// What is live beside the vault while a job is sliced stays below what was stated
// before, and not so far below that the statement means nothing.
func TestMemoryIsStated(t *testing.T) {
	const mm = unit.Millimetre
	models := map[string]solids.Soup{"plates": solids.Plates(), "broken": solids.Broken(solids.Blob(30*mm, 160), 7)}
	if !testing.Short() {
		models["lattice"] = solids.Lattice(4, 6*mm, mm*6/10)
		models["gyroid"] = solids.Gyroid(24*mm, 12*mm, 40)
	}
	for name, m := range models {
		var file bytes.Buffer
		if err := m.WriteBinary(&file); err != nil {
			t.Fatal(err)
		}
		v, err := vault.NewPageable(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		before := live()
		s := Default()
		s.Height = mm * 3 / 10
		j, err := Open(context.Background(), v, &file, int64(file.Len()), Detect, s)
		if err != nil {
			t.Fatal(err)
		}
		stated, peak, layers := j.Memory(), int64(0), 0
		for _, err := range j.Layers(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if layers++; layers%16 == 0 {
				peak = max(peak, live()-before)
			}
		}
		t.Logf("%s: %d kB of %d kB, and %d kB in the vault", name, peak>>10, stated.Layers>>10, stated.Model>>10)
		if peak > stated.Layers || peak < stated.Layers/20 {
			t.Errorf("%s: %d bytes are live, %d were stated", name, peak, stated.Layers)
		}
		if used := v.Stats().Used; stated.Model != used || used == 0 {
			t.Errorf("%s: %d bytes of the vault are used, %d were stated", name, used, stated.Model)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A job that could need more than there is is refused before anything is sliced, with
// what is needed and what is allowed; one that just fits is not.
func TestJobThatDoesNotFit(t *testing.T) {
	var file bytes.Buffer
	if err := solids.Plates().WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	j := openBytes(t, file.Bytes(), Default())
	need := j.Memory().Layers
	if err := j.Fits(need); err != nil {
		t.Errorf("what is needed is there: %v", err)
	}
	err := j.Fits(need - 1)
	if !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), " MiB, allowed are ") {
		t.Errorf("a byte is missing: %v", err)
	}
	s := Default()
	s.Copies = 4
	if more := openBytes(t, file.Bytes(), s).Memory().Layers; more < 2*need {
		t.Errorf("four copies need %d bytes, one %d", more, need)
	}
}
