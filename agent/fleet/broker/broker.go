// Package broker is the fleet's own MQTT v5 broker: mutual TLS 1.3, a printer
// publishes under its own id and reads its own nonces, and nothing is retained,
// stored or passed from one printer to another.
//
// Start at [Start]. Each batch goes to the handler before it is acknowledged, so
// that what a printer believes delivered has been judged and stored. Any other
// MQTT v5 broker can stand in its place, see package ingest.
package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"platen/agent/evidence"
)

// Handler takes what printers send.
type Handler interface {
	// Frame takes a frame that a printer published. It returns once the frame is
	// dealt with for good; an error keeps it from being acknowledged.
	Frame(from evidence.PrinterID, frame []byte) error
	// Nonce makes a nonce for a printer that asks for one, nil if it gets none.
	Nonce(to evidence.PrinterID) []byte
	// Known reports whether a printer is enrolled.
	Known(id evidence.PrinterID) bool
	// Listens is told that a printer waits for offers from now on. It does not block.
	Listens(id evidence.PrinterID)
}

// Config says how a broker listens.
type Config struct {
	// Listen is host:port; port 0 takes a free one.
	Listen string
	// TLS has the server's certificate and the authority of the printers'.
	TLS *tls.Config
	// Handler takes what printers send.
	Handler Handler
	// MaxClients bounds the connections; 0 means 10,000.
	MaxClients int
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

const (
	maxPacket     = 4 << 10 // bytes; a frame is 1 KiB
	helloTime     = 15 * time.Second
	defaultMost   = 10_000
	sysInterval   = 24 * 60 * 60 // seconds: the broker's own statistics are not used
	listenerID    = "mqtts"
	maxHandshakes = 64 // at once
)

// Broker is a broker that runs.
type Broker struct {
	server *mqtt.Server
	nonces *mqtt.Client // publishes them
	lis    *listener
	cfg    Config
	once   sync.Once
	closed error

	mu     sync.Mutex
	offers map[string]*offer // under way, by client id
}

// Start listens and serves until Close.
func Start(cfg Config) (*Broker, error) {
	if cfg.TLS == nil || cfg.Handler == nil {
		return nil, errors.New("a broker needs TLS and a handler")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxClients == 0 {
		cfg.MaxClients = defaultMost
	}
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumClients = int64(cfg.MaxClients)
	caps.MaximumPacketSize = maxPacket
	caps.ReceiveMaximum, caps.MaximumInflight, caps.MaximumClientWritesPending = 16, 16, 64
	caps.TopicAliasMaximum, caps.RetainAvailable, caps.WildcardSubAvailable, caps.SharedSubAvailable, caps.SubIDAvailable = 0, 0, 0, 0, 0
	caps.MinimumProtocolVersion, caps.MaximumQos, caps.MaximumSessionExpiryInterval = 5, 1, 0
	b := &Broker{cfg: cfg, offers: map[string]*offer{}, server: mqtt.New(&mqtt.Options{
		Capabilities: caps, InlineClient: true, SysTopicResendInterval: sysInterval, Logger: slog.New(slog.DiscardHandler)})} // its chatter helps nobody
	b.nonces = b.server.NewClient(nil, mqtt.LocalListener, "nonces", true)
	if err := b.server.AddHook(&gate{b: b}, nil); err != nil {
		return nil, fmt.Errorf("set up the broker: %w", err)
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for printers: %w", err)
	}
	b.lis = &listener{ln: ln, cfg: tlsConfig(cfg.TLS), slots: make(chan struct{}, maxHandshakes), conns: map[net.Conn]bool{}}
	if err := b.server.AddListener(b.lis); err != nil {
		return nil, errors.Join(fmt.Errorf("set up the broker: %w", err), ln.Close())
	}
	if err := b.server.Serve(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the broker: %w", err), ln.Close())
	}
	return b, nil
}

func tlsConfig(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c
}

// Addr is where the broker listens.
func (b *Broker) Addr() string { return b.lis.Address() }

// SendNonces gives every connected printer a new nonce.
func (b *Broker) SendNonces() {
	for _, cl := range b.server.Clients.GetAll() {
		if id, err := evidence.ParsePrinterID(cl.ID); err == nil && !cl.Net.Inline && !cl.Closed() {
			b.sendNonce(id, nil)
		}
	}
}

// sendNonce gives a printer a nonce, in answer to the request of this correlation data if
// it is one (MQTT 5.0, section 4.10).
func (b *Broker) sendNonce(id evidence.PrinterID, correlation []byte) {
	n := b.cfg.Handler.Nonce(id)
	if n == nil {
		return
	}
	err := b.server.InjectPacket(b.nonces, packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish},
		TopicName: evidence.NonceTopic(id), Payload: n, Properties: packets.Properties{CorrelationData: correlation}})
	if err != nil {
		b.cfg.Logger.Warn("a nonce could not be sent", "printer", id.String(), "error", err)
	}
}

// Close disconnects everyone and waits for it. It may be called more than once.
func (b *Broker) Close() error {
	b.once.Do(func() {
		if err := b.server.Close(); err != nil {
			b.closed = fmt.Errorf("stop the broker: %w", err)
		}
		b.lis.wg.Wait()
	})
	return b.closed
}

// gate decides who connects, publishes and subscribes.
type gate struct {
	mqtt.HookBase
	b *Broker
}

// ID names the hook.
func (g *gate) ID() string { return "platen" }

// Provides lists the events the gate takes part in.
func (g *gate) Provides(event byte) bool {
	switch event {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish, mqtt.OnSubscribed, mqtt.OnQosPublish, mqtt.OnPacketProcessed:
		return true
	}
	return false
}

// OnConnect takes the will of a printer, and forgets it: this broker sees itself who
// is gone. Others are refused, since the library would publish them without asking the gate.
func (g *gate) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	if !pk.Connect.WillFlag {
		return nil
	}
	id, kind := evidence.ParseTopic(pk.Connect.WillTopic)
	if kind != evidence.TopicGone || id.String() != cl.ID || string(pk.Connect.WillPayload) != evidence.Gone || pk.Connect.WillRetain {
		return packets.ErrNotAuthorized
	}
	cl.Properties.Will = mqtt.Will{}
	return nil
}

// OnConnectAuthenticate lets a printer in whose certificate names the client id.
func (g *gate) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	conn, ok := cl.Net.Conn.(*tls.Conn)
	if !ok {
		return false
	}
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 || certs[0].Subject.CommonName != cl.ID {
		g.b.cfg.Logger.Warn("a client came under another name than its certificate's", "remote", cl.Net.Remote)
		return false
	}
	id, err := evidence.ParsePrinterID(cl.ID)
	return err == nil && g.b.cfg.Handler.Known(id)
}

// OnACLCheck allows a printer its own four topics.
func (g *gate) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	return allowed(cl.ID, topic, write)
}

func allowed(client, topic string, write bool) bool {
	id, kind := evidence.ParseTopic(topic)
	if id.String() != client {
		return false
	}
	if write {
		return kind == evidence.TopicBatch || kind == evidence.TopicHello
	}
	return kind == evidence.TopicNonce || kind == evidence.TopicOffer
}

// OnPublish hands a batch on, answers a hello, and lets nothing go further.
func (g *gate) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	if !allowed(cl.ID, pk.TopicName, true) { // again: an alias may have changed the topic
		return pk, packets.ErrRejectPacket
	}
	if pk.FixedHeader.Retain { // nothing is kept for later
		return pk, packets.ErrRetainNotSupported
	}
	id, kind := evidence.ParseTopic(pk.TopicName)
	if kind == evidence.TopicHello {
		g.b.sendNonce(id, pk.Properties.CorrelationData)
	} else if err := g.b.cfg.Handler.Frame(id, pk.Payload); err != nil {
		g.b.cfg.Logger.Error("a batch could not be kept; its printer will send it again", "printer", id.String(), "error", err)
		return pk, packets.ErrUnspecifiedError
	}
	return pk, packets.CodeSuccessIgnore
}

// listener shakes hands before the broker sees a connection, and bounds how many
// strangers may do so at once and for how long.
type listener struct {
	ln    net.Listener
	cfg   *tls.Config
	slots chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

// Init has nothing to do: the listener listens already.
func (l *listener) Init(*slog.Logger) error { return nil }

// ID names the listener.
func (l *listener) ID() string { return listenerID }

// Address is host:port.
func (l *listener) Address() string { return l.ln.Addr().String() }

// Protocol is the network.
func (l *listener) Protocol() string { return "tcp" }

// Serve accepts connections until Close.
func (l *listener) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := l.ln.Accept()
		if err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				continue
			}
			return
		}
		select {
		case l.slots <- struct{}{}:
		default:
			_ = conn.Close() // too many strangers at the door
			continue
		}
		l.wg.Go(func() { l.admit(conn, establish) })
	}
}

func (l *listener) admit(raw net.Conn, establish listeners.EstablishFn) {
	if !l.track(raw) {
		<-l.slots
		return
	}
	defer l.forget(raw)
	conn := tls.Server(raw, l.cfg)
	err := conn.SetDeadline(time.Now().Add(helloTime)) // until the CONNECT has come
	if err == nil {
		err = conn.Handshake()
	}
	<-l.slots
	if err != nil {
		return
	}
	// The error says how a client left; what matters of it was logged by the gate.
	_ = establish(listenerID, conn)
	_ = conn.Close()
}

// track remembers a connection, unless the listener is closed.
func (l *listener) track(raw net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = raw.Close()
		return false
	}
	l.conns[raw] = true
	return true
}

func (l *listener) forget(raw net.Conn) {
	_ = raw.Close() // at the latest now
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, raw)
}

// Close stops listening, takes leave of all clients and ends their connections, also
// of those that were about to become clients.
func (l *listener) Close(closeClients listeners.CloseFn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	_ = l.ln.Close() // nothing hangs on it any more
	for raw := range l.conns {
		_ = raw.SetDeadline(time.Now().Add(time.Second)) // nobody holds up the leave-taking
	}
	closeClients(listenerID)
	for raw := range l.conns {
		_ = raw.Close()
	}
}
