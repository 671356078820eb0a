package seam

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A profile of any size arrives as it was, in messages that fit.
func TestProfile(t *testing.T) {
	for _, n := range []int{0, 1, maxPiece, maxPiece + 1, MostProfile} {
		text := bytes.Repeat([]byte("layer_height\n"), n)[:n]
		var got []byte
		for _, piece := range Pieces(text) {
			m, err := Parse(Append(nil, &piece))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.(*Profile).Text...)
			if s := fmt.Sprintf("%v %+v %#v", piece, &piece, piece); strings.Contains(s, "layer") {
				t.Errorf("formatted as %s", s)
			}
		}
		if !bytes.Equal(got, text) {
			t.Errorf("%d bytes arrive as %d", n, len(got))
		}
	}
	for _, n := range []int{0, maxPiece + 1} {
		if m, err := Parse(Append(nil, &Profile{make([]byte, n)})); !errors.Is(err, ErrMessage) {
			t.Errorf("%d bytes: %v, %v", n, m, err)
		}
	}
}
