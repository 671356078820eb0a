package marker

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/seam"
)

func open(t *testing.T, key byte) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "marker")
	f, err := Open(path, [32]byte{key})
	if err != nil {
		t.Fatal(err)
	}
	return f, path
}

func sample() Marker {
	return Marker{Job: [16]byte([]byte("a job to be seen")), Tag: [32]byte([]byte("a digest that anyone may guess..")),
		Layer: 0x4c415945, Mark: seam.MarkParked, Boot: 0x424f4f54424f4f54, Count: 0x434f554e54434f55}
}

func TestMarker(t *testing.T) {
	f, path := open(t, 1)
	if _, ok, err := f.Read(); ok || err != nil {
		t.Errorf("none: %v, %v", ok, err)
	}
	want := sample()
	want.Layer = 41
	for range 2 {
		if err := f.Write(want); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := f.Read(); got != want || !ok || err != nil {
			t.Errorf("read %+v, %v, %v", got, ok, err)
		}
		want.Layer++
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 0 {
		t.Errorf("%d files are left", len(names))
	}
	if err := f.Remove(); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

// TestStolen: whoever has the disk at any moment of a print, and all disks before, has
// nothing of what a marker says, and cannot tell one from another. The control is the same
// search in what was sealed.
func TestStolen(t *testing.T) {
	f, path := open(t, 1)
	m := sample()
	m.Layer = 0x000c4159 // below the bound, and to be recognised
	secrets := [][]byte{m.Job[:], m.Tag[:], []byte("digest that anyone"), {0x59, 0x41, 0x0c, 0x00}, {0x00, 0x0c, 0x41, 0x59}, []byte("OOTB"), []byte("TNUO"), []byte("COUN")}
	seen := map[string]bool{}
	for range 40 {
		if err := f.Write(m); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) != Size {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		for i, s := range secrets {
			if bytes.Contains(b, s) {
				t.Errorf("the file shows secret %d", i)
			}
		}
		for i := 1; i+8 <= len(b); i++ { // the same marker: no eight bytes come again in one place
			here := fmt.Sprintf("%d:%x", i, b[i:i+8])
			if seen[here] {
				t.Fatalf("bytes from %d on are as in an earlier file", i)
			}
			seen[here] = true
		}
	}
	clear, found := m.append(nil), 0
	for _, s := range secrets {
		if bytes.Contains(clear, s) {
			found++
		}
	}
	if found < 5 {
		t.Fatalf("control: %d secrets are found in clear", found)
	}
	if len(clear) != bodySize {
		t.Errorf("a marker has %d bytes, want %d", len(clear), bodySize)
	}
}

// TestForged: a marker with any bit turned, of another printer, or cut off is none.
func TestForged(t *testing.T) {
	f, path := open(t, 1)
	m := sample()
	m.Layer = 7
	if err := f.Write(m); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(name string, b []byte, want bool) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := f.Read(); ok != want || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	for bit := range 8 * len(good) {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		try(fmt.Sprintf("bit %d", bit), b, false)
	}
	try("cut off", good[:len(good)-1], false)
	try("empty", nil, false)
	try("longer", append(bytes.Clone(good), 0), false)
	try("control", good, true)
	other, err := Open(path, [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := other.Read(); ok || err != nil {
		t.Errorf("another printer reads it: %v", err)
	}
	for name, m := range map[string]Marker{"layer": {Layer: seam.MostLayers, Mark: seam.MarkLayer}, "mark": {}} {
		if err := f.Write(m); err != nil {
			t.Fatal(err)
		}
		if _, ok, _ := f.Read(); ok {
			t.Errorf("a %s that there is not is read", name)
		}
	}
}

// TestSaysNothing: a marker shows nothing in logs.
func TestSaysNothing(t *testing.T) {
	var log bytes.Buffer
	m := sample()
	m.Layer = 987654
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "m", m)
	text := fmt.Sprintf("%v %+v %#v %s %v", m, m, m, m, &m) + log.String()
	if strings.Contains(text, "987654") || strings.Contains(text, "97 32 106") {
		t.Errorf("shows in %q", text)
	}
}
