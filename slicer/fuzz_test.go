package slicer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"platen/hal/motion"
	"platen/slicer/vault"
)

// soupSTL makes a binary STL of triangles with corners on a coarse grid, so that
// corners, edges and planes coincide as often as they can.
func soupSTL(data []byte) []byte {
	n := min(len(data)/9, 60)
	out := make([]byte, 84, 84+50*n)
	binary.LittleEndian.PutUint32(out[80:], uint32(n))
	for i := range n {
		out = append(out, make([]byte, 12)...)
		for _, b := range data[9*i : 9*i+9] {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(b%32)*0.37))
		}
		out = append(out, 0, 0)
	}
	return out
}

// Whatever the triangles, slicing ends without a panic, prints inside the build
// volume, and never feeds a negative amount of filament on a line.
func FuzzSlice(f *testing.F) {
	f.Add([]byte("000000000"))
	f.Add([]byte("0 @0  @ @  0 @@@0@ @000 @ 0@ @@00  0@@@@0 00@@@@00@@  00@@@@00@@"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := soupSTL(data)
		v, err := vault.NewPageable(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		s := Default()
		s.Height, s.FirstHeight = s.Nozzle, s.Nozzle
		j, err := Open(context.Background(), v, bytes.NewReader(file), int64(len(file)), STL, s)
		if err != nil {
			if !errors.Is(err, ErrGeometry) {
				t.Fatal(err)
			}
			return
		}
		layers := 0
		for op, err := range j.Program(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			if op.Kind == motion.BeginLayer {
				layers++
			}
			if op.Kind != motion.Move {
				continue
			}
			for i, a := range []motion.Axes{motion.X, motion.Y, motion.Z} {
				most := [...]int32{int32(s.Build.Max.X), int32(s.Build.Max.Y), int32(s.Build.Max.Z)}[i]
				if op.Has(a) && (op.To[i] < 0 || int32(op.To[i]) > most) {
					t.Fatalf("a %v leaves the volume", op.Role)
				}
			}
			if op.Has(motion.X|motion.E) && op.E < 0 {
				t.Fatal("a line feeds backwards")
			}
		}
		if layers != j.Info().Layers {
			t.Fatalf("%d layers of %d", layers, j.Info().Layers)
		}
	})
}
