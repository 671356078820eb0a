package boards

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds a board file in bytes.
const maxFile = 64 << 10

// IsFile reports whether the name of a board is that of a file of the owner's, and not an
// id: it ends in ".toml".
func IsFile(name string) bool { return strings.HasSuffix(name, ".toml") }

// Open returns the board that a configuration names: one of this release by its id, or
// the owner's by the path of its file, see [IsFile]. An id that is not in [List] is
// [ErrUnknown].
func Open(name string) (*Board, error) {
	text, err := Text(name)
	if err != nil {
		return nil, err
	}
	if !IsFile(name) {
		name += ".toml"
	}
	return Parse(filepath.Base(name), text)
}

// Text returns the file that Open reads, with its comments.
func Text(name string) ([]byte, error) {
	if !IsFile(name) {
		return embedded(name)
	}
	// Opened without waiting: what is no file at all is told from its kind.
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no board file at %s: write one, starting with platen boards show ID --file", name)
	case err != nil:
		return nil, fmt.Errorf("reading the board file: %w", err)
	case !st.Mode().IsRegular() || st.Size() > maxFile:
		return nil, fmt.Errorf("board file %s is no file of at most %d KiB", name, maxFile>>10)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the board file: %w", err)
	}
	return text, nil
}
