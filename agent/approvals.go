package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"platen/agent/attest"
	"platen/agent/cli"
	"platen/agent/durable"
	"platen/agent/intake"
	"platen/updater"
	"platen/updater/approval"
)

// approvals are the states in which the TPM is to open jobs: what the newest release has
// brought, and what was approved at the printer. They are signed, and no secret.
type approvals struct {
	mu       sync.Mutex
	released []approval.Approval
	local    []approval.Approval // oldest first
}

// mostLocal bounds the approvals that were given at the printer; older ones go.
const mostLocal = 8

// approvalFile is the file that outlives the agent.
type approvalFile struct {
	Released json.RawMessage `json:"released"`
	Local    json.RawMessage `json:"local"`
}

func (a *Agent) approvalPath() string { return filepath.Join(a.cfg.State, "approvals.json") }

// openApprovals shows the TPM what was approved and opens what its keys open. Keys that
// stay sealed are no reason not to run: updates and attestation go on, jobs do not.
func (a *Agent) openApprovals(ctx context.Context) error {
	if err := a.readApprovals(); err != nil {
		a.log.Warn("approvals are unreadable; they are fetched, or given at the printer, anew", "error", err.Error())
	}
	if err := a.showApprovals(ctx); err != nil {
		return err
	}
	err := a.unsealed(ctx)
	if _, sealed := errors.AsType[*attest.SealedError](err); sealed {
		a.log.Warn("job keys are sealed", "error", err.Error())
		return nil
	}
	return err
}

func (a *Agent) readApprovals() error {
	text, err := os.ReadFile(a.approvalPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var f approvalFile
	if err := json.Unmarshal(text, &f); err != nil {
		return approval.ErrList
	}
	released, err := approval.Parse(f.Released)
	if err != nil {
		return err
	}
	local, err := approval.Parse(f.Local)
	if err != nil {
		return err
	}
	a.approvals.released, a.approvals.local = released, local
	return nil
}

// showApprovals gives the TPM all approvals that there are.
func (a *Agent) showApprovals(ctx context.Context) error {
	left, err := a.tpm.SetApprovals(ctx, append(append([]approval.Approval{}, a.approvals.released...), a.approvals.local...))
	if err != nil {
		return fmt.Errorf("taking approvals: %w", err)
	}
	if left > 0 && a.cfg.ApproverKey != nil {
		a.log.Warn("approvals are not signed by approver_key", "number", left)
	}
	return nil
}

// keepApprovals replaces the approvals on disk, and then those that the TPM is shown.
func (a *Agent) keepApprovals(ctx context.Context, released, local []approval.Approval) error {
	var f approvalFile
	var err error
	if f.Released, err = json.Marshal(released); err != nil {
		return err
	}
	if f.Local, err = json.Marshal(local); err != nil {
		return err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if err := durable.Replace(a.approvalPath(), text); err != nil {
		return fmt.Errorf("keeping approvals: %w", err)
	}
	a.approvals.released, a.approvals.local = released, local
	return a.showApprovals(ctx)
}

// errReleased reports approvals of a release that are another approver's.
var errReleased = errors.New("none of them is signed by approver_key: sign them with the approver's key (platen-ota approve)")

// takeReleased takes the approvals that came with the newest release; none, or none of the
// approver's, leave those that there are. A printer that is bound to nobody has no use for any.
func (a *Agent) takeReleased(ctx context.Context, text []byte) {
	if len(text) == 0 || a.cfg.ApproverKey == nil {
		return
	}
	a.approvals.mu.Lock()
	defer a.approvals.mu.Unlock()
	list, err := approval.Parse(text)
	if err == nil && !slices.ContainsFunc(list, func(x approval.Approval) bool { return x.Verify(a.cfg.ApproverKey) }) {
		err = errReleased // those that there are stay
	}
	if err == nil && !reflect.DeepEqual(list, a.approvals.released) {
		err = a.keepApprovals(ctx, list, a.approvals.local)
	}
	if err == nil {
		err = a.unsealed(ctx)
	}
	if err != nil {
		a.log.Warn("the release's approvals do not open the job keys", "error", err.Error())
	}
}

// acceptable is an error for a release that a second lock keeps out, and
// updater.ErrUnapproved for one under which the job keys would stay sealed. The approvals
// of any other are taken before it starts.
func (a *Agent) acceptable(ctx context.Context, t updater.Target) error {
	if err := a.unlocked(ctx, t); err != nil {
		return err
	}
	if a.cfg.ApproverKey == nil {
		return nil
	}
	list, err := approval.Parse(t.Approvals)
	if err != nil {
		return updater.ErrUnapproved
	}
	root := slices.IndexFunc(t.Set, func(m updater.Target) bool { return m.Kind == updater.KindRoot })
	var boot map[uint8][32]byte
	if root >= 0 {
		boot = t.Set[root].PCRs
	}
	now, fresh, err := a.tpm.WouldOpen(ctx, list, t.SHA256, boot)
	if err != nil {
		return fmt.Errorf("foretelling the printer's state: %w", err)
	}
	now = now && root < 0 || fresh && root >= 0 // the machine restarts into another root file system
	if !now && !fresh {
		return updater.ErrUnapproved
	}
	if !now {
		a.log.Warn("after this update the machine has to be restarted before it opens jobs", "release", t.Release)
	}
	a.takeReleased(ctx, t.Approvals)
	return nil
}

// unsealed is nil once the TPM opens jobs: then the ledger, the identity and the hybrid
// recipient are there. In a state of the system that was not approved it is an
// *attest.SealedError. Whoever uses one of those three calls it first.
func (a *Agent) unsealed(ctx context.Context) error {
	if a.cfg.ApproverKey != nil {
		if _, err := a.tpm.Approved(ctx); err != nil {
			return err
		}
	}
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.opened {
		return nil
	}
	if err := a.latest(ctx); err != nil {
		return err
	}
	if err := a.openLedger(ctx); err != nil {
		return err
	}
	if err := a.openMarker(); err != nil {
		return err
	}
	pq, err := a.tpm.JobKEM()
	if err != nil {
		return err
	}
	key := a.tpm.JobKey()
	if a.identity, err = intake.NewIdentity(key, pq); err != nil {
		return err
	}
	a.hybrid = intake.HybridRecipient(key.PublicKey(), pq.EncapsulationKey())
	a.opened = true
	return nil
}

// latest is an *attest.SealedError if the TPM remembers a later release than the one that runs:
// whoever puts an old disk into the printer has its old release with it, and that release's
// approvals, which stand. The release that runs is the one that it says, for its state is
// approved. Where keys are bound to nobody, any software opens them, and this is not asked.
func (a *Agent) latest(ctx context.Context) error {
	if a.cfg.ApproverKey == nil {
		return nil
	}
	floor, err := a.releaseFloor(ctx)
	if errors.Is(err, updater.ErrMarks) {
		return &attest.SealedError{Marks: true}
	}
	if err != nil {
		return err
	}
	if cli.Release() < floor {
		return &attest.SealedError{Floor: floor}
	}
	return nil
}

// viewKeys fills in what the status says of the keys and of what they open.
func (a *Agent) viewKeys(ctx context.Context, v *intake.Status) {
	if err := a.unsealed(ctx); err != nil {
		v.Keys, v.Sealed = "sealed", err.Error()
		return
	}
	v.Keys = "any"
	if a.cfg.ApproverKey != nil {
		v.Keys = "approved"
		if now, err := a.tpm.Approved(ctx); err == nil {
			v.Approved = now.Release
		}
	}
	v.Hybrid, v.Count = a.hybrid, a.ledger.Count()
	if err := a.ledger.Problem(); err != nil {
		v.Tickets = err.Error()
	}
}

// state answers with the printer's state, to be approved.
func (a *Agent) state(ctx context.Context, reply func(intake.Reply) error) error {
	s, err := a.tpm.State(ctx)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent([]approval.Approval{s}, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	return reply(intake.Reply{Text: string(text) + "\n"})
}

var (
	errNoApprover = &refusal{"approval-approver", "the keys are bound to no approver: set approver_key in the configuration"}
	errApproval   = &refusal{"approval-signature", "not signed by approver_key: sign it with the approver's key (platen approve sign)"}
)

// approve takes approvals that were made for this printer.
func (a *Agent) approve(ctx context.Context, text []byte) error {
	if a.cfg.ApproverKey == nil {
		return errNoApprover
	}
	list, err := approval.Parse(text)
	if err != nil {
		return &refusal{"approval-form", err.Error()}
	}
	for _, x := range list {
		if !x.Verify(a.cfg.ApproverKey) {
			return errApproval
		}
	}
	a.approvals.mu.Lock()
	defer a.approvals.mu.Unlock()
	local := append(append([]approval.Approval{}, a.approvals.local...), list...)
	if err := a.keepApprovals(ctx, a.approvals.released, local[max(0, len(local)-mostLocal):]); err != nil {
		return err
	}
	a.log.Info("approvals taken", "number", len(list))
	return nil
}
