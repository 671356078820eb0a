package geom

import (
	"encoding/binary"
	"testing"

	"platen/hal/unit"
)

// decodeRegions reads two regions from fuzz input: the first byte says how far
// apart coordinates lie, then each point takes two bytes per coordinate; the lowest
// bits of X end a ring or switch to the second region.
func decodeRegions(data []byte) (a, b *Region) {
	a, b = &Region{}, &Region{}
	if len(data) == 0 {
		return a, b
	}
	shift := data[0] % 11
	r := a
	for data = data[1:]; len(data) >= 4 && len(a.Pts)+len(b.Pts) < 80; data = data[4:] {
		x, y := int16(binary.LittleEndian.Uint16(data)), int16(binary.LittleEndian.Uint16(data[2:]))
		r.Pts = append(r.Pts, Point{unit.Length(x>>3) << shift, unit.Length(y>>3) << shift})
		if x&1 != 0 {
			r.Ends = append(r.Ends, int32(len(r.Pts)))
		}
		if x&7 == 7 {
			r = b
		}
	}
	for _, r := range []*Region{a, b} {
		r.Ends = append(r.Ends, int32(len(r.Pts)))
	}
	return a, b
}

// encodeRegion is the inverse of decodeRegions for one region of small coordinates.
func encodeRegion(shift byte, r *Region) []byte {
	data := []byte{shift}
	for i := range r.Ends {
		ring := r.Ring(i)
		for j, p := range ring {
			x := uint16(int16(p.X) << 3)
			if j == len(ring)-1 {
				x |= 1
			}
			data = binary.LittleEndian.AppendUint16(data, x)
			data = binary.LittleEndian.AppendUint16(data, uint16(int16(p.Y)<<3))
		}
	}
	return data
}

func FuzzKernel(f *testing.F) {
	for shift, r := range []*Region{
		region(box(0, 0, 10, 10), reversed(box(2, 2, 8, 8))),
		region(box(0, 0, 10, 10), box(10, 10, 20, 20), box(10, 0, 20, 5)),
		region([]Point{{0, 0}, {10, 10}, {10, 0}, {0, 10}}),
		region([]Point{{0, 0}, {10, 0}, {10, 5}, {90, 5}, {10, 5}, {10, 10}, {0, 10}}),
		scribble(40, 30, 1), scribble(30, 1500, 2), confetti(20, 20, 9, 3), confetti(20, 1000, 300, 4),
	} {
		f.Add(encodeRegion(byte(shift), r))
		f.Add(encodeRegion(byte(10-shift), r))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := decodeRegions(data)
		var k Kernel
		var union, other, moved Region
		if err := k.Union2(&union, a, b); err != nil {
			t.Fatal(err)
		}
		checkShape(t, &union, Point{1, 1})
		if err := k.Xor(&other, a, b); err != nil {
			t.Fatal(err)
		}
		checkShape(t, &other, Point{1, 1})
		if err := k.Intersect(&moved, a, b); err != nil {
			t.Fatal(err)
		}
		if union.Area2() != moved.Area2()+other.Area2() {
			t.Fatal("areas do not add up")
		}
		for _, d := range []unit.Length{3, 900, unit.Millimetre} {
			for _, join := range []Join{JoinRound, JoinMiter, JoinBlunt} {
				if err := k.Offset(&moved, &union, d, join); err != nil {
					t.Fatal(err)
				}
				checkShape(t, &moved, Point{1, 1})
				if moved.Area2() < union.Area2() && !union.Empty() {
					t.Fatal("growing made the region smaller")
				}
				if err := k.Offset(&moved, &union, -d, join); err != nil {
					t.Fatal(err)
				}
				checkShape(t, &moved, Point{1, 1})
				if moved.Area2() > union.Area2() {
					t.Fatal("shrinking made the region larger")
				}
			}
		}
	})
}

// TestFuzzSeeds makes sure that the corpus reaches what it is for.
func TestFuzzSeeds(t *testing.T) {
	r := scribble(30, 1500, 2)
	a, b := decodeRegions(encodeRegion(5, r))
	if len(a.Pts) != len(r.Pts) || len(b.Pts) != 0 {
		t.Fatalf("%d and %d points, want %d", len(a.Pts), len(b.Pts), len(r.Pts))
	}
	for i, p := range a.Pts {
		if p.X != r.Pts[i].X<<5 || p.Y != r.Pts[i].Y<<5 {
			t.Fatal("points change on the way")
		}
	}
}
