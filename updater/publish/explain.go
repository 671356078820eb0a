package publish

import (
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Explain says in lines what a draft would make true, for whoever is about to sign it.
func (d *Draft) Explain() ([]string, error) {
	var lines []string
	for _, doc := range d.Documents {
		more, err := doc.explain()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", doc.File, ErrDraft, err)
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func (doc *Document) explain() ([]string, error) {
	if doc.Role == metadata.ROOT {
		md, err := metadata.Root().FromBytes(doc.Metadata)
		if err != nil {
			return nil, err
		}
		lines := []string{fmt.Sprintf("%s: the trust of every printer, until %s", doc.File, md.Signed.Expires.Format(time.RFC3339))}
		for _, name := range [...]string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
			if role := md.Signed.Roles[name]; role != nil {
				line := fmt.Sprintf("  %-10s %d of", name, role.Threshold)
				for _, id := range role.KeyIDs {
					line += " " + short(id)
				}
				lines = append(lines, line)
			}
		}
		return lines, nil
	}
	md, err := metadata.Targets().FromBytes(doc.Metadata)
	if err != nil {
		return nil, err
	}
	about := "all that printers may install"
	if doc.Role != metadata.TARGETS {
		about = "all that is released by " + doc.Role
	}
	lines := []string{fmt.Sprintf("%s: %s, until %s", doc.File, about, md.Signed.Expires.Format(time.RFC3339))}
	lines = append(lines, explainRoles(md)...)
	var paths []string
	for path, file := range md.Signed.Targets {
		paths = append(paths, fmt.Sprintf("  %s  %d bytes  sha256 %s", path, file.Length, file.Hashes["sha256"]))
	}
	slices.Sort(paths)
	all, err := releases(md)
	if err != nil {
		return nil, err
	}
	for _, rel := range all {
		if r := rel.Rollout; r != nil {
			paths = append(paths, fmt.Sprintf("  %s: share %d of 10000, rings %v, paused %v, withdrawn %v", rel.Path, r.Share, r.Rings, r.Paused, r.Withdrawn))
		}
	}
	return append(lines, paths...), nil
}
