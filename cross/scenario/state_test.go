package scenario

import (
	"crypto/sha256"
	"errors"
	"strconv"

	"github.com/google/go-tpm/tpm2"
	"github.com/rogpeppe/go-internal/testscript"

	"platen/agent/attest"
)

// cmdReboot resets the machine and starts its agent again, after a text was measured into a
// PCR if one is given: reboot [PCR TEXT].
func cmdReboot(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	w.stop(w.agent)
	w.agent = nil
	ts.Check(w.swtpm.Reset(w.ctx()))
	if len(args) == 2 {
		pcr, err := strconv.ParseUint(args[0], 10, 8)
		ts.Check(err)
		link, err := attest.Open(w.swtpm.Path())
		ts.Check(err)
		digest := sha256.Sum256([]byte(args[1]))
		_, err = tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
			Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}}}.Execute(link)
		ts.Check(errors.Join(err, link.Close()))
	}
	cmdAgent(ts, false, nil)
}

// cmdWound writes over what the TPM of a printer that is off keeps of the releases it has had:
// wound. Any process with the TPM could.
func cmdWound(ts *testscript.TestScript, _ bool, _ []string) {
	const marks tpm2.TPMHandle = 0x0180504e // attest.TPM.SetFloor
	w := worldOf(ts)
	link, err := attest.Open(w.swtpm.Path())
	ts.Check(err)
	is, err := tpm2.NVReadPublic{NVIndex: marks}.Execute(link)
	ts.Check(err)
	public, err := is.NVPublic.Contents()
	ts.Check(err)
	index := tpm2.AuthHandle{Handle: marks, Name: is.NVName, Auth: tpm2.PasswordAuth(nil)}
	_, err = tpm2.NVWrite{AuthHandle: index, NVIndex: index, Data: tpm2.TPM2BMaxNVBuffer{Buffer: make([]byte, public.DataSize)}}.Execute(link)
	ts.Check(errors.Join(err, link.Close()))
}
