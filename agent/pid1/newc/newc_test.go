package newc

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var sample = []Entry{
	{Name: "etc", Mode: Dir | 0o755},
	{Name: "etc/one", Mode: Regular | 0o644, Data: []byte("1")},
	{Name: "etc/five", Mode: Regular | 0o600, Data: []byte("five!")},
	{Name: "etc/none", Mode: Regular | 0o600, Data: []byte{}},
}

func archive(t *testing.T, list []Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, list); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	b := archive(t, sample)
	if !bytes.Equal(b, archive(t, sample)) {
		t.Error("the same entries make other bytes")
	}
	got, err := Read(bytes.NewReader(append(b, "and more"...)), len(b))
	want := append([]Entry(nil), sample...)
	want[0].Data = []byte{}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
}

// TestFormat holds the first entry against the kernel's description of the format.
func TestFormat(t *testing.T) {
	b := archive(t, sample[1:2])
	const want = "070701" + "00000001" + "000081A4" + "00000000" + "00000000" + "00000001" + "00000000" + "00000001" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000008" + "00000000" + "etc/one\x00\x00\x001\x00\x00\x00"
	if !strings.HasPrefix(string(b), want) || len(b)%4 != 0 {
		t.Errorf("%q", b[:min(len(b), len(want))])
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, e := range []Entry{{Name: "", Mode: Dir}, {Name: "/a", Mode: Dir}, {Name: "../a", Mode: Dir}, {Name: "a/", Mode: Dir}, {Name: "a\x00", Mode: Dir},
		{Name: trailer, Mode: Dir}, {Name: "a", Mode: 0o120777}, {Name: "a", Mode: Dir, Data: []byte("x")}} {
		if Write(&bytes.Buffer{}, []Entry{e}) == nil {
			t.Errorf("%q %o is written", e.Name, e.Mode)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	b := archive(t, sample)
	for n := range b {
		if n%7 == 0 || n > len(b)-8 {
			if _, err := Read(bytes.NewReader(b[:n]), 1<<20); !errors.Is(err, ErrArchive) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		}
	}
	if _, err := Read(bytes.NewReader(b), len(b)-1); !errors.Is(err, ErrArchive) {
		t.Errorf("more than allowed: %v", err)
	}
	for name, list := range map[string][]byte{
		"device": archive(t, []Entry{{Name: "null", Mode: Char | 0o600, Major: 1, Minor: 3}}),
		"climbs": bytes.Replace(b, []byte("etc/five"), []byte("../fiver"), 1),
		"link":   bytes.Replace(b, []byte("000081A4"), []byte("0000A1FF"), 1),
	} {
		if _, err := Read(bytes.NewReader(list), 1<<20); !errors.Is(err, ErrArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, sample); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Read(bytes.NewReader(b), 1<<16)
		if err == nil && Write(&bytes.Buffer{}, list) != nil {
			t.Error("took what cannot be written")
		}
	})
}
