package slicer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/vault"
)

// objectsOf counts the printed moves of each object, and calls each with every
// operation.
func objectsOf(t *testing.T, j *Job, each func(motion.Op)) map[uint16]int {
	t.Helper()
	n := map[uint16]int{}
	for op, err := range j.Program(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if each != nil {
			each(op)
		}
		if op.Kind == motion.Move && op.Has(motion.X|motion.E) && op.E > 0 && op.Role != motion.Skirt && op.Role != motion.Prime {
			n[op.Object]++
		}
	}
	return n
}

// alike reports whether three objects have about as many moves: where infill begins
// and ends depends on where the object is.
func alike(n map[uint16]int) bool {
	return len(n) == 3 && n[1] > 100 && min(n[1], n[2], n[3])*20 > max(n[1], n[2], n[3])*19
}

// Every move belongs to the copy in which it is; a copy that is left out half way is
// not printed from then on, and the others are as they would be.
func TestSkip(t *testing.T) {
	s := Default()
	s.Copies = 3
	s.Height, s.FirstHeight = s.Nozzle, s.Nozzle
	j := openFile(t, "tee.stl", s)
	if j.Objects() != 3 {
		t.Fatalf("%d objects", j.Objects())
	}
	if j.Skip(0) || j.Skip(4) {
		t.Error("an object that there is not is left out")
	}
	all := objectsOf(t, j, nil)
	if !alike(all) {
		t.Fatalf("%d objects are printed", len(all))
	}
	half := int32(j.Info().Layers / 2)
	late := 0
	some := objectsOf(t, j, func(op motion.Op) {
		if op.Kind == motion.BeginLayer && op.Layer == half && !j.Skip(2) {
			t.Error("no object 2")
		}
		if op.Object == 2 && op.Layer > half && op.E > 0 {
			late++
		}
	})
	if late > 0 {
		t.Errorf("%d moves of what is left out", late)
	}
	if some[2] == 0 || some[2] >= all[2] || some[1] != all[1] || some[3] != all[3] {
		t.Errorf("with one left out: %v", some)
	}
}

// One after another, each copy is printed to its top before the next begins, and the
// nozzle passes above those that stand. The control is layer by layer.
func TestSequence(t *testing.T) {
	for _, on := range []bool{true, false} {
		s := Default()
		s.Copies = 3
		s.Height, s.FirstHeight = s.Nozzle, s.Nozzle
		s.Sequence.On = on
		j := openFile(t, "tee.stl", s)
		var at [3]unit.Length
		last, layers, low, changes := uint16(0), int32(-1), 0, 0
		var boxes [4]Volume
		n := objectsOf(t, j, func(op motion.Op) {
			if op.Kind == motion.BeginLayer {
				if op.Layer != layers+1 {
					t.Fatalf("layer %d after %d", op.Layer, layers)
				}
				layers = op.Layer
			}
			if op.Kind != motion.Move {
				return
			}
			for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
				if op.Has(a) {
					at[i] = op.To[i]
				}
			}
			if op.E > 0 && op.Has(motion.X) && op.Object > 0 {
				if op.Object != last {
					changes++
				}
				last = op.Object
				b := &boxes[last]
				if b.Max.Z == 0 {
					b.Min.X, b.Max.X, b.Min.Y, b.Max.Y = at[0], at[0], at[1], at[1]
				}
				b.Min.X, b.Max.X = min(b.Min.X, at[0]), max(b.Max.X, at[0])
				b.Min.Y, b.Max.Y, b.Max.Z = min(b.Min.Y, at[1]), max(b.Max.Y, at[1]), at[2]
				return
			}
			for o, b := range boxes { // through one that stands
				if uint16(o) != last && at[2] < b.Max.Z && at[0] > b.Min.X && at[0] < b.Max.X && at[1] > b.Min.Y && at[1] < b.Max.Y {
					low++
				}
			}
		})
		if !alike(n) {
			t.Fatalf("objects %v", n)
		}
		if int(layers)+1 != j.Info().Layers {
			t.Errorf("%d layers, said %d", layers+1, j.Info().Layers)
		}
		if low > 0 || changes == 3 != on {
			t.Errorf("one after another: %v; %d changes, %d moves through what stands", on, changes, low)
		}
	}
	s := Default()
	s.Copies, s.Sequence.On, s.Sequence.Height = 2, true, 5*unit.Millimetre
	file, err := os.ReadFile("../testdata/models/tug.stl")
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.NewPageable(32 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	if _, err := Open(t.Context(), v, bytes.NewReader(file), int64(len(file)), Detect, s); !errors.Is(err, ErrSettings) {
		t.Errorf("a copy higher than the axis: %v", err)
	}
	s.Copies = 1
	if _, err := Open(t.Context(), v, bytes.NewReader(file), int64(len(file)), Detect, s); err != nil {
		t.Errorf("control: alone: %v", err)
	}
}
