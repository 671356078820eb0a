package verify

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"errors"
)

// pack appends a printer's state as a Cold has it, which unpack reads: numbers of eight bytes, big-endian,
// digests, and slices with their length before them.
func pack(b []byte, p *printer) []byte {
	b = append(b, p.id[:]...)
	for _, v := range p.boot {
		b = append(b, v[:]...)
	}
	point, err := p.ak.Bytes()
	if err != nil {
		point = nil // it is on P-256: it was checked; unpack would say so
	}
	b = packBytes(packBytes(packBytes(b, point), p.signer), p.record)
	b = binary.BigEndian.AppendUint64(b, p.turn)
	return packChain(b, &p.chain)
}

func packBytes(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}

func packChain(b []byte, c *chain) []byte {
	b = packNumbers(b, c.Boot, c.Start, c.Seq, uint64(c.Reset), uint64(c.Restart), c.Clock, uint64(c.NonceAt), bit(c.Nonced),
		uint64(len(c.Recent)), uint64(len(c.Missing)), uint64(len(c.Values)), uint64(len(c.Ran)))
	for _, l := range c.Recent {
		b = packNumbers(b, l.Seq, l.First, l.Next)
		b = append(append(b, l.Digest[:]...), l.Prev[:]...)
	}
	for _, r := range c.Missing {
		b = packNumbers(b, r.From, r.To)
	}
	for _, v := range c.Values {
		b = append(b, v[:]...)
	}
	for _, r := range c.Ran {
		b = append(packNumbers(b, uint64(r.Reset), bit(r.Listed)), r.Value[:]...)
	}
	for _, s := range c.Settings {
		b = append(b, s[:]...)
	}
	return b
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func packNumbers(b []byte, all ...uint64) []byte {
	for _, n := range all {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// packed is what is left to read of a state.
type packed struct {
	b     []byte
	short bool // it ended too early
}

// take returns the next n bytes, zeros if there are fewer.
func (r *packed) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.short = nil, true
		return make([]byte, min(n, 32))
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

func (r *packed) number() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *packed) bytes() []byte  { return bytes.Clone(r.take(r.number())) }
func (r *packed) hash() hash     { return hash(r.take(32)) }

// many is the length of a slice, none if so many would be more than a chain has.
func (r *packed) many() uint64 {
	n := r.number()
	if n > maxRecent+maxMissing+maxValues {
		r.short, n = true, 0
	}
	return n
}

func unpack(b []byte) (*printer, error) {
	r := &packed{b: b}
	p := &printer{id: [32]byte(r.hash())}
	for i := range p.boot {
		p.boot[i] = r.hash()
	}
	point := r.bytes()
	p.signer, p.record, p.turn = r.bytes(), r.bytes(), r.number()
	p.chain = r.chain()
	if r.short {
		return nil, errors.New("it is not whole")
	}
	var err error
	p.ak, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	return p, err
}

func (r *packed) chain() (c chain) {
	c.Boot, c.Start, c.Seq, c.Reset, c.Restart = r.number(), r.number(), r.number(), uint32(r.number()), uint32(r.number())
	c.Clock, c.NonceAt, c.Nonced = r.number(), int64(r.number()), r.number() != 0
	recent, missing, values, ran := r.many(), r.many(), r.many(), r.many()
	for range recent {
		c.Recent = append(c.Recent, link{Seq: r.number(), First: r.number(), Next: r.number(), Digest: r.hash(), Prev: r.hash()})
	}
	for range missing {
		c.Missing = append(c.Missing, Range{r.number(), r.number()})
	}
	for range values {
		c.Values = append(c.Values, r.hash())
	}
	for range ran {
		c.Ran = append(c.Ran, ranWith{Reset: uint32(r.number()), Listed: r.number() != 0, Value: r.hash()})
	}
	for i := range c.Settings {
		c.Settings[i] = r.hash()
	}
	return c
}
