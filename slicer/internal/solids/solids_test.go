package solids

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/models anew")

const modelDir = "../../../testdata/models"

// The files in testdata/models are what this package makes.
func TestModelFiles(t *testing.T) {
	total := 0
	for _, m := range Models() {
		var want bytes.Buffer
		if err := m.Write(&want); err != nil {
			t.Fatal(err)
		}
		total += want.Len()
		path := filepath.Join(modelDir, m.File)
		if *update {
			if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s is not what Models makes: go test ./slicer/internal/solids -update", m.File)
		}
	}
	if total == 0 || total > 2<<20 {
		t.Errorf("the models are %d bytes together, want some and at most 2 MiB", total)
	}
}

// Every model is a set of closed surfaces: each edge is there as often in one
// direction as in the other. The control is a cube without one triangle.
func TestModelsAreClosed(t *testing.T) {
	for _, m := range Models() {
		if n := openEdges(m.Make()); n != 0 {
			t.Errorf("%s has %d open edges", m.File, n)
		}
	}
	if n := openEdges(Cube()[1:]); n != 3 {
		t.Errorf("a cube without a triangle has %d open edges, want 3", n)
	}
}

func openEdges(s Soup) int {
	count := map[[2]Point]int{}
	for _, t := range s {
		for i := range t {
			count[[2]Point{t[i], t[(i+1)%3]}]++
		}
	}
	open := 0
	for e, n := range count {
		if n != count[[2]Point{e[1], e[0]}] {
			open++
		}
	}
	return open
}
