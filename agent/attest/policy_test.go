package attest_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
	"platen/updater/approval"
)

func approver(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// bound opens a TPM whose keys are bound to an approver.
func bound(t testing.TB, s *rig.Swtpm, key *ecdsa.PrivateKey) *attest.TPM {
	t.Helper()
	tpm, err := attest.New(t.Context(), attest.Config{Path: s.Path(), Approver: &key.PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tpm.Close() })
	return tpm
}

// approveState has the key approve the present state.
func approveState(t testing.TB, tpm *attest.TPM, key *ecdsa.PrivateKey) approval.Approval {
	t.Helper()
	a, err := tpm.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, err = a.Sign(key); err != nil {
		t.Fatal(err)
	}
	return a
}

func setApprovals(t testing.TB, tpm *attest.TPM, left int, list ...approval.Approval) {
	t.Helper()
	if n, err := tpm.SetApprovals(t.Context(), list); err != nil || n != left {
		t.Fatalf("%d approvals left out, want %d: %v", n, left, err)
	}
}

// opens reports whether the job key agrees, and that with a right result.
func opens(t testing.TB, tpm *attest.TPM) (bool, error) {
	t.Helper()
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.ECDH(tpm.JobKey().PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	got, err := tpm.JobKey().ECDH(peer.PublicKey())
	if err == nil && !bytes.Equal(got, want) {
		t.Fatal("agreed on something else")
	}
	return err == nil, err
}

// mustOpen and mustBeSealed are what a state does to all that is bound.
func mustOpen(t testing.TB, tpm *attest.TPM) {
	t.Helper()
	if ok, err := opens(t, tpm); !ok {
		t.Fatal(err)
	}
	if _, err := tpm.Secret("test"); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Approved(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustBeSealed(t testing.TB, tpm *attest.TPM) *attest.SealedError {
	t.Helper()
	_, err := opens(t, tpm)
	sealed, is := errors.AsType[*attest.SealedError](err)
	if !is {
		t.Fatalf("the job key in a state that was not approved: %v", err)
	}
	for name, use := range map[string]func() error{
		"secret": func() error { _, err := tpm.Secret("test"); return err },
		"ML-KEM": func() error { _, err := tpm.JobKEM(); return err },
		"content key": func() error {
			_, err := tpm.ContentKey().Decrypt(t.Context(), sha256.New, sha256.New, make([]byte, 256))
			return err
		},
		"approved": func() error { _, err := tpm.Approved(t.Context()); return err },
	} {
		if _, is := errors.AsType[*attest.SealedError](use()); !is {
			t.Errorf("%s in a state that was not approved: %v", name, use())
		}
	}
	return sealed
}

// extend measures something into a register, as what boots a machine does.
func extend(t testing.TB, s *rig.Swtpm, pcr uint32, digest [32]byte) {
	t.Helper()
	link, err := attest.Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}}}.Execute(link)
	if err := errors.Join(err, link.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestBound takes one TPM, reset each time, through all that has to do with states.
func TestBound(t *testing.T) {
	s := rigtest.Swtpm(t)
	for name, test := range map[string]func(*testing.T, *rig.Swtpm){
		"state": boundToTheState, "state lost": stateLost, "TPM itself": tpmItselfRefuses, "approver": onlyTheApprover,
		"keys": approverMakesTheKeys, "content key": contentKeyIsBound, "releases": releases, "wire": unheard,
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, s)
		})
	}
}

// boundToTheState boots machines: the kernel is in PCR 8, what the agent runs with in PCR 13,
// the agent in PCR 14.
func boundToTheState(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	kernel, agent := sha256.Sum256([]byte("kernel")), sha256.Sum256([]byte("agent"))
	with := evidence.Settings{Config: sha256.Sum256([]byte("configuration")), Board: sha256.Sum256([]byte("board")),
		Controller: sha256.Sum256([]byte("firmware"))}
	boot := func(kernel, agent [32]byte, with evidence.Settings) *attest.TPM {
		t.Helper()
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		extend(t, s, 8, kernel)
		tpm := bound(t, s, key)
		if err := errors.Join(tpm.ExtendAgent(t.Context(), agent), tpm.ExtendSettings(t.Context(), with)); err != nil {
			t.Fatal(err)
		}
		return tpm
	}
	tpm := boot(kernel, agent, with)
	if e := mustBeSealed(t, tpm); len(e.PCRs) != 0 {
		t.Errorf("without any approval: %v", e)
	}
	good := approveState(t, tpm, key)
	setApprovals(t, tpm, 0, good)
	mustOpen(t, tpm)
	recipient := tpm.JobKey().PublicKey()
	secret, err := tpm.Secret("test")
	if err != nil {
		t.Fatal(err)
	}
	closeTPM(t, tpm)

	// One bit of anything measured: each time the printer says where, and the machine as
	// it was opens again.
	flipped := func(d [32]byte) [32]byte { d[7] ^= 1; return d }
	config, board, firmware := with, with, with
	config.Config, board.Board, firmware.Controller = flipped(with.Config), flipped(with.Board), flipped(with.Controller)
	for _, c := range []struct {
		kernel, agent [32]byte
		with          evidence.Settings
		differs       []uint8
	}{
		{flipped(kernel), agent, with, []uint8{8}}, {kernel, flipped(agent), with, []uint8{14}},
		{flipped(kernel), flipped(agent), with, []uint8{8, 14}}, {kernel, agent, config, []uint8{13}},
		{kernel, agent, board, []uint8{13}}, {kernel, agent, firmware, []uint8{13}}, {kernel, agent, with, nil},
	} {
		tpm := boot(c.kernel, c.agent, c.with)
		setApprovals(t, tpm, 0, good)
		if !tpm.JobKey().PublicKey().Equal(recipient) {
			t.Error("another state has another recipient")
		}
		if c.differs == nil {
			mustOpen(t, tpm)
			if again, err := tpm.Secret("test"); err != nil || again != secret {
				t.Errorf("the secret is another one: %v", err)
			}
		} else if e := mustBeSealed(t, tpm); !slices.Equal(e.PCRs, c.differs) {
			t.Errorf("differs in %v, want %v", e.PCRs, c.differs)
		}
		closeTPM(t, tpm)
	}
}

// stateLost: a register that is extended after the agent has started seals the keys.
func stateLost(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	tpm := bound(t, s, key)
	setApprovals(t, tpm, 0, approveState(t, tpm, key))
	mustOpen(t, tpm)
	if err := tpm.ExtendAgent(t.Context(), sha256.Sum256([]byte("another agent"))); err != nil {
		t.Fatal(err)
	}
	mustBeSealed(t, tpm)
}

// tpmItselfRefuses goes past this package's own comparison.
func tpmItselfRefuses(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	tpm := bound(t, s, key)
	good := approveState(t, tpm, key)
	setApprovals(t, tpm, 0, good)
	mustOpen(t, tpm)
	peer := tpm.JobKey().PublicKey().Bytes()[1:]
	if err := attest.UseByPassword(t.Context(), tpm, peer); !errors.Is(err, tpm2.TPMRCAuthUnavailable) {
		t.Errorf("used by a password: %v", err)
	}
	if err := attest.UseUnder(t.Context(), tpm, good, peer); err != nil {
		t.Errorf("control: %v", err)
	}
	stranger, err := good.Sign(approver(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := attest.UseUnder(t.Context(), tpm, stranger, peer); !errors.Is(err, tpm2.TPMRCSignature) {
		t.Errorf("used by a stranger's approval: %v", err)
	}
	if err := tpm.ExtendAgent(t.Context(), sha256.Sum256([]byte("another agent"))); err != nil {
		t.Fatal(err)
	}
	if err := attest.UseUnder(t.Context(), tpm, good, peer); !errors.Is(err, tpm2.TPMRCValue) {
		t.Errorf("used in another state: %v", err)
	}
}

// unheard: what is agreed upon does not pass the wire to the TPM in clear, bound or not.
func unheard(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	agree := func(tpm *attest.TPM, use func() error) bool {
		t.Helper()
		secret, err := peer.ECDH(tpm.JobKey().PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		heard, err := attest.Listen(t.Context(), tpm, func() {
			if err := use(); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(heard, secret)
	}
	free := open(t, s, "")
	if agree(free, func() error { _, err := free.JobKey().ECDH(peer.PublicKey()); return err }) {
		t.Error("the secret of a key that is not bound was heard")
	}
	if !agree(free, func() error { return attest.UseByPassword(t.Context(), free, peer.PublicKey().Bytes()[1:]) }) {
		t.Error("control: a secret in clear was not heard")
	}
	closeTPM(t, free)
	tpm := bound(t, s, key)
	setApprovals(t, tpm, 0, approveState(t, tpm, key))
	if agree(tpm, func() error { _, err := tpm.JobKey().ECDH(peer.PublicKey()); return err }) {
		t.Error("the secret of a bound key was heard")
	}
}

// onlyTheApprover: others' approvals and altered ones are left out.
func onlyTheApprover(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	tpm := bound(t, s, key)
	good, foreign := approveState(t, tpm, key), approveState(t, tpm, approver(t))
	altered := good
	altered.PCRs = slices.Clone(good.PCRs)
	altered.PCRs[0].Value[0] ^= 1
	setApprovals(t, tpm, 2, foreign, altered)
	mustBeSealed(t, tpm)
	setApprovals(t, tpm, 2, foreign, good, altered)
	mustOpen(t, tpm)
	setApprovals(t, tpm, 0)
	mustBeSealed(t, tpm)
}

// approverMakesTheKeys: job keys of different approvers, and of none, are different
// keys; who the printer is stays the same.
func approverMakesTheKeys(t *testing.T, s *rig.Swtpm) {
	free := open(t, s, "")
	mustOpen(t, free) // without an approver any state will do
	closeTPM(t, free)
	jobs := []*ecdh.PublicKey{free.JobKey().PublicKey()}
	for range 2 {
		tpm := bound(t, s, approver(t))
		if tpm.ID() != free.ID() {
			t.Error("the approver changed who the printer is")
		}
		job := tpm.JobKey().PublicKey()
		if slices.ContainsFunc(jobs, func(k *ecdh.PublicKey) bool { return k.Equal(job) }) {
			t.Error("two approvers have one job key")
		}
		jobs = append(jobs, job)
		closeTPM(t, tpm)
	}
}

// contentKeyIsBound: the key for encrypted 3MF packages as well.
func contentKeyIsBound(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	tpm := bound(t, s, key)
	pub, err := tpm.ContentKey().Public(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("0123456789abcdef0123456789abcdef")
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, pub, want, nil)
	if err != nil {
		t.Fatal(err)
	}
	setApprovals(t, tpm, 0, approveState(t, tpm, key))
	got, err := tpm.ContentKey().Decrypt(t.Context(), sha256.New, sha256.New, wrapped)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("opened %d bytes: %v", len(got), err)
	}
	if err := tpm.ExtendAgent(t.Context(), sha256.Sum256([]byte("another agent"))); err != nil {
		t.Fatal(err)
	}
	mustBeSealed(t, tpm)
}

func BenchmarkECDHBound(b *testing.B) {
	key := approver(b)
	tpm := bound(b, rigtest.Swtpm(b), key)
	setApprovals(b, tpm, 0, approveState(b, tpm, key))
	peer := approver(b)
	point, err := peer.PublicKey.ECDH()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := tpm.JobKey().ECDH(point); err != nil {
			b.Fatal(err)
		}
	}
}
