package store

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"platen/agent/durable"
	"platen/agent/evidence"
)

const issuedDir = "issued"

// issued is a certificate that a printer was given.
type issued struct {
	Serial *big.Int  `json:"serial"`
	End    time.Time `json:"end"`
}

func issuedPath(dir string, id evidence.PrinterID) string {
	return filepath.Join(dir, issuedDir, id.String()+".json")
}

// Issue notes a certificate before its printer is given it, so that it can be revoked. Those of the
// printer that have ended are forgotten. Only one goroutine calls it for a printer at a time.
func (s *Store) Issue(id evidence.PrinterID, cert *x509.Certificate) error {
	all, err := issuedTo(s.dir, id)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(i issued) bool { return i.End.Before(s.now()) })
	b, err := json.Marshal(append(all, issued{cert.SerialNumber, cert.NotAfter}))
	if err != nil {
		return fmt.Errorf("note a certificate: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, issuedDir), 0o700); err != nil {
		return fmt.Errorf("note a certificate: %w", err)
	}
	if err := durable.Replace(issuedPath(s.dir, id), append(b, '\n')); err != nil {
		return fmt.Errorf("note a certificate: %w", err)
	}
	return nil
}

func issuedTo(dir string, id evidence.PrinterID) (all []issued, err error) {
	b, err := os.ReadFile(issuedPath(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read which certificates a printer has: %w", err)
	}
	return all, nil
}

// ErrUnread reports that it cannot be read which certificates a printer has.
var ErrUnread = errors.New("its certificates are not listed as revoked")

// Revoked lists the certificates in dir that printers which left the fleet could still show at
// the time now. Where those of some printers cannot be read, it lists the others', with ErrUnread.
func Revoked(dir string, now time.Time) ([]x509.RevocationListEntry, error) {
	left, err := allLeft(dir)
	if err != nil {
		return nil, err
	}
	var out []x509.RevocationListEntry
	var unread error
	for id := range left {
		all, err := issuedTo(dir, id)
		if err != nil {
			unread = errors.Join(unread, fmt.Errorf("%w: printer %v: %w", ErrUnread, id, err))
		}
		d, _, err := Left(dir, id)
		if err != nil || d.At.IsZero() { // it left: when does not matter
			d.At = now
		}
		for _, i := range all {
			if i.End.After(now) {
				out = append(out, x509.RevocationListEntry{SerialNumber: i.Serial, RevocationTime: d.At})
			}
		}
	}
	slices.SortFunc(out, func(a, b x509.RevocationListEntry) int { return a.SerialNumber.Cmp(b.SerialNumber) })
	return out, unread
}
