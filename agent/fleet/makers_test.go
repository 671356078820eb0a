package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/fleet/ca"
)

func TestMakers(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"a", "b"} {
		if _, err := ca.Open(filepath.Join(dir, sub)); err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(filepath.Join(dir, sub, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, sub+".pem"), pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	pool, err := makers([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	one, err := makers([]string{filepath.Join(dir, "a.pem")})
	if err != nil {
		t.Fatal(err)
	}
	both, err := makers([]string{filepath.Join(dir, "a.pem"), filepath.Join(dir, "b.pem")})
	if err != nil || !pool.Equal(both) || pool.Equal(one) {
		t.Errorf("a folder is not its files: %v", err)
	}
	if _, err := makers([]string{filepath.Join(dir, "README")}); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("error %v", err)
	}
	if _, err := makers([]string{t.TempDir()}); err == nil {
		t.Error("an empty folder is silently taken")
	}
}
