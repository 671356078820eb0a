// Package audit is the printer's log of what matters to its owner: every grant,
// job, update, fault and refusal, each with the hash of the entry before it, under
// heads that the TPM signs.
//
// Start at [Open], [Log.Append] and [Log.Run]. An [Entry] has no room for design
// data: it consists of numbers, codes, random ids and digests. [Log.Export] writes the log
// with a head signed for the occasion, and [Verify] checks such a file anywhere, with nothing
// but the printer's id, which is the digest of the key that signs.
//
// Requirements: an entry that Append has returned for is there after a power cut; an
// entry that was changed, removed or inserted before the last head is noticed by
// anybody, and a log that was put back to an earlier one, or cut, by the printer
// itself, because heads count in the TPM; two logs that went different ways show it
// when they are compared ([Extends]). Nothing waits for the log that keeps a printer
// safe: [Log.Note] never blocks, a full disk only lets entries wait, and what had to
// be left out is counted in the log. Non-requirements: who controls the running
// agent can have the TPM sign a false log; the quoted PCRs of its heads then say
// which agent that was. What came after the last counted head can be cut without trace by
// who has the disk. A grant or a revocation is signed and counted at once. That a job began
// or ended is told to four hours, and signed when those are over: how long a print took
// names the part. All else is signed within [signAfter] on a printer that runs, and counted two dozen times a day: up
// to a day of it, if the two dozen went by early.
//
// Layout: a ring of segments, log-0 to log-7, of lines of JSON. An entry begins a
// segment when the one before is full; the oldest is then cut to nothing. Before
// that the log says once more what it says of each recipient's grants, and then at which
// entry it will begin ([Rotated]), so that nobody else can shorten it in front. Failures: a line is written behind the last and synced; a torn
// one is the last of its segment and is cut off at the next start. A head is written
// with the count that the TPM will have next, and then the TPM counts: a cut between
// the two is one count, which Open makes up for, and a log of an earlier count is
// one that was put back.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"platen/agent/evidence"
)

// Event is what an entry records.
type Event string

// The events. Those without a comment have no field but time.
const (
	Grant    Event = "grant"     // Recipient, Serial and Digest of the envelope
	Revoke   Event = "revoke"    // Recipient, Serial
	Enrolled Event = "enrolled"  // Recipient
	JobBegan Event = "job-began" // Job
	JobEnded Event = "job-ended" // Job, Code of how
	Update   Event = "update"    // Serial is the release, Code of what became of it
	Fault    Event = "fault"     // Code, Job if one was loaded
	Refused  Event = "refused"   // Code of the refusal, Serial is how often
	SelfTest Event = "self-test" // Code: begun, or how it ended
	Started  Event = "started"   // Serial is the agent's release
	Lost     Event = "lost"      // Serial entries could not be written
	Rotated  Event = "rotated"   // the log begins at entry Serial from now on
	Tampered Event = "tampered"  // Code of what was found; the log before it is gone
	Signed   Event = "head"      // Head
)

// Entry is one line of the log.
type Entry struct {
	N         uint64    `json:"n"` // from 1
	At        time.Time `json:"at"`
	Event     Event     `json:"event"`
	Code      string    `json:"code,omitempty"`      // a-z, 0-9 and "-"
	Recipient string    `json:"recipient,omitempty"` // evidence.RecipientID in text
	Serial    uint64    `json:"serial,omitempty"`
	Job       string    `json:"job,omitempty"`    // random id, in hexadecimal
	Digest    string    `json:"digest,omitempty"` // SHA-256, in hexadecimal
	Head      *Head     `json:"head,omitempty"`
	Prev      string    `json:"prev"` // SHA-256 of the line before, without its end
}

// Ref names an entry: its number and the SHA-256 of its line. The zero Ref is the
// log before its first entry.
type Ref struct {
	N    uint64 `json:"n"`
	Hash string `json:"hash"`
}

// Head is the TPM's signature under the log up to an entry.
type Head struct {
	Of     uint64  `json:"of"`              // entry
	Hash   string  `json:"hash"`            // its line's
	Count  uint64  `json:"count"`           // of the TPM's counter of heads
	Nonce  string  `json:"nonce,omitempty"` // of whoever had it made, a-z and 0-9
	Attest []byte  `json:"attest"`          // TPMS_ATTEST of a quote
	Sig    []byte  `json:"sig"`             // TPMT_SIGNATURE
	PCRs   hexPCRs `json:"pcrs"`            // values of evidence.Selection
}

type hexPCRs [len(evidence.PCRs{})]hexBytes

// hexBytes is 32 bytes, in hexadecimal.
type hexBytes [32]byte

// MarshalText is hexadecimal.
func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText reads what MarshalText writes.
func (h *hexBytes) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return errors.New("not 32 bytes in hexadecimal")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Signer is the printer's TPM as the log needs it; attest.TPM is one.
type Signer interface {
	// ID is the printer's id.
	ID() evidence.PrinterID
	// Quote signs PCRs and qualifying data with the attestation key.
	Quote(ctx context.Context, qualifying [32]byte) (evidence.Quote, error)
	// AttestationKey is that key's TPMT_PUBLIC.
	AttestationKey(ctx context.Context) ([]byte, error)
	// CountHead reads the TPM's counter of heads, after it has added one if add is set.
	// fresh says that the TPM had no such counter before.
	CountHead(ctx context.Context, add bool) (n uint64, fresh bool, err error)
}

// qualifying is what the quote of a head signs.
func (h *Head) qualifying(printer evidence.PrinterID) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "platen audit head v1\n%s\n%d\n%s\n%d\n%s\n", printer, h.Of, h.Hash, h.Count, h.Nonce))
}

func (h *Head) quote() evidence.Quote {
	q := evidence.Quote{Attest: h.Attest, Sig: h.Sig}
	for i := range h.PCRs {
		q.PCRs[i] = h.PCRs[i]
	}
	return q
}

// maxNonce bounds a nonce of [Log.Export] in characters.
const maxNonce = 64

var genesis = strings.Repeat("0", 2*sha256.Size)

func hash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// check reports what an entry must not hold. Each field has a form in which no name,
// text or coordinate can be written.
func (e *Entry) check() error {
	const digits = "0123456789abcdef"
	for _, f := range []struct {
		value, chars string
		most         int
	}{
		{string(e.Event), "abcdefghijklmnopqrstuvwxyz-", 16}, {e.Code, "abcdefghijklmnopqrstuvwxyz0123456789-", 48},
		{e.Recipient, digits, 32}, {e.Job, digits, 32}, {e.Digest, digits, 64},
	} {
		if len(f.value) > f.most || strings.Trim(f.value, f.chars) != "" {
			return fmt.Errorf("an audit entry %q has a field of another form", e.Event)
		}
	}
	if e.Head != nil && (len(e.Head.Nonce) > maxNonce || strings.Trim(e.Head.Nonce, "abcdefghijklmnopqrstuvwxyz0123456789") != "") {
		return errors.New("an audit head with a nonce of another form")
	}
	if e.Event == "" || (e.Event == Signed) != (e.Head != nil) {
		return errors.New("an audit entry without an event, or without its head")
	}
	return nil
}
