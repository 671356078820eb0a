package evidence

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEventLog(t *testing.T) {
	for _, l := range []Log{{Digests: [][32]byte{}}, {Digests: [][32]byte{{1}}}, {Digests: [][32]byte{{1}, {2}, {1}}}} {
		l = l.filled()
		b, err := l.EventLog()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseEventLog(b)
		if err != nil || !cmp.Equal(got, l) {
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

func TestSettingsLog(t *testing.T) {
	a := Settings{Config: [32]byte{1}, Board: [32]byte{2}, Controller: [32]byte{3}}
	b := a
	b.Config[31] ^= 1
	values := map[[32]byte]bool{}
	for _, l := range []SettingsLog{{}, SettingsLog{}.With(a), SettingsLog{}.With(b), SettingsLog{}.With(a).With(b), SettingsLog{}.With(a).With(b).With(a)} {
		if values[l.Value()] {
			t.Error("two histories have one value")
		}
		values[l.Value()] = true
		if got := l.Last().Value(); got != l.Value() {
			t.Errorf("the last of %d events leads to %x, the log to %x", len(l), got, l.Value())
		}
		raw, err := l.EventLog()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSettingsLog(raw)
		if err != nil || !cmp.Equal(got, l) {
			t.Errorf("%v became %v, %v", l, got, err)
		}
		for i := 0; i < len(raw); i += 1 + len(l)*5 { // a digest in the text is held by that of the event
			bad := append([]byte{}, raw...)
			bad[i] ^= 1
			if _, err := ParseSettingsLog(bad); !errors.Is(err, ErrEncoding) {
				t.Errorf("byte %d of %d changes nothing: %v", i, len(raw), err)
			}
		}
		if _, err := ParseSettingsLog(append(raw, 0)); !errors.Is(err, ErrEncoding) {
			t.Errorf("a byte too many: %v", err)
		}
	}
	if _, err := make(SettingsLog, MaxFullLog+1).EventLog(); !errors.Is(err, ErrLimit) {
		t.Errorf("too long: %v", err)
	}
	if !a.Same(a.After([32]byte{9})) || a.Same(b) {
		t.Error("what is the same does not depend on the digests alone")
	}
}
