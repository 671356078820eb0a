package targets

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestTable: what the issue names is there, and each target is told apart from the others.
func TestTable(t *testing.T) {
	var names []string
	for _, target := range Table {
		if slices.Contains(names, target.Name) || target.Budget < 10<<20 || target.Budget > 18<<20 {
			t.Errorf("%+v", target)
		}
		names = append(names, target.Name)
		env := target.env()
		if want := map[string]string{"armv6": "GOARM=6", "armv7": "GOARM=7", "mipsle": "GOMIPS=softfloat"}[target.Name]; want != "" && !slices.Contains(env, want) {
			t.Errorf("%s: %v", target.Name, env)
		}
		if !slices.Contains(env, "CGO_ENABLED=0") || !slices.Contains(env, "GOARCH="+target.Arch) {
			t.Errorf("%s: %v", target.Name, env)
		}
	}
	for _, want := range []string{"armv6", "armv7", "arm64", "amd64", "mipsle"} {
		if _, err := Find(want); err != nil {
			t.Error(err)
		}
	}
	if v7, _ := Find("armv7"); v7.Budget != 14<<20 {
		t.Errorf("ARM v7 may have %d bytes", v7.Budget)
	}
	if _, err := Find("riscv"); err == nil {
		t.Error("a target that is not in the table is found")
	}
}

// TestBuildTwice builds a small program in two folders: the same bytes, with no trace of
// either folder; and a program that differs, which differs.
func TestBuildTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a compiler half a minute: without -short")
	}
	target, err := Find("amd64")
	if err != nil {
		t.Fatal(err)
	}
	build := func(text string) []byte {
		dir := t.TempDir()
		for name, text := range map[string]string{"go.mod": "module small\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { println(\"" + text + "\") }\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out := filepath.Join(dir, "small")
		if err := target.Build(t.Context(), dir, ".", out, Version{"1", 2}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil || bytes.Contains(b, []byte(dir)) {
			t.Fatalf("the folder's path is in the binary, or %v", err)
		}
		return b
	}
	one := build("one")
	if !bytes.Equal(one, build("one")) {
		t.Error("two builds differ")
	}
	if bytes.Equal(one, build("two")) {
		t.Error("control: another program has the same bytes")
	}
}
