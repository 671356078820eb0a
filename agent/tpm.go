package agent

import (
	"context"
	"errors"

	"platen/agent/attest"
	"platen/agent/intake"
)

// viewTPM says what ails the TPM, in words for whoever stands at the printer.
func (a *Agent) viewTPM(ctx context.Context, v *intake.Status) {
	h, err := a.tpm.Health(ctx)
	if trouble, ok := errors.AsType[*attest.TroubleError](err); ok {
		v.TPM, v.TPMRemedy = trouble.What, trouble.Remedy
	} else if err != nil {
		v.TPM = err.Error()
	} else if list := h.Troubles(); len(list) > 0 {
		v.TPM, v.TPMRemedy = list[0].What, list[0].Remedy
	}
}
