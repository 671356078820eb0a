package publish

import (
	"crypto"
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

// key is a signing key as the metadata knows it. Nothing prints it.
type key struct {
	signer Signer
	tuf    *metadata.Key
	id     string
}

// String keeps the key out of formatted text.
func (k key) String() string { return "key " + short(k.id) }

// GoString keeps the key out of formatted text.
func (k key) GoString() string { return k.String() }

func short(id string) string { return id[:min(8, len(id))] }

func keyOf(s Signer) (key, error) {
	t, id, err := tufKey(s.Public())
	return key{s, t, id}, err
}

// tufKey is a public key as metadata lists it, and its id.
func tufKey(public crypto.PublicKey) (*metadata.Key, string, error) {
	t, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		return nil, "", err
	}
	id, err := t.ID()
	return t, id, err
}

// KeyID is the id that metadata has for a public key.
func KeyID(public crypto.PublicKey) (string, error) {
	_, id, err := tufKey(public)
	return id, err
}

// newKey makes an Ed25519 key and keeps it in dir as ROLE-ID.pem, for its owner only.
func newKey(dir, role string) (key, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return key{}, fmt.Errorf("make key folder: %w", err)
	}
	s, err := generate(Ed25519)
	if err != nil {
		return key{}, err
	}
	k, err := keyOf(s)
	if err != nil {
		return key{}, err
	}
	return k, s.save(filepath.Join(dir, role+"-"+short(k.id)+".pem"), "")
}

// readKey reads a PEM file. ok is false if it holds no private key that can be used without
// a passphrase; err tells of one that should not be used.
func readKey(path string) (k key, ok bool, err error) {
	s, err := OpenKey(path, nil)
	if errors.Is(err, errNoKey) {
		return key{}, false, nil
	}
	if err != nil {
		return key{}, false, err
	}
	k, err = keyOf(s)
	return k, err == nil, err
}

// findKeys returns those keys in the folders whose ids are listed. Missing folders
// count as empty: a medium that is not attached.
func findKeys(dirs []string, ids []string) ([]key, error) {
	var found []key
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() || !strings.HasSuffix(e.Name(), ".pem") {
				continue
			}
			k, ok, err := readKey(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			known := slices.ContainsFunc(found, func(f key) bool { return f.id == k.id })
			if ok && !known && slices.Contains(ids, k.id) {
				found = append(found, k)
			}
		}
	}
	return found, nil
}

// signers returns enough keys of a role of the newest root.
func (r *Repo) signers(role string, dirs []string) ([]key, error) {
	if r.drafted(role) {
		return nil, nil
	}
	return enough(role, needIn(r.root, role), dirs)
}

// needIn is who signs for a role of a root.
func needIn(root *metadata.Metadata[metadata.RootType], role string) Need {
	want := root.Signed.Roles[role]
	return Need{want.Threshold, want.KeyIDs}
}

// enough are the keys in the folders that sign for a role, if they are as many as it needs.
func enough(role string, want Need, dirs []string) ([]key, error) {
	keys, err := findKeys(dirs, want.Keys)
	if err != nil {
		return nil, err
	}
	if len(keys) < want.Threshold {
		return nil, fmt.Errorf("%w: %d of the %d keys that have to sign %s are in %s: attach the others and name their folders with --keys",
			ErrKeys, len(keys), want.Threshold, role, strings.Join(dirs, ", "))
	}
	return keys, nil
}

// offline is where offline keys are looked for: the folders given, or else those the
// repository was made with.
func (r *Repo) offline(dirs []string) []string {
	if len(dirs) == 0 {
		return r.set.Offline
	}
	return dirs
}

// write signs metadata by every key and puts it into the public folder.
func write[T metadata.Roles](r *Repo, name string, md *metadata.Metadata[T], keys []key) error {
	payload, err := cjson.EncodeCanonical(md.Signed)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	md.ClearSignatures()
	role := roleOf(name)
	if r.drafted(role) {
		keys = nil
	}
	for _, k := range keys {
		sig, err := k.signer.Sign(payload)
		if err != nil {
			return fmt.Errorf("sign %s: %w", name, err)
		}
		md.Signatures = append(md.Signatures, metadata.Signature{KeyID: k.id, Signature: sig})
	}
	data, err := md.ToBytes(false)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if r.drafted(role) {
		return r.draft.add(role, name, data)
	}
	if err := slot.Replace(r.out, name, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
