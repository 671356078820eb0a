package mesh

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"platen/slicer/pack"
	"platen/slicer/secure"
	"platen/slicer/secure/securetest"
	"platen/slicer/vault"
	"platen/testdata/hostile"
)

// consumerKey is made once: it takes a while.
var consumerKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func makeSecure(t testing.TB, p securetest.Package) []byte {
	t.Helper()
	if p.Consumers == nil {
		p.Consumers = []securetest.Consumer{{ID: "P1", Key: &consumerKey().PublicKey, ShowsKey: true}}
	}
	file, err := securetest.Make(p)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// keysOf reads the keystore as whoever has the RSA key does.
func keysOf(t testing.TB, file []byte, id string, priv *rsa.PrivateKey) (secure.Keys, error) {
	t.Helper()
	v := newVault(t, 4<<20)
	a, err := pack.Open(v, bytes.Clone(file))
	if err != nil {
		return nil, err
	}
	in, err := pack.NewReader(v)
	if err != nil {
		t.Fatal(err)
	}
	s, err := secure.Read(v, a, in, a.Find([]byte("Secure/keystore.xml")))
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&priv.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := make(secure.Keys, s.Groups())
	for _, w := range s.For(id, spki) {
		h := sha1.New()
		if w.Digest == secure.SHA256 {
			h = sha256.New()
		}
		k, err := rsa.DecryptOAEP(h, nil, priv, w.Key, nil)
		if err != nil || len(k) != len(secure.Key{}) {
			return nil, errors.Join(errors.New("the content key does not unwrap"), err)
		}
		copy(keys[w.Group][:], k)
	}
	return keys, nil
}

func loadSecure(t testing.TB, file []byte, keys secure.Keys) (*Mesh, *vault.Vault, error) {
	v := newVault(t, 8<<20)
	m, err := LoadSecure(context.Background(), v, bytes.NewReader(file), int64(len(file)), Detect, keys)
	return m, v, err
}

func TestSecureContentOpens(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	own := securetest.Consumer{ID: "P1", Key: &consumerKey().PublicKey}
	shown := own
	shown.ShowsKey = true
	for name, p := range map[string]securetest.Package{
		"plain": {}, "stored, deflated inside": {Deflate: true}, "deflated by the archive": {Zip: zip.Deflate},
		"both": {Zip: zip.Deflate, Deflate: true}, "authenticated data": {Extra: "some text"},
		"sha1": {Hash: "sha1"}, "sha256": {Hash: "sha256"}, "mgf1p": {MGF1: true},
		"several consumers": {Consumers: []securetest.Consumer{{ID: "P0", Key: &other.PublicKey, ShowsKey: true}, shown}},
		"by id":             {Consumers: []securetest.Consumer{{ID: "P0", Key: &other.PublicKey}, own}},
		"by key":            {Consumers: []securetest.Consumer{{ID: "other name", Key: own.Key, ShowsKey: true}}},
	} {
		file := makeSecure(t, p)
		keys, err := keysOf(t, file, "P1", consumerKey())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m, _, err := loadSecure(t, bytes.Clone(file), keys)
		if err != nil || len(m.Triangles()) != 12 || len(m.Vertices()) != 8 {
			t.Errorf("%s: %v", name, err)
		}
		for missing, keys := range map[string]secure.Keys{"none": nil, "zero": make(secure.Keys, 1)} {
			if _, v, err := loadSecure(t, bytes.Clone(file), keys); !errors.Is(err, secure.ErrKey) || v.Stats().Used != 0 {
				t.Errorf("%s: keys %s: %v, %d bytes left", name, missing, err, v.Stats().Used)
			}
		}
		wrong := make(secure.Keys, 1)
		rand.Read(wrong[0][:])
		if _, _, err := loadSecure(t, bytes.Clone(file), wrong); !errors.Is(err, secure.ErrAltered) {
			t.Errorf("%s: another key: %v", name, err)
		}
	}
	file := makeSecure(t, securetest.Package{Consumers: []securetest.Consumer{{ID: "P1", Key: &other.PublicKey, ShowsKey: true}}})
	if keys, err := keysOf(t, file, "P1", consumerKey()); err != nil || keys[0] != (secure.Key{}) {
		t.Errorf("a consumer of this name but with another key has a right: %v", err)
	}
}

// TestSecureContentAltered flips bits of all that a tag stands for.
func TestSecureContentAltered(t *testing.T) {
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		for at := 12; at < 2000; at += 97 {
			file := makeSecure(t, securetest.Package{Zip: method, Extra: "x", Edit: func(files map[string][]byte) {
				part := files["3D/part.model"]
				part[12+(at-12)%(len(part)-12)] ^= 1 << (at % 8)
			}})
			keys, err := keysOf(t, file, "P1", consumerKey())
			if err != nil {
				t.Fatal(err)
			}
			if _, v, err := loadSecure(t, file, keys); !errors.Is(err, secure.ErrAltered) || v.Stats().Used != 0 {
				t.Errorf("method %d, byte %d: %v", method, at, err)
			}
		}
	}
	for _, element := range []string{"iv", "tag", "aad"} {
		file := makeSecure(t, securetest.Package{Extra: "some text", Edit: editStore(func(s string) string {
			at := strings.Index(s, "<"+element+">") + len(element) + 2
			c := byte('A')
			if s[at] == c {
				c = 'B'
			}
			return s[:at] + string(c) + s[at+1:]
		})})
		keys, err := keysOf(t, file, "P1", consumerKey())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := loadSecure(t, file, keys); !errors.Is(err, secure.ErrAltered) {
			t.Errorf("%s: %v", element, err)
		}
	}
}

// editStore edits the keystore.
func editStore(f func(string) string) func(map[string][]byte) {
	return func(files map[string][]byte) {
		files["Secure/keystore.xml"] = []byte(f(string(files["Secure/keystore.xml"])))
	}
}

// TestSecureContentHostile lies in the keystore, the relationships and the parts.
func TestSecureContentHostile(t *testing.T) {
	files, err := hostile.Secured()
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		_, v, err := loadSecure(t, f.Body, secure.Keys{{1}})
		if !errors.Is(err, ErrFormat) || v.Stats().Used != 0 {
			t.Errorf("%s: %v, %d bytes left", f.Name, err, v.Stats().Used)
		}
	}
	ok := makeSecure(t, securetest.Package{Edit: editStore(func(s string) string {
		return strings.Replace(s, "</keystore>", strings.Repeat(hostile.EmptyGroup, 63)+"</keystore>", 1)
	})})
	keys, err := keysOf(t, ok, "P1", consumerKey())
	if err == nil {
		_, _, err = loadSecure(t, ok, keys)
	}
	if err != nil {
		t.Errorf("control: 64 groups: %v", err)
	}
}

// TestSecureContentSamples opens the samples of lib3mf (Tests/TestFiles/SecureContent)
// where PLATEN_LIB3MF says they are. Two are encrypted for sample.pem; two only look it.
func TestSecureContentSamples(t *testing.T) {
	dir := os.Getenv("PLATEN_LIB3MF")
	if dir == "" {
		t.Skip("PLATEN_LIB3MF names no folder with the samples of lib3mf")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	block, _ := pem.Decode(read("sample.pem"))
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		any, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	priv := any.(*rsa.PrivateKey)
	for name, sound := range map[string]bool{
		"keystore_encrypted.3mf": true, "keystore_encrypted_compressed.3mf": true,
		"keystore.3mf": false, "keystore_compressed.3mf": false, "negative_keystore_empty.3mf": false,
		"negative_keystore_invalid_attributes.3mf": false, "negative_keystore_missing_attributes.3mf": false,
	} {
		file := read(name)
		keys, err := keysOf(t, file, "LIB3MF#TEST", priv)
		if err == nil {
			var m *Mesh
			if m, _, err = loadSecure(t, bytes.Clone(file), keys); err == nil && len(m.Triangles()) == 0 {
				err = errors.New("nothing in it")
			}
		}
		if (err == nil) != sound {
			t.Errorf("%s: %v", name, err)
		}
	}
}
