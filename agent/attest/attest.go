// Package attest is the printer's TPM 2.0: the keys that live in it, the quotes it
// signs, the PCR its agents are measured into and the counter of its boots.
//
// Start at [New]. One goroutine owns the TPM; every method sends it a request
// through a short queue and waits for the answer or the end of its context, so a
// [TPM] may be shared freely. All keys are primaries, derived anew from the TPM's own
// seeds and the number in its NV that is this printer's identity whenever they are
// needed: nothing of them is on a disk, and they are gone with the number ([TPM.Forget]).
//
//	attestation key  P-256, restricted signing, endorsement hierarchy: signs quotes
//	TLS key          P-256, signing, storage hierarchy: [TPM.TLSKey], a crypto.Signer;
//	                 for further recipients others, [TPM.Client]
//	job key          P-256, ECDH, storage hierarchy: [TPM.JobKey], an ecdh.KeyExchanger
//	content key      RSA-2048, decryption, storage hierarchy: [TPM.ContentKey]
//
// The attestation key sits in the endorsement hierarchy because there a quote
// carries the TPM's reset and restart counts in clear.
//
// Job key and content key may be bound to an approver ([Config.Approver]): the TPM then
// uses them only while its PCRs hold what the approver has signed, so that a changed
// system opens no jobs; see package updater/approval.
//
// PCR 14 takes the digest of each agent before it speaks ([TPM.ExtendAgent]), PCR 13 what
// it runs with before it acts on that ([TPM.ExtendSettings]). The logs of both have to
// replay to the PCRs' values for a verifier to accept anything, so they are kept in files
// that outlive the agent, not the boot.
//
// What ails a TPM is told in words for whoever stands at the printer: errors carry a
// *[TroubleError], and [Look] says before anything fails what it would be.
//
// A TPM is /dev/tpmrm0 (the kernel's resource manager) or "swtpm:PATH", the unix
// socket of a software TPM.
package attest

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"platen/agent/evidence"
	"platen/updater/approval"
)

// DefaultPath is the TPM of a board: the kernel's resource manager.
const DefaultPath = "/dev/tpmrm0"

// queueLen bounds the requests that wait for the TPM. A printer has a handful of
// callers, each with one request; a full queue makes the next caller wait.
const queueLen = 16

// ErrClosed reports a request to a TPM that was closed.
var ErrClosed = errors.New("TPM is closed")

// Config says which TPM to use.
type Config struct {
	// Path is a device such as DefaultPath, or "swtpm:" and the path of a unix
	// socket. Empty is DefaultPath.
	Path string
	// StateDir is an existing folder for the logs of PCR 13 and 14. It has to outlive the
	// agent but not the boot: a folder in /run is right. Empty keeps the log in RAM
	// only, which suits one agent a boot.
	StateDir string
	// Approver is the key that job key and content key are bound to: they are used only in
	// a state of the machine that it has approved, see [TPM.SetApprovals]. With another
	// approver, or none, they are other keys.
	Approver *ecdsa.PublicKey
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

// TPM is the printer's TPM. Its methods may be called from any goroutine.
type TPM struct {
	requests chan request
	base     context.Context
	stop     context.CancelFunc
	done     chan struct{}
	closeErr error
	once     sync.Once

	id   evidence.PrinterID
	boot uint64
	tls  *Signer
	job  *ECDH
}

type request struct {
	ctx context.Context
	run func(*owner)
}

// owner is what only the owner's goroutine touches.
type owner struct {
	link   transport.TPMCloser
	logger *slog.Logger
	keys   keyring
	log    agentLog

	approver *approver // nil: keys are used in any state
}

// New opens the TPM, counts the boot, derives the keys and reads the log of PCR 14.
// The context bounds New alone. An error says what to check.
func New(ctx context.Context, cfg Config) (*TPM, error) {
	if cfg.Path == "" {
		cfg.Path = DefaultPath
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	approver, err := newApprover(cfg.Approver, approval.Ref)
	if err != nil {
		return nil, err
	}
	var policy tpm2.TPM2BDigest
	if approver != nil {
		policy = approver.policy
	}
	link, err := Open(cfg.Path)
	if err != nil {
		return nil, err
	}
	base, stop := context.WithCancel(context.Background())
	t := &TPM{requests: make(chan request, queueLen), base: base, stop: stop, done: make(chan struct{})}
	o := &owner{link: link, logger: cfg.Logger, keys: bareKeyring(), log: agentLog{dir: cfg.StateDir}, approver: approver}
	go t.own(o)
	_, err = call(ctx, t, func(o *owner) (struct{}, error) { return struct{}{}, t.prepare(o, policy) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the TPM: %w", err), t.Close())
	}
	return t, nil
}

// prepare runs in the owner's goroutine.
func (t *TPM) prepare(o *owner, policy tpm2.TPM2BDigest) error {
	err := startup(o.link)
	if err != nil {
		return err
	}
	if err := o.sweep(); err != nil {
		return err
	}
	who, err := o.identity()
	if err != nil {
		return err
	}
	o.keys.identify(who, policy)
	if t.boot, err = o.countBoot(); err != nil {
		return err
	}
	ak, err := o.public(attestationKey)
	if err != nil {
		return err
	}
	if t.id, err = PrinterID(ak); err != nil {
		return err
	}
	if t.tls, err = newSigner(t, o, tlsKey); err != nil {
		return err
	}
	if t.job, err = newECDH(t, o); err != nil {
		return err
	}
	return o.loadLog()
}

// startup starts a TPM that nobody has started since it was reset.
func startup(link transport.TPM) error {
	_, err := tpm2.Startup{StartupType: tpm2.TPMSUClear}.Execute(link)
	if err != nil && !errors.Is(err, tpm2.TPMRCInitialize) {
		return fmt.Errorf("start it: %w", err)
	}
	return nil
}

// sweep flushes what an agent that was killed left loaded in a TPM that is ours
// alone; the kernel's resource manager does that itself.
func (o *owner) sweep() error {
	if _, ours := o.link.(*socketLink); !ours {
		return nil
	}
	for _, first := range []uint32{0x80000000, 0x02000000, 0x03000000} { // objects, sessions, policy sessions
		rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 64}.Execute(o.link)
		if err != nil {
			return fmt.Errorf("list what is loaded: %w", err)
		}
		left, err := rsp.CapabilityData.Data.Handles()
		if err != nil {
			return fmt.Errorf("list what is loaded: %w", err)
		}
		for _, h := range left.Handle {
			if err := o.flush(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// own is the owner's goroutine: it alone talks to the TPM.
func (t *TPM) own(o *owner) {
	defer close(t.done)
	defer func() { t.closeErr = o.close() }()
	for {
		select {
		case <-t.base.Done():
			return
		case r := <-t.requests:
			if r.ctx.Err() == nil {
				r.run(o)
			}
		}
	}
}

// close tells a TPM that is ours alone that power may go, and lets go of it. The
// kernel's resource manager does the first itself when the machine goes down.
func (o *owner) close() error {
	var errs []error
	if _, ours := o.link.(*socketLink); ours {
		if _, err := (tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}).Execute(o.link); err != nil {
			errs = append(errs, fmt.Errorf("shut the TPM down: %w", err))
		}
	}
	if err := o.link.Close(); err != nil {
		errs = append(errs, fmt.Errorf("close the TPM: %w", err))
	}
	return errors.Join(errs...)
}

// Close ends the owner's goroutine after the command under way and waits for it.
// Further requests return ErrClosed. It may be called more than once.
func (t *TPM) Close() error {
	t.once.Do(t.stop)
	<-t.done
	return t.closeErr
}

// call runs fn in the owner's goroutine. It returns early when ctx ends; the TPM
// then finishes the command and its result is dropped.
func call[T any](ctx context.Context, t *TPM, fn func(*owner) (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var zero T
	out := make(chan answer, 1)
	r := request{ctx, func(o *owner) {
		v, err := fn(o)
		out <- answer{v, o.explain(err)}
	}}
	select {
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-t.base.Done():
		return zero, ErrClosed
	case t.requests <- r:
	}
	select {
	case a := <-out:
		return a.v, a.err
	case <-ctx.Done():
		return zero, ctx.Err()
	case <-t.done:
		select {
		case a := <-out: // answered before the end
			return a.v, a.err
		default:
			return zero, ErrClosed
		}
	}
}

// ID is the printer's id: the digest of the attestation key's name.
func (t *TPM) ID() evidence.PrinterID { return t.id }

// TLSKey is the client key of this printer; see [Signer].
func (t *TPM) TLSKey() *Signer { return t.tls }

// JobKey is the key that jobs for this printer are sealed to; see [ECDH].
func (t *TPM) JobKey() *ECDH { return t.job }
