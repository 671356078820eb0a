package sensor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestParseInt(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "42": 42, "-15250": -15250, "999999999999999999": 999999999999999999} {
		if v, ok := ParseInt([]byte(text)); !ok || v != want {
			t.Errorf("%q: %d, %t", text, v, ok)
		}
	}
	for _, text := range []string{"", "-", "--1", "1.5", "0x10", "+3", " 1", "1e3", "1000000000000000000", "12a"} {
		if v, ok := ParseInt([]byte(text)); ok {
			t.Errorf("%q is read as %d", text, v)
		}
	}
}

// An attribute is read from its beginning each time, whatever it said before.
func TestAttribute(t *testing.T) {
	path := filepath.Join(t.TempDir(), "temp1_input")
	if _, err := OpenAttribute(path); !errors.Is(err, ErrMissing) {
		t.Fatalf("a file that is not there: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("21500\n")
	a, err := OpenAttribute(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{{"21500\n", 21500, true}, {"-3\n", -3, true}, {"nonsense\n", 0, false}, {"", 0, false}, {"7", 7, true}} {
		write(c.text)
		v, err := a.Int()
		if v != c.want || (err == nil) != c.ok || err != nil && !errors.Is(err, ErrMissing) {
			t.Errorf("%q: %d, %v", c.text, v, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { a.Int() }); n != 0 {
		t.Errorf("%v allocations a reading", n)
	}
}

func TestLost(t *testing.T) {
	var l *Lost
	if l.Err() != nil {
		t.Error("nothing lost is an error")
	}
	first := errors.New("first")
	l = l.Note(3, first).Note(5, errors.New("second"))
	if l.Channels != 1<<3|1<<5 || !errors.Is(l.Err(), ErrMissing) || !errors.Is(l.Err(), first) {
		t.Errorf("%+v", l)
	}
}
