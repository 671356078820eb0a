package attest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// quoteTries bounds how often a quote is repeated because a PCR changed between
// reading its value and quoting it.
const quoteTries = 3

// selection is evidence.Selection as the TPM takes it.
func selection() tpm2.TPMLPCRSelection {
	pcrs := evidence.Selection()
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs[:]...)}}}
}

// Quote has the attestation key sign the PCRs of evidence.Selection and qualifying.
// The values returned are those that were signed.
func (t *TPM) Quote(ctx context.Context, qualifying [32]byte) (evidence.Quote, error) {
	return call(ctx, t, func(o *owner) (evidence.Quote, error) { return o.quote(qualifying) })
}

func (o *owner) quote(qualifying [32]byte) (q evidence.Quote, err error) {
	err = o.use(attestationKey, func(ak tpm2.AuthHandle) error {
		for range quoteTries {
			values, err := o.readPCRs()
			if err != nil {
				return err
			}
			rsp, err := tpm2.Quote{SignHandle: ak, QualifyingData: tpm2.TPM2BData{Buffer: qualifying[:]},
				InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: selection()}.Execute(o.link)
			if err != nil {
				return err
			}
			same, err := quotes(rsp, values)
			if err != nil {
				return err
			}
			if same {
				q = evidence.Quote{Attest: rsp.Quoted.Bytes(), Sig: tpm2.Marshal(rsp.Signature), PCRs: values}
				return nil
			}
		}
		return errors.New("the PCRs keep changing")
	})
	return q, err
}

// quotes reports whether a quote is over exactly these values.
func quotes(rsp *tpm2.QuoteResponse, values evidence.PCRs) (bool, error) {
	att, err := rsp.Quoted.Contents()
	if err != nil {
		return false, err
	}
	info, err := att.Attested.Quote()
	if err != nil {
		return false, err
	}
	digest := values.Digest()
	return string(info.PCRDigest.Buffer) == string(digest[:]), nil
}

func (o *owner) readPCRs() (evidence.PCRs, error) {
	var values evidence.PCRs
	rsp, err := tpm2.PCRRead{PCRSelectionIn: selection()}.Execute(o.link)
	if err != nil {
		return values, fmt.Errorf("read the PCRs: %w", err)
	}
	if len(rsp.PCRValues.Digests) != len(values) {
		return values, errors.New("read the PCRs: the TPM has no SHA-256 bank; allocate one (tpm2_pcrallocate)")
	}
	for i, d := range rsp.PCRValues.Digests {
		if len(d.Buffer) != sha256.Size {
			return values, errors.New("read the PCRs: a value of the wrong size")
		}
		values[i] = [32]byte(d.Buffer)
	}
	return values, nil
}

// Clock is the TPM's clock in milliseconds. It rises while the TPM is powered and
// does not fall within a boot.
func (t *TPM) Clock(ctx context.Context) (uint64, error) {
	return call(ctx, t, func(o *owner) (uint64, error) {
		rsp, err := tpm2.ReadClock{}.Execute(o.link)
		if err != nil {
			return 0, fmt.Errorf("read the TPM's clock: %w", err)
		}
		return rsp.CurrentTime.ClockInfo.Clock, nil
	})
}

// NewChain begins a chain of evidence for recipient at the TPM's present clock.
func (t *TPM) NewChain(ctx context.Context, recipient evidence.RecipientID) (*evidence.Chain, error) {
	now, err := t.Clock(ctx)
	if err != nil {
		return nil, err
	}
	return evidence.NewChain(t.id, recipient, t.boot, now), nil
}
