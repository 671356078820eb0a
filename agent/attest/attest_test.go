package attest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// open opens the TPM of a test; the caller closes it or the test's end does.
func open(t *testing.T, s *rig.Swtpm, dir string) *attest.TPM {
	t.Helper()
	tpm, err := attest.New(t.Context(), attest.Config{Path: s.Path(), StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tpm.Close() })
	return tpm
}

func closeTPM(t *testing.T, tpm *attest.TPM) {
	t.Helper()
	if err := tpm.Close(); err != nil {
		t.Fatal(err)
	}
}

// parsed is a quote's structure, after its digest was checked against its values.
func parsed(t *testing.T, q evidence.Quote) *tpm2.TPMSAttest {
	t.Helper()
	att, err := tpm2.Unmarshal[tpm2.TPMSAttest](q.Attest)
	if err != nil {
		t.Fatal(err)
	}
	info, err := att.Attested.Quote()
	if err != nil {
		t.Fatal(err)
	}
	if want := q.PCRs.Digest(); !bytes.Equal(info.PCRDigest.Buffer, want[:]) {
		t.Fatal("the values are not those that were quoted")
	}
	return att
}

func TestKeysLastAndDiffer(t *testing.T) {
	s := rigtest.Swtpm(t)
	a := open(t, s, "")
	id, job := a.ID(), a.JobKey().PublicKey()
	client, ok := a.TLSKey().Public().(*ecdsa.PublicKey)
	if !ok {
		t.Fatal("the TLS key is no ECDSA key")
	}
	closeTPM(t, a)
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := open(t, s, "")
	if b.ID() != id || !b.JobKey().PublicKey().Equal(job) || !client.Equal(b.TLSKey().Public()) {
		t.Error("a reset changed a key")
	}
	if asECDH, err := client.ECDH(); err != nil || asECDH.Equal(job) {
		t.Errorf("TLS key and job key are one: %v", err)
	}
	other := open(t, rigtest.Swtpm(t), "")
	if other.ID() == id || other.JobKey().PublicKey().Equal(job) {
		t.Error("another TPM has the same keys")
	}
}

func TestBootCount(t *testing.T) {
	s := rigtest.Swtpm(t)
	var last uint64
	for boot := range 3 {
		for agent := range 2 {
			tpm := open(t, s, "")
			n := tpm.BootCount()
			closeTPM(t, tpm)
			if agent == 0 && boot > 0 && n != last+1 {
				t.Errorf("boot counter %d after a reset, %d before", n, last)
			}
			if agent > 0 && n != last {
				t.Errorf("boot counter %d for an agent that restarted, %d before", n, last)
			}
			last = n
		}
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQuote(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), t.TempDir())
	digest := sha256.Sum256([]byte("agent"))
	if err := tpm.ExtendAgent(t.Context(), digest); err != nil {
		t.Fatal(err)
	}
	qualifying := sha256.Sum256([]byte("header"))
	q, err := tpm.Quote(t.Context(), qualifying)
	if err != nil {
		t.Fatal(err)
	}
	att := parsed(t, q)
	if !bytes.Equal(att.ExtraData.Buffer, qualifying[:]) {
		t.Error("the quote is over something else")
	}
	log, err := tpm.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if log.Value() != q.PCRs.Agent() || len(log.Digests) != 1 || log.Digests[0] != digest {
		t.Error("the log does not replay to PCR 14")
	}
	clock, err := tpm.Clock(t.Context())
	if err != nil || clock < att.ClockInfo.Clock {
		t.Errorf("clock %d after a quote at %d, %v", clock, att.ClockInfo.Clock, err)
	}
	t.Logf("attest %d bytes, signature %d bytes", len(q.Attest), len(q.Sig))
	if len(q.Attest) != 145 || len(q.Sig) != 72 {
		t.Errorf("a quote of %d and %d bytes; evidence.Room counts on 145 and 72", len(q.Attest), len(q.Sig))
	}
}

// TestLogOutlivesAgents restarts the agent, updates it and resets the machine.
func TestLogOutlivesAgents(t *testing.T) {
	s, dir := rigtest.Swtpm(t), t.TempDir()
	one, two := sha256.Sum256([]byte("release 1")), sha256.Sum256([]byte("release 2"))
	run := func(agent [32]byte, want ...[32]byte) {
		t.Helper()
		tpm := open(t, s, dir)
		defer tpm.Close()
		if err := tpm.ExtendAgent(t.Context(), agent); err != nil {
			t.Fatal(err)
		}
		log, err := tpm.Log(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		q, err := tpm.Quote(t.Context(), [32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		if log.Value() != q.PCRs.Agent() {
			t.Error("the log does not replay to PCR 14")
		}
		if len(log.Digests) != len(want) {
			t.Fatalf("%d digests in the log, want %d", len(log.Digests), len(want))
		}
		for i := range want {
			if log.Digests[i] != want[i] {
				t.Errorf("digest %d differs", i)
			}
		}
	}
	run(one, one)
	run(one, one) // a restart measures nothing new
	run(two, one, two)
	run(one, one, two, one)
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(two, two)
	// Power lost between writing the log and extending: one entry too many.
	path := filepath.Join(dir, "pcr14.eventlog")
	longer, err := evidence.Log{Digests: [][32]byte{two, {1}}}.EventLog()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, longer, 0o600); err != nil {
		t.Fatal(err)
	}
	run(two, two)
	// A log that says something else is not believed to be the PCR's.
	if err := os.WriteFile(path, []byte("not a digest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := attest.New(t.Context(), attest.Config{Path: s.Path(), StateDir: dir}); err == nil {
		t.Error("a damaged log was taken")
	}
}

func TestManyCallers(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), t.TempDir())
	var group sync.WaitGroup
	errs := make(chan error, 400)
	for i := range 40 {
		group.Go(func() {
			digest := sha256.Sum256([]byte{byte(i)})
			_, err := tpm.Quote(t.Context(), digest)
			errs <- err
			_, err = tpm.TLSKey().Sign(rand.Reader, digest[:], crypto.SHA256)
			errs <- err
			errs <- tpm.ExtendAgent(t.Context(), digest)
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	log, err := tpm.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q, err := tpm.Quote(t.Context(), [32]byte{})
	if err != nil || len(log.Digests) != 40 || log.Value() != q.PCRs.Agent() {
		t.Errorf("%d digests, replays: %v, %v", len(log.Digests), log.Value() == q.PCRs.Agent(), err)
	}
}

func TestContextAndClose(t *testing.T) {
	s := rigtest.Swtpm(t)
	tpm := open(t, s, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tpm.Quote(ctx, [32]byte{}); !errors.Is(err, context.Canceled) {
		t.Errorf("quote after its context ended: %v", err)
	}
	if _, err := tpm.Quote(t.Context(), [32]byte{}); err != nil {
		t.Errorf("control: %v", err)
	}
	closeTPM(t, tpm)
	closeTPM(t, tpm)
	if _, err := tpm.Quote(t.Context(), [32]byte{}); !errors.Is(err, attest.ErrClosed) {
		t.Errorf("quote after Close: %v", err)
	}
	if _, err := tpm.TLSKey().Sign(rand.Reader, make([]byte, 32), crypto.SHA256); !errors.Is(err, attest.ErrClosed) {
		t.Errorf("sign after Close: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, path := range []string{"/nonexistent/tpmrm0", "swtpm:/nonexistent", "swtpm:/" + string(bytes.Repeat([]byte{'a'}, 200))} {
		if _, err := attest.New(t.Context(), attest.Config{Path: path}); err == nil {
			t.Errorf("opened %.40s", path)
		}
	}
}

func TestTPMGone(t *testing.T) {
	s := rigtest.Swtpm(t)
	tpm := open(t, s, "")
	if err := s.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Quote(t.Context(), [32]byte{}); err == nil {
		t.Error("a TPM whose connection ended still quotes")
	}
}

// TestSweep: agents that were killed leave objects and sessions behind, and a TPM
// without a resource manager has room for three.
func TestSweep(t *testing.T) {
	s := rigtest.Swtpm(t)
	link, err := attest.Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	full := false
	for range 4 {
		_, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(link)
		full = errors.Is(err, tpm2.TPMRCObjectMemory)
	}
	if !full {
		t.Error("control: the TPM is not full")
	}
	if _, _, err := tpm2.HMACSession(link, tpm2.TPMAlgSHA256, 16); err != nil {
		t.Fatal(err)
	}
	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
	tpm := open(t, s, "")
	if _, err := tpm.Quote(t.Context(), [32]byte{}); err != nil {
		t.Error(err)
	}
}

// TestLogIsFull: an enrolment carries no more, so no more is measured.
func TestLogIsFull(t *testing.T) {
	tpm := open(t, rigtest.Swtpm(t), "")
	for i := range evidence.MaxFullLog {
		if err := tpm.ExtendAgent(t.Context(), sha256.Sum256([]byte{byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	before, err := tpm.Quote(t.Context(), [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tpm.ExtendAgent(t.Context(), sha256.Sum256([]byte("one more"))); err == nil {
		t.Error("measured one agent more than the log holds")
	}
	after, err := tpm.Quote(t.Context(), [32]byte{})
	if err != nil || after.PCRs != before.PCRs {
		t.Errorf("the PCR moved without the log: %v", err)
	}
}

// TestForeignCounter: what other software keeps in our NV index is left alone.
func TestForeignCounter(t *testing.T) {
	s := rigtest.Swtpm(t)
	link, err := attest.Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
		NVIndex: 0x0180504c, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthRead: true, AuthWrite: true, OwnerRead: true, WriteSTClear: true},
	})}.Execute(link)
	if err := errors.Join(err, link.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := attest.New(t.Context(), attest.Config{Path: s.Path()}); err == nil {
		t.Error("took another's NV index for the boot counter")
	}
}
