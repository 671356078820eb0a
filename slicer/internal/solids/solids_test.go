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
	for name, s := range map[string]Soup{
		"plates": Plates(), "thin walls": ThinWalls(), "blob": Blob(30*mm, 60), "lattice": Lattice(2, 6*mm, mm/2),
		"gyroid": Gyroid(24*mm, 12*mm, 24),
	} {
		if n := openEdges(s); n != 0 || len(s) < 300 || s.volume() <= 0 {
			t.Errorf("%s has %d open edges, %d triangles and a volume of %v", name, n, len(s), s.volume())
		}
	}
	if n := openEdges(Broken(Blob(30*mm, 60), 1)); n < 100 {
		t.Errorf("a broken model has %d open edges only", n)
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

// volume is what a closed surface encloses, in mm³.
func (s Soup) volume() float64 {
	sum := 0.0
	for _, t := range s {
		a, b, c := t[0], t[1], t[2]
		sum += a.X.MM()*(b.Y.MM()*c.Z.MM()-b.Z.MM()*c.Y.MM()) - a.Y.MM()*(b.X.MM()*c.Z.MM()-b.Z.MM()*c.X.MM()) + a.Z.MM()*(b.X.MM()*c.Y.MM()-b.Y.MM()*c.X.MM())
	}
	return sum / 6
}
