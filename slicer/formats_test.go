package slicer

import (
	"context"
	"testing"

	"platen/hal/motion"
)

// A model becomes the same program whichever format it comes in. The control is
// another model.
func TestFormats(t *testing.T) {
	program := func(file string) (ops []motion.Op) {
		for op, err := range openFile(t, file, Default()).Program(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			ops = append(ops, op)
		}
		return ops
	}
	same := func(a, b []motion.Op) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	for _, name := range []string{"tee", "bracket"} {
		want := program(name + ".stl")
		for _, kind := range []string{".obj", ".3mf"} {
			if !same(want, program(name+kind)) {
				t.Errorf("%s%s becomes another program than the STL", name, kind)
			}
		}
		if same(want, program("cone.stl")) {
			t.Error("control: another model becomes the same program")
		}
	}
}
