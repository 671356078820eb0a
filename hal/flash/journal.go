package flash

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"platen/hal/flash/image"
	"platen/hal/flash/loader"
	"platen/updater/slot"
)

// Names of the files in the store.
const recordName = "controller"

// imageNames are the two places of an image. A new one goes to the place that the record
// does not name, so that record and image match after a cut between the two.
var imageNames = [2]string{"controller.image-0", "controller.image-1"}

// ErrJournal reports a journal that is damaged. The controller counts as not confirmed
// until an image was installed again.
var ErrJournal = errors.New("the journal of controller updates is damaged: install the controller's firmware again")

// state is how far an installation got.
type state uint8

const (
	idle      state = iota // nothing was ever installed
	writing                // the flash may hold anything
	written                // every byte was read back; the firmware has not answered yet
	confirmed              // it has
)

// record is what survives a power cut.
type record struct {
	state   state
	place   uint8 // of the image, in imageNames
	release uint64
	size    uint32
	digest  [32]byte // of the image
	answer  [32]byte // of what the firmware said when it was confirmed; zero if it was not asked
}

const (
	recordBody = 96
	recordSize = recordBody + sha256.Size
	maxRecord  = 1 << 20 // whatever else lies there under its name is a damaged journal
)

var magic = [8]byte{'P', 'L', 'T', 'N', 'C', 'T', 'R', 'L'}

// append appends the record as it lies on the disk, see the package comment.
func (r record) append(p []byte) []byte {
	from := len(p)
	p = append(p, magic[:]...)
	p = append(p, 1, byte(r.state), r.place, 0)
	p = binary.LittleEndian.AppendUint32(p, r.size)
	p = binary.LittleEndian.AppendUint64(p, r.release)
	p = append(p, r.digest[:]...)
	p = append(p, r.answer[:]...)
	p = append(p, make([]byte, recordBody-(len(p)-from))...)
	sum := sha256.Sum256(p[from:])
	return append(p, sum[:]...)
}

func parseRecord(p []byte) (record, error) {
	var r record
	if len(p) != recordSize || !bytes.Equal(p[:8], magic[:]) || p[8] != 1 || p[9] > byte(confirmed) || int(p[10]) >= len(imageNames) {
		return r, ErrJournal
	}
	if sum := sha256.Sum256(p[:recordBody]); !bytes.Equal(sum[:], p[recordBody:]) {
		return r, ErrJournal
	}
	r.state, r.place = state(p[9]), p[10]
	r.size, r.release = binary.LittleEndian.Uint32(p[12:]), binary.LittleEndian.Uint64(p[16:])
	copy(r.digest[:], p[24:])
	copy(r.answer[:], p[56:])
	return r, nil
}

// load reads the record; none is the zero record.
func load(store slot.FS) (record, error) {
	p, err := slot.ReadAll(store, recordName, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("read the journal of controller updates: %w", err)
	}
	return parseRecord(p)
}

func (r record) save(store slot.FS) error {
	if err := slot.Replace(store, recordName, r.append(nil)); err != nil {
		return fmt.Errorf("write the journal of controller updates: %w", err)
	}
	return nil
}

// Pending reports whether the controller is not confirmed: its flash was being written
// and nobody has made sure since that it holds what it should. Until it is false, no
// heater and no motor may be commanded: what runs there may be half of something. It is
// true if the journal cannot be read.
func Pending(store slot.FS) (bool, error) {
	r, err := load(store)
	return err != nil || r.state == writing || r.state == written, err
}

// Release is the number of the confirmed release, as the journal has it; 0 is none. The
// controller is not asked, see [Flasher.Installed].
func Release(store slot.FS) (uint64, error) {
	r, err := load(store)
	if err != nil || r.state != confirmed {
		return 0, err
	}
	return r.release, nil
}

// Confirmed is the digest of the confirmed image, see [image.Image.Digest]; ok is false if
// there is none. The controller is not asked.
func Confirmed(store slot.FS) (digest [32]byte, ok bool, err error) {
	r, err := load(store)
	if err != nil || r.state != confirmed {
		return digest, false, err
	}
	return r.digest, true, nil
}

// keep stores an image for Resume and then says that the controller is not confirmed.
func (r record) keep(store slot.FS, m *image.Image) (record, error) {
	old, err := load(store)
	if err != nil && !errors.Is(err, ErrJournal) {
		return r, err
	}
	r.place = 1 - old.place
	if err := slot.Replace(store, imageNames[r.place], m.Bytes()); err != nil {
		return r, fmt.Errorf("keep the firmware image: %w", err)
	}
	return r, r.save(store)
}

// kept returns the stored image that a record is about.
func kept(store slot.FS, r record, l loader.Layout) (*image.Image, error) {
	p, err := slot.ReadAll(store, imageNames[r.place], loader.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read the firmware image that was kept: %w", err)
	}
	m, err := image.Parse(bytes.NewReader(p), image.Binary, l)
	if err != nil {
		return nil, fmt.Errorf("the firmware image that was kept: %w", err)
	}
	if m.Digest() != r.digest || m.Size() != int(r.size) {
		return nil, fmt.Errorf("the firmware image that was kept is another one: %w", ErrJournal)
	}
	return m, nil
}
