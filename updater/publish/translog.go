package publish

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"platen/updater"
	"platen/updater/keyfile"
	"platen/updater/slot"
	"platen/updater/translog"
)

// The transparency log of a repository lies in the folder "log" beside the metadata, as
// static files (C2SP tlog-tiles): the newest checkpoint, tiles of hashes, bundles of
// entries, and the public key in "log.pub". The secret key is in the online folder.
const (
	logFolder = "log"
	logSecret = "log.key"
	logPublic = logFolder + "/log.pub"
	bundle    = 256 // entries in a full one
)

// InitLog makes the key of a transparency log and an empty log, and returns the public
// key, which printers that ask for the log are given. The name is that of the log, such
// as "example.org/releases". From now on each Publish enters the releases that are new
// and leaves a proof beside each target. It returns ErrExists if there is a log.
func (r *Repo) InitLog(name string) (key string, err error) {
	unlock, err := r.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	secret, key, err := note.GenerateKey(nil, name)
	if err != nil {
		return "", fmt.Errorf("name the log as example.org/releases: %w", err)
	}
	err = keyfile.Create(filepath.Join(r.online, logSecret), []byte(secret+"\n"), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("transparency log: %w", ErrExists)
	}
	if err != nil {
		return "", fmt.Errorf("the log's key: %w", err)
	}
	return key, r.put(logPublic, []byte(key+"\n"))
}

// put writes a public file, with its folders.
func (r *Repo) put(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Join(r.dir, filepath.FromSlash(path.Dir(name))), 0o755); err != nil {
		return fmt.Errorf("make folder of the log: %w", err)
	}
	if err := slot.Replace(r.out, name, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// logbook is the log while it is written.
type logbook struct {
	r          *Repo
	signer     note.Signer
	known      *translog.Policy
	entries    map[string]int64 // leaf → index
	last       [][]byte         // leaves of the bundle that is not full
	hashes     []tlog.Hash      // as tlog stores them
	tree       tlog.Tree
	checkpoint []byte
}

// ReadHashes is tlog.HashReader.
func (b *logbook) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n < 0 || n >= int64(len(b.hashes)) {
			return nil, errors.New("a hash that is not there")
		}
		out[i] = b.hashes[n]
	}
	return out, nil
}

// openLog reads the log, all of it, and holds it against its checkpoint. It is nil for a
// repository that has none.
func (r *Repo) openLog() (*logbook, error) {
	secret, err := os.ReadFile(filepath.Join(r.online, logSecret))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log's key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(secret)))
	if err != nil {
		return nil, errors.New("the log's key is damaged: restore it from a backup")
	}
	public, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(logPublic)))
	if err != nil {
		return nil, fmt.Errorf("read the log's public key: %w", err)
	}
	b := &logbook{r: r, signer: signer, entries: map[string]int64{}}
	if b.known, err = translog.NewPolicy(string(public), nil, 0); err != nil {
		return nil, err
	}
	b.checkpoint, err = os.ReadFile(filepath.Join(r.dir, logFolder, "checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log's checkpoint: %w", err)
	}
	tree, err := b.known.Open(b.checkpoint)
	if err == nil {
		err = b.read(tree.N)
	}
	if err == nil && b.tree != tree {
		err = errors.New("its entries are not those of its checkpoint")
	}
	if err != nil {
		return nil, fmt.Errorf("transparency log: %w: %w: restore it from a backup", ErrDamaged, err)
	}
	return b, nil
}

// read enters the first n leaves of the bundles.
func (b *logbook) read(n int64) error {
	for first := int64(0); first < n; first += bundle {
		width := min(n-first, bundle)
		data, err := os.ReadFile(filepath.Join(b.r.dir, filepath.FromSlash(bundlePath(first/bundle, width))))
		if err != nil {
			return err
		}
		for range width {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return errors.New("a bundle is cut short")
			}
			size := int(binary.BigEndian.Uint16(data))
			if err := b.add(data[2 : 2+size]); err != nil {
				return err
			}
			data = data[2+size:]
		}
	}
	return b.grow()
}

// add enters a leaf; grow makes the tree's root of all.
func (b *logbook) add(leaf []byte) error {
	n := int64(len(b.entries))
	more, err := tlog.StoredHashes(n, leaf, b)
	if err != nil {
		return err
	}
	if n%bundle == 0 {
		b.last = nil
	}
	b.hashes, b.last = append(b.hashes, more...), append(b.last, bytes.Clone(leaf))
	b.entries[string(leaf)] = n
	return nil
}

func (b *logbook) grow() (err error) {
	b.tree.N = int64(len(b.entries))
	b.tree.Hash, err = tlog.TreeHash(b.tree.N, b)
	return err
}

// tilePath is the place of a tile; C2SP leaves out its height, which is always 8.
func tilePath(t tlog.Tile) string {
	return logFolder + "/tile/" + strings.TrimPrefix(t.Path(), "tile/8/")
}

func bundlePath(n, width int64) string {
	return strings.Replace(tilePath(tlog.Tile{H: 8, L: -1, N: n, W: int(width)}), "/tile/data/", "/tile/entries/", 1)
}

// saveBundle writes the bundle of the newest leaves.
func (b *logbook) saveBundle() error {
	var data []byte
	for _, leaf := range b.last {
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(leaf))), leaf...)
	}
	return b.r.put(bundlePath(int64(len(b.entries)-1)/bundle, int64(len(b.last))), data)
}

// enter adds those releases that the log has not, and writes what is new of it, the
// checkpoint last.
func (b *logbook) enter(list []Release) error {
	before := b.tree.N
	for _, rel := range list {
		leaf := leafOf(rel)
		if _, ok := b.entries[string(leaf)]; ok {
			continue
		}
		if err := b.add(leaf); err != nil {
			return err
		}
		if len(b.last) == bundle {
			if err := b.saveBundle(); err != nil {
				return err
			}
		}
	}
	if int64(len(b.entries)) == before {
		return nil
	}
	if err := b.grow(); err != nil {
		return err
	}
	if len(b.last) < bundle {
		if err := b.saveBundle(); err != nil {
			return err
		}
	}
	for _, t := range tlog.NewTiles(8, before, b.tree.N) {
		data, err := tlog.ReadTileData(t, b)
		if err != nil {
			return err
		}
		if err := b.r.put(tilePath(t), data); err != nil {
			return err
		}
	}
	var err error
	b.checkpoint, err = note.Sign(&note.Note{Text: translog.Checkpoint(b.signer.Name(), b.tree)}, b.signer)
	if err != nil {
		return err
	}
	return b.r.put(logFolder+"/checkpoint", b.checkpoint)
}

// leafOf is what the log records of a release.
func leafOf(rel Release) []byte {
	t := updater.Target{Board: rel.Board, Kind: rel.Kind, Release: rel.Release, Size: rel.Size}
	sum, err := hex.DecodeString(rel.SHA256)
	if err == nil {
		copy(t.SHA256[:], sum)
	}
	return translog.Leaf(t)
}

// prove writes the proof beside each target that has none, or one by fewer witnesses:
// they add their lines to the checkpoint when they have seen it.
func (b *logbook) prove(list []Release) error {
	for _, rel := range list {
		name := place(rel.Path, rel.SHA256) + proofSuffix
		old, err := os.ReadFile(filepath.Join(b.r.dir, filepath.FromSlash(name)))
		if err == nil && b.stands(old) {
			continue
		}
		at := b.entries[string(leafOf(rel))]
		hashes, err := tlog.ProveRecord(b.tree.N, at, b)
		if err != nil {
			return err
		}
		p := translog.Proof{Index: at, Hashes: hashes, Checkpoint: b.checkpoint}
		if err := b.r.put(name, p.Format()); err != nil {
			return err
		}
	}
	return nil
}

// stands reports whether a proof has as many signatures as there are by now.
func (b *logbook) stands(proof []byte) bool {
	p, err := translog.Parse(proof)
	if err != nil {
		return false
	}
	mark := []byte("\n— ")
	return bytes.Count(p.Checkpoint, mark) >= bytes.Count(b.checkpoint, mark)
}

// logReleases enters releases into the repository's transparency log, if it has one.
func (r *Repo) logReleases(list []Release) error {
	b, err := r.openLog()
	if err != nil || b == nil {
		return err
	}
	if err := b.enter(list); err != nil {
		return fmt.Errorf("enter releases into the log: %w", err)
	}
	if err := b.prove(list); err != nil {
		return fmt.Errorf("prove releases by the log: %w", err)
	}
	return nil
}
