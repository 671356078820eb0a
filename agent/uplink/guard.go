package uplink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// Limits of what a broker may send.
const (
	maxPacket  = 1024 // bytes of one packet, its header included, without an offer
	maxPackets = 600  // packets in any one minute
	writeTime  = 15 * time.Second
)

// errBroker reports a packet that no broker has a reason to send.
var errBroker = errors.New("broker sent what it must not")

// guard stands between a broker and the MQTT library. It hands a packet on only
// when the whole of it has come, is small, is of a kind that this client expects and
// parses; see MQTT 5.0, sections 1.5.5 (lengths), 2.1 (headers) and 3.2 (CONNACK).
// The first that is not ends the connection.
type guard struct {
	net.Conn
	most   int    // bytes of one packet
	offers string // the one topic of messages that are acknowledged; "" if there is none
	r      *bufio.Reader
	rest   []byte // of the packet being handed on
	err    error  // sticky
	minute time.Time
	count  int
	greets int // CONNACKs seen
}

func newGuard(c net.Conn, most int, offers string) *guard {
	return &guard{Conn: c, most: most, offers: offers, r: bufio.NewReaderSize(c, maxPacket), minute: time.Now()}
}

// Read hands on bytes of checked packets.
func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(g.rest) == 0 && g.err == nil {
		if g.rest, g.err = g.next(); g.err != nil {
			_ = g.Conn.Close() // the error that matters is the guard's
		}
	}
	if g.err != nil {
		return 0, g.err
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// Write bounds how long a broker may refuse to take bytes.
func (g *guard) Write(p []byte) (int, error) {
	if err := g.Conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

// next reads one packet and checks it.
func (g *guard) next() ([]byte, error) {
	head, err := g.r.ReadByte()
	if err != nil {
		return nil, err
	}
	length, err := g.length()
	if err != nil {
		return nil, err
	}
	packet := append(make([]byte, 0, length+5), head)
	packet = appendLength(packet, length)
	body := len(packet)
	packet = packet[:body+length]
	if _, err := io.ReadFull(g.r, packet[body:]); err != nil {
		return nil, err
	}
	if err := g.admit(packet); err != nil {
		return nil, err
	}
	return packet, nil
}

// length reads a variable byte integer in its shortest form.
func (g *guard) length() (int, error) {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := g.r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 || n > g.most-5 {
				return 0, fmt.Errorf("%w: a packet of %d bytes", errBroker, n)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: a length without end", errBroker)
}

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// admit checks kind, number and contents of a packet.
func (g *guard) admit(packet []byte) error {
	if now := time.Now(); now.Sub(g.minute) >= time.Minute {
		g.minute, g.count = now, 0
	}
	if g.count++; g.count > maxPackets {
		return fmt.Errorf("%w: more than %d packets in a minute", errBroker, maxPackets)
	}
	p, err := parse(packet)
	if err != nil {
		return err
	}
	if flags := packet[0] & 0x0f; flags != 0 && p.Type != packets.PUBLISH {
		return fmt.Errorf("%w: reserved bits", errBroker)
	}
	switch c := p.Content.(type) {
	case *packets.Connack:
		g.greets++
		return g.greeting(c)
	case *packets.Publish:
		offer := g.offers != "" && c.Topic == g.offers
		if c.QoS > 1 || c.QoS == 1 && !offer || !offer && len(packet) > maxPacket || c.Properties != nil && c.Properties.TopicAlias != nil {
			return fmt.Errorf("%w: a message at a quality, or under an alias, that was not asked for", errBroker)
		}
	case *packets.Puback, *packets.Suback, *packets.Pingresp, *packets.Disconnect:
	default:
		return fmt.Errorf("%w: a packet of type %d", errBroker, p.Type)
	}
	if g.greets != 1 {
		return fmt.Errorf("%w: a packet of type %d before its greeting", errBroker, p.Type)
	}
	return nil
}

// greeting checks what a broker demands when it greets.
func (g *guard) greeting(c *packets.Connack) error {
	if g.greets > 1 || c.SessionPresent {
		return fmt.Errorf("%w: a second greeting, or an old session", errBroker)
	}
	p := c.Properties
	if p == nil {
		return nil
	}
	switch {
	case p.ServerKeepAlive != nil && *p.ServerKeepAlive < 10:
		return fmt.Errorf("%w: a demand to be pinged every %d s", errBroker, *p.ServerKeepAlive)
	case p.ReceiveMaximum != nil && *p.ReceiveMaximum == 0:
		return fmt.Errorf("%w: a window of nothing", errBroker)
	case p.MaximumQOS != nil && *p.MaximumQOS < 1:
		return fmt.Errorf("%w: it does not acknowledge messages", errBroker)
	case p.AssignedClientID != "":
		return fmt.Errorf("%w: another name for this printer", errBroker)
	}
	return nil
}

// parse has the library parse a whole packet and turns a panic of it into an error.
func parse(packet []byte) (p *packets.ControlPacket, err error) {
	defer func() {
		if recover() != nil {
			p, err = nil, fmt.Errorf("%w: a packet that cannot be parsed", errBroker)
		}
	}()
	r := bytes.NewReader(packet)
	p, err = packets.ReadPacket(r)
	if err != nil || r.Len() != 0 {
		return nil, fmt.Errorf("%w: a malformed packet", errBroker)
	}
	return p, nil
}
