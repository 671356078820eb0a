// Package uplink carries frames of evidence from the printer to one recipient's
// broker: MQTT v5 over TLS 1.3, both ends certified, outbound only.
//
// Start at [Dial], which returns at once; [Link.Nonce] waits until the recipient
// can be reached and [Link.Publish] until its broker has a frame. What comes back
// from the broker is a nonce of bounded size and, for a printer that takes them, offers of jobs,
// which are signed by somebody else than the broker. There is no command, no configuration and no
// retained message that this package would act upon. Every packet passes a guard (guard.go)
// before the MQTT library sees it, which bounds size, kind and number. [Enrol] is how a printer gets its client certificate.
//
// A broker keeps no session: what it has not acknowledged is sent again by package telemetry, in its
// order and from a disk, which a session in a broker that nobody need trust could not do better.
// Publishing needs four levels of topic, 1 KiB a packet, quality 1 and nothing that is retained, so
// that AWS IoT Core is broker enough.
//
// The client key stays in the TPM: the TLS handshake asks it for a signature.
package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"platen/agent/evidence"
)

// Config says where a link goes and who the printer is.
type Config struct {
	// Broker is host:port. The certificate of the broker has to be for that host.
	Broker string
	// Roots are the only certificates that the broker's may chain to.
	Roots *x509.CertPool
	// Certificate is the printer's client certificate with its key, usually in the TPM.
	Certificate tls.Certificate
	// Chain, if set, returns the present certificate in DER, leaf first: it is asked
	// at each handshake, so that a renewed one is used without dialling again. The
	// key is that of Certificate.
	Chain func() [][]byte
	// Printer is who publishes; its text form is the MQTT client id.
	Printer evidence.PrinterID
	// Nonce is the recipient's last nonce if one is known, for example from the
	// enrolment.
	Nonce []byte
	// Offer, if set, is given each message on the printer's topic for offers, of at most
	// MaxOffer bytes, and whether the broker had kept it. It is called by one goroutine at a
	// time and holds up the connection. An offer is acknowledged whatever becomes of it: the
	// broker learns nothing else.
	Offer func(envelope []byte, retained bool)
	// Will has the broker publish evidence.Gone to the printer's topic for that, when the
	// connection breaks off without leave: the fleet's own broker needs none.
	Will bool
	// ALPN, if set, is the protocol that the handshake asks for (RFC 7301): brokers that
	// share port 443 with web servers want one. A broker that does not agree is not spoken to.
	ALPN string
	// Alarm, if set, is given the code of each [AlarmError] that is another one than that of
	// the attempt before. It is called by one goroutine at a time and returns at once.
	Alarm func(code string)
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

// MaxOffer is the size of the largest offer in bytes.
const MaxOffer = 16 << 10

const (
	keepAlive   = 60 // seconds; a ping on an idle connection
	dialTime    = 20 * time.Second
	greetTime   = 15 * time.Second
	nonceTime   = 3 * time.Second
	closeTime   = 400 * time.Millisecond
	backoffMin  = 500 * time.Millisecond
	backoffMax  = 2 * time.Minute
	maxNonceLen = evidence.MaxNonce
)

// Link is a connection to one recipient that comes back by itself. Its methods may
// be called from any goroutine.
type Link struct {
	cfg  Config
	host string
	cm   *autopaho.ConnectionManager
	stop context.CancelFunc
	wg   sync.WaitGroup
	ups  chan struct{} // a connection came up; greet it

	mu     sync.Mutex
	conn   net.Conn        // the present connection
	alive  context.Context // ends with the present connection
	end    context.CancelFunc
	ready  bool          // subscribed, and the recipient was asked for a nonce
	state  chan struct{} // closed at each change of what is below mu
	nonce  []byte
	asking []byte    // correlation data of the present connection's request for a nonce
	asked  time.Time // when the recipient was last asked for a nonce
	heard  bool      // a nonce came since
	lastEr error     // why the last attempt failed
	alarm  string    // code of the last alarm; "" since the link was up
}

// Dial begins to connect and returns without waiting for it.
func Dial(cfg Config) (*Link, error) {
	host, _, err := net.SplitHostPort(cfg.Broker)
	if err != nil {
		return nil, fmt.Errorf("broker %q: want host:port", cfg.Broker)
	}
	if cfg.Roots == nil || len(cfg.Certificate.Certificate) == 0 || cfg.Certificate.PrivateKey == nil {
		return nil, errors.New("a link needs the broker's CA and a client certificate with its key: enrol first")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Link{cfg: cfg, host: host, ups: make(chan struct{}, 1), state: make(chan struct{}), nonce: cfg.Nonce}
	l.alive, l.end = context.WithCancel(context.Background())
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.cm, err = autopaho.NewConnection(ctx, l.clientConfig())
	if err != nil {
		stop()
		return nil, fmt.Errorf("connect to %s: %w", cfg.Broker, err)
	}
	l.wg.Go(func() { l.greetAll(ctx) })
	return l, nil
}

func (l *Link) clientConfig() autopaho.ClientConfig {
	id := l.cfg.Printer.String()
	return autopaho.ClientConfig{
		ServerUrls:            []*url.URL{{Scheme: "mqtts", Host: l.cfg.Broker}},
		KeepAlive:             keepAlive,
		ConnectTimeout:        dialTime,
		ReconnectBackoff:      backoff,
		AttemptConnection:     l.attempt,
		OnConnectionUp:        func(*autopaho.ConnectionManager, *paho.Connack) { l.up() },
		OnConnectionDown:      func() bool { l.down(); return true },
		OnConnectError:        l.failed,
		SessionExpiryInterval: 0,
		ConnectPacketBuilder: func(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			c.CleanStart = true // telemetry itself sends again what was not acknowledged
			size, most, alias := uint32(l.largest()), uint16(8), uint16(0)
			c.Properties = &paho.ConnectProperties{MaximumPacketSize: &size, ReceiveMaximum: &most, TopicAliasMaximum: &alias,
				SessionExpiryInterval: new(uint32), RequestResponseInfo: true}
			if l.cfg.Will {
				c.WillMessage = &paho.WillMessage{Topic: evidence.GoneTopic(l.cfg.Printer), Payload: []byte(evidence.Gone)}
			}
			return c, nil
		},
		ClientConfig: paho.ClientConfig{
			ClientID:          id,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){l.received},
		},
	}
}

// backoff is how long to wait before the nth attempt: doubling, and anywhere in the
// upper half, so that printers do not come back all at once.
func backoff(n int) time.Duration {
	if n == 0 {
		return 0
	}
	d := min(backoffMin<<min(n, 16), backoffMax)
	return d/2 + rand.N(d/2)
}

// attempt dials and shakes hands; an MQTT byte goes out only after the broker has
// proved itself.
func (l *Link) attempt(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	d := tls.Dialer{Config: l.tlsConfig()}
	conn, err := d.DialContext(ctx, "tcp", l.cfg.Broker)
	if err != nil {
		return nil, err
	}
	if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != l.cfg.ALPN {
		return nil, errors.Join(fmt.Errorf("the broker does not speak protocol %q", l.cfg.ALPN), conn.Close())
	}
	g := newGuard(conn, l.largest(), l.offers())
	l.change(func() {
		l.end() // of the connection before, if that is not known to be gone yet
		l.conn = g
		l.alive, l.end = context.WithCancel(context.Background())
	})
	return packets.NewThreadSafeConn(g), nil
}

func (l *Link) tlsConfig() *tls.Config {
	cert := l.cfg.Certificate
	cert.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
	if l.cfg.Chain != nil {
		if chain := l.cfg.Chain(); len(chain) > 0 {
			cert.Certificate, cert.Leaf = chain, nil
		}
	}
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: l.cfg.Roots, ServerName: l.host, Certificates: []tls.Certificate{cert},
	}
	if l.cfg.ALPN != "" {
		conf.NextProtos = []string{l.cfg.ALPN}
	}
	return conf
}

// offers is the topic of offers, "" if none are taken.
func (l *Link) offers() string {
	if l.cfg.Offer == nil {
		return ""
	}
	return evidence.OfferTopic(l.cfg.Printer)
}

// largest is the size of the largest packet that is taken.
func (l *Link) largest() int {
	if l.cfg.Offer == nil {
		return maxPacket
	}
	return MaxOffer + maxPacket
}

// change changes the state and wakes whoever waits for it.
func (l *Link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.state)
	l.state = make(chan struct{})
}

func (l *Link) up() {
	select {
	case l.ups <- struct{}{}:
	default: // it is about to be greeted anyway
	}
}

func (l *Link) down() {
	l.change(func() {
		l.ready = false
		l.end()
	})
	l.cfg.Logger.Debug("broker is gone", "broker", l.cfg.Broker)
}

func (l *Link) failed(err error) {
	err = alarm(err, time.Now())
	code := ""
	if a, ok := errors.AsType[*AlarmError](err); ok {
		code = a.Code
	}
	news := false
	l.change(func() { news, l.lastEr, l.alarm = code != "" && code != l.alarm, err, code })
	if news {
		l.cfg.Logger.Warn("broker is not who it has to be", "broker", l.cfg.Broker, "code", code)
		if l.cfg.Alarm != nil {
			l.cfg.Alarm(code)
		}
	}
	l.cfg.Logger.Debug("broker cannot be reached", "broker", l.cfg.Broker, "error", err)
}

// drop ends the present connection; the link then makes a new one.
func (l *Link) drop() {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // it is given up either way
	}
}

// Nonce waits until the broker can be reached and returns the recipient's last
// nonce, nil if it never sent one. A recipient that is slow to send one after the
// connection came up is given 3 s. When ctx ends first, the error says why the
// broker could not be reached.
func (l *Link) Nonce(ctx context.Context) ([]byte, error) {
	for {
		l.mu.Lock()
		ready, heard, asked, nonce, state, last := l.ready, l.heard, l.asked, l.nonce, l.state, l.lastEr
		l.mu.Unlock()
		patience := time.Until(asked.Add(nonceTime))
		if ready && (heard || patience <= 0) {
			return nonce, nil
		}
		var late <-chan time.Time
		if ready {
			t := time.NewTimer(patience)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-state:
		case <-late:
		case <-ctx.Done():
			if last == nil {
				last = ctx.Err()
			}
			return nil, fmt.Errorf("broker %s: %w", l.cfg.Broker, last)
		}
	}
}

// noSubscriber is the reason of a PUBACK that says that nobody waits for the message (MQTT 5.0,
// section 3.4.2.1): the broker forgets it.
const noSubscriber = 0x10

// Publish sends a frame and returns once the broker has acknowledged it, and has somebody to pass
// it on to. A broker that does not answer within ctx is connected to anew.
func (l *Link) Publish(ctx context.Context, frame []byte) error {
	l.mu.Lock()
	alive := l.alive
	l.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)() // the library would wait on for ever
	resp, err := l.cm.Publish(ctx, &paho.Publish{Topic: evidence.BatchTopic(l.cfg.Printer), QoS: 1, Payload: frame})
	if err != nil {
		if resp != nil {
			return fmt.Errorf("broker %s refuses the frame with reason 0x%02x", l.cfg.Broker, resp.ReasonCode)
		}
		if alive.Err() != nil {
			err = errors.New("the connection broke off before the frame was acknowledged")
		} else if !errors.Is(err, autopaho.ConnectionDownError) {
			l.drop()
		}
		return fmt.Errorf("broker %s: %w", l.cfg.Broker, err)
	}
	if resp.ReasonCode == noSubscriber {
		return fmt.Errorf("broker %s has nobody who takes frames: the recipient's side is not subscribed there", l.cfg.Broker)
	}
	return nil
}

// Close disconnects, within a second.
func (l *Link) Close() error {
	l.stop()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	err := l.cm.Disconnect(ctx)
	l.drop() // whether or not the broker took its leave
	l.change(func() { l.end() })
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		err = l.cm.Disconnect(ctx)
	}
	l.wg.Wait()
	if err != nil {
		return fmt.Errorf("leave broker %s: %w", l.cfg.Broker, err)
	}
	return nil
}
