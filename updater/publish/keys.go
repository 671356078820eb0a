package publish

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
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

// key is an Ed25519 signing key. Nothing prints it.
type key struct {
	private ed25519.PrivateKey
	tuf     *metadata.Key
	id      string
}

// String keeps the key out of formatted text.
func (k key) String() string { return "key " + short(k.id) }

// GoString keeps the key out of formatted text.
func (k key) GoString() string { return k.String() }

func short(id string) string { return id[:min(8, len(id))] }

func keyOf(private ed25519.PrivateKey) (key, error) {
	public, ok := private.Public().(ed25519.PublicKey)
	if !ok {
		return key{}, errors.New("not an Ed25519 key")
	}
	t, err := metadata.KeyFromPublicKey(public)
	if err != nil {
		return key{}, err
	}
	id, err := t.ID()
	return key{private, t, id}, err
}

// newKey makes a key and keeps it in dir as ROLE-ID.pem (PKCS #8), for its owner only.
func newKey(dir, role string) (key, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return key{}, fmt.Errorf("make key folder: %w", err)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return key{}, err
	}
	k, err := keyOf(private)
	if err != nil {
		return key{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return key{}, err
	}
	name := filepath.Join(dir, role+"-"+short(k.id)+".pem")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return key{}, fmt.Errorf("make key file: %w", err)
	}
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return key{}, fmt.Errorf("write key file: %w", err)
	}
	return k, nil
}

// readKey reads a PEM file. ok is false if it holds no private key; err tells of one
// that cannot be used.
func readKey(path string) (k key, ok bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return key{}, false, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return key{}, false, nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return key{}, false, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return key{}, false, fmt.Errorf("key %s can be read by others: chmod 600 it, and consider the key lost", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return key{}, false, fmt.Errorf("key %s is damaged: %w", path, err)
	}
	private, isEd := parsed.(ed25519.PrivateKey)
	if !isEd {
		return key{}, false, nil
	}
	k, err = keyOf(private)
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
	return enough(r.root, role, dirs)
}

func enough(root *metadata.Metadata[metadata.RootType], role string, dirs []string) ([]key, error) {
	want := root.Signed.Roles[role]
	keys, err := findKeys(dirs, want.KeyIDs)
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
	for _, k := range keys {
		md.Signatures = append(md.Signatures, metadata.Signature{KeyID: k.id, Signature: ed25519.Sign(k.private, payload)})
	}
	data, err := md.ToBytes(false)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := slot.Replace(r.out, name, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
