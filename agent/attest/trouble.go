package attest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// TroubleError is what ails a TPM, for whoever stands at the printer.
type TroubleError struct {
	// Code is "tpm-" and one of lockout, full, hierarchy, password, reset, failure, memory.
	Code string
	// What is wrong, and what to do about it.
	What, Remedy string

	err error
}

// Error says what is wrong, what to do, and what was being done.
func (e *TroubleError) Error() string {
	s := e.What + ": " + e.Remedy
	if e.err != nil {
		s += " (" + e.err.Error() + ")"
	}
	return s
}

// ErrorCode is Code.
func (e *TroubleError) ErrorCode() string { return e.Code }

// Unwrap returns what was being done when it showed; it may be nil.
func (e *TroubleError) Unwrap() error { return e.err }

// The troubles that do not depend on the TPM's numbers.
var (
	noSpace = TroubleError{Code: "tpm-full", What: "the TPM's own memory is full",
		Remedy: "remove what other software left in it: tpm2_getcap handles-nv-index lists it, tpm2_nvundefine removes one"}
	disabled = TroubleError{Code: "tpm-hierarchy", What: "the owner's or the maker's part of the TPM is switched off",
		Remedy: "switch the TPM on in the firmware's setup, and see that nothing disables its hierarchies at boot"}
	password = TroubleError{Code: "tpm-password", What: "the TPM's owner or maker part has a password, and Platen knows none",
		Remedy: "remove it (tpm2_changeauth -c owner -p OLD; the same with -c endorsement), or clear the TPM in the firmware's setup"}
	wasReset = TroubleError{Code: "tpm-reset", What: "the TPM was reset while the machine ran",
		Remedy: "restart the machine; if it comes again, check the TPM's power and wiring"}
	failed = TroubleError{Code: "tpm-failure", What: "the TPM failed its own test",
		Remedy: "switch the machine off and on; if it stays, the TPM is broken"}
	noMemory = TroubleError{Code: "tpm-memory", What: "other software holds all places for keys in the TPM",
		Remedy: "use the kernel's resource manager (tpm = \"/dev/tpmrm0\"), or end that software"}
)

// Health is what a TPM says of itself.
type Health struct {
	// LockedOut says that it takes no authorization that counts as a guess, after Failures
	// wrong ones of at most Allowed; one is forgiven every Forgiven.
	LockedOut         bool
	Failures, Allowed uint32
	Forgiven          time.Duration
	// OwnerOff and EndorsementOff are hierarchies that were disabled.
	OwnerOff, EndorsementOff bool
	// OwnerPassword and EndorsementPassword say that a hierarchy has one.
	OwnerPassword, EndorsementPassword bool
}

// Bits of TPMA_PERMANENT and TPMA_STARTUP_CLEAR: part 2 of the specification, section 8.6 and 8.7.
const (
	ownerAuthSet       = 1 << 0
	endorsementAuthSet = 1 << 1
	inLockout          = 1 << 9

	storageEnabled     = 1 << 1
	endorsementEnabled = 1 << 2
)

// Look reads the health of the TPM at path, which nobody else has open unless it is the
// kernel's resource manager; see [TPM.Health] for one that is open.
func Look(path string) (Health, error) {
	link, err := Open(path)
	if err != nil {
		return Health{}, err
	}
	var h Health
	if err = startup(link); err == nil {
		h, err = health(link)
	}
	o := &owner{link: link}
	return h, errors.Join(o.explain(err), link.Close())
}

// Health reads how the TPM is.
func (t *TPM) Health(ctx context.Context) (Health, error) {
	return call(ctx, t, func(o *owner) (Health, error) { return health(o.link) })
}

func health(link transport.TPM) (Health, error) {
	var h Health
	props := map[tpm2.TPMPT]uint32{}
	rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTPermanent), PropertyCount: 32}.Execute(link)
	if err != nil {
		return h, fmt.Errorf("ask the TPM how it is: %w", err)
	}
	list, err := rsp.CapabilityData.Data.TPMProperties()
	if err != nil {
		return h, fmt.Errorf("ask the TPM how it is: %w", err)
	}
	for _, p := range list.TPMProperty {
		props[p.Property] = p.Value
	}
	permanent, startup := props[tpm2.TPMPTPermanent], props[tpm2.TPMPTStartupClear]
	h.LockedOut = permanent&inLockout != 0
	h.Failures, h.Allowed = props[tpm2.TPMPTLockoutCounter], props[tpm2.TPMPTMaxAuthFail]
	h.Forgiven = time.Duration(props[tpm2.TPMPTLockoutInterval]) * time.Second
	h.OwnerOff, h.EndorsementOff = startup&storageEnabled == 0, startup&endorsementEnabled == 0
	h.OwnerPassword, h.EndorsementPassword = permanent&ownerAuthSet != 0, permanent&endorsementAuthSet != 0
	return h, nil
}

// Troubles lists what of it keeps a printer from working, the worst first.
func (h Health) Troubles() []*TroubleError {
	var out []*TroubleError
	if h.OwnerOff || h.EndorsementOff {
		out = append(out, &disabled)
	}
	if h.OwnerPassword || h.EndorsementPassword {
		out = append(out, &password)
	}
	if h.LockedOut {
		out = append(out, h.lockout(nil))
	}
	return out
}

func (h Health) lockout(err error) *TroubleError {
	wait := "it does not end by itself"
	if h.Forgiven > 0 {
		wait = fmt.Sprintf("leave the printer on for %d minutes", (h.Forgiven+time.Minute-1)/time.Minute)
	}
	return &TroubleError{Code: "tpm-lockout",
		What:   fmt.Sprintf("the TPM is locked after %d wrong passwords of some software (%d are allowed)", h.Failures, h.Allowed),
		Remedy: wait + ", or end the lock (tpm2_dictionarylockout --clear-lockout) and find that software", err: err}
}

// explain gives an error of the TPM its words; any other stays what it is.
func (o *owner) explain(err error) error {
	var known *TroubleError
	if err == nil || errors.As(err, &known) {
		return err
	}
	for _, c := range []struct {
		code    tpm2.TPMRC
		trouble TroubleError
	}{
		{tpm2.TPMRCNVSpace, noSpace}, {tpm2.TPMRCHierarchy, disabled}, {tpm2.TPMRCBadAuth, password}, {tpm2.TPMRCInitialize, wasReset},
		{tpm2.TPMRCFailure, failed}, {tpm2.TPMRCObjectMemory, noMemory},
	} {
		if errors.Is(err, c.code) {
			e := c.trouble
			e.err = err
			return &e
		}
	}
	if errors.Is(err, tpm2.TPMRCLockout) {
		if h, herr := health(o.link); herr == nil {
			return h.lockout(err)
		}
	}
	return err
}
