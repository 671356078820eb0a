package volume

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"platen/agent/attest"
	"platen/agent/pid1/dm"
	"platen/updater/approval"
)

// Reader is the state in clear, of a partition that nothing has open, without the kernel's
// help: for whoever looks for what must not be there. It takes the TPM, in an approved
// state, as [Open] does.
func Reader(partition io.ReaderAt, tpm string, approver *ecdsa.PublicKey, approvals []approval.Approval) (io.ReaderAt, error) {
	blob, err := readHeader(partition)
	if err == nil && blob == nil {
		err = errors.New("the state was not formatted yet")
	}
	if err != nil {
		return nil, err
	}
	key, err := attest.UnsealState(tpm, blob, approver, approvals)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	x, err := newXTS(key)
	if err != nil {
		return nil, err
	}
	return xtsReader{x, partition}, nil
}

// xts is AES-256-XTS (IEEE 1619) over sectors as dm-crypt's plain64 numbers them.
type xts struct{ data, tweak cipher.Block }

func newXTS(key []byte) (xts, error) {
	if len(key) != dm.KeySize {
		return xts{}, fmt.Errorf("a key of %d bytes", len(key))
	}
	data, err := aes.NewCipher(key[:dm.KeySize/2])
	if err != nil {
		return xts{}, err
	}
	tweak, err := aes.NewCipher(key[dm.KeySize/2:])
	return xts{data, tweak}, err
}

// sector decrypts, or encrypts, one sector in place.
func (x xts) sector(b []byte, number uint64, crypt func(dst, src []byte)) {
	var t [aes.BlockSize]byte
	binary.LittleEndian.PutUint64(t[:], number)
	x.tweak.Encrypt(t[:], t[:])
	for ; len(b) >= aes.BlockSize; b = b[aes.BlockSize:] {
		block := b[:aes.BlockSize]
		subtle.XORBytes(block, block, t[:])
		crypt(block, block)
		subtle.XORBytes(block, block, t[:])
		low, high := binary.LittleEndian.Uint64(t[:]), binary.LittleEndian.Uint64(t[8:])
		carry := high >> 63
		binary.LittleEndian.PutUint64(t[8:], high<<1|low>>63)
		binary.LittleEndian.PutUint64(t[:], low<<1^carry*0x87)
	}
}

type xtsReader struct {
	x xts
	r io.ReaderAt
}

// ReadAt reads bytes in clear; what it reads ends with the partition.
func (r xtsReader) ReadAt(p []byte, off int64) (n int, err error) {
	var b [dm.Sector]byte
	for n < len(p) {
		number := (off + int64(n)) / dm.Sector
		if got, err := r.r.ReadAt(b[:], DataOffset+number*dm.Sector); got < len(b) {
			return n, err
		}
		r.x.sector(b[:], uint64(number), r.x.data.Decrypt)
		n += copy(p[n:], b[(off+int64(n))%dm.Sector:])
	}
	return n, nil
}
