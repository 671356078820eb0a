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
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/attest"
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
		"keys": approverMakesTheKeys, "content key": contentKeyIsBound, "releases": releases,
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, s)
		})
	}
}

// boundToTheState boots machines: the kernel is in PCR 8, the agent in PCR 14.
func boundToTheState(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	kernel, agent := sha256.Sum256([]byte("kernel")), sha256.Sum256([]byte("agent"))
	boot := func(kernel, agent [32]byte) *attest.TPM {
		t.Helper()
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		extend(t, s, 8, kernel)
		tpm := bound(t, s, key)
		if err := tpm.ExtendAgent(t.Context(), agent); err != nil {
			t.Fatal(err)
		}
		return tpm
	}
	tpm := boot(kernel, agent)
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
	for _, c := range []struct {
		kernel, agent [32]byte
		differs       []uint8
	}{
		{flipped(kernel), agent, []uint8{8}}, {kernel, flipped(agent), []uint8{14}},
		{flipped(kernel), flipped(agent), []uint8{8, 14}}, {kernel, agent, nil},
	} {
		tpm := boot(c.kernel, c.agent)
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
	if free.Bound() {
		t.Error("bound to nobody")
	}
	mustOpen(t, free) // without an approver any state will do
	closeTPM(t, free)
	jobs := []*ecdh.PublicKey{free.JobKey().PublicKey()}
	for range 2 {
		tpm := bound(t, s, approver(t))
		if !tpm.Bound() || tpm.ID() != free.ID() {
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

// releases takes printers through the states that a list of releases approves.
func releases(t *testing.T, s *rig.Swtpm) {
	key := approver(t)
	release := func(n uint64) approval.Measured {
		return approval.Measured{Release: n, Digest: sha256.Sum256([]byte{byte(n)})}
	}
	list := signedStates(t, key, release(1), release(2), release(3))
	for _, c := range []struct {
		runs  []uint64
		opens bool
		fresh bool // a restart of the machine would do
	}{
		{[]uint64{3}, true, false}, {[]uint64{1}, true, false}, {[]uint64{1, 2, 3}, true, false}, {[]uint64{1, 3}, true, false},
		{[]uint64{2, 3, 2}, true, false}, // 3 failed its trial
		{[]uint64{3, 1}, false, true}, {[]uint64{2, 3, 2, 3}, false, true}, {[]uint64{4}, false, false}, {[]uint64{4, 3}, false, true},
		{[]uint64{1, 4}, false, false}, {nil, false, false},
	} {
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		tpm := bound(t, s, key)
		setApprovals(t, tpm, 0, list...)
		for i, n := range c.runs {
			now, fresh, err := tpm.WouldOpen(t.Context(), list, release(n).Digest)
			if err != nil {
				t.Fatal(err)
			}
			if last := i == len(c.runs)-1; last && (now != c.opens || !now && fresh != c.fresh) {
				t.Errorf("%v: foretold %v, and %v after a restart", c.runs, now, fresh)
			}
			if err := tpm.ExtendAgent(t.Context(), release(n).Digest); err != nil {
				t.Fatal(err)
			}
		}
		if c.opens {
			mustOpen(t, tpm)
			a, err := tpm.Approved(t.Context())
			if err != nil || a.Release != c.runs[len(c.runs)-1] {
				t.Errorf("%v: opens as release %d, %v", c.runs, a.Release, err)
			}
		} else if e := mustBeSealed(t, tpm); e.Fresh != c.fresh || !slices.Equal(e.PCRs, []uint8{14}) {
			t.Errorf("%v: %v", c.runs, e)
		}
		closeTPM(t, tpm)
	}
}

func signedStates(t testing.TB, key *ecdsa.PrivateKey, releases ...approval.Measured) []approval.Approval {
	t.Helper()
	list, err := approval.States(releases, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i], err = list[i].Sign(key); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestPolicyIsGoTPMs compares the arithmetic of package approval with go-tpm's.
func TestPolicyIsGoTPMs(t *testing.T) {
	a := approval.Approval{PCRs: []approval.PCR{{Index: 0, Value: approval.Digest{1}}, {Index: 9, Value: approval.Digest{2}}, {Index: 14, Value: approval.Digest{3}}}}
	calculator, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		t.Fatal(err)
	}
	values := a.Values()
	err = tpm2.PolicyPCR{PcrDigest: tpm2.TPM2BDigest{Buffer: values[:]}, Pcrs: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(0, 9, 14)}}}}.Update(calculator)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Policy(); !bytes.Equal(got[:], calculator.Hash().Digest) {
		t.Errorf("policy %x, want %x", got, calculator.Hash().Digest)
	}
}

// TestKeyPolicyIsGoTPMs does the same for the keys' policy.
func TestKeyPolicyIsGoTPMs(t *testing.T) {
	key := approver(t)
	got, err := approval.KeyPolicy(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if want := attest.PolicyByGoTPM(t, &key.PublicKey); !bytes.Equal(got[:], want) {
		t.Errorf("policy %x, want %x", got, want)
	}
}

func TestSealedErrorSays(t *testing.T) {
	for want, e := range map[string]*attest.SealedError{
		"no state of this system was approved":                     {},
		"what release 2 was approved for: PCR 14 (agent): install": {Release: 2, PCRs: []uint8{14}},
		"approved at the printer: PCR 0 (firmware), PCR 9 (kernel": {PCRs: []uint8{0, 9}},
		"PCR 14 (agent): restart the machine":                      {Release: 2, PCRs: []uint8{14}, Fresh: true},
	} {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q does not say %q", e, want)
		}
	}
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
