package intake

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// TicketType is the DSSE payload type of a ticket.
const TicketType = "application/vnd.platen.ticket.v1+json"

// MaxTicket is the size of the largest ticket envelope in bytes.
const MaxTicket = 16 << 10

// Hex is a byte string written in lower-case hexadecimal.
type Hex []byte

// MarshalText writes the hexadecimal.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText reads lower-case hexadecimal.
func (h *Hex) UnmarshalText(t []byte) error {
	b, err := hex.DecodeString(string(t))
	if err != nil || !bytes.Equal(hex.AppendEncode(nil, b), t) {
		return errors.New("not lower-case hexadecimal")
	}
	*h = b
	return nil
}

// Ticket says which sealed file may be printed where, how often and until when.
// It names the file by the digest of its ciphertext and says nothing of the model.
type Ticket struct {
	Job       Hex       `json:"job"`        // 16 random bytes
	Digest    Hex       `json:"sha256"`     // SHA-256 of the sealed file
	Size      int64     `json:"size"`       // bytes of the sealed file
	Format    string    `json:"format"`     // of the model inside: "stl"
	Printers  []string  `json:"printers"`   // printer ids that may print it
	Copies    int       `json:"copies"`     // how often each of them may, 1 to 10,000
	NotBefore time.Time `json:"not_before"` // UTC
	NotAfter  time.Time `json:"not_after"`  // UTC

	Sources []string `json:"sources,omitempty"` // https URLs of the sealed file, the best first
}

// Bounds of a ticket's sources.
const (
	maxSources = 8
	maxSource  = 1024 // bytes of one
)

// TicketError is why a ticket was refused: a code for programs and a sentence for
// people.
type TicketError struct {
	Code string // "signature", "form", "printer", "file", "time" or "copies"
	What string
}

// Error says what was wrong and what to do.
func (e *TicketError) Error() string { return "ticket refused: " + e.What }

func refuse(code, format string, a ...any) error {
	return &TicketError{code, fmt.Sprintf(format, a...)}
}

// NewTicket makes a ticket with a random job id for a sealed file.
func NewTicket(h *Held, format string, printers []string, copies int, from time.Time, valid time.Duration) Ticket {
	job := make([]byte, 16)
	rand.Read(job)
	return Ticket{
		Job: job, Digest: h.Digest[:], Size: h.Size, Format: format, Printers: printers, Copies: copies,
		NotBefore: from.UTC().Truncate(time.Second), NotAfter: from.Add(valid).UTC().Truncate(time.Second),
	}
}

// Sign puts a ticket into a DSSE envelope signed with an operator's key.
func (t Ticket) Sign(ctx context.Context, key ed25519.PrivateKey) ([]byte, error) {
	if err := t.form(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("writing the ticket: %w", err)
	}
	return signEnvelope(ctx, TicketType, body, key)
}

// signEnvelope puts body into a DSSE envelope.
func signEnvelope(ctx context.Context, kind string, body []byte, key ed25519.PrivateKey) ([]byte, error) {
	s, err := dsse.NewEnvelopeSigner(edKey{priv: key, pub: key.Public().(ed25519.PublicKey)})
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	env, err := s.SignPayload(ctx, kind, body)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return json.Marshal(env)
}

// verified is the payload of an envelope that one of the operators has signed.
func verified(ctx context.Context, env *dsse.Envelope, operators []ed25519.PublicKey) ([]byte, error) {
	var keys []dsse.Verifier
	for _, k := range operators {
		keys = append(keys, edKey{pub: k})
	}
	if len(keys) == 0 {
		return nil, errors.New("the printer trusts no operator: set operator_keys in the configuration")
	}
	v, err := dsse.NewEnvelopeVerifier(keys...)
	if err != nil {
		return nil, err
	}
	if _, err := v.Verify(ctx, env); err != nil {
		return nil, errors.New("no operator that the printer trusts has signed it")
	}
	return env.DecodeB64Payload()
}

// OpenTicket checks the signature of an envelope against the operator keys that
// the printer trusts, and the form of the ticket inside.
func OpenTicket(ctx context.Context, envelope []byte, operators []ed25519.PublicKey) (Ticket, error) {
	var t Ticket
	if len(envelope) > MaxTicket {
		return t, refuse("form", "it is larger than %d bytes", MaxTicket)
	}
	var env dsse.Envelope
	if err := strictJSON(envelope, &env); err != nil {
		return t, refuse("form", "it is not a DSSE envelope: make it with platen-fleet ticket")
	}
	if env.PayloadType != TicketType {
		return t, refuse("form", "it is an envelope of another type")
	}
	body, err := verified(ctx, &env, operators)
	if err != nil {
		return t, refuse("signature", "%s", err.Error())
	}
	return readTicket(body)
}

// PeekTicket reads a ticket without looking at its signature: for those who only pass
// it on.
func PeekTicket(envelope []byte) (Ticket, error) {
	var env dsse.Envelope
	if len(envelope) > MaxTicket || strictJSON(envelope, &env) != nil || env.PayloadType != TicketType {
		return Ticket{}, refuse("form", "it is not an envelope of a ticket: make it with platen-fleet ticket")
	}
	body, err := env.DecodeB64Payload()
	if err != nil {
		return Ticket{}, refuse("form", "its payload cannot be read: make it with platen-fleet ticket")
	}
	return readTicket(body)
}

// readTicket reads the payload of an envelope.
func readTicket(body []byte) (t Ticket, err error) {
	if err := strictJSON(body, &t); err != nil || !canonical(body, t) {
		return Ticket{}, refuse("form", "its payload is not a ticket of this version: make it with platen-fleet ticket")
	}
	return t, t.form()
}

func (t Ticket) form() error {
	switch {
	case len(t.Job) != 16:
		return refuse("form", "the job id is not 16 bytes")
	case len(t.Digest) != 32:
		return refuse("form", "the digest is not 32 bytes")
	case t.Format != "stl":
		return refuse("form", "the format is none that this release prints: stl")
	case len(t.Printers) == 0 || len(t.Printers) > 256:
		return refuse("form", "it names no printer, or more than 256")
	case t.Copies < 1 || t.Copies > 10_000:
		return refuse("form", "the number of copies is not 1 to 10000")
	case !t.NotBefore.Before(t.NotAfter):
		return refuse("form", "it ends before it begins")
	case t.Size < 0 || len(t.Sources) > maxSources || slices.ContainsFunc(t.Sources, func(s string) bool { return !isSource(s) }):
		return refuse("form", "its sources are more than %d, or not plain https URLs of at most %d bytes", maxSources, maxSource)
	}
	return nil
}

// isSource reports whether s is a URL that a sealed file may be fetched from: https, a
// host, and nothing that is a secret or that stays with the client.
func isSource(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxSource && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "" && u.Opaque == ""
}

// Offered holds a ticket whose file is not at hand yet against this printer and the
// time. One that is not valid yet may wait.
func (t Ticket) Offered(printer string, now time.Time) error {
	switch {
	case !slices.Contains(t.Printers, printer):
		return refuse("printer", "it is for other printers: ask the operator for one that names this printer's id")
	case now.After(t.NotAfter):
		return refuse("time", "it ended at %s", t.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Check holds a ticket against this printer, the file at hand and the time.
func (t Ticket) Check(printer string, h *Held, now time.Time) error {
	if err := t.Offered(printer, now); err != nil {
		return err
	}
	if err := t.IsFor(h); err != nil {
		return err
	}
	if now.Before(t.NotBefore) {
		return refuse("time", "it is valid from %s", t.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// IsFor holds a ticket against the file at hand alone.
func (t Ticket) IsFor(h *Held) error {
	if t.Size != h.Size || !bytes.Equal(t.Digest, h.Digest[:]) {
		return refuse("file", "it is for another file: submit the file that the ticket was made for")
	}
	return nil
}

// edKey is an Ed25519 key as go-securesystemslib wants it.
type edKey struct {
	priv ed25519.PrivateKey
	pub  ed25519.PublicKey
}

func (k edKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.priv, data), nil
}

func (k edKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.pub, data, sig) {
		return errors.New("wrong signature")
	}
	return nil
}

func (k edKey) KeyID() (string, error)   { return hex.EncodeToString(k.pub[:8]), nil }
func (k edKey) Public() crypto.PublicKey { return k.pub }

func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}

// canonical reports whether body, apart from white space, is what t is written as:
// it names no field twice or in another case, so that everyone who reads the ticket
// reads the same.
func canonical(body []byte, t any) bool {
	want, err := json.Marshal(t)
	var got bytes.Buffer
	return err == nil && json.Compact(&got, body) == nil && bytes.Equal(got.Bytes(), want)
}
