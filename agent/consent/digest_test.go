package consent

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"platen/agent/evidence"
)

func TestDigestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "digest.key")
	if err := GenerateDigestKey(path); err != nil {
		t.Fatal(err)
	}
	k, err := LoadDigestKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := GenerateDigestKey(path); err == nil {
		t.Error("a key was written over")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("key", "key", *k, "at", k)
	shown := fmt.Sprintf("%v %+v %#v %s %x", *k, k, *k, k, *k) + log.String()
	if secret := strings.TrimSpace(string(text)); strings.Contains(shown, secret[:16]) || strings.Contains(shown, fmt.Sprint(k.key[:4])) {
		t.Errorf("the key shows in %q", shown)
	}
	for name, bad := range map[string]string{"short": string(text[:20]), "no digits": strings.Repeat("x", 64), "empty": ""} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadDigestKey(path); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadDigestKey(path); err != nil {
		t.Errorf("control: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadDigestKey(path); err == nil {
		t.Error("a key that others can read was taken")
	}
}

// P8: the same file is the same to one recipient under one grant, and to nobody else; who has
// the file and not the key cannot tell that it is this one.
func TestDigestIsOneRecipients(t *testing.T) {
	k := &DigestKey{[32]byte{1, 2, 3}}
	r, other := evidence.RecipientID{1}, evidence.RecipientID{2}
	file := sha256.Sum256([]byte("a part"))
	is := k.Of(r, 7, file)
	if is != k.Of(r, 7, file) {
		t.Fatal("control: the same file is not the same")
	}
	for name, n := range map[string]int64{
		"another file": k.Of(r, 7, sha256.Sum256([]byte("another part"))), "another recipient": k.Of(other, 7, file),
		"another grant": k.Of(r, 8, file), "another key": (&DigestKey{[32]byte{1, 2, 4}}).Of(r, 7, file),
	} {
		if n == is {
			t.Errorf("%s: the same", name)
		}
	}
	// A dictionary of every file there is, without the key: keys that one could think of.
	for _, guess := range [][]byte{nil, r[:], make([]byte, 32), []byte("platen job digest"), file[:]} {
		h := hmac.New(sha256.New, guess)
		h.Write(file[:])
		if got := hex.EncodeToString(h.Sum(nil))[:13]; got == fmt.Sprintf("%013x", is) {
			t.Errorf("key %x gives it", guess)
		}
	}
	// As stock tools compute it.
	one := hmac.New(sha256.New, k.key[:])
	fmt.Fprintf(one, "platen job digest\x00%s\x00\x00\x00\x00\x00\x00\x00\x07", r[:])
	h := hmac.New(sha256.New, one.Sum(nil))
	h.Write(file[:])
	if want := hex.EncodeToString(h.Sum(nil))[:13]; want != fmt.Sprintf("%013x", is) {
		t.Errorf("%013x, by its definition %s", is, want)
	}
}
