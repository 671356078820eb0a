package consent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

var errLong = errors.New("longer than any that is written here")

// readSmall reads a file of at most limit bytes; errLong reports a longer one.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: %w", filepath.Base(path), errLong)
	}
	return b, err
}
