package spill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mistake is planted where its function begins; a function that is gone is said.
func TestPlant(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.go")
	if err := os.WriteFile(path, []byte("package x\n\nfunc (t T) plain(file int) {\n\tuse(file)\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at, text, err := plant(dir, Spill{"x", "plain", "leak(file)"}, nil)
	if err != nil || at != path || !strings.Contains(string(text), "{leak(file)\n\n\tuse(file)") {
		t.Errorf("%s, %v:\n%s", at, err, text)
	}
	if _, _, err := plant(dir, Spill{"x", "gone", "leak(file)"}, nil); err == nil {
		t.Error("nothing is said of a function that is gone")
	}
}
