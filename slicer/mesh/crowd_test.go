package mesh

import (
	"bytes"
	"context"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
)

// More bodies than are told apart load and are placed, and nobody compares each with
// each: threat T16. So do as many triangles that share one corner and nothing else,
// and as many that share an edge.
func TestCrowds(t *testing.T) {
	n, sheets, told := 70_000, 70_000, 0
	if testing.Short() || raceDetector {
		n, sheets, told = 3000, 3000, 3000
	}
	at := func(i int) solids.Point {
		return solids.Point{X: unit.Length(i%300) * mm / 4, Y: unit.Length(i/300) * mm / 4}
	}
	const e = mm / 8
	var bodies, fan, book solids.Soup
	for i := range n {
		p := at(i)
		q := []solids.Point{p, {X: p.X + e, Y: p.Y}, {X: p.X, Y: p.Y + e}, {X: p.X, Y: p.Y, Z: e}}
		bodies = append(bodies, [3]solids.Point{q[0], q[2], q[1]}, [3]solids.Point{q[0], q[1], q[3]}, [3]solids.Point{q[1], q[2], q[3]}, [3]solids.Point{q[2], q[0], q[3]})
		if i >= sheets {
			continue
		}
		fan = append(fan, [3]solids.Point{{X: -mm, Z: mm}, p, {X: p.X + e, Y: p.Y}})
		book = append(book, [3]solids.Point{{X: -mm}, {X: -mm, Z: mm}, p})
	}
	for name, body := range map[string]solids.Soup{"bodies": bodies, "fan": fan, "book": book} {
		file := binarySTL(t, body)
		v := newVault(t, int64(len(body))*120+4<<20)
		m, err := Load(context.Background(), v, bytes.NewReader(file), int64(len(file)), STL)
		if err != nil {
			t.Fatal(err)
		}
		err = m.Place(bed)
		if name != "bodies" {
			continue // whether it encloses anything is not the question
		}
		if err != nil || m.Bodies() != told || !sound(m.Repairs()) {
			t.Errorf("%v, %d bodies, %+v", err, m.Bodies(), m.Repairs())
		}
	}
	few := binarySTL(t, bodies[:400])
	m, err := loadBytes(t, few)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Place(bed); err != nil || m.Bodies() != 100 {
		t.Errorf("control: %v, %d bodies", err, m.Bodies())
	}
}
