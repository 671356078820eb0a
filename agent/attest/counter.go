package attest

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// ticketIndex is the NV index of the counter of ticket copies, beside that of boots.
const ticketIndex tpm2.TPMHandle = 0x0180504d

// counter reads an NV counter after it has added one to it, if that is asked for. A TPM
// that has none gets one, which begins above all that there ever was (TPM 2.0 part 3,
// TPM2_NV_Increment): to undefine it does not set it back.
func (o *owner) counter(at tpm2.TPMHandle, add bool) (n uint64, fresh bool, err error) {
	n, fresh, err = o.tryCounter(at, add)
	if err != nil {
		err = fmt.Errorf("count in NV index %#x: %w", uint32(at), err)
	}
	return n, fresh, err
}

func (o *owner) tryCounter(at tpm2.TPMHandle, add bool) (n uint64, fresh bool, err error) {
	public := tpm2.TPMSNVPublic{NVIndex: tpm2.TPMIRHNVIndex(at), NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTCounter, AuthRead: true, AuthWrite: true, OwnerRead: true, NoDA: true}}
	index, got, err := o.nvIndex(public)
	if err != nil {
		return 0, false, err
	}
	if fresh = !got.Written; add || fresh { // one that was never written cannot be read
		if _, err := (tpm2.NVIncrement{AuthHandle: index, NVIndex: index}).Execute(o.link); err != nil {
			return 0, false, err
		}
		if index, _, err = o.nvIndex(public); err != nil { // the first time changes its name
			return 0, false, err
		}
	}
	n, err = o.readCounter(index)
	return n, fresh, err
}

func (o *owner) readCounter(index tpm2.AuthHandle) (uint64, error) {
	rsp, err := tpm2.NVRead{AuthHandle: index, NVIndex: index, Size: 8}.Execute(o.link)
	if err != nil {
		return 0, err
	}
	if len(rsp.Data.Buffer) != 8 {
		return 0, errors.New("the counter is not eight bytes")
	}
	return binary.BigEndian.Uint64(rsp.Data.Buffer), nil
}

// nvIndex finds an index, defining it on a TPM that has none, and returns what it is.
func (o *owner) nvIndex(want tpm2.TPMSNVPublic) (index tpm2.AuthHandle, got tpm2.TPMANV, err error) {
	at := tpm2.TPMHandle(want.NVIndex)
	rsp, err := tpm2.NVReadPublic{NVIndex: at}.Execute(o.link)
	if errors.Is(err, tpm2.TPMRCHandle) {
		if _, err := (tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(want)}).Execute(o.link); err != nil {
			return index, got, fmt.Errorf("define it: %w", err)
		}
		rsp, err = tpm2.NVReadPublic{NVIndex: at}.Execute(o.link)
	}
	if err != nil {
		return index, got, err
	}
	public, err := rsp.NVPublic.Contents()
	if err != nil {
		return index, got, err
	}
	bare := public.Attributes
	bare.WriteLocked, bare.Written = false, false
	if bare != want.Attributes || public.DataSize != want.DataSize {
		return index, got, errors.New("the index belongs to other software: undefine it (tpm2_nvundefine) or use another TPM")
	}
	return tpm2.AuthHandle{Handle: at, Name: rsp.NVName, Auth: tpm2.PasswordAuth(nil)}, public.Attributes, nil
}
