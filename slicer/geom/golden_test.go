package geom

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"testing"

	"platen/hal/unit"
)

// TestSameEverywhere compares results with those of another machine: they must not
// depend on the processor, its word size or whether it fuses multiplications with
// additions. If a change to the kernel is meant to change results, run the test on
// two architectures and note the new sum.
func TestSameEverywhere(t *testing.T) {
	const want = "285aa64836dfd204"
	sum := sha256.New()
	var k Kernel
	var clean, dst Region
	src := confetti(400, 3_000_000, 700_000, 11)
	src.Append(scribble(60, 2_500_000, 12))
	err := k.Union(&clean, src)
	note(sum, &clean)
	for _, delta := range []unit.Length{-60_000, -13_107, 13_107, 200_000} {
		for _, join := range []Join{JoinRound, JoinMiter} {
			err = errors.Join(err, k.Offset(&dst, &clean, delta, join))
			note(sum, &dst)
			if dst.Empty() {
				t.Errorf("offset %v leaves nothing", delta)
			}
		}
	}
	err = errors.Join(err, k.Simplify(&dst, &dst, 20_000))
	note(sum, &dst)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)[:8]); got != want {
		t.Errorf("the results sum up to %s, want %s", got, want)
	}
}

func note(h hash.Hash, r *Region) {
	var buf [8]byte
	for _, p := range r.Pts {
		binary.LittleEndian.PutUint32(buf[:], uint32(p.X))
		binary.LittleEndian.PutUint32(buf[4:], uint32(p.Y))
		h.Write(buf[:])
	}
	for _, e := range r.Ends {
		binary.LittleEndian.PutUint64(buf[:], uint64(e))
		h.Write(buf[:])
	}
}
