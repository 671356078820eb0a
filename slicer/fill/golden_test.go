package fill

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"platen/slicer/geom"
)

// TestSameEverywhere compares lines with those of another machine; see the test of
// the same name in package geom.
func TestSameEverywhere(t *testing.T) {
	const want = "9e68133005e16892"
	var r geom.Region
	r.Add(rectangle(-31*mm, -17*mm, 44*mm, 29*mm))
	r.Add([]geom.Point{pt(-5*mm, 3*mm), pt(2*mm, 21*mm), pt(19*mm, -7*mm)})
	var h Hatcher
	var l Lines
	for _, angle := range []Angle{0, 45 * Degree, 90 * Degree, 135 * Degree, 30 * Degree, 77_777} {
		if err := h.Hatch(&l, &r, Params{Angle: angle, Spacing: 27_525, Phase: 999, MaxJoin: 2 * mm}); err != nil {
			t.Fatal(err)
		}
	}
	p := Params{
		Angle: 45 * Degree, Spacing: 147_456, Height: 5 * mm, MinSpan: 20_000, Join: JoinAll, MaxJoin: 20 * mm, Anchor: mm,
	}
	for p.Pattern = range PatternConcentric {
		if err := h.Hatch(&l, &r, p); err != nil {
			t.Fatal(err)
		}
	}
	p = Params{Angle: 20 * Degree, Spacing: 27_525, Fit: true, Overrun: 5000, Join: JoinMonotonic}
	if err := h.Hatch(&l, &r, p); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	var buf [8]byte
	for _, p := range l.Pts {
		binary.LittleEndian.PutUint32(buf[:], uint32(p.X))
		binary.LittleEndian.PutUint32(buf[4:], uint32(p.Y))
		sum.Write(buf[:])
	}
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); got != want {
		t.Errorf("%d points sum up to %s, want %s", len(l.Pts), got, want)
	}
}
