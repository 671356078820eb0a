// Package predict is what a TPM's registers hold after an image has started: computed when
// the image is made, by arithmetic alone, and signed along with the release. Start at
// [UBoot] or [EFI].
//
// Registers are those of the SHA-256 bank, which start at zero and are extended: a new value is
// the digest of the old one and of what was measured.
//
//   - U-Boot, by the script of package cross/image/uboot: 8 has the kernel (as it lies in the
//     image, compressed), 9 the initial root file system, the device tree and the command line,
//     in this order. U-Boot itself is measured by nothing on the virtual board: on a real one
//     that is the boot ROM's.
//   - EDK2: 4 has what was started, by Authenticode; see [EFI].
package predict

import (
	"crypto/sha256"
	"fmt"

	"platen/cross/image/fit"
	"platen/updater/approval"
)

// The registers of a boot.
const (
	pcrLoader = 4 // EFI applications
	pcrKernel = 8
	pcrRest   = 9
)

// Replay is what a register holds after these digests were extended into it, in their order.
func Replay(digests ...[32]byte) approval.Digest {
	var v approval.Digest
	for _, d := range digests {
		v = approval.Extend(v, d)
	}
	return v
}

// UBoot is what PCRs 8 and 9 hold after U-Boot has started this FIT. What U-Boot would refuse
// for a wrong digest is a fit.ErrImage; who signed it is not asked.
func UBoot(image []byte) ([]approval.PCR, error) {
	p, err := fit.Read(image)
	if err != nil {
		return nil, fmt.Errorf("foretell the registers: %w", err)
	}
	d := p.Digests()
	return []approval.PCR{
		{Index: pcrKernel, Value: Replay(d.Kernel)},
		{Index: pcrRest, Value: Replay(d.Ramdisk, d.FDT, d.Cmdline)},
	}, nil
}

// event is the digest of a text that the firmware measures.
func event(text string) [32]byte { return sha256.Sum256([]byte(text)) }
