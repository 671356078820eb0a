package slicer

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"

	"platen/hal/motion"
	"platen/hal/unit"
	"platen/slicer/internal/solids"
	"platen/slicer/mesh"
	"platen/slicer/vault"
)

// Copies fit whenever there is room for them in rows, lie apart and inside, in the
// middle, and are refused when they do not fit.
func TestArrange(t *testing.T) {
	const mm = unit.Millimetre
	at := func(x, y unit.Length) mesh.Vertex { return mesh.Vertex{X: x * mm, Y: y * mm} }
	build := Volume{Max: at(200, 150)}
	fits, refused := 0, 0
	for _, body := range []mesh.Vertex{at(20, 20), at(90, 10), at(7, 80), at(200, 150), at(101, 3)} {
		for _, gap := range []unit.Length{0, 5 * mm} {
			for n := 1; n < 100; n++ {
				b := Volume{Min: mesh.Vertex{X: 100*mm - body.X/2, Y: 75*mm - body.Y/2}}
				b.Max = mesh.Vertex{X: b.Min.X + body.X, Y: b.Min.Y + body.Y}
				room := int((200*mm + gap) / (body.X + gap) * ((150*mm + gap) / (body.Y + gap)))
				places, ok := arrange(n, b, build, gap)
				if ok != (n <= room) {
					t.Fatalf("%d copies of %v: %v, there is room for %d", n, body, ok, room)
				}
				if !ok {
					refused++
					continue
				}
				fits++
				var lo, hi mesh.Vertex
				for i, p := range places {
					lo = mesh.Vertex{X: min(lo.X, p.X), Y: min(lo.Y, p.Y)}
					hi = mesh.Vertex{X: max(hi.X, p.X), Y: max(hi.Y, p.Y)}
					if b.Min.X+p.X < 0 || b.Max.X+p.X > 200*mm || b.Min.Y+p.Y < 0 || b.Max.Y+p.Y > 150*mm {
						t.Fatalf("%d copies of %v: one leaves the volume", n, body)
					}
					for _, q := range places[:i] {
						if dx, dy := max(p.X-q.X, q.X-p.X), max(p.Y-q.Y, q.Y-p.Y); dx < body.X+gap && dy < body.Y+gap {
							t.Fatalf("%d copies of %v: two are too near", n, body)
						}
					}
				}
				if lo.X+hi.X > 1 || lo.X+hi.X < -1 || lo.Y+hi.Y > 1 || lo.Y+hi.Y < -1 {
					t.Fatalf("%d copies of %v: not in the middle", n, body)
				}
			}
		}
	}
	if fits == 0 || refused == 0 {
		t.Errorf("control: %d fit, %d do not", fits, refused)
	}
}

// Copies take as many times the filament, in as many places, and a turned and scaled
// model what belongs to its size.
func TestCopies(t *testing.T) {
	var file bytes.Buffer
	if err := solids.Cube().WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	filament := func(s Settings) (mm float64, lo, hi unit.Length, j *Job) {
		j = openBytes(t, file.Bytes(), s)
		lo, hi = math.MaxInt32, math.MinInt32
		for op, err := range j.Program(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Kind == motion.Move && op.Role == motion.OuterWall && op.Has(motion.X) {
				lo, hi = min(lo, op.To[motion.IX]), max(hi, op.To[motion.IX])
			}
			if op.Kind == motion.Move && op.Role != motion.Skirt && op.Role != motion.Prime && op.Has(motion.X|motion.E) {
				mm += op.E.MM()
			}
		}
		return mm, lo, hi, j
	}
	s := Default()
	s.Height, s.FirstHeight = s.Nozzle, s.Nozzle
	one, _, _, _ := filament(s)
	s.Copies = 6
	six, lo, hi, j := filament(s)
	if math.Abs(six/one-6) > 0.05 { // where lines of infill begin and end depends on the place
		t.Errorf("%.3f times the filament", six/one)
	}
	if i := j.Info(); i.Copies != 6 || i.Volume.MM3() != 48000 || i.Surface.MM2() != 14400 || i.Triangles != 12 {
		t.Errorf("%+v", i.Volume)
	}
	const rounded = unit.Millimetre / 4000 // outer walls are a hair farther in
	off := func(got, want unit.Length) bool { return got < want-rounded || got > want+rounded }
	b := j.Info().Bounds
	if want := 70 * unit.Millimetre; b.Max.X-b.Min.X != want || off(hi-lo, want-s.Width/2*2) || off(lo, b.Min.X+s.Width/2) {
		t.Errorf("copies reach from %v to %v, the bounds are %v", lo, hi, b)
	}
	s.Copies = 1
	s.Transform.Scale = [3]mesh.Ratio{5000, 5000, 20000}
	s.Transform.Turn = [3]mesh.Angle{0, 90 * mesh.Degree, 0}
	_, lo, hi, j = filament(s)
	if b := j.Info().Bounds; off(hi-lo, 40*unit.Millimetre-s.Width/2*2) || b.Max.Z-b.Min.Z != 10*unit.Millimetre {
		t.Errorf("from %v to %v, and %v high", lo, hi, b.Max.Z-b.Min.Z)
	}
	for _, bad := range []func(*Settings){
		func(s *Settings) { s.Copies = 100 },
		func(s *Settings) { s.Transform.Scale = [3]mesh.Ratio{200000, 200000, 200000} },
	} {
		s := Default()
		bad(&s)
		if err := openError(t, file.Bytes(), s); !errors.Is(err, ErrOutOfReach) {
			t.Errorf("%v", err)
		}
	}
	for _, bad := range []func(*Settings){
		func(s *Settings) { s.Copies = 0 }, func(s *Settings) { s.Copies = 1001 }, func(s *Settings) { s.Spacing = -1 },
		func(s *Settings) { s.Transform.Scale[1] = -1 }, func(s *Settings) { s.Transform.Turn[2] = 361 * mesh.Degree },
	} {
		s := Default()
		bad(&s)
		if err := openError(t, file.Bytes(), s); !errors.Is(err, ErrSettings) {
			t.Errorf("%v", err)
		}
	}
}

func openError(t testing.TB, b []byte, s Settings) error {
	t.Helper()
	v, err := vault.NewPageable(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	_, err = Open(context.Background(), v, bytes.NewReader(b), int64(len(b)), Detect, s)
	return err
}
