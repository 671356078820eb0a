package slicer

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/vault"
)

// What is live beside the vault while a job is sliced stays below what was stated
// before, and not so far below that the statement means nothing.
func TestMemoryIsStated(t *testing.T) {
	const mm = unit.Millimetre
	for name, m := range map[string]solids.Soup{
		"plates": solids.Plates(), "broken": solids.Broken(solids.Blob(20*mm, 100), 7), "lattice": solids.Lattice(2, 6*mm, mm*6/10),
	} {
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
		s.Height = s.Nozzle
		j, err := Open(context.Background(), v, &file, int64(file.Len()), Detect, s)
		if err != nil {
			t.Fatal(err)
		}
		stated, peak, layers := j.Memory(), int64(0), 0
		for _, err := range j.Layers(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if layers++; layers%8 == 0 {
				peak = max(peak, live()-before)
			}
		}
		t.Logf("%s: %d kB of %d kB, and %d kB in the vault", name, peak>>10, stated.Layers>>10, stated.Model>>10)
		if peak > stated.Layers || name == "plates" && peak < stated.Layers/20 {
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

// Copies that are printed one after the other need the model until the last: then it goes
// back as well. Copies that are printed together are one pass.
func TestOnceWithCopies(t *testing.T) {
	var file bytes.Buffer
	if err := solids.Blob(30*unit.Millimetre, 300).WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"copies=2", "copies=2 sequential=true sequential_radius=20mm sequential_height=100mm"}[short():] {
		s := goldenOf(t, set)
		s.Height, s.Walls, s.Density, s.TopLayers, s.BottomLayers = s.Nozzle, 1, 0, 0, 0
		v, err := vault.NewPageable(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		j, err := Open(context.Background(), v, bytes.NewReader(file.Bytes()), int64(file.Len()), Detect, s)
		if err != nil {
			t.Fatal(err)
		}
		j.Once()
		layers, half := 0, int64(0)
		for op, err := range j.Program(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Kind == motion.BeginLayer {
				if layers++; layers == j.Info().Layers/2 {
					half = v.Stats().Given
				}
			}
		}
		if given := v.Stats().Given; given < 400_000 || s.Sequence.On && half > 0 {
			t.Errorf("%s: %d bytes were given back, %d of them half way", set, given, half)
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

// A job that is printed once gives the memory of its model back on the way, prints the
// same, and is gone then; the control is the job that is not.
func TestOnceGivesMemoryBack(t *testing.T) {
	var file bytes.Buffer
	if err := solids.Blob(30*unit.Millimetre, 300).WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	s := Default()
	s.Height, s.Walls, s.Density, s.TopLayers, s.BottomLayers = s.Nozzle, 0, 0, 0, 0
	var sums [3]int64
	for i, try := range []struct {
		once bool
		upTo int
		most int64 // that stays
	}{{false, 1000, 0}, {true, 120, 400_000}, {true, 1000, 500_000}} {
		v, err := vault.NewPageable(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		j, err := Open(context.Background(), v, bytes.NewReader(file.Bytes()), int64(file.Len()), Detect, s)
		if err != nil {
			t.Fatal(err)
		}
		if try.once {
			j.Once()
		}
		for l, err := range j.Layers(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			sums[i] += l.Outline.Area2() % 1_000_003
			if l.Index == try.upTo {
				break
			}
		}
		if given := v.Stats().Given; given < try.most || !try.once && given > 0 {
			t.Errorf("once %v: %d bytes were given back up to layer %d", try.once, given, try.upTo)
		}
		for _, err := range j.Layers(context.Background()) {
			if errors.Is(err, ErrSpent) != try.once {
				t.Errorf("once %v: another loop says %v", try.once, err)
			}
			break
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	if sums[0] != sums[2] || sums[0] == 0 {
		t.Error("the layers differ")
	}
}
