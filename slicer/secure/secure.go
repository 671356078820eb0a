// Package secure opens the encrypted parts of a 3MF package, by the 3MF Secure Content
// Extension 1.0.3.
//
// The keystore of such a package names its consumers and its encrypted parts, in groups
// with one content key each, and holds that key for every consumer that may have it,
// encrypted to the consumer's RSA key. [Read] reads it; [Store.For] gives a consumer
// what to decrypt with its key, which is elsewhere: in a TPM. With the content keys
// [Store.Open] decrypts a part in the vault. Nothing of a part is to be had before its
// tag was checked, over all of it.
//
// A part is AES-256-GCM behind a small header; its tag stands in the keystore. Whatever
// is missing there, said twice, out of range, or an algorithm that the specification
// does not have, makes the package ErrFormat.
package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"platen/slicer/pack"
	"platen/slicer/vault"
)

var (
	// ErrFormat reports a keystore or an encrypted part that is not as it must be.
	ErrFormat = errors.New("the keystore of the 3MF file, or a part that it names, is not as the Secure Content extension says")
	// ErrKey reports a part for which no key is there: it was not encrypted for this
	// printer.
	ErrKey = errors.New("a part of the 3MF file is encrypted, and not for this printer")
	// ErrAltered reports a part whose tag is not that of its contents and its key.
	ErrAltered = errors.New("an encrypted part of the 3MF file was altered, or its key is another one")
)

// Bounds on a keystore.
const (
	MostGroups    = 64 // each costs an operation of the TPM
	mostConsumers = 1024
	mostParts     = 1 << 12
	mostExtra     = 1 << 10 // bytes of authenticated data of a part
)

// Key is the content key of a group.
type Key [32]byte

// String says nothing of the key.
func (Key) String() string { return "content key" }

// GoString says nothing of the key.
func (Key) GoString() string { return "content key" }

// LogValue says nothing of the key.
func (Key) LogValue() slog.Value { return slog.StringValue("content key") }

// Keys are the content keys of a package by group; of a group without one it is zero.
type Keys []Key

// Hash is a hash of RSA-OAEP.
type Hash uint8

// The hashes.
const (
	SHA1 Hash = iota + 1
	SHA256
)

// Wrapped is the content key of a group, encrypted to a consumer's RSA key by
// RSAES-OAEP with an empty label (RFC 8017, 7.1).
type Wrapped struct {
	Group  int
	Digest Hash   // of the label
	Mask   Hash   // of the mask generation, MGF1
	Key    []byte // as long as the modulus
}

// Store is the keystore of a package.
type Store struct {
	consumers []consumer
	rights    []right // by group
	groups    int
	parts     map[int]part // by entry of the archive
	text      []byte       // scratch
}

type consumer struct{ id, keyID, spki []byte }

type right struct {
	consumer int
	Wrapped
}

type part struct {
	group   int
	iv      [12]byte
	tag     [16]byte
	extra   []byte
	deflate bool
}

// String says nothing of the keystore.
func (s *Store) String() string { return "keystore" }

// GoString says nothing of the keystore.
func (s *Store) GoString() string { return "keystore" }

// LogValue says nothing of the keystore.
func (s *Store) LogValue() slog.Value { return slog.StringValue("keystore") }

// Groups is the number of content keys.
func (s *Store) Groups() int { return s.groups }

// For returns the wrapped keys that are for a consumer: the one whose public key, a
// SubjectPublicKeyInfo in DER, stands in the keystore, or, where none does, the one of
// the given id. It is empty if the package has nothing for it.
func (s *Store) For(id string, spki []byte) []Wrapped {
	var list []Wrapped
	for _, r := range s.rights {
		c := &s.consumers[r.consumer]
		if c.spki != nil && bytes.Equal(c.spki, spki) || c.spki == nil && string(c.id) == id {
			list = append(list, r.Wrapped)
		}
	}
	return list
}

// Has reports whether an entry of the archive is encrypted.
func (s *Store) Has(entry int) bool {
	_, ok := s.parts[entry]
	return ok
}

// Open decrypts an entry and points in at its contents, decompressed if need be. An
// entry that lies in the archive as it is, is decrypted in its place, and only once;
// another takes scratch memory of v. The errors are ErrFormat, ErrKey, ErrAltered and
// those of packages pack and vault.
func (s *Store) Open(v *vault.Vault, a *pack.Archive, in *pack.Reader, entry int, keys Keys) error {
	p, ok := s.parts[entry]
	if !ok {
		return fmt.Errorf("%w (a part is not named)", ErrFormat)
	}
	if p.group >= len(keys) || keys[p.group] == (Key{}) {
		return ErrKey
	}
	body, err := raw(v, a, in, entry)
	if err != nil {
		return err
	}
	if body, err = payload(body); err != nil {
		return err
	}
	block, err := aes.NewCipher(keys[p.group][:])
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	plain, err := gcm.Open(body[:0], p.iv[:], append(body, p.tag[:]...), p.extra)
	if err != nil {
		clear(body)
		return ErrAltered
	}
	in.ResetBare(plain, p.deflate)
	return nil
}

// raw is what an entry holds, with room for a tag behind it.
func raw(v *vault.Vault, a *pack.Archive, in *pack.Reader, entry int) ([]byte, error) {
	if body := a.Stored(entry); body != nil {
		return body, nil
	}
	size := int(a.Size(entry))
	body, err := vault.Scratch[byte](v, size+pack.Spare)
	if err != nil {
		return nil, err
	}
	in.Reset(a, entry)
	if _, err := io.ReadFull(in, body[:size]); err != nil {
		return nil, whole(err)
	}
	if n, err := in.Read(body[size:]); n != 0 || err != io.EOF { // length and checksum
		return nil, errors.Join(pack.ErrFormat, err)
	}
	return body[:size], nil
}

// whole makes an entry that ends too early one that is damaged.
func whole(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return pack.ErrFormat
	}
	return err
}

// payload is what follows the header of an encrypted part: "%3McF", version 0.0, a zero,
// and the length of all that as 32 bits (Secure Content 1.0.3, 3MF cipher file).
func payload(body []byte) ([]byte, error) {
	const least = 12
	if len(body) < least || !bytes.Equal(body[:8], []byte("%3McF\x00\x00\x00")) {
		return nil, fmt.Errorf("%w (an encrypted part does not begin as one)", ErrFormat)
	}
	n := binary.LittleEndian.Uint32(body[8:])
	if n < least || uint64(n) > uint64(len(body)) {
		return nil, fmt.Errorf("%w (the header of an encrypted part is longer than the part)", ErrFormat)
	}
	return body[n:], nil
}
