package pipe

import (
	"math/rand/v2"
	"testing"

	"platen/hal/unit"
	"platen/slicer/geom"
	"platen/slicer/internal/solids"
)

// Places are seen past a layer where its outline does not hold them, be they on the
// height of one of its corners or not.
func TestSights(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 9))
	at := func() geom.Point { return geom.Point{X: unit.Length(r.IntN(200)), Y: unit.Length(r.IntN(200))} }
	var k geom.Kernel
	seen, hidden := 0, 0
	for range 200 {
		var cover geom.Region
		for range 1 + r.IntN(4) {
			ring := []geom.Point{at(), at(), at()}
			if geom.Area2(ring) < 0 {
				ring[0], ring[1] = ring[1], ring[0]
			}
			cover.Add(ring)
		}
		if err := k.Union(&cover, &cover); err != nil {
			t.Fatal(err)
		}
		var s sights
		for range 50 {
			s.add(at())
		}
		s.sort()
		s.past(&cover)
		s.unsort()
		for i, p := range s.list {
			if int(p.n) != i {
				t.Fatal("out of order")
			}
			if p.seen == cover.Holds(p.at) {
				t.Fatalf("seen: %v", p.seen)
			}
			if p.seen {
				seen++
			} else {
				hidden++
			}
		}
	}
	if seen < 1000 || hidden < 1000 {
		t.Errorf("%d seen, %d hidden", seen, hidden)
	}
}

// Lines between walls are wider than their gaps on faces, where they are seen, and only
// there; those that have nothing beside them never are.
func TestSeenStrokesAreWider(t *testing.T) {
	p := fills()
	p.Shell = Shell{Thin: true, Gaps: true}
	p.TopLayers, p.BottomLayers = 2, 2
	wide, narrow := 0, 0
	body := solids.Join(
		solids.Box(solids.Point{}, solids.Point{X: mm * 22 / 10, Y: 10 * mm, Z: 2 * mm}), // four lines, and a half
		solids.Box(solids.Point{X: 10 * mm}, solids.Point{X: 10*mm + mm/2, Y: 10 * mm, Z: 2 * mm}),
	)
	eachLayer(t, body, p, func(w *worker, all []*Layer, l *Layer) {
		before := append([]unit.Length(nil), l.Gaps.Widths...)
		if l.bare == 0 || len(before) == l.bare {
			t.Fatalf("layer %d: %d of %d lines have nothing beside them", l.Index, l.bare, len(before))
		}
		w.corners(l)
		for i, b := range before {
			switch wider := l.Gaps.Widths[i] - b; {
			case i < l.bare && wider != 0:
				t.Error("a line by itself is wider")
			case i < l.bare:
			case wider == w.p.Width/overlap:
				wide++
			case wider == 0:
				narrow++
			default:
				t.Errorf("wider by %d", wider)
			}
			if face := l.Index == 0 || l.Index == len(all)-1; i >= l.bare && face != (l.Gaps.Widths[i] > b) {
				t.Errorf("layer %d: wider: %v", l.Index, !face)
			}
		}
	})
	if wide == 0 || narrow == 0 {
		t.Errorf("%d lines wider, %d not", wide, narrow)
	}
}
