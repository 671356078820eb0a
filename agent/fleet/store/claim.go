package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrClaim reports a claim code that was never given out, has expired or was used.
var ErrClaim = errors.New("claim code is unknown, expired or used")

// ClaimLife is how long a claim code is good for by default.
const ClaimLife = 24 * time.Hour

// NewClaim makes a claim code that lets one printer in until it expires. The store
// keeps its hash only. Any process may call it while the fleet runs.
func NewClaim(dir string, life time.Duration, now time.Time) (code string, expires time.Time, err error) {
	if _, err := Peek(dir); err != nil {
		return "", time.Time{}, err
	}
	code = rand.Text() // 130 bits
	expires = now.Add(life).UTC().Truncate(time.Second)
	path := claimPath(dir, code)
	if err := os.WriteFile(path, []byte(expires.Format(time.RFC3339)+"\n"), 0o600); err != nil {
		return "", time.Time{}, fmt.Errorf("keep the claim code: %w", err)
	}
	return code, expires, nil
}

// CheckClaim reports whether a code is good, without using it.
func (s *Store) CheckClaim(code string) error {
	b, err := os.ReadFile(claimPath(s.dir, code))
	if err != nil {
		return ErrClaim
	}
	expires, err := time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
	if err != nil || !s.now().Before(expires) {
		return ErrClaim
	}
	return nil
}

// UseClaim uses a code up. Of several callers one succeeds.
func (s *Store) UseClaim(code string) error {
	if err := s.CheckClaim(code); err != nil {
		return err
	}
	if err := os.Remove(claimPath(s.dir, code)); err != nil {
		return ErrClaim
	}
	return nil
}

func claimPath(dir, code string) string {
	sum := sha256.Sum256([]byte("platen claim " + code))
	return filepath.Join(dir, claimsDir, hex.EncodeToString(sum[:]))
}
