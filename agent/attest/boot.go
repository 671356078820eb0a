package attest

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// bootIndex is the NV index of the boot counter, in the range that part 2 of the
// specification, section 7.8, leaves to the owner.
const bootIndex tpm2.TPMHandle = 0x0180504c

// bootPublic is the boot counter: eight bytes that only rise. WriteSTClear makes
// the TPM itself tell boots apart: once locked, the counter cannot be written until
// the TPM is reset, so whichever agent comes first in a boot counts it and every
// later one finds the lock. One write a boot; nothing else to remember.
func bootPublic() tpm2.TPMSNVPublic {
	return tpm2.TPMSNVPublic{NVIndex: tpm2.TPMIRHNVIndex(bootIndex), NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthRead: true, AuthWrite: true, OwnerRead: true,
			WriteSTClear: true, NoDA: true}}
}

// BootCount is the number of this boot: the TPM's counter, which rises by one when
// the first agent opens the TPM after a reset, and never falls. Agents that start
// later in the same boot read the same number.
func (t *TPM) BootCount() uint64 { return t.boot }

func (o *owner) countBoot() (uint64, error) {
	n, err := o.tryCountBoot()
	if err != nil {
		return 0, fmt.Errorf("count the boot in NV index %#x: %w", uint32(bootIndex), err)
	}
	return n, nil
}

func (o *owner) tryCountBoot() (uint64, error) {
	index, is, err := o.nvIndex(bootPublic())
	if err != nil {
		return 0, err
	}
	if !is.WriteLocked {
		if _, err := (tpm2.NVIncrement{AuthHandle: index, NVIndex: index}).Execute(o.link); err != nil {
			return 0, err
		}
		// Power lost here counts this boot once more at the next start: the counter
		// still only rises.
		if _, err := (tpm2.NVWriteLock{AuthHandle: index, NVIndex: index}).Execute(o.link); err != nil {
			return 0, err
		}
		// Incrementing changes the index's name the first time (it is written now).
		if index, _, err = o.nvIndex(bootPublic()); err != nil {
			return 0, err
		}
	}
	return o.readCounter(index)
}
