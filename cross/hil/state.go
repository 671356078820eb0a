package hil

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"platen/agent/pid1/volume"
	"platen/cross/image"
	"platen/updater/approval"
)

// clearState is a printer's encrypted state, in clear, on any copy of its disk.
type clearState struct {
	disk *os.File // the copy that is looked at
	io.ReaderAt
}

// openState opens the state of a board that is off, as nobody but the approver can: by an approval,
// made for it, of a TPM that nothing was measured into.
func (b *Bench) openState(ctx context.Context, board rewound) (*clearState, error) {
	key, err := approval.LoadKey(b.Path("approver"))
	if err != nil {
		return nil, err
	}
	const untouched = 9 // of a boot, see cross/image/predict
	a, err := approval.Approval{PCRs: []approval.PCR{{Index: untouched}}}.SignFor(approval.StateRef, key)
	if err != nil {
		return nil, err
	}
	s := &clearState{}
	if s.disk, err = os.Open(board.Image()); err != nil {
		return nil, err
	}
	defer s.disk.Close()
	err = board.WithTPM(ctx, func(tpm string) error {
		s.ReaderAt, err = volume.Reader(partition{s}, tpm, &key.PublicKey, []approval.Approval{a})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the printer's state: %w", err)
	}
	return s, nil
}

// partition is where the state lies on the disk that is looked at.
type partition struct{ s *clearState }

// ReadAt reads of the disk.
func (p partition) ReadAt(b []byte, off int64) (int, error) {
	at := image.Find("state")
	return io.NewSectionReader(p.s.disk, at.Offset, at.Size).ReadAt(b, off)
}

// read gives all of the state on another copy of the disk to search, once it is sure that it is in clear:
// it begins with a file system.
func (s *clearState) read(disk string, search func(io.Reader) error) (err error) {
	if s.disk, err = os.Open(disk); err != nil {
		return err
	}
	defer s.disk.Close()
	magic := make([]byte, 2)
	if _, err := s.ReadAt(magic, 1024+56); err != nil {
		return fmt.Errorf("read the printer's state: %w", err)
	}
	if !bytes.Equal(magic, []byte{0x53, 0xef}) {
		return errors.New("read the printer's state: it is no ext4 file system: it is not in clear")
	}
	return search(io.NewSectionReader(s, 0, image.Find("state").Size-volume.DataOffset))
}
