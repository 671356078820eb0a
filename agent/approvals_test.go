package agent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"testing"

	"platen/agent/attest"
	"platen/agent/config"
	"platen/agent/intake"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
	"platen/updater"
	"platen/updater/approval"
)

// bench is a printer whose keys are bound, and who approves its states.
type bench struct {
	t     *testing.T
	swtpm *rig.Swtpm
	key   *ecdsa.PrivateKey
	state string
	agent *Agent
}

func approverKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// start runs agents, one after the other, on a machine that was reset, as far as the
// approvals are concerned; the last of them is b.agent.
func (b *bench) start(releases ...uint64) {
	b.t.Helper()
	b.stop()
	if err := b.swtpm.Reset(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	tpm, err := attest.New(b.t.Context(), attest.Config{Path: b.swtpm.Path(), Approver: &b.key.PublicKey})
	if err != nil {
		b.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b.agent = &Agent{cfg: &config.Config{State: b.state, ApproverKey: &b.key.PublicKey}, log: log, tpm: tpm, recovery: newRecovery(log)}
	for _, n := range releases {
		if err := tpm.ExtendAgent(b.t.Context(), digestOf(n)); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.agent.openApprovals(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) stop() {
	if b.agent != nil {
		b.agent.tpm.Close()
	}
}

func digestOf(release uint64) [32]byte { return sha256.Sum256([]byte{byte(release)}) }

// target is a release with approvals for the states of these.
func (b *bench) target(release uint64, key *ecdsa.PrivateKey, approved ...uint64) updater.Target {
	b.t.Helper()
	var runs []approval.Measured
	for _, n := range approved {
		runs = append(runs, approval.Measured{Release: n, Digest: digestOf(n)})
	}
	list, err := approval.States(runs, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return updater.Target{Release: release, SHA256: digestOf(release), Approvals: b.signed(key, list)}
}

func (b *bench) signed(key *ecdsa.PrivateKey, list []approval.Approval) []byte {
	b.t.Helper()
	for i, a := range list {
		var err error
		if list[i], err = a.Sign(key); err != nil {
			b.t.Fatal(err)
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// is checks what the status says, and that jobs agree with it.
func (b *bench) is(keys string, release uint64) {
	b.t.Helper()
	var st intake.Status
	b.agent.viewKeys(b.t.Context(), &st)
	_, sealed := errors.AsType[*attest.SealedError](b.agent.unsealed(b.t.Context()))
	if st.Keys != keys || st.Approved != release || sealed != (keys == "sealed") || (st.Hybrid == "") != sealed {
		b.t.Errorf("keys %q by release %d (%s), want %q by %d", st.Keys, st.Approved, st.Sealed, keys, release)
	}
}

// TestApprovals takes a printer, on one TPM, through both ways in which approvals come.
func TestApprovals(t *testing.T) {
	s := rigtest.Swtpm(t)
	for name, test := range map[string]func(*testing.T, *bench){"releases": ofReleases, "printer": atThePrinter, "old disk": ofAnOldDisk} {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, swtpm: s, key: approverKey(t), state: t.TempDir()}
			defer b.stop()
			test(t, b)
		})
	}
}

// ofReleases takes a printer from its factory over updates.
func ofReleases(t *testing.T, b *bench) {
	b.start(1)
	b.is("sealed", 0)
	b.agent.takeReleased(t.Context(), b.target(1, approverKey(t), 1).Approvals) // a stranger's
	b.is("sealed", 0)
	b.agent.takeReleased(t.Context(), b.target(1, b.key, 1).Approvals)
	b.is("approved", 1)
	b.agent.takeReleased(t.Context(), b.target(1, approverKey(t), 1).Approvals) // a stranger's takes nothing away
	b.is("approved", 1)
	ledger := b.agent.ledger

	// What is not approved is not staged, and takes nothing away.
	for name, target := range map[string]updater.Target{
		"nothing":       {Release: 2, SHA256: digestOf(2)},
		"no list":       {Release: 2, SHA256: digestOf(2), Approvals: []byte("{}")},
		"another":       b.target(2, b.key, 1, 3),
		"by a stranger": b.target(2, approverKey(t), 1, 2),
	} {
		if err := b.agent.acceptable(t.Context(), target); !errors.Is(err, updater.ErrUnapproved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.is("approved", 1)
	if err := b.agent.acceptable(t.Context(), b.target(2, b.key, 1, 2)); err != nil {
		t.Fatal(err)
	}
	b.is("approved", 1) // as long as it runs
	if b.agent.ledger != ledger {
		t.Error("the ledger was opened twice")
	}

	b.start(1, 2) // updated while the machine was on
	b.is("approved", 2)
	b.start(1, 2, 1) // fallen back
	b.is("approved", 1)
	b.start(2)
	b.is("approved", 2)
	b.start(9)
	b.is("sealed", 0)
	b.start(9, 2)
	b.is("sealed", 0)

	// A release that would open only after a restart of the machine is taken.
	if err := b.agent.acceptable(t.Context(), b.target(3, b.key, 2, 3)); err != nil {
		t.Error(err)
	}
	b.start(3)
	b.is("approved", 3)
}

// ofAnOldDisk: a release that is approved opens no job where the TPM remembers a later one. The
// test's own release is 0.
func ofAnOldDisk(t *testing.T, b *bench) {
	b.start(1)
	b.agent.takeReleased(t.Context(), b.target(1, b.key, 1).Approvals)
	b.is("approved", 1)
	remember := func(release uint64) {
		t.Helper()
		var marks []byte // as trust.Marks are kept
		for _, n := range []uint64{1, 1, 1, 1, release, 0, 0} {
			marks = binary.LittleEndian.AppendUint64(marks, n)
		}
		sum := sha256.Sum256(marks)
		if err := b.agent.tpm.SetFloor(t.Context(), append(marks, sum[:8]...)); err != nil {
			t.Fatal(err)
		}
	}
	remember(7)
	b.start(1) // with the disk, and so with the approvals, that were there
	b.is("sealed", 0)
	if sealed, ok := errors.AsType[*attest.SealedError](b.agent.unsealed(t.Context())); !ok || sealed.Floor != 7 {
		t.Errorf("sealed by %+v", sealed)
	}
	remember(0) // the control
	b.start(1)
	b.is("approved", 1)
}

// atThePrinter: the approver's word is kept, a damaged file is not the end.
func atThePrinter(t *testing.T, b *bench) {
	b.start(1)
	var text string
	if err := b.agent.state(t.Context(), func(r intake.Reply) error { text = r.Text; return nil }); err != nil {
		t.Fatal(err)
	}
	list, err := approval.Parse([]byte(text))
	if err != nil || len(list) != 1 {
		t.Fatalf("%d states, %v", len(list), err)
	}
	for code, text := range map[string][]byte{
		"approval-form": []byte("x"), "approval-signature": b.signed(approverKey(t), slices.Clone(list)),
	} {
		if r, ok := errors.AsType[*refusal](b.agent.approve(t.Context(), text)); !ok || r.code != code {
			t.Errorf("want %s: %v", code, r)
		}
	}
	b.is("sealed", 0)
	good := b.signed(b.key, slices.Clone(list))
	if err := b.agent.approve(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	b.is("approved", 0)
	b.start(1)
	b.is("approved", 0)
	for range 2 * mostLocal {
		if err := b.agent.approve(t.Context(), good); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.agent.approvals.local); n != mostLocal {
		t.Errorf("%d approvals are kept, want %d", n, mostLocal)
	}

	whole, err := os.ReadFile(b.agent.approvalPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range [][]byte{nil, whole[:len(whole)/2], bytes.Replace(whole, []byte(`"pcr":14`), []byte(`"pcr":99`), 1)} {
		if err := os.WriteFile(b.agent.approvalPath(), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		b.start(1)
		b.is("sealed", 0)
		if err := b.agent.approve(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		b.is("approved", 0)
	}
	b.agent.cfg.ApproverKey = nil
	if r, ok := errors.AsType[*refusal](b.agent.approve(t.Context(), good)); !ok || r != errNoApprover {
		t.Errorf("bound to nobody: %v", r)
	}
}
