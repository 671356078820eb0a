package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
	"platen/updater/approval"
	"platen/updater/slot"
)

// Item is a file to be released.
type Item struct {
	Release uint64 // above every release of the same board and kind
	Board   string // board id: a-z, 0-9 and hyphens
	Kind    string // what it replaces; "" is "agent"
	File    string // path of the file

	Rollout  *updater.Rollout // who gets it; nil: every printer
	Hardware []string         // revisions of the board it is for; none: any
	Set      []Member         // what is installed and taken back together with it

	// PCRs are what registers of the TPM hold after a start of it: of a root file system, as
	// its image was made. What an agent makes of PCR 14 is not said here.
	PCRs []approval.PCR
	// Measured are digests of what printers measure beside or instead of the file: see
	// updater.Target. With none, fleets take any.
	Measured []approval.Digest
}

// Member names a release of another kind, for the same board, that belongs to one.
type Member struct {
	Kind    string `json:"kind"`
	Release uint64 `json:"release"`
	SHA256  string `json:"sha256"` // hex; Add looks it up
}

// Release is a released file.
type Release struct {
	Release uint64 `json:"release"`
	Board   string `json:"board"`
	Kind    string `json:"kind"`
	Path    string `json:"path"`   // name in the metadata
	Size    int64  `json:"size"`   // bytes
	SHA256  string `json:"sha256"` // hex; also what a printer measures when it starts it

	Role      string              `json:"role,omitempty"` // the delegated role that lists it; absent: the targets
	Hardware  []string            `json:"hardware,omitempty"`
	Set       []Member            `json:"set,omitempty"`
	Rollout   *updater.Rollout    `json:"rollout,omitempty"`   // who gets it; absent: every printer
	PCRs      []approval.PCR      `json:"pcrs,omitempty"`      // what registers hold after a restart into it
	Measured  []approval.Digest   `json:"measured,omitempty"`  // board files in it, or what lies in a controller's flash
	Approvals []approval.Approval `json:"approvals,omitempty"` // states in which printers open jobs: see [Repo.Approve]
}

// custom is what goes into a target's custom field: of a release, or, alone, of a delta or
// of a paper.
type custom struct {
	Release   uint64              `json:"release,omitempty"`
	Board     string              `json:"board,omitempty"`
	Kind      string              `json:"kind,omitempty"`
	SHA256    string              `json:"sha256,omitempty"`
	Hardware  []string            `json:"hardware,omitempty"`
	Set       []Member            `json:"set,omitempty"`
	Rollout   *updater.Rollout    `json:"rollout,omitempty"`
	PCRs      []approval.PCR      `json:"pcrs,omitempty"`
	Measured  []approval.Digest   `json:"measured,omitempty"`
	Approvals []approval.Approval `json:"approvals,omitempty"`

	Delta *deltaOf `json:"delta,omitempty"`
	Paper *paperOf `json:"paper,omitempty"`
}

var word = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Add copies a file into the repository and signs it as a release with keys in keyDirs
// (none: those Init made): the targets keys, or those of the role that they have delegated
// it to. Printers see it after the next Publish. It returns ErrRelease or ErrKeys.
func (r *Repo) Add(item Item, keyDirs []string, now time.Time) (Release, error) {
	if item.Kind == "" {
		item.Kind = "agent"
	}
	if !word.MatchString(item.Board) || !word.MatchString(item.Kind) || len(item.Board)+len(item.Kind) > 128 {
		return Release{}, fmt.Errorf("%w: board and name are made of a-z, 0-9 and single hyphens", ErrRelease)
	}
	unlock, err := r.lock()
	if err != nil {
		return Release{}, err
	}
	defer unlock()
	l, err := r.ledger()
	if err != nil {
		return Release{}, err
	}
	all, err := l.releases()
	if err != nil {
		return Release{}, err
	}
	top := highest(all, item.Board, item.Kind)
	if item.Release == 0 || item.Release <= top {
		return Release{}, fmt.Errorf("%w: %d is not above %d, the newest release of %s for %s", ErrRelease, item.Release, top, item.Kind, item.Board)
	}
	if len(item.Measured) > updater.MaxMeasured {
		return Release{}, fmt.Errorf("%w: it names more than %d digests of what is measured", ErrRelease, updater.MaxMeasured)
	}
	set, err := members(all, item)
	if err != nil {
		return Release{}, err
	}
	p := l.of(item.Board, item.Kind)
	keys, err := r.signersOf(p, keyDirs)
	if err != nil {
		return Release{}, err
	}
	rel, err := r.store(item)
	if err != nil {
		return Release{}, err
	}
	rel.Hardware, rel.Set, rel.Rollout, rel.Measured = item.Hardware, set, item.Rollout, item.Measured
	if rel.PCRs, err = expected(rel, item.PCRs); err != nil {
		return Release{}, err
	}
	if err := enter(p.md, rel); err != nil {
		return Release{}, err
	}
	if p != l.top {
		rel.Role = p.role
	}
	return rel, r.writePart(p, keys, now)
}

// expected is what registers hold after a start of a release: what was said of it, and of an
// agent the value of PCR 14 after a machine started into it and measured nothing before.
func expected(rel Release, said []approval.PCR) ([]approval.PCR, error) {
	if rel.Kind != Agent {
		said = slices.SortedFunc(slices.Values(said), func(a, b approval.PCR) int { return int(a.Index) - int(b.Index) })
		for i, p := range said {
			if p.Index > 23 || p.Index == approval.AgentPCR || i > 0 && p.Index == said[i-1].Index {
				return nil, fmt.Errorf("%w: a register is said once, from 0 to 23, and not %d", ErrRelease, approval.AgentPCR)
			}
		}
		return said, nil
	}
	if len(said) > 0 {
		return nil, fmt.Errorf("%w: registers of an agent are not said: they are those of its root file system", ErrRelease)
	}
	var digest approval.Digest
	if err := digest.UnmarshalText([]byte(rel.SHA256)); err != nil {
		return nil, err
	}
	return []approval.PCR{{Index: approval.AgentPCR, Value: approval.Extend(approval.Digest{}, digest)}}, nil
}

// members looks up what an item's set names.
func members(all []Release, item Item) ([]Member, error) {
	var set []Member
	for _, m := range item.Set {
		i := slices.IndexFunc(all, func(r Release) bool { return r.Board == item.Board && r.Kind == m.Kind && r.Release == m.Release })
		if i < 0 || m.Kind == item.Kind || slices.ContainsFunc(set, func(o Member) bool { return o.Kind == m.Kind }) {
			return nil, fmt.Errorf("%w: it cannot go along with %s %d: add that first, and one of each other kind", ErrRelease, m.Kind, m.Release)
		}
		set = append(set, Member{m.Kind, m.Release, all[i].SHA256})
	}
	return set, nil
}

// highest is the highest release of a board and kind, 0 if there is none.
func highest(all []Release, board, kind string) uint64 {
	var top uint64
	for _, rel := range all {
		if rel.Board == board && rel.Kind == kind {
			top = max(top, rel.Release)
		}
	}
	return top
}

// store copies a release's file to its place.
func (r *Repo) store(item Item) (Release, error) {
	src, err := os.Open(item.File)
	if err != nil {
		return Release{}, fmt.Errorf("open release: %w", err)
	}
	defer src.Close()
	if st, err := src.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() == 0 {
		return Release{}, errors.Join(fmt.Errorf("%w: %s is not a regular file with contents", ErrRelease, item.File), err)
	}
	rel := Release{Release: item.Release, Board: item.Board, Kind: item.Kind}
	rel.Path = rel.folder() + "/platen"
	rel.Size, rel.SHA256, err = r.copyIn(src, rel.Path)
	return rel, err
}

// folder is where the files of a release are.
func (rel Release) folder() string { return fmt.Sprintf("%s/%s/%d", rel.Board, rel.Kind, rel.Release) }

// copyIn copies what it reads to its place under the hash it has while it is copied.
func (r *Repo) copyIn(src io.Reader, path string) (size int64, digest string, err error) {
	if r.public {
		return 0, "", errors.New("files are added to the repository itself, with its online folder beside it: this may be a copy")
	}
	folder, base := filepath.Split(path)
	if err := os.MkdirAll(filepath.Join(r.dir, "targets", filepath.FromSlash(folder)), 0o755); err != nil {
		return 0, "", fmt.Errorf("make folder of release: %w", err)
	}
	tmp := "targets/" + path + ".new"
	dst, err := r.out.Open(tmp, slot.Create)
	if err != nil {
		return 0, "", fmt.Errorf("copy release: %w", err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(io.NewOffsetWriter(dst, 0), sum), src)
	if err == nil {
		err = dst.Sync()
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return 0, "", fmt.Errorf("copy release: %w", err)
	}
	digest = hex.EncodeToString(sum.Sum(nil))
	if err := slot.Commit(r.out, tmp, "targets/"+folder+digest+"."+base); err != nil {
		return 0, "", fmt.Errorf("copy release: %w", err)
	}
	return n, digest, nil
}

// enter adds a release to the targets metadata.
func enter(md *listing, rel Release) error {
	return enterFile(md, rel.Path, rel.Size, rel.SHA256, custom{
		Release: rel.Release, Board: rel.Board, Kind: rel.Kind, SHA256: rel.SHA256,
		Hardware: rel.Hardware, Set: rel.Set, Rollout: rel.Rollout, PCRs: rel.PCRs, Measured: rel.Measured, Approvals: rel.Approvals,
	})
}

func enterFile(md *listing, path string, size int64, sha256 string, about custom) error {
	text, err := json.Marshal(about)
	if err != nil {
		return err
	}
	digest, err := hex.DecodeString(sha256)
	if err != nil {
		return err
	}
	file := metadata.TargetFile()
	file.Length, file.Path, file.Custom = size, path, (*json.RawMessage)(&text)
	file.Hashes["sha256"] = digest
	md.Signed.Targets[path] = file
	return nil
}

// checkFiles makes sure that every released file is there and is what was signed, so
// that nothing is announced that printers would refuse.
func (r *Repo) checkFiles(md *listing) error {
	for path, file := range md.Signed.Targets {
		want := hex.EncodeToString(file.Hashes["sha256"])
		dir, base := filepath.Split(filepath.FromSlash(path))
		f, err := os.Open(filepath.Join(r.dir, "targets", dir, want+"."+base))
		if err != nil {
			return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if n != file.Length || hex.EncodeToString(sum.Sum(nil)) != want {
			return fmt.Errorf("%s is not what was signed: %w: add it again under a new release number", path, ErrDamaged)
		}
	}
	return nil
}
