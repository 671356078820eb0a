package vault

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// resident is how much memory the process has, in bytes.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return n * unix.Getpagesize()
}

// What is forgotten is the system's again, what is around it stays, and the vault
// closes as any other. Nothing is handed out in the place of what is gone.
func TestForget(t *testing.T) {
	const size = 32 << 20
	for name, open := range map[string]func(int64) (*Vault, error){"pageable": NewPageable, "locked": New} {
		v, err := open(size)
		if errors.Is(err, ErrNotLocked) {
			continue // the other one is looked at
		}
		if err != nil {
			t.Fatal(err)
		}
		mark := v.Mark()
		s, err := Alloc[int32](v, 24<<18)
		if err != nil {
			t.Fatal(err)
		}
		for i := range s {
			s[i] = int32(i) + 1
		}
		before := resident(t)
		first, last := 1<<18+5, 23<<18-5
		Forget(v, s[first:last])
		if gone := before - resident(t); gone < 19<<20 || v.Stats().Given < 19<<20 {
			t.Errorf("%s: %d bytes are gone, %d were given", name, gone, v.Stats().Given)
		}
		if s[first-1] != int32(first) || s[last] != int32(last)+1 {
			t.Errorf("%s: what is around has changed", name)
		}
		v.Release(mark)
		if s[first-1] != 0 || s[last] != 0 {
			t.Errorf("%s: what is around was not wiped", name)
		}
		if _, err := Alloc[byte](v, 8<<20); !errors.Is(err, ErrBudget) {
			t.Errorf("%s: got %v where memory was given back", name, err)
		}
		if b, err := Alloc[byte](v, 1<<19); err != nil || len(b) != 1<<19 {
			t.Errorf("%s: below it: %v", name, err)
		}
		if _, err := Scratch[byte](v, 6<<20); err != nil {
			t.Errorf("%s: above it: %v", name, err)
		}
		if err := v.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
