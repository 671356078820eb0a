package evidence

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEventLog(t *testing.T) {
	for _, l := range []Log{{Digests: [][32]byte{}}, {Digests: [][32]byte{{1}}}, {Digests: [][32]byte{{1}, {2}, {1}}}} {
		b, err := l.EventLog()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseEventLog(b)
		if err != nil || !cmp.Equal(got, l, cmp.AllowUnexported(Log{})) {
			t.Errorf("%v became %v, %v", l, got, err)
		}
		for i := range b { // every byte counts: but for those of digests, which make another log
			bad := append([]byte{}, b...)
			bad[i] ^= 1
			if got, err := ParseEventLog(bad); err == nil && got.Value() == l.Value() {
				t.Errorf("byte %d of %d changes nothing", i, len(b))
			}
		}
		if _, err := ParseEventLog(append(b, 0)); !errors.Is(err, ErrEncoding) {
			t.Errorf("a byte too many: %v", err)
		}
	}
	if _, err := (Log{Base: [32]byte{1}}).EventLog(); !errors.Is(err, ErrLimit) {
		t.Errorf("the end of a log: %v", err)
	}
	if _, err := (Log{Digests: make([][32]byte, MaxFullLog+1)}).EventLog(); !errors.Is(err, ErrLimit) {
		t.Errorf("too long: %v", err)
	}
}
