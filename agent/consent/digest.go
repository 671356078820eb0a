package consent

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/updater/keyfile"
)

// DigestKey is the owner's key for what recipients are told of files: see [DigestKey.Of].
// The printer has it as well, in the file that digest_key in its configuration names.
type DigestKey struct{ key [32]byte }

// String keeps the key out of formatted text.
func (DigestKey) String() string { return "digest key" }

// GoString keeps the key out of formatted text.
func (DigestKey) GoString() string { return "digest key" }

// LogValue keeps the key out of logs.
func (DigestKey) LogValue() slog.Value { return slog.StringValue("digest key") }

// GenerateDigestKey makes the file of a new key, for its owner only: 64 hexadecimal digits. A
// file that is there is left alone.
func GenerateDigestKey(path string) error {
	var k [32]byte
	rand.Read(k[:])
	if err := keyfile.Create(path, []byte(hex.EncodeToString(k[:])+"\n"), 0o600); err != nil {
		return fmt.Errorf("make the key for digests: %w", err)
	}
	return nil
}

// LoadDigestKey reads a key that [GenerateDigestKey] made. One that others can read is refused.
func LoadDigestKey(path string) (*DigestKey, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the key for digests: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s can be read by others: chmod 600 it, and consider the key lost", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key for digests: %w", err)
	}
	var k DigestKey
	if hexInto(k.key[:], []byte(strings.TrimSuffix(string(b), "\n"))) != nil {
		return nil, fmt.Errorf("%s is no key for digests: make one with platen consent keygen --digest", path)
	}
	return &k, nil
}

// Of is what the recipient of a grant is told of a file with that SHA-256: the first
// [catalog.DigestBits] bits of HMAC-SHA-256 over it. The HMAC's key is
// HMAC-SHA-256(k, "platen job digest" 0x00 recipient serial), with the recipient's 16 bytes and
// the grant's serial in 8, the highest first: two recipients cannot compare what they are told,
// nor one what it was told under two grants. Whoever lacks k cannot try files.
func (k *DigestKey) Of(r evidence.RecipientID, serial uint64, file [32]byte) int64 {
	one := hmac.New(sha256.New, k.key[:])
	one.Write([]byte("platen job digest\x00"))
	one.Write(r[:])
	one.Write(binary.BigEndian.AppendUint64(nil, serial))
	h := hmac.New(sha256.New, one.Sum(nil))
	h.Write(file[:])
	return int64(binary.BigEndian.Uint64(h.Sum(nil)) >> (64 - catalog.DigestBits))
}
