package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"platen/cross/rig/leak"
)

// noLeak looks for the model in every file that was written since the demo began,
// and then for a canary of it that it plants.
func (d *demo) noLeak(ctx context.Context) (string, error) {
	s := leak.NewSet()
	if err := s.AddSTL(d.model, 2000); err != nil {
		return "", err
	}
	facets := s.Len()
	gcode, err := d.Run(ctx, "platen-slice", d.model, "-o", "-")
	if err != nil {
		return "", err
	}
	s.AddLines(gcode, 5000)
	if s.Len() == facets {
		return "", fmt.Errorf("%w: no line of the program can be looked for", errControl)
	}
	roots := []string{d.Dir, filepath.Dir(d.tpm.Socket), os.TempDir(), "/var/tmp", "/dev/shm", "/run", "."}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".local"), filepath.Join(home, ".config"))
	}
	found, err := s.Tree(roots, d.began.Add(-time.Second), d.model)
	if err != nil {
		return "", err
	}
	if len(found.Hits) > 0 {
		h := found.Hits[0]
		return "", fmt.Errorf("%d places hold the model, the first is a %s at byte %d of %s", len(found.Hits), h.Kind, h.Offset, h.Path)
	}
	canaries, err := d.plant(gcode)
	if err != nil {
		return "", err
	}
	control, err := s.Tree([]string{d.Dir}, d.began.Add(-time.Second), d.model)
	if err != nil {
		return "", err
	}
	hit := map[string]bool{}
	for _, h := range control.Hits {
		hit[h.Path] = true
	}
	for _, c := range canaries {
		if !hit[c] {
			return "", fmt.Errorf("%w: %s", errControl, c)
		}
	}
	return fmt.Sprintf("none of %d patterns in %d files (%d MiB) written since the start;\nthe control finds %d canaries of %d planted",
		s.Len(), found.Files, found.Bytes>>20, len(hit), len(canaries)), nil
}

// plant writes the model and its program where a leak could have put them.
func (d *demo) plant(gcode []byte) ([]string, error) {
	model, err := os.ReadFile(d.model)
	if err != nil {
		return nil, err
	}
	canaries := map[string][]byte{
		"canary-model": append([]byte("crash dump: "), model...),
		"canary-log":   append([]byte("level=INFO msg=line text="), gcode...),
	}
	var paths []string
	for name, b := range canaries {
		path := d.Path(name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
