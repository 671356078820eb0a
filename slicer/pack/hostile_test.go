package pack

import (
	"errors"
	"testing"

	"platen/testdata/hostile"
)

// Every lie of an archive is refused: threat T15. Each case is one change of an archive
// that opens.
func TestHostile(t *testing.T) {
	lies := hostile.Archives()
	for _, f := range lies {
		if _, err := readAll(newVault(t, 1<<20), f.Body); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	for _, f := range hostile.SoundArchives() {
		if _, err := readAll(newVault(t, 1<<20), f.Body); err != nil || len(lies) < 50 {
			t.Errorf("control: %s: %v", f.Name, err)
		}
	}
}
