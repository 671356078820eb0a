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

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater/slot"
)

// draftFormat is the first field of a file with a [Draft].
const draftFormat = "platen-draft-1"

// ErrDraft reports a draft that cannot become a part of the repository.
var ErrDraft = errors.New("draft cannot be used")

// Draft is metadata of root, targets or delegated roles that waits for its signatures. It travels as a file:
// each signer adds theirs, alone and in any order, to one file or to copies of it, where
// the keys are and nothing else; [Submit] brings it into the repository.
type Draft struct {
	Format    string     `json:"format"`
	Documents []Document `json:"documents"`
}

// Document is one file of metadata in a Draft.
type Document struct {
	Role     string          `json:"role"`     // "root", "targets", or a delegated one
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
// signed with offline keys, unsigned. The repository stays as it is, but for files
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
	return r.draft != nil && role != metadata.SNAPSHOT && role != metadata.TIMESTAMP
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
		if len(doc.Need) > 0 { // of a delegated role
			continue
		}
		roots := []*metadata.Metadata[metadata.RootType]{newest}
		if doc.Role == metadata.ROOT && before != nil && before != newest {
			roots = append(roots, before)
		}
		for _, root := range roots {
			doc.Need = append(doc.Need, needIn(root, doc.Role))
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
