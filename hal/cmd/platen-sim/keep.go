package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"platen/hal/unit"
)

// readPlace reads where the head stood when the power went, from a file of three lengths in
// mm; without the file it stands at zero.
func readPlace(path string) (at [3]unit.Length, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return at, nil
	}
	if err != nil {
		return at, err
	}
	var mm [3]float64
	if _, err := fmt.Sscan(string(text), &mm[0], &mm[1], &mm[2]); err != nil {
		return at, fmt.Errorf("%s does not say where the head stands: remove it", path)
	}
	for i := range at {
		if at[i], err = unit.FromMM(mm[i]); err != nil {
			return at, fmt.Errorf("%s does not say where the head stands: remove it", path)
		}
	}
	return at, nil
}

// writePlace writes where the head stands now that the power is gone.
func writePlace(path string, at [3]unit.Length) error {
	text := fmt.Sprintf("%.4f %.4f %.4f\n", at[0].MM(), at[1].MM(), at[2].MM())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("keeping where the head stands: %w", err)
	}
	return nil
}
