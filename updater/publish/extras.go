package publish

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/delta"
)

// deltaOf is the custom field of a delta.
type deltaOf struct {
	Board   string `json:"board"`
	Kind    string `json:"kind"`
	Release uint64 `json:"release"`
	From    string `json:"from"` // SHA-256 of what it starts from, hex
	To      string `json:"to"`   // of what it makes
}

// paperOf is the custom field of a paper.
type paperOf struct {
	Board   string `json:"board"`
	Kind    string `json:"kind"`
	Release uint64 `json:"release"`
	Name    string `json:"name"`
}

// Added is a file that goes along with a release.
type Added struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Whole  int64  `json:"whole,omitempty"` // of a delta: the size of what it makes
}

// Delta makes the deltas by which printers get from up to back of the releases before to
// release n (0: the newest), and signs them. One that would be longer than the release
// itself is left out.
func (r *Repo) Delta(board, kind string, n uint64, back int, keyDirs []string, now time.Time) ([]Added, error) {
	var list []Added
	err := r.change(wanted{board, kind, n}, keyDirs, now, func(md *listing, to Release, before []Release) error {
		if len(before) == 0 {
			return fmt.Errorf("%w: there is no release before %d to start from", ErrRelease, to.Release)
		}
		next, err := r.contents(to)
		if err != nil {
			return err
		}
		for _, from := range before[max(0, len(before)-back):] {
			a, err := r.delta(md, from, to, next)
			if err != nil {
				return err
			}
			if a.Size > 0 {
				list = append(list, a)
			}
		}
		return nil
	})
	return list, err
}

func (r *Repo) delta(md *listing, from, to Release, next []byte) (Added, error) {
	old, err := r.contents(from)
	if err != nil {
		return Added{}, err
	}
	var patch bytes.Buffer
	if err := delta.Make(old, next, &patch, 0); err != nil {
		return Added{}, err
	}
	if int64(patch.Len()) >= to.Size {
		return Added{}, nil
	}
	a := Added{Path: to.folder() + "/from-" + short16(from.SHA256) + ".delta", Whole: to.Size}
	if a.Size, a.SHA256, err = r.copyIn(&patch, a.Path); err != nil {
		return Added{}, err
	}
	return a, enterFile(md, a.Path, a.Size, a.SHA256, custom{Delta: &deltaOf{to.Board, to.Kind, to.Release, from.SHA256, to.SHA256}})
}

func short16(digest string) string { return digest[:min(16, len(digest))] }

// place is where the file of a signed target is, under its hash.
func place(path, sha256 string) string {
	folder, base := filepath.Split(path)
	return "targets/" + folder + sha256 + "." + base
}

func (r *Repo) contents(rel Release) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(place(rel.Path, rel.SHA256))))
	if err != nil {
		return nil, fmt.Errorf("read release %d: %w", rel.Release, err)
	}
	return data, nil
}

// AddPaper signs a file that belongs to release n (0: the newest) and that printers do not
// need: what it is made of, how it was built. name is what it is called in the repository.
func (r *Repo) AddPaper(board, kind string, n uint64, name, file string, keyDirs []string, now time.Time) (Added, error) {
	if !paperName(name) {
		return Added{}, fmt.Errorf("%w: a paper's name is made of a-z, 0-9, full stops and hyphens", ErrRelease)
	}
	src, err := os.Open(file)
	if err != nil {
		return Added{}, fmt.Errorf("open paper: %w", err)
	}
	defer src.Close()
	var a Added
	err = r.change(wanted{board, kind, n}, keyDirs, now, func(md *listing, rel Release, _ []Release) (err error) {
		a.Path = rel.folder() + "/" + name
		if md.Signed.Targets[a.Path] != nil {
			return fmt.Errorf("%w: release %d has a paper %s already", ErrRelease, rel.Release, name)
		}
		if a.Size, a.SHA256, err = r.copyIn(src, a.Path); err != nil {
			return err
		}
		return enterFile(md, a.Path, a.Size, a.SHA256, custom{Paper: &paperOf{board, kind, rel.Release, name}})
	})
	return a, err
}

func paperName(name string) bool {
	return name != "platen" && len(name) <= 64 && !strings.HasSuffix(name, ".delta") && !strings.Contains(name, "..") &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && name != "" && name[0] != '.' && name[0] != '-'
}

// Rollout changes who gets release n (0: the newest): edit is given what holds now, which
// may be for every printer: a share of [updater.WholeShare]. A release that was withdrawn
// stays so.
func (r *Repo) Rollout(board, kind string, n uint64, edit func(*updater.Rollout), keyDirs []string, now time.Time) (Release, error) {
	var rel Release
	err := r.change(wanted{board, kind, n}, keyDirs, now, func(md *listing, now Release, _ []Release) error {
		rel = now
		next := updater.Rollout{Share: updater.WholeShare}
		if rel.Rollout != nil {
			next = *rel.Rollout
		}
		if next.Withdrawn {
			return fmt.Errorf("%w: release %d was withdrawn: add another one", ErrRelease, rel.Release)
		}
		edit(&next)
		if next.Share > updater.WholeShare {
			return fmt.Errorf("%w: more than all printers", ErrRelease)
		}
		for _, ring := range next.Rings {
			if !word.MatchString(ring) {
				return fmt.Errorf("%w: a ring's name is made of a-z, 0-9 and single hyphens", ErrRelease)
			}
		}
		rel.Rollout = &next
		if next.Share == updater.WholeShare && !next.Paused && !next.Withdrawn {
			rel.Rollout = nil
		}
		return enter(md, rel)
	})
	return rel, err
}

// Expire changes for how long metadata is valid that is signed from now on; a term of 0
// stays as it is.
func (r *Repo) Expire(root, targets, snapshot, timestamp time.Duration) (Policy, error) {
	unlock, err := r.lock()
	if err != nil {
		return Policy{}, err
	}
	defer unlock()
	p := r.set.Policy
	p.RootValid, p.TargetsValid = cmp.Or(root, p.RootValid), cmp.Or(targets, p.TargetsValid)
	p.SnapshotValid, p.TimestampValid = cmp.Or(snapshot, p.SnapshotValid), cmp.Or(timestamp, p.TimestampValid)
	if err := p.check(); err != nil {
		return Policy{}, err
	}
	r.set.Policy = p
	return p, r.saveSettings()
}

// Bundle writes what a printer without a network needs, as one file (ustar, the names of
// the repository): every root, the newest metadata that is published, and of each board
// named (none: all) what belongs to the newest release of each kind that every printer may
// have, and to those above it.
func (r *Repo) Bundle(w io.Writer, boards []string) error {
	unlock, err := r.lock()
	if err != nil {
		return err
	}
	defer unlock()
	names, err := r.bundled(boards)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, name := range names {
		if err := r.pack(t, name); err != nil {
			return fmt.Errorf("bundle %s: %w", name, err)
		}
	}
	return t.Close()
}

// bundled lists the files of a bundle, metadata first.
func (r *Repo) bundled(boards []string) ([]string, error) {
	var names []string
	for v := range r.root.Signed.Version {
		names = append(names, fmt.Sprintf("%d.root.json", v+1))
	}
	ts, err := load(r, "timestamp.json", metadata.Timestamp())
	if err != nil {
		return nil, err
	}
	snapshot := fmt.Sprintf("%d.snapshot.json", ts.Signed.Meta["snapshot.json"].Version)
	sn, err := load(r, snapshot, metadata.Snapshot())
	if err != nil {
		return nil, err
	}
	l, more, err := r.published(sn, boards)
	if err != nil {
		return nil, err
	}
	names = append(append(names, "timestamp.json", snapshot), more...)
	all, err := l.releases()
	if err != nil {
		return nil, err
	}
	var files []string
	for i, rel := range all {
		if !newest(all[i+1:], rel) && !ofSet(all, rel) || len(boards) > 0 && !slices.Contains(boards, rel.Board) {
			continue
		}
		for _, p := range l.all() { // deltas and papers may be of another role than the release
			for path, file := range p.md.Signed.Targets {
				if strings.HasPrefix(path, rel.folder()+"/") {
					files = append(files, place(path, hex.EncodeToString(file.Hashes["sha256"])))
				}
			}
		}
		if proof := place(rel.Path, rel.SHA256) + proofSuffix; r.has(proof) {
			files = append(files, proof)
		}
	}
	slices.Sort(files)
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: nothing is published for %s", ErrRelease, strings.Join(boards, ", "))
	}
	return append(names, files...), nil
}

// published is the ledger of a snapshot, and the files of its listings: of the delegated
// roles, those of the boards that are named (none: all).
func (r *Repo) published(sn *metadata.Metadata[metadata.SnapshotType], boards []string) (*ledger, []string, error) {
	var files []string
	read := func(name string) (*listing, error) {
		m := sn.Signed.Meta[name+".json"]
		if m == nil {
			return nil, fmt.Errorf("the snapshot does not name %s: %w: publish", name, ErrDamaged)
		}
		files = append(files, fmt.Sprintf("%d.%s.json", m.Version, name))
		return load(r, files[len(files)-1], metadata.Targets())
	}
	top, err := read(metadata.TARGETS)
	if err != nil {
		return nil, nil, err
	}
	l, err := r.assemble(top, func(p *part, _ *listing) (err error) {
		if len(boards) > 0 && !slices.Contains(boards, p.place.Board) {
			p.md = metadata.Targets()
			return nil
		}
		p.md, err = read(p.role)
		return err
	})
	slices.Sort(files[1:])
	return l, files, err
}

// newest reports whether some printer would pick a release: it would not if one of those
// above it is for everybody.
func newest(above []Release, rel Release) bool {
	return !slices.ContainsFunc(above, func(o Release) bool { return o.Board == rel.Board && o.Kind == rel.Kind && o.Rollout == nil })
}

// proofSuffix is what the proof of a target that is in the log is called, behind its name.
const proofSuffix = ".tlog-proof"

// ofSet reports whether a release belongs to the newest of another kind.
func ofSet(all []Release, rel Release) bool {
	return slices.ContainsFunc(all, func(o Release) bool {
		return o.Board == rel.Board && slices.Contains(o.Set, Member{rel.Kind, rel.Release, rel.SHA256})
	})
}

func (r *Repo) has(name string) bool {
	_, err := os.Stat(filepath.Join(r.dir, filepath.FromSlash(name)))
	return !errors.Is(err, fs.ErrNotExist)
}

func (r *Repo) pack(t *tar.Writer, name string) error {
	f, err := os.Open(filepath.Join(r.dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: st.Size(), Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
