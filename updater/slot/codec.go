package slot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// The file and the copies in it; see the package comment.
const (
	fileName = "slots"
	copyAt   = 4096 // distance of the copies
	fileSize = 2 * copyAt
	bodySize = 416
	copySize = bodySize + sha256.Size
	version  = 2 // see "Versions" in the package comment
)

var magic = [8]byte{'P', 'L', 'T', 'N', 'S', 'L', 'O', 'T'}

// check refuses records that no sequence of changes should ever produce.
func (r *Record) check() error {
	switch {
	case r.Active > B || r.Trying > B || r.Filling.Place > B:
		return errors.New("slot record names an unknown slot")
	case r.Trying != None && r.Trying == r.Active:
		return errors.New("slot record tries the active slot")
	case r.Trying != None && r.Slot(r.Trying).Empty():
		return errors.New("slot record tries an empty slot")
	case r.Filling.Kind > Image:
		return errors.New("slot record fills an unknown place")
	}
	for _, s := range r.Slots {
		if s.Root > B || s.Image > B {
			return errors.New("slot record names an unknown part")
		}
	}
	return nil
}

func image(r Record) []byte {
	p := make([]byte, fileSize)
	copy(p, encode(r))
	return p
}

func encode(r Record) []byte {
	le := binary.LittleEndian
	p := append(make([]byte, 0, copySize), magic[:]...)
	p = append(p, version, 0, byte(r.Active), byte(r.Trying), r.Tries, r.Turns, byte(r.Why), r.Flashes)
	for _, v := range [...]uint64{r.Generation, r.Floor, r.Bad, uint64(r.Clock)} {
		p = le.AppendUint64(p, v)
	}
	p = append(p, r.Armed[:]...)
	for _, s := range r.Slots {
		p = appendPart(p, Part{s.Release, s.Size, s.Digest})
		confirmed := byte(0)
		if s.Confirmed {
			confirmed = 1
		}
		p = append(p, confirmed, byte(s.Root), byte(s.Image), 0, 0, 0, 0, 0)
	}
	for _, x := range [...]Part{r.Roots[0], r.Roots[1], r.Images[0], r.Images[1]} {
		p = appendPart(p, x)
	}
	p = append(p, byte(r.Filling.Kind), byte(r.Filling.Place), 0, 0, 0, 0, 0, 0)
	p = append(p, r.Filling.Digest[:]...)
	p = le.AppendUint64(p, r.Filling.Done)
	sum := sha256.Sum256(p)
	return append(p, sum[:]...)
}

func appendPart(p []byte, x Part) []byte {
	p = binary.LittleEndian.AppendUint64(p, x.Release)
	p = binary.LittleEndian.AppendUint64(p, x.Size)
	return append(p, x.Digest[:]...)
}

func decode(p []byte) (Record, bool) {
	var r Record
	if len(p) != copySize || [8]byte(p[:8]) != magic {
		return r, false
	}
	if sha256.Sum256(p[:bodySize]) != [32]byte(p[bodySize:]) {
		return r, false
	}
	le := binary.LittleEndian
	if p[8] != version {
		return r, false
	}
	r.Active, r.Trying, r.Tries, r.Turns, r.Why, r.Flashes = Name(p[10]), Name(p[11]), p[12], p[13], Why(p[14]), p[15]
	r.Generation, r.Floor, r.Bad = le.Uint64(p[16:]), le.Uint64(p[24:]), le.Uint64(p[32:])
	r.Clock, r.Armed = int64(le.Uint64(p[40:])), [16]byte(p[48:])
	for i := range r.Slots {
		s := p[64+56*i:]
		x := part(s)
		r.Slots[i] = Slot{x.Release, x.Size, x.Digest, s[48] == 1, Name(s[49]), Name(s[50])}
	}
	for i, x := range [...]*Part{&r.Roots[0], &r.Roots[1], &r.Images[0], &r.Images[1]} {
		*x = part(p[176+48*i:])
	}
	f := p[368:]
	r.Filling = Filling{Kind(f[0]), Name(f[1]), [32]byte(f[8:40]), le.Uint64(f[40:])}
	return r, r.check() == nil
}

func part(p []byte) Part {
	return Part{binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]), [32]byte(p[16:48])}
}
