package releases

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"

	"platen/updater/trust"
)

// Read verifies once what a repository has published, from the root metadata in rootFile: at is its
// URL or its folder. fixed are agents that are known besides. A repository whose metadata has
// expired, by the clock of today, is refused: what it said when it was good may be taken back by now.
// If that is one role's, no release of its board is known.
func Read(ctx context.Context, at, rootFile string, fixed map[[32]byte]uint64, log *slog.Logger) (x *Index, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	root, err := readFile(rootFile)
	if err != nil {
		return nil, err
	}
	cache, err := os.MkdirTemp("", "platen-releases")
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cache)) }()
	c, err := trust.New(trust.Config{Dir: cache, FactoryRoot: root, URL: at, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("open the repository: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	found, stopped, err := published(c)
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	for board, err := range stopped {
		log.Warn("no release of a board is known", "board", board, "error", err)
	}
	return &Index{log: log, change: func(int) {}, fixed: maps.Clone(fixed), found: found}, nil
}
