package verify

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// TestRestore: a verifier that lost its memory would take replays; one that was
// restored does not, and goes on where it was.
func TestRestore(t *testing.T) {
	p := newSoft(t)
	v, c := newVerifier(t, p)
	p.nonce = v.Nonce(p.id)
	first := p.batch("one")
	accept(t, v, p.id, first)
	missing := p.batch("two")
	accept(t, v, p.id, p.batch("three"))
	whole, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	part, err := v.PrinterState(p.id)
	if err != nil {
		t.Fatal(err)
	}
	empty, _ := newVerifier(t)
	keyOnly, err := empty.State()
	if err != nil {
		t.Fatal(err)
	}
	restore := func(states ...func(*Verifier) error) *Verifier {
		t.Helper()
		w, err := New(Config{Recipient: us, Releases: released(), Now: func() time.Time { return c.now }})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range states {
			if err := f(w); err != nil {
				t.Fatal(err)
			}
		}
		return w
	}
	fromWhole := restore(func(w *Verifier) error { return w.Restore(whole) })
	refuses(t, fromWhole, p.id, first, Replayed)
	if got := accept(t, fromWhole, p.id, missing); !got.Late || !got.Fresh {
		t.Errorf("after a restart: %+v", got)
	}
	fromPart := restore(func(w *Verifier) error { return w.Restore(keyOnly) }, func(w *Verifier) error { return w.RestorePrinter(part) })
	refuses(t, fromPart, p.id, first, Replayed)
	refuses(t, fromPart, p.id, missing, NonceUnknown) // another verifier's key
	forgetful := restore(func(w *Verifier) error { return w.Restore(whole) }, func(w *Verifier) error {
		w.Forget(p.id)
		return w.Enrol(p.record())
	})
	accept(t, forgetful, p.id, first) // control: memory is what refuses the replay
	for _, bad := range []string{"", "{}", `{"version":1}`, `{"version":1,"nonce_key":"AAAA"}`} {
		if err := v.Restore([]byte(bad)); err == nil {
			t.Errorf("restored from %q", bad)
		}
	}
	refuses(t, v, p.id, first, Replayed)
}

func TestEnrolKeepsTheChain(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	first := p.batch("one")
	accept(t, v, p.id, first)
	if err := v.Enrol(p.record()); err != nil {
		t.Fatal(err)
	}
	refuses(t, v, p.id, first, Replayed)
	r := p.record()
	r.Printer[0] ^= 1
	if err := v.Enrol(r); err == nil {
		t.Error("a record under another printer's id was taken")
	}
}

func TestKeysOfARecord(t *testing.T) {
	key := newKey(t)
	area := tpm2.Marshal(eccPublic(point(t, key), tpm2.TPMAObject{SignEncrypt: true}))
	r := Record{TLS: area, Job: area}
	tls, err := r.TLSKey()
	if err != nil || !tls.Equal(&key.PublicKey) {
		t.Error(err)
	}
	if job, err := r.JobKey(); err != nil || len(job.Bytes()) != 65 {
		t.Error(err)
	}
	// Only a key that its password does not open is bound to anything.
	bound := eccPublic(point(t, key), tpm2.TPMAObject{Decrypt: true})
	bound.AuthPolicy.Buffer = bytes.Repeat([]byte{1}, 32)
	for _, open := range []bool{true, false} {
		bound.ObjectAttributes.UserWithAuth = open
		policy, err := Record{Job: tpm2.Marshal(bound)}.JobPolicy()
		if err != nil || (policy == nil) != open {
			t.Errorf("opened by its password %v: policy %x, %v", open, policy, err)
		}
	}
	v, _ := newVerifier(t)
	if _, ok := v.Record(evidence.PrinterID{1}); ok {
		t.Error("a record of an unknown printer")
	}
	p := newSoft(t)
	v, _ = newVerifier(t, p)
	if got, ok := v.Record(p.id); !ok || got.Printer != p.id || !cmp.Equal(v.Printers(), []evidence.PrinterID{p.id}) {
		t.Errorf("record of an enrolled printer: %v", ok)
	}
	elsewhere := point(t, key)
	elsewhere[40] ^= 1
	off := eccPublic(elsewhere, tpm2.TPMAObject{})
	if _, err := (Record{TLS: tpm2.Marshal(off)}).TLSKey(); err == nil {
		t.Error("a point off the curve was taken")
	}
}
