package pipe

import (
	"math"
	"testing"

	"platen/hal/unit"
	"platen/slicer/internal/solids"
)

// star is a plate with pointed arms.
func star() solids.Soup {
	var ring []solids.Point
	for i := range 26 {
		sin, cos := math.Sincos(float64(i) * math.Pi / 13)
		r := 14.0
		if i%2 != 0 {
			r = 7.5
		}
		ring = append(ring, solids.Point{X: unit.Length(r * cos * float64(mm)), Y: unit.Length(r * sin * float64(mm))})
	}
	return solids.Loft(ring, solids.Raised(ring, mm))
}

// Sharp corners of a face are covered as well: what lines of skin leave open there, and
// what no wall reaches, gets lines of its own. The control is the same face without
// those.
func TestCornersOfFaces(t *testing.T) {
	p := fills()
	p.Shell = Shell{Thin: true, Gaps: true}
	p.Stack.Height = mm
	with, without, dabs := 0.0, 0.0, 0
	eachLayer(t, star(), p, func(w *worker, _ []*Layer, l *Layer) {
		if l.Index > 0 {
			return
		}
		gaps := l.Gaps.Len()
		if err := w.infill(l); err != nil {
			t.Fatal(err)
		}
		with = bare(l)
		dabs = l.Gaps.Len() - gaps + w.fill.rester.lines.Len()
		l.Gaps.cut(gaps, int(endOf(&l.Gaps, gaps)))
		for i := range l.Runs.Heads {
			for k := range w.fill.rester.lines.Len() {
				if l.Runs.Line(i)[0] == w.fill.rester.lines.Line(k)[0] {
					l.Runs.Heads[i].Width = 0
				}
			}
		}
		without = bare(l)
	})
	if with > 0.009 || without < with+0.001 || dabs < 13 {
		t.Errorf("%.3f %% is bare, %.3f %% without %d lines in corners", 100*with, 100*without, dabs)
	}
}

// endOf is how many points the first n lines have.
func endOf(s *Strokes, n int) int32 {
	if n == 0 {
		return 0
	}
	return s.Ends[n-1]
}

// Corners are only filled where they are seen: between layers that are alike, what
// walls leave open inside of sharp corners is a matter of strength, not of looks.
func TestCornersInsideStayOpen(t *testing.T) {
	p := fills()
	p.Shell = Shell{Thin: true, Gaps: true}
	p.TopLayers, p.BottomLayers = 1, 1
	p.Stack.Height = mm / 5
	open, filled := 0, 0
	eachLayer(t, star(), p, func(w *worker, all []*Layer, l *Layer) {
		gaps := l.Gaps.Len()
		w.corners(l)
		switch {
		case l.Index > 0 && l.Top < mm*9/10 && l.corners.Len() > 0:
			open++
			if l.Gaps.Len() > gaps {
				t.Errorf("layer %d is filled where nobody sees it", l.Index)
			}
		case l.Gaps.Len() > gaps:
			filled++
		}
	})
	if open == 0 || filled == 0 {
		t.Errorf("%d layers inside, %d outside", open, filled)
	}
}
