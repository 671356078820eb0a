package fdt

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

const text = `/dts-v1/;
/* a board */
/ {
	#size-cells = <0x2>;
	compatible = "one", "two";	// both
	empty;
	mixed = <1 0xfffffffe>, [0a ff], "end";
	node@1 { below { reg = <1>; }; };
	node@2 { };
};`

func compiled(t *testing.T) *Node {
	t.Helper()
	n, err := Compile(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCompile(t *testing.T) {
	want := &Node{Props: []Prop{
		{"#size-cells", []byte{0, 0, 0, 2}}, {"compatible", []byte("one\x00two\x00")}, {"empty", nil},
		{"mixed", []byte("\x00\x00\x00\x01\xff\xff\xff\xfe\x0a\xffend\x00")}},
		Children: []*Node{{Name: "node@1", Children: []*Node{{Name: "below", Props: []Prop{{"reg", []byte{0, 0, 0, 1}}}}}}, {Name: "node@2"}}}
	if d := cmp.Diff(want, compiled(t)); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "/ {};", "/dts-v1/; / { a = <1> };", "/dts-v1/; / { a = <x>; };", "/dts-v1/; / { a = [100]; };",
		"/dts-v1/; / { a = <0x100000000>; };", "/dts-v1/; / { b { };", "/dts-v1/; / { }; more", `/dts-v1/; / { a = "x };`, "/dts-v1/; / { &x; };",
		"/dts-v1/; / { ; };", "/dts-v1/; / { a = ; };", "/dts-v1/; /"} {
		if _, err := Compile(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestStock: dtc writes the same tree.
func TestStock(t *testing.T) {
	dtc, err := rig.Find("dtc")
	rigtest.Check(t, err)
	file := filepath.Join(t.TempDir(), "a.dts")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(dtc, "-q", "-f", "-I", "dts", "-O", "dtb", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(theirs.Encode(), compiled(t).Encode()) {
		t.Error(cmp.Diff(theirs, compiled(t)))
	}
}

// tree draws any tree.
func tree(depth int) *rapid.Generator[*Node] {
	return rapid.Custom(func(t *rapid.T) *Node {
		n := &Node{}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,9}`), 0, 4, rapid.ID[string]).Draw(t, "props") {
			n.Set(name, rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "value"))
		}
		if depth == 0 {
			return n
		}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z@]{1,9}`), 0, 3, rapid.ID[string]).Draw(t, "children") {
			c := tree(depth-1).Draw(t, "child")
			c.Name = name
			n.Children = append(n.Children, c)
		}
		return n
	})
}

func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := tree(3).Draw(t, "tree")
		b := n.Encode()
		got, err := Parse(append(bytes.Clone(b), "behind it"...))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Encode(), b) {
			t.Fatalf("%x became %x", b, got.Encode())
		}
	})
}

func TestNode(t *testing.T) {
	n := compiled(t)
	if n.At("node@1/below") == nil || n.At("node@1/other") != nil || n.At("node@3/below") != nil {
		t.Error("At")
	}
	n.Text("compatible", "three")
	if string(n.Prop("compatible")) != "three\x00" || len(n.Props) != 4 || n.Prop("never") != nil {
		t.Errorf("%v", n.Props)
	}
	if n.Child("node@2") != n.Children[1] || n.Child("node@9") != n.Children[2] {
		t.Error("Child")
	}
}

// FuzzParse: whatever is taken is written again as the same tree.
func FuzzParse(f *testing.F) {
	n, err := Compile(text)
	if err != nil {
		f.Fatal(err)
	}
	b := n.Encode()
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte("\xd0\x0d\xfe\xed"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrTree) {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(n.Encode())
		if err != nil || cmp.Diff(n, again) != "" {
			t.Fatal(err, cmp.Diff(n, again))
		}
	})
}
