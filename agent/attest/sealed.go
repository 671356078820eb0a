package attest

import (
	"fmt"
	"strings"

	"platen/agent/evidence"
)

// SealedError is why the TPM does not use the printer's job keys.
type SealedError struct {
	// Release is that of the approval which is nearest to the present state, 0 for one
	// that was given at the printer.
	Release uint64
	// PCRs are the registers that differ from it; none: there is no approval at all.
	PCRs []uint8
	// Fresh says that a restart of the machine leads to an approved state.
	Fresh bool
	// Floor is not 0 if the state is approved and the release that runs is older than this
	// one, which the printer has had.
	Floor uint64
	// Marks says that which release the printer has had cannot be told: what the TPM keeps
	// of that is damaged.
	Marks bool
}

// Error says what differs and what to do.
func (e *SealedError) Error() string {
	if e.Floor != 0 {
		return fmt.Sprintf("the printer's keys are sealed: this printer has run release %d, and an older one runs now: install release %d or a later one", e.Floor, e.Floor)
	}
	if e.Marks {
		return "the printer's keys are sealed: what the TPM keeps of the releases that ran is damaged, and an old one could be running: platen update repair"
	}
	if len(e.PCRs) == 0 {
		return "the printer's keys are sealed: no state of this system was approved: publish the release's approvals (platen-ota approve), or approve it (platen approve)"
	}
	of := "what was approved at the printer"
	if e.Release != 0 {
		of = fmt.Sprintf("what release %d was approved for", e.Release)
	}
	names := make([]string, len(e.PCRs))
	for i, p := range e.PCRs {
		names[i] = fmt.Sprintf("PCR %d%s", p, pcrName(p))
	}
	remedy := "install an approved release, or, if you changed the system yourself, approve it (platen approve)"
	if e.Fresh {
		remedy = "restart the machine"
	}
	return fmt.Sprintf("the printer's keys are sealed: the system differs from %s: %s: %s", of, strings.Join(names, ", "), remedy)
}

// pcrName says what is measured there, in parentheses.
func pcrName(index uint8) string {
	switch index {
	case 0:
		return " (firmware)"
	case 4:
		return " (boot manager)"
	case 8, 9:
		return " (kernel and what it was started with)"
	case evidence.AgentPCR:
		return " (agent)"
	}
	return ""
}

// ErrorCode is "sealed-state".
func (e *SealedError) ErrorCode() string { return "sealed-state" }
