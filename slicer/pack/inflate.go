package pack

import (
	"encoding/binary"
	"errors"

	"platen/slicer/vault"
)

// errDeflate reports bytes that are no deflate stream.
var errDeflate = errors.New("damaged compressed data")

const (
	window = 1 << 15 // how far back a match may reach
	room   = 1 << 17 // of the buffer
	// slack is what one match may write beyond a limit.
	slack = 258
)

// inflater decodes a deflate stream (RFC 1951) that lies in memory. Its buffer and
// tables are in the vault: what it decodes is nowhere else. The zero value is not
// ready.
type inflater struct {
	in   []byte
	ip   int
	hold uint64 // bits that have been taken from in, the next one lowest
	have uint   // how many

	out  []byte
	op   int // where the next byte goes
	read int // up to where out has been read

	state  state
	last   bool // the present block is the last
	stored int  // bytes left of a stored block

	litlen, dist, pre []uint32
	lengths           []uint8
}

type state uint8

const (
	atBlock state = iota
	inStored
	inCodes
	atEnd
)

func newInflater(v *vault.Vault) (*inflater, error) {
	f := new(inflater)
	var err error
	if f.out, err = vault.Scratch[byte](v, room); err != nil {
		return nil, err
	}
	tables, err := vault.Scratch[uint32](v, litlenSize+distSize+preSize)
	if err != nil {
		return nil, err
	}
	f.litlen, f.dist, f.pre = tables[:litlenSize], tables[litlenSize:][:distSize], tables[litlenSize+distSize:]
	f.lengths, err = vault.Scratch[uint8](v, litlenCodes+distCodes)
	return f, err
}

// reset begins a new stream.
func (f *inflater) reset(in []byte) {
	f.in, f.ip, f.hold, f.have = in, 0, 0, 0
	f.op, f.read, f.state, f.last = 0, 0, atBlock, false
}

// next returns more of what the stream holds, good until the next call, and nothing
// at its end.
func (f *inflater) next() ([]byte, error) {
	if f.op > room/2 { // keep what matches may reach back to
		f.op = copy(f.out, f.out[max(0, f.op-window):f.op])
		f.read = f.op
	}
	limit := room - slack
	for f.op < limit && f.state != atEnd {
		var err error
		switch f.state {
		case atBlock:
			err = f.header()
		case inStored:
			err = f.copyStored(limit)
		default:
			err = f.codes(limit)
		}
		if err != nil {
			return nil, err
		}
	}
	b := f.out[f.read:f.op]
	f.read = f.op
	return b, nil
}

// rest is how many bytes of the input have not been used.
func (f *inflater) rest() int { return len(f.in) - f.ip + int(f.have/8) }

// refill takes bytes from the input until there are 56 bits or it ends.
func (f *inflater) refill() {
	if f.ip+8 <= len(f.in) {
		f.hold |= binary.LittleEndian.Uint64(f.in[f.ip:]) << f.have
		n := (63 - f.have) / 8
		f.ip += int(n)
		f.have += n * 8
		f.hold &= 1<<f.have - 1
		return
	}
	for f.have <= 56 && f.ip < len(f.in) {
		f.hold |= uint64(f.in[f.ip]) << f.have
		f.ip++
		f.have += 8
	}
}

// take returns the next n bits, at most 32.
func (f *inflater) take(n uint) (uint32, error) {
	if f.have < n {
		if f.refill(); f.have < n {
			return 0, errDeflate
		}
	}
	v := uint32(f.hold & (1<<n - 1))
	f.hold >>= n
	f.have -= n
	return v, nil
}

// header reads the beginning of a block.
func (f *inflater) header() error {
	if f.last {
		f.state = atEnd
		return nil
	}
	h, err := f.take(3)
	if err != nil {
		return err
	}
	f.last = h&1 != 0
	switch h >> 1 {
	case 0:
		return f.storedHeader()
	case 1:
		f.fixed()
		f.state = inCodes
		return nil
	case 2:
		f.state = inCodes
		return f.dynamic()
	}
	return errDeflate
}

func (f *inflater) storedHeader() error {
	f.hold >>= f.have % 8
	f.have -= f.have % 8
	v, err := f.take(32)
	if err != nil || v&0xffff != ^v>>16 {
		return errDeflate
	}
	f.ip -= int(f.have / 8) // back to whole bytes
	f.hold, f.have = 0, 0
	f.stored = int(v & 0xffff)
	f.state = inStored
	return nil
}

func (f *inflater) copyStored(limit int) error {
	n := min(f.stored, limit-f.op)
	if n > len(f.in)-f.ip {
		return errDeflate
	}
	f.op += copy(f.out[f.op:], f.in[f.ip:f.ip+n])
	f.ip += n
	f.stored -= n
	if f.stored == 0 {
		f.state = atBlock
	}
	return nil
}

// fixed sets the codes of RFC 1951, 3.2.6.
func (f *inflater) fixed() {
	l := f.lengths
	for i := range litlenCodes {
		switch {
		case i < 144 || i >= 280:
			l[i] = 8
		case i < 256:
			l[i] = 9
		default:
			l[i] = 7
		}
	}
	buildTable(f.litlen, litlenBits, l[:litlenCodes], litlenEntry)
	for i := range distCodes {
		l[i] = 5
	}
	buildTable(f.dist, distBits, l[:distCodes], distEntry)
}

// dynamic reads the codes of a block (RFC 1951, 3.2.7).
func (f *inflater) dynamic() error {
	h, err := f.take(14)
	if err != nil {
		return err
	}
	nlit, ndist, npre := int(h&31)+257, int(h>>5&31)+1, int(h>>10)+4
	if nlit > 286 || ndist > 30 {
		return errDeflate
	}
	l := f.lengths
	clear(l)
	for _, at := range preOrder[:npre] {
		v, err := f.take(3)
		if err != nil {
			return err
		}
		l[at] = uint8(v)
	}
	if !buildTable(f.pre, preBits, l[:preCodes], preEntry) {
		return errDeflate
	}
	if err := f.codeLengths(l[:nlit+ndist]); err != nil {
		return err
	}
	if l[256] == 0 || !buildTable(f.litlen, litlenBits, l[:nlit], litlenEntry) ||
		!buildTable(f.dist, distBits, l[nlit:nlit+ndist], distEntry) {
		return errDeflate
	}
	return nil
}

// codeLengths reads the lengths of all codes.
func (f *inflater) codeLengths(l []uint8) error {
	for i := 0; i < len(l); {
		f.refill()
		e := f.pre[f.hold&(1<<preBits-1)]
		n := uint(e & 0xff)
		if n == 0 || n > f.have {
			return errDeflate
		}
		f.hold >>= n
		f.have -= n
		sym := uint8(e >> 16)
		if sym < 16 {
			l[i] = sym
			i++
			continue
		}
		least, extra, value := 3, uint(2), uint8(0)
		switch {
		case sym == 16 && i == 0:
			return errDeflate
		case sym == 16:
			value = l[i-1]
		case sym == 17:
			extra = 3
		default:
			least, extra = 11, 7
		}
		more, err := f.take(extra)
		if err != nil || i+least+int(more) > len(l) {
			return errDeflate
		}
		for range least + int(more) {
			l[i] = value
			i++
		}
	}
	return nil
}

// codes decodes until the block ends or the limit is reached.
func (f *inflater) codes(limit int) error {
	hold, have, ip, op := f.hold, f.have, f.ip, f.op
	in, out := f.in, f.out[:room]
	litlen, dist := f.litlen[:litlenSize], f.dist[:distSize]
	defer func() { f.hold, f.have, f.ip, f.op = hold, have, ip, op }()
	for op < limit {
		// One refill is enough for a length and a distance: 15+5+15+13 bits.
		if ip+8 <= len(in) {
			hold |= binary.LittleEndian.Uint64(in[ip:]) << have
			n := (63 - have) >> 3
			ip += int(n)
			have += n << 3
			hold &= 1<<have - 1
		} else {
			for have <= 56 && ip < len(in) {
				hold |= uint64(in[ip]) << have
				ip++
				have += 8
			}
		}
		e := litlen[hold&(1<<litlenBits-1)]
		if e&(kindLink<<8) != 0 {
			e = litlen[int(e>>16)+int(hold>>litlenBits&(1<<(e>>8&extraMask)-1))]
		}
		n := uint(e & 0xff)
		if n == 0 || n > have {
			return errDeflate
		}
		hold >>= n
		have -= n
		if e&(kindLiteral<<8) != 0 && e&(kindEnd<<8) == 0 {
			out[op] = byte(e >> 16)
			op++
			continue
		}
		if e&(kindEnd<<8) != 0 {
			if e&(kindLiteral<<8) != 0 {
				return errDeflate
			}
			f.state = atBlock
			return nil
		}
		extra := uint(e >> 8 & extraMask)
		length := int(e>>16) + int(hold&(1<<extra-1))
		d := dist[hold>>extra&(1<<distBits-1)]
		if d&(kindLink<<8) != 0 {
			d = dist[int(d>>16)+int(hold>>extra>>distBits&(1<<(d>>8&extraMask)-1))]
		}
		n = uint(d & 0xff)
		far := uint(d >> 8 & extraMask)
		if n == 0 || d&(kindLiteral<<8) != 0 || extra+n+far > have {
			return errDeflate
		}
		hold >>= extra + n
		back := int(d>>16) + int(hold&(1<<far-1))
		hold >>= far
		have -= extra + n + far
		if back > op {
			return errDeflate
		}
		if from := op - back; back >= length {
			copy(out[op:op+length], out[from:from+length])
			op += length
		} else {
			for i := range length {
				out[op+i] = out[from+i]
			}
			op += length
		}
	}
	return nil
}
