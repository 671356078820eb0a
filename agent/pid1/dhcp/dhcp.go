// Package dhcp asks for an IPv4 address and keeps it (RFC 2131, RFC 2132): discover, offer,
// request, acknowledgement; renewed after half of the lease with whoever gave it, after
// seven eighths with anybody, and asked for anew when it has ended. Start at [Keep].
//
// What a server says is parsed strictly as far as it is used: an address, the bits of its
// network, a gateway, servers of names and the time. Host names, boot files and routes are
// passed over.
package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Lease is what a server gave.
type Lease struct {
	Address netip.Addr
	Bits    int        // of the network's prefix
	Gateway netip.Addr // not valid: none
	DNS     []netip.Addr
	Time    time.Duration // for how long
	server  netip.Addr
}

// Types of messages (RFC 2132, section 9.6).
const (
	discover = 1
	offer    = 2
	request  = 3
	ack      = 5
	nak      = 6
)

// Options (RFC 2132).
const (
	optMask   = 1
	optRouter = 3
	optDNS    = 6
	optAsked  = 50
	optTime   = 51
	optType   = 53
	optServer = 54
	optList   = 55
	optClient = 61
	optEnd    = 255
)

const (
	headSize  = 236
	cookie    = 0x63825363
	maxDNS    = 3
	minLease  = time.Minute // shorter ones are taken for this long
	maxLease  = 30 * 24 * time.Hour
	broadcast = 0x8000
	minPacket = 300 // some relays drop shorter ones (RFC 1542, section 2.1)
)

var errPacket = errors.New("not an answer to us")

// ask is what a message of ours says. Address is what is asked for, or, when renewed, ours.
type ask struct {
	kind    byte
	id      uint32
	mac     []byte // six bytes
	address netip.Addr
	server  netip.Addr // not valid: any
	renew   bool       // we have the address
}

// packet is the message as bytes (RFC 2131, section 2).
func (a ask) packet() []byte {
	b := make([]byte, headSize)
	b[0], b[1], b[2] = 1, 1, byte(len(a.mac)) // a request, Ethernet
	binary.BigEndian.PutUint32(b[4:], a.id)
	if a.renew {
		copy(b[12:16], a.address.AsSlice())
	} else {
		binary.BigEndian.PutUint16(b[10:], broadcast)
	}
	copy(b[28:44], a.mac)
	b = binary.BigEndian.AppendUint32(b, cookie)
	b = append(b, optType, 1, a.kind)
	b = append(append(b, optClient, byte(1+len(a.mac)), 1), a.mac...)
	if a.address.IsValid() && !a.renew {
		b = append(append(b, optAsked, 4), a.address.AsSlice()...)
	}
	if a.server.IsValid() && !a.renew {
		b = append(append(b, optServer, 4), a.server.AsSlice()...)
	}
	b = append(b, optList, 4, optMask, optRouter, optDNS, optTime, optEnd)
	return append(b, make([]byte, max(0, minPacket-len(b)))...)
}

// parse reads an answer to the message with this id.
func parse(b []byte, id uint32, mac []byte) (kind byte, l Lease, err error) {
	if len(b) < headSize+4 || b[0] != 2 || b[1] != 1 || binary.BigEndian.Uint32(b[4:]) != id ||
		!bytes.Equal(b[28:28+len(mac)], mac) || binary.BigEndian.Uint32(b[headSize:]) != cookie {
		return 0, l, errPacket
	}
	l.Address = netip.AddrFrom4([4]byte(b[16:20]))
	for rest := b[headSize+4:]; len(rest) > 0 && rest[0] != optEnd; {
		if rest[0] == 0 {
			rest = rest[1:]
			continue
		}
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return 0, l, errPacket
		}
		if err := l.option(&kind, rest[0], rest[2:2+int(rest[1])]); err != nil {
			return 0, l, err
		}
		rest = rest[2+int(rest[1]):]
	}
	if kind == offer || kind == ack {
		if a := l.Address; a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || l.Bits == 0 || !l.server.IsValid() {
			return 0, l, errPacket
		}
		if l.Time = min(max(l.Time, minLease), maxLease); l.Gateway.IsValid() && l.Gateway.IsUnspecified() {
			l.Gateway = netip.Addr{}
		}
	}
	return kind, l, nil
}

func (l *Lease) option(kind *byte, code byte, v []byte) error {
	four := func() (netip.Addr, error) {
		if len(v) < 4 {
			return netip.Addr{}, errPacket
		}
		return netip.AddrFrom4([4]byte(v[:4])), nil
	}
	var err error
	switch code {
	case optType:
		if len(v) != 1 {
			return errPacket
		}
		*kind = v[0]
	case optMask:
		if len(v) != 4 {
			return errPacket
		}
		mask := binary.BigEndian.Uint32(v)
		for l.Bits = 0; mask&(1<<31) != 0; mask <<= 1 {
			l.Bits++
		}
		if mask != 0 {
			return errPacket
		}
	case optRouter:
		l.Gateway, err = four()
	case optServer:
		l.server, err = four()
	case optTime:
		if len(v) != 4 {
			return errPacket
		}
		l.Time = time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	case optDNS:
		for a := range slices.Chunk(v, 4) {
			if len(a) == 4 && len(l.DNS) < maxDNS {
				l.DNS = append(l.DNS, netip.AddrFrom4([4]byte(a)))
			}
		}
	}
	return err
}
