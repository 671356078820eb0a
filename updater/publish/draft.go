package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"platen/updater/slot"
)

// draftFormat is the first field of a file with a [Draft].
const draftFormat = "platen-draft-1"

// ErrDraft reports a draft that cannot become a part of the repository.
var ErrDraft = errors.New("draft cannot be used")

// Draft is root or targets metadata that waits for its signatures. It travels as a file:
// each signer adds theirs, alone and in any order, to one file or to copies of it, where
// the keys are and nothing else; [Submit] brings it into the repository.
type Draft struct {
	Format    string     `json:"format"`
	Documents []Document `json:"documents"`
}

// Document is one file of metadata in a Draft.
type Document struct {
	Role     string          `json:"role"`     // "root" or "targets"
	File     string          `json:"file"`     // its name in the repository, such as 3.targets.json
	Need     []Need          `json:"need"`     // who has to sign: all of them
	Metadata json.RawMessage `json:"metadata"` // with the signatures it has so far
}

// Need is a set of keys of which so many have to sign.
type Need struct {
	Threshold int      `json:"threshold"`
	Keys      []string `json:"keys"` // ids
}

// Draft runs change, an Add, Approve, Rotate, … of r, and returns what it would have
// signed with root or targets keys, unsigned. The repository stays as it is, but for files
// that nothing names yet.
func (r *Repo) Draft(change func() error) (*Draft, error) {
	d := &Draft{Format: draftFormat}
	root, past := r.root, r.past
	r.draft = d
	err := change()
	d.need(r.root, root)
	r.draft, r.root, r.past = nil, root, past
	if err == nil && len(d.Documents) == 0 {
		err = fmt.Errorf("%w: there is nothing to sign", ErrDraft)
	}
	return d, err
}

// roleOf is the role of a metadata file.
func roleOf(name string) string {
	m := versioned.FindStringSubmatch(name)
	if m == nil {
		return strings.TrimSuffix(name, ".json")
	}
	return m[2]
}

// drafted reports whether metadata of a role is not signed now.
func (r *Repo) drafted(role string) bool {
	return r.draft != nil && (role == metadata.ROOT || role == metadata.TARGETS)
}

func (d *Draft) add(role, name string, data []byte) error {
	d.Documents = append(d.Documents, Document{Role: role, File: name, Metadata: data})
	return nil
}

// need enters who has to sign: what is signed by the newest root, a root by the one
// before it as well (nil: it is the first).
func (d *Draft) need(newest, before *metadata.Metadata[metadata.RootType]) {
	for i := range d.Documents {
		doc := &d.Documents[i]
		roots := []*metadata.Metadata[metadata.RootType]{newest}
		if doc.Role == metadata.ROOT && before != nil && before != newest {
			roots = append(roots, before)
		}
		for _, root := range roots {
			role := root.Signed.Roles[doc.Role]
			doc.Need = append(doc.Need, Need{role.Threshold, role.KeyIDs})
		}
	}
}

// signable is the part of any metadata that signing needs.
type signable struct {
	Signed     json.RawMessage      `json:"signed"`
	Signatures []metadata.Signature `json:"signatures"`
}

func (doc *Document) open() (signable, []byte, error) {
	var md signable
	if err := json.Unmarshal(doc.Metadata, &md); err != nil {
		return md, nil, fmt.Errorf("%s: %w: %w", doc.File, ErrDraft, err)
	}
	var signed any
	dec := json.NewDecoder(bytes.NewReader(md.Signed))
	dec.UseNumber()
	if err := dec.Decode(&signed); err != nil {
		return md, nil, fmt.Errorf("%s: %w: %w", doc.File, ErrDraft, err)
	}
	payload, err := cjson.EncodeCanonical(signed)
	return md, payload, err
}

// Sign adds the signatures of one key to whatever needs it, and returns the files that it
// signed. It returns ErrKeys if nothing needs the key.
func (d *Draft) Sign(s Signer) ([]string, error) {
	_, id, err := tufKey(s.Public())
	if err != nil {
		return nil, err
	}
	var signed []string
	for i := range d.Documents {
		doc := &d.Documents[i]
		if !slices.ContainsFunc(doc.Need, func(n Need) bool { return slices.Contains(n.Keys, id) }) {
			continue
		}
		md, payload, err := doc.open()
		if err != nil {
			return nil, err
		}
		sig, err := s.Sign(payload)
		if err != nil {
			return nil, fmt.Errorf("sign %s: %w", doc.File, err)
		}
		md.Signatures = slices.DeleteFunc(md.Signatures, func(o metadata.Signature) bool { return o.KeyID == id })
		md.Signatures = append(md.Signatures, metadata.Signature{KeyID: id, Signature: sig})
		if doc.Metadata, err = json.Marshal(md); err != nil {
			return nil, err
		}
		signed = append(signed, doc.File)
	}
	if len(signed) == 0 {
		return nil, fmt.Errorf("%w: nothing here is to be signed by key %s", ErrKeys, short(id))
	}
	return signed, nil
}

// Missing says for each file how many signatures are still needed: by which keys, of any
// of which some will do. Signatures are counted, not verified; Submit does that.
func (d *Draft) Missing() (map[string]int, error) {
	missing := map[string]int{}
	for _, doc := range d.Documents {
		md, _, err := doc.open()
		if err != nil {
			return nil, err
		}
		for _, n := range doc.Need {
			have := 0
			for _, s := range md.Signatures {
				if slices.Contains(n.Keys, s.KeyID) {
					have++
				}
			}
			missing[doc.File] = max(missing[doc.File], n.Threshold-have)
		}
	}
	return missing, nil
}

// Merge adds the signatures of a copy of the same draft.
func (d *Draft) Merge(copied *Draft) error {
	if len(d.Documents) != len(copied.Documents) {
		return fmt.Errorf("%w: the copies are of different drafts", ErrDraft)
	}
	for i := range d.Documents {
		md, payload, err1 := d.Documents[i].open()
		other, same, err2 := copied.Documents[i].open()
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if d.Documents[i].File != copied.Documents[i].File || !bytes.Equal(payload, same) {
			return fmt.Errorf("%w: the copies are of different drafts", ErrDraft)
		}
		for _, s := range other.Signatures {
			if !slices.ContainsFunc(md.Signatures, func(o metadata.Signature) bool { return o.KeyID == s.KeyID }) {
				md.Signatures = append(md.Signatures, s)
			}
		}
		var err error
		if d.Documents[i].Metadata, err = json.Marshal(md); err != nil {
			return err
		}
	}
	return nil
}

// LoadDraft reads the file of a draft.
func LoadDraft(path string) (*Draft, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read draft: %w", err)
	}
	d := &Draft{}
	if err := json.Unmarshal(text, d); err != nil || d.Format != draftFormat {
		return nil, fmt.Errorf("%s: %w: it is not a draft", path, ErrDraft)
	}
	return d, nil
}

// Save writes the file of a draft, in place of an older one.
func (d *Draft) Save(path string) error {
	text, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return err
	}
	dir, err := slot.OpenDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(slot.Replace(dir, filepath.Base(path), append(text, '\n')), dir.Close())
}

// Submit verifies a draft as printers will and writes it into the repository in dir. It
// returns ErrKeys if signatures are missing or wrong, and ErrDraft if the repository has
// gone on since; then nothing is written.
func Submit(dir, online string, d *Draft, now time.Time) (Versions, error) {
	r, err := Open(dir, online)
	first := errors.Is(err, ErrNoRepo)
	if first {
		r, err = d.begin(dir, online)
	}
	if err != nil {
		return Versions{}, err
	}
	lock := r.lock
	if first { // its root is not in the folder yet
		lock = r.out.Lock
	}
	unlock, err := lock()
	if err != nil {
		return Versions{}, errors.Join(err, r.Close())
	}
	v, err := r.submit(d, now)
	unlock()
	return v, errors.Join(err, r.Close())
}

// begin opens the folders of a repository whose first root is in the draft.
func (d *Draft) begin(dir, online string) (*Repo, error) {
	i := slices.IndexFunc(d.Documents, func(doc Document) bool { return doc.File == "1.root.json" })
	if i < 0 {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoRepo)
	}
	set, err := trustedmetadata.New(d.Documents[i].Metadata)
	if err != nil {
		return nil, fmt.Errorf("1.root.json: %w: %w", ErrKeys, err)
	}
	if online == "" {
		online = OnlineDir(dir)
	}
	r := &Repo{dir: dir, online: online, root: set.Root}
	if err := r.loadSettings(); err != nil {
		return nil, err
	}
	r.out, err = slot.OpenDir(dir, "targets")
	return r, err
}

func (r *Repo) submit(d *Draft, now time.Time) (Versions, error) {
	root := r.root
	var files []func() error
	for _, doc := range d.Documents {
		v, err := r.newest(doc.Role)
		if err != nil {
			return Versions{}, err
		}
		there := r.holds(doc, v) // the last Submit was cut short
		if !there {
			v++
		}
		if name := fmt.Sprintf("%d.%s.json", v, doc.Role); doc.File != name {
			return Versions{}, fmt.Errorf("%w: the repository has gone on: %s would be next, not %s; draft it again", ErrDraft, name, doc.File)
		}
		if root, err = doc.verify(root, v, there, now); err != nil {
			return Versions{}, err
		}
		if !there {
			files = append(files, func() error { return slot.Replace(r.out, doc.File, doc.Metadata) })
		}
	}
	if len(files) == 0 {
		return Versions{}, fmt.Errorf("%w: the repository has gone on: all of this is there already; publish announces it", ErrDraft)
	}
	if err := timely(&root.Signed, root.Signed.UnrecognizedFields, now); err != nil {
		return Versions{}, fmt.Errorf("%w: the root %w", ErrDraft, err)
	}
	if v, err := r.newest(metadata.ROOT); err != nil || v == 0 {
		slices.Reverse(files) // the root makes it a repository, so it comes last
	}
	for _, write := range files {
		if err := write(); err != nil {
			return Versions{}, fmt.Errorf("write draft: %w", err)
		}
	}
	r.root = root
	return r.publish(now)
}

// holds reports whether a document is the newest of its role, version v, byte for byte.
func (r *Repo) holds(doc Document, v int64) bool {
	if doc.File != fmt.Sprintf("%d.%s.json", v, doc.Role) {
		return false
	}
	data, err := os.ReadFile(filepath.Join(r.dir, doc.File))
	return err == nil && bytes.Equal(data, doc.Metadata)
}

// verify checks a document, which is to be version v under a root, and returns the root
// that what follows it is under. A root that is there already is that one.
func (doc *Document) verify(root *metadata.Metadata[metadata.RootType], v int64, there bool, now time.Time) (*metadata.Metadata[metadata.RootType], error) {
	version := root.Signed.Version
	switch {
	case doc.Role == metadata.ROOT && v > 1 && !there:
		set := &trustedmetadata.TrustedMetadata{Root: root, RefTime: now}
		if _, err := set.UpdateRoot(doc.Metadata); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", doc.File, ErrKeys, err)
		}
		root, version = set.Root, set.Root.Signed.Version
	case doc.Role == metadata.TARGETS:
		md, err := metadata.Targets().FromBytes(doc.Metadata)
		if err == nil {
			err = root.VerifyDelegate(metadata.TARGETS, md)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", doc.File, ErrKeys, err)
		}
		if err := timely(&md.Signed, md.Signed.UnrecognizedFields, now); err != nil {
			return nil, fmt.Errorf("%w: %s %w", ErrDraft, doc.File, err)
		}
		version = md.Signed.Version
	case doc.Role != metadata.ROOT:
		return nil, fmt.Errorf("%w: it holds metadata of the role %s", ErrDraft, doc.Role)
	}
	if version != v {
		return nil, fmt.Errorf("%w: %s holds version %d", ErrDraft, doc.File, version)
	}
	return root, nil
}

// timely refuses what could not be announced at the moment now.
func timely(md interface{ IsExpired(time.Time) bool }, fields map[string]any, now time.Time) error {
	switch {
	case md.IsExpired(now):
		return errors.New("has expired: draft a renewal")
	case issuedAfter(fields, now):
		return errors.New("was signed in the future: check the clocks of both machines, then draft it again")
	}
	return nil
}
