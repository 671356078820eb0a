package attest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// floorIndex is the NV index of the floor of updates, beside those of boots and tickets.
const floorIndex tpm2.TPMHandle = 0x0180504e

// FloorSize is how many bytes the TPM keeps of what a printer never goes below.
const FloorSize = 64

// A copy of the floor: a number that rises with each write, the bytes, and the first
// eight bytes of the SHA-256 of both. The index holds two.
const floorCopy = 8 + FloorSize + 8

func floorPublic() tpm2.TPMSNVPublic {
	return tpm2.TPMSNVPublic{NVIndex: tpm2.TPMIRHNVIndex(floorIndex), NameAlg: tpm2.TPMAlgSHA256, DataSize: 2 * floorCopy,
		Attributes: tpm2.TPMANV{NT: tpm2.TPMNTOrdinary, AuthRead: true, AuthWrite: true, OwnerRead: true, NoDA: true}}
}

// floor is a copy that was read.
type floor struct {
	count uint64 // 0: it is not whole
	data  []byte // nil: none was ever written
}

func parseFloor(b []byte) floor {
	sum := sha256.Sum256(b[:8+FloorSize])
	if !bytes.Equal(sum[:8], b[8+FloorSize:]) {
		return floor{data: []byte{}}
	}
	return floor{binary.BigEndian.Uint64(b), b[8 : 8+FloorSize]}
}

func (f floor) encode() []byte {
	b := append(binary.BigEndian.AppendUint64(nil, f.count), f.data...)
	sum := sha256.Sum256(b)
	return append(b, sum[:8]...)
}

// Floor is what was kept last by SetFloor, nil if nothing ever was, and empty if neither of
// its two copies is whole. It outlives the
// identity of the printer: see Forget.
func (t *TPM) Floor(ctx context.Context) ([]byte, error) {
	return call(ctx, t, func(o *owner) ([]byte, error) {
		_, copies, err := o.floors()
		if err != nil {
			return nil, fmt.Errorf("read the floor of updates in NV index %#x: %w", uint32(floorIndex), err)
		}
		return newest(copies).data, nil
	})
}

// SetFloor keeps FloorSize bytes. Power lost in the middle leaves what there was: the
// older of two copies is replaced, and read back.
func (t *TPM) SetFloor(ctx context.Context, data []byte) error {
	if len(data) != FloorSize {
		return fmt.Errorf("a floor is %d bytes, not %d", FloorSize, len(data))
	}
	_, err := call(ctx, t, func(o *owner) (struct{}, error) { return struct{}{}, o.setFloor(data) })
	if err != nil {
		return fmt.Errorf("keep the floor of updates in NV index %#x: %w", uint32(floorIndex), err)
	}
	return nil
}

func newest(copies [2]floor) floor {
	if copies[1].count > copies[0].count {
		return copies[1]
	}
	return copies[0]
}

// floors reads both copies.
func (o *owner) floors() (index tpm2.AuthHandle, copies [2]floor, err error) {
	index, is, err := o.nvIndex(floorPublic())
	if err != nil || !is.Written { // what was never written cannot be read
		return index, copies, err
	}
	for i := range copies {
		rsp, err := tpm2.NVRead{AuthHandle: index, NVIndex: index, Size: floorCopy, Offset: uint16(i) * floorCopy}.Execute(o.link)
		if err != nil {
			return index, copies, err
		}
		if len(rsp.Data.Buffer) != floorCopy {
			return index, copies, errors.New("it is cut short")
		}
		copies[i] = parseFloor(rsp.Data.Buffer)
	}
	return index, copies, nil
}

func (o *owner) setFloor(data []byte) error {
	index, copies, err := o.floors()
	if err != nil {
		return err
	}
	last, at := newest(copies), uint16(0)
	if last.count > 0 && last.count == copies[0].count {
		at = 1
	}
	next := floor{last.count + 1, data}
	write := tpm2.NVWrite{AuthHandle: index, NVIndex: index, Data: tpm2.TPM2BMaxNVBuffer{Buffer: next.encode()}, Offset: at * floorCopy}
	if _, err := write.Execute(o.link); err != nil {
		return err
	}
	_, copies, err = o.floors()
	if err == nil && (copies[at].count != next.count || !bytes.Equal(copies[at].data, data)) {
		err = errors.New("it does not read back: the TPM is worn out or failing")
	}
	return err
}

// Ticks is the TPM's clock: milliseconds that it was under power, which go on over
// restarts and never run back by more than what a power cut undoes (TPM 2.0 part 1, 36).
func (t *TPM) Ticks(ctx context.Context) (uint64, error) {
	return call(ctx, t, func(o *owner) (uint64, error) {
		rsp, err := tpm2.ReadClock{}.Execute(o.link)
		if err != nil {
			return 0, fmt.Errorf("read the TPM's clock: %w", err)
		}
		return rsp.CurrentTime.ClockInfo.Clock, nil
	})
}
