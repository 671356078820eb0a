package plate

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"platen/slicer/vault"
)

// part is a part of a package.
type part struct{ name, text string }

const types = `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`

func build(t testing.TB, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range parts {
		w, err := z.Create(p.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func room(t testing.TB) *vault.Vault {
	t.Helper()
	v, err := vault.NewPageable(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func TestPlates(t *testing.T) {
	long := strings.Repeat("G1 X1 Y1\n", 20_000)
	data := build(t, part{"[Content_Types].xml", types}, part{"3D/3dmodel.model", "<model/>"},
		part{"Metadata/plate_10.gcode", "G28\n"}, part{"Metadata/plate_2.gcode", long}, part{"Metadata/plate_2.gcode.md5", "0"},
		part{"Metadata/plate_02.gcode", "no"}, part{"Metadata/plate_0.gcode", "no"}, part{"Metadata/plate_100.gcode", "no"},
		part{"plate_3.gcode", "no"}, part{"Metadata/plate_4.gcode/x", "no"}, part{"Metadata/plate_-5.gcode", "no"})
	p, err := Open(room(t), data)
	if err != nil || !Is(data) {
		t.Fatal(err)
	}
	if got := p.Numbers(); !slices.Equal(got, []int{2, 10}) {
		t.Fatalf("%v", got)
	}
	for range 2 { // and again from the beginning
		for n, want := range map[int]string{2: long, 10: "G28\n"} {
			if got, err := io.ReadAll(p.Reader(n)); err != nil || string(got) != want {
				t.Errorf("plate %d: %d bytes, %v", n, len(got), err)
			}
		}
	}
	for n, want := range map[int]int{0: 0, 1: 0, 2: 2, 10: 10} {
		got, err := p.Choose(n)
		if got != want || errors.Is(err, ErrChoose) != (want == 0) {
			t.Errorf("chose %d: %d, %v", n, got, err)
		}
	}
	one, err := Open(room(t), build(t, part{"[Content_Types].xml", types}, part{"Metadata/plate_7.gcode", "G28\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := one.Choose(0); n != 7 || err != nil {
		t.Errorf("the only one is %d, %v", n, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", one, one, one); strings.Contains(text, "plate_") || strings.Contains(text, "G28") {
		t.Error("a package tells of itself")
	}
}

// A model is no package with G-code, and gives its memory back.
func TestModel(t *testing.T) {
	v := room(t)
	free := v.Free()
	p, err := Open(v, build(t, part{"[Content_Types].xml", types}, part{"3D/3dmodel.model", "<model/>"}))
	if p != nil || err != nil || v.Free() != free {
		t.Errorf("%v, %v, %d of %d bytes free", p, err, v.Free(), free)
	}
}

func TestHostile(t *testing.T) {
	good := build(t, part{"[Content_Types].xml", types}, part{"Metadata/plate_1.gcode", strings.Repeat("G28 ; home\n", 100)})
	if p, err := Open(room(t), good); err != nil || p == nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"no types":    build(t, part{"Metadata/plate_1.gcode", "G28\n"}),
		"twice there": build(t, part{"[Content_Types].xml", types}, part{"Metadata/plate_1.gcode", "G28\n"}, part{"Metadata/PLATE_1.gcode", "G28\n"}),
		"a way out":   build(t, part{"[Content_Types].xml", types}, part{"../Metadata/plate_1.gcode", "G28\n"}),
		"cut off":     good[:len(good)-10],
		"empty":       nil,
	} {
		if p, err := Open(room(t), data); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	small, err := vault.NewPageable(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = small.Close() }()
	if _, err := Open(small, good); !errors.Is(err, vault.ErrBudget) {
		t.Errorf("got %v", err)
	}
	// Any byte that is another: refused at once, or while it is read; never anything else
	// than the plate.
	text := strings.Repeat("G28 ; home\n", 100)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		p, err := Open(room(t), bad)
		if err != nil || p == nil {
			continue
		}
		n, err := p.Choose(0)
		if err != nil {
			continue
		}
		if got, err := io.ReadAll(p.Reader(n)); err == nil && string(got) != text {
			t.Fatalf("byte %d: %d other bytes are read without an error", i, len(got))
		}
	}
}
