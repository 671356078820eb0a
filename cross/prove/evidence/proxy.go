package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"platen/agent/evidence"
)

// The packets of MQTT v5 that the proxy looks into (section 2.1.2), and its bounds.
const (
	packetPublish = 3
	packetPuback  = 4
	maxPacket     = 64 << 10 // bytes
	maxUnacked    = 32       // of our own, at the broker
)

// packet is one control packet: its first byte, and what follows its length.
type packet struct {
	head byte
	body []byte
}

func (p packet) kind() byte { return p.head >> 4 }

// readPacket reads one control packet (section 2.1).
func readPacket(r *bufio.Reader) (packet, error) {
	head, err := r.ReadByte()
	if err != nil {
		return packet{}, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > maxPacket {
		return packet{}, fmt.Errorf("a packet of %d bytes: %w", size, err)
	}
	body := make([]byte, size)
	_, err = io.ReadFull(r, body)
	return packet{head, body}, err
}

func (p packet) write(w io.Writer) error {
	b := binary.AppendUvarint([]byte{p.head}, uint64(len(p.body)))
	_, err := w.Write(append(b, p.body...))
	return err
}

// publish makes a PUBLISH without properties (section 3.3); id 0 is QoS 0.
func publish(topic string, id uint16, payload []byte, retain bool) packet {
	p := packet{head: packetPublish << 4}
	p.body = binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	p.body = append(p.body, topic...)
	if id != 0 {
		p.head |= 1 << 1
		p.body = binary.BigEndian.AppendUint16(p.body, id)
	}
	if retain {
		p.head |= 1
	}
	p.body = append(p.body, 0) // no properties
	p.body = append(p.body, payload...)
	return p
}

// parsePublish takes a PUBLISH apart.
func parsePublish(p packet) (topic string, id uint16, payload []byte, err error) {
	b := p.body
	cut := func(n int) (out []byte) {
		if n > len(b) {
			err = errors.New("a PUBLISH is cut short")
			n = len(b)
		}
		out, b = b[:n], b[n:]
		return out
	}
	if l := cut(2); err == nil {
		topic = string(cut(int(binary.BigEndian.Uint16(l))))
	}
	if p.head>>1&3 > 0 {
		if l := cut(2); err == nil {
			id = binary.BigEndian.Uint16(l)
		}
	}
	n, used := binary.Uvarint(b)
	if used <= 0 {
		return "", 0, nil, errors.New("a PUBLISH is cut short")
	}
	cut(used)
	cut(int(n))
	return topic, id, b, err
}

// schemer decides what becomes of a frame that a printer published. It returns what goes
// to the broker in its place, in order, and whether the printer is told that its frame
// arrived before the broker has said so.
type schemer interface {
	frame(payload []byte) (out []sending, ack bool)
	acked(payload []byte)
}

// sending is one message to the broker.
type sending struct {
	payload []byte
	genuine bool // the printer waits for its acknowledgement
}

// honest passes every frame on, and notes those that were acknowledged.
type honest struct {
	mu   sync.Mutex
	seen map[[32]byte][]byte
}

func (h *honest) frame(p []byte) ([]sending, bool) {
	return []sending{{payload: p, genuine: true}}, false
}

func (h *honest) acked(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen[identity(p)] = p
}

func (h *honest) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen)
}

// proxy stands between printers and a broker, with a certificate that each takes for the
// other's: it sees and changes whatever passes.
type proxy struct {
	addr    string // where printers come to
	broker  string
	up      *tls.Config
	schemer schemer
	topic   string // of the printer's batches

	ln net.Listener
	wg sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	down *session // the present one
}

// session is one printer's connection.
type session struct {
	p              *proxy
	client, broker net.Conn
	toClient       sync.Mutex
	toBroker       sync.Mutex
	slots          chan struct{}
	done           chan struct{} // closed when all that came has gone on
	mu             sync.Mutex
	next           uint16
	waiting        map[uint16]wait // by the packet id at the broker
}

// wait is a message that the broker has not acknowledged.
type wait struct {
	sending
	id    uint16 // at the printer
	early bool   // the printer was told already
}

func newProxy(broker, topic string, down, up *tls.Config, s schemer) (*proxy, error) {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", down)
	if err != nil {
		return nil, err
	}
	p := &proxy{addr: ln.Addr().String(), broker: broker, up: up, schemer: s, topic: topic, ln: ln, open: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) close() {
	_ = p.ln.Close()
	p.mu.Lock()
	for c := range p.open {
		_ = c.Close()
	}
	p.open = nil
	p.mu.Unlock()
	p.wg.Wait()
}

// keep notes a connection that close ends; false: it is closed already.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		_ = c.Close()
		return false
	}
	p.open[c] = true
	return true
}

func (p *proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		if p.keep(client) {
			p.wg.Go(func() { p.serve(client) })
		}
	}
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	broker, err := tls.Dial("tcp", p.broker, p.up)
	if err != nil || !p.keep(broker) {
		return
	}
	defer broker.Close()
	s := &session{p: p, client: client, broker: broker, slots: make(chan struct{}, maxUnacked), done: make(chan struct{}), waiting: map[uint16]wait{}}
	p.mu.Lock()
	p.down = s
	p.mu.Unlock()
	p.wg.Go(func() {
		_ = s.fromBroker() // that it ended is all there is to it
		_ = client.Close()
		_ = broker.Close()
	})
	_ = s.fromClient() // likewise
	for range maxUnacked {
		s.slots <- struct{}{} // once the broker has acknowledged everything, or is gone
	}
	close(s.done)
}

func (s *session) fromClient() error {
	r := bufio.NewReader(s.client)
	for {
		pk, err := readPacket(r)
		if err != nil {
			return err
		}
		if pk.kind() == packetPublish {
			topic, id, payload, err := parsePublish(pk)
			if err != nil {
				return err
			}
			if topic == s.p.topic {
				if err := s.batch(id, payload); err != nil {
					return err
				}
				continue
			}
		}
		if err := s.write(&s.toBroker, s.broker, pk); err != nil {
			return err
		}
	}
}

// batch sends what the schemer makes of a frame.
func (s *session) batch(id uint16, payload []byte) error {
	out, early := s.p.schemer.frame(payload)
	if early {
		if err := s.ack(id); err != nil {
			return err
		}
		s.p.schemer.acked(payload)
	}
	for _, m := range out {
		s.slots <- struct{}{} // given back with each PUBACK, or all at the end
		s.mu.Lock()
		if s.waiting == nil {
			s.mu.Unlock()
			<-s.slots
			return net.ErrClosed
		}
		for s.next++; s.next == 0 || s.waiting[s.next].payload != nil; s.next++ {
		}
		own := s.next
		s.waiting[own] = wait{m, id, early}
		s.mu.Unlock()
		if err := s.write(&s.toBroker, s.broker, publish(s.p.topic, own, m.payload, false)); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) ack(id uint16) error {
	return s.write(&s.toClient, s.client, packet{packetPuback << 4, binary.BigEndian.AppendUint16(nil, id)})
}

func (s *session) write(mu *sync.Mutex, w io.Writer, pk packet) error {
	mu.Lock()
	defer mu.Unlock()
	return pk.write(w)
}

func (s *session) fromBroker() error {
	defer s.end()
	r := bufio.NewReader(s.broker)
	for {
		pk, err := readPacket(r)
		if err != nil {
			return err
		}
		if pk.kind() == packetPuback && len(pk.body) >= 2 {
			err = s.puback(pk.body)
		} else {
			err = s.write(&s.toClient, s.client, pk)
		}
		if err != nil {
			return err
		}
	}
}

// end lets go of whoever waits for a slot.
func (s *session) end() {
	s.mu.Lock()
	n := len(s.waiting)
	s.waiting = nil
	s.mu.Unlock()
	for range n {
		<-s.slots
	}
}

// puback settles one message: the printer hears of its own only.
func (s *session) puback(body []byte) error {
	s.mu.Lock()
	w, ok := s.waiting[binary.BigEndian.Uint16(body)]
	delete(s.waiting, binary.BigEndian.Uint16(body))
	s.mu.Unlock()
	if !ok {
		return errors.New("the broker acknowledges what nobody sent")
	}
	<-s.slots
	if !w.genuine || w.early {
		return nil
	}
	if err := s.ack(w.id); err != nil {
		return err
	}
	s.p.schemer.acked(w.payload)
	return nil
}

// settled waits until the present session has ended and all that came over it has gone on.
func (p *proxy) settled() {
	p.mu.Lock()
	s := p.down
	p.mu.Unlock()
	if s != nil {
		<-s.done
	}
}

// say sends the printer a message as if it came from the broker.
func (p *proxy) say(topic string, payload []byte, retain bool) error {
	p.mu.Lock()
	s := p.down
	p.mu.Unlock()
	if s == nil {
		return errors.New("no printer is connected")
	}
	return s.write(&s.toClient, s.client, publish(topic, 0, payload, retain))
}

// identity tells frames apart: the digest of what a quote is over.
func identity(frame []byte) [32]byte {
	b, err := evidence.Decode(frame)
	if err != nil {
		return [32]byte{}
	}
	h, err := evidence.ParseHeader(b.Header)
	if err != nil {
		return [32]byte{}
	}
	d, err := h.Digest()
	if err != nil {
		return [32]byte{}
	}
	return d
}
