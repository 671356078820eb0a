package haltest

import (
	"slices"
	"testing"

	"platen/hal/sim"
)

// TestJudgeSees checks that the judge finds each way in which a driver could get a
// program wrong: without it, the suite would prove nothing.
func TestJudgeSees(t *testing.T) {
	ops := spiral(100)
	ws := expect(ops)
	right := func() []sim.Move {
		var moves []sim.Move
		for _, w := range ws {
			moves = append(moves, sim.Move{To: w.to, E: w.e})
		}
		return moves
	}
	if err := compare(right(), ws, true); err != nil {
		t.Fatalf("control: a right journal is refused: %v", err)
	}
	if err := compare(right()[:50], ws, false); err != nil {
		t.Fatalf("control: a right beginning is refused: %v", err)
	}
	cut := right()[:50]
	cut[49].Cut, cut[49].To[0] = true, 0
	if err := compare(cut, ws, false); err != nil {
		t.Fatalf("control: a cut at the end is refused: %v", err)
	}
	for name, wrong := range map[string]func([]sim.Move) []sim.Move{
		"lost":      func(m []sim.Move) []sim.Move { return slices.Delete(m, 30, 31) },
		"lost last": func(m []sim.Move) []sim.Move { return m[:len(m)-1] },
		"doubled":   func(m []sim.Move) []sim.Move { return slices.Insert(m, 30, m[30]) },
		"swapped":   func(m []sim.Move) []sim.Move { m[30], m[31] = m[31], m[30]; return m },
		"invented":  func(m []sim.Move) []sim.Move { return append(m, m[3]) },
		"displaced": func(m []sim.Move) []sim.Move { m[30].To[1] += 2 * axisTolerance; return m },
		"filament":  func(m []sim.Move) []sim.Move { m[30].E += 2 * filamentTolerance; return m },
		"retracted": func(m []sim.Move) []sim.Move { m[30].E = -m[30].E; return m },
		"cut":       func(m []sim.Move) []sim.Move { m[30].Cut = true; return m },
	} {
		if err := compare(wrong(right()), ws, true); err == nil {
			t.Errorf("%s: the judge saw nothing wrong", name)
		}
	}
	for i := 1; i < len(ws); i++ { // two equal moves in a row would hide a loss
		if ws[i] == ws[i-1] && ws[i].e != 0 {
			t.Errorf("moves %d and %d of the program are alike", i-1, i)
		}
	}
}
