package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"platen/agent/evidence"
)

// BridgeConfig says which broker printers publish to, if it is not the fleet's own.
type BridgeConfig struct {
	// Broker is host:port.
	Broker string
	// TLS has the broker's authority and the certificate that the fleet shows it. The
	// broker's access rules have to let the fleet read the batches and hellos of all
	// printers and write their nonces and offers, and a printer its own topics alone.
	TLS *tls.Config
	// ClientID is the fleet's MQTT client id.
	ClientID string
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

// maxWaiting bounds the frames that wait to be judged or stored; MQTT's receive maximum keeps
// a broker from sending more. With ackEvery it bounds how many pass in a second.
const (
	maxWaiting = 256
	ackEvery   = 5 * time.Millisecond
)

// Bridge is a connection to a broker that is not the fleet's own.
type Bridge struct {
	in     *Ingest
	cfg    BridgeConfig
	cm     *autopaho.ConnectionManager
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	wg     sync.WaitGroup
	ups    chan struct{}
	asks   chan ask
	judges []chan taken // each for some of the printers
	kept   chan taken   // judged, in that order

	mu   sync.Mutex
	conn net.Conn // the present one
}

// NewBridge connects to a broker and keeps connected until Close.
func NewBridge(in *Ingest, cfg BridgeConfig) (*Bridge, error) {
	host, _, err := net.SplitHostPort(cfg.Broker)
	if err != nil || cfg.TLS == nil {
		return nil, fmt.Errorf("broker %q: want host:port, its CA and a client certificate", cfg.Broker)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.MinVersion = tls.VersionTLS13
	if cfg.TLS.ServerName == "" {
		cfg.TLS.ServerName = host
	}
	b := &Bridge{in: in, cfg: cfg, ups: make(chan struct{}, 1), asks: make(chan ask, maxWaiting), kept: make(chan taken, maxWaiting)}
	b.ctx, b.stop = context.WithCancel(context.Background())
	for range runtime.GOMAXPROCS(0) {
		frames := make(chan taken, maxWaiting)
		b.judges = append(b.judges, frames)
		b.wg.Go(func() { b.judge(frames) })
	}
	b.wg.Go(b.keep)
	if b.cm, err = autopaho.NewConnection(b.ctx, b.clientConfig()); err != nil {
		b.stop()
		b.wg.Wait()
		return nil, fmt.Errorf("connect to %s: %w", cfg.Broker, err)
	}
	b.wg.Go(func() { b.work(b.ctx) })
	return b, nil
}

func (b *Bridge) clientConfig() autopaho.ClientConfig {
	return autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtts", Host: b.cfg.Broker}}, KeepAlive: 30, ConnectTimeout: 20 * time.Second,
		SessionExpiryInterval: 24 * 60 * 60, // the broker keeps batches while the fleet is away
		ReconnectBackoff: func(n int) time.Duration {
			if n == 0 {
				return 0
			}
			d := min(time.Second<<min(n, 8), time.Minute)
			return d/2 + rand.N(d/2)
		},
		AttemptConnection: func(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			conn, err := (&tls.Dialer{Config: b.cfg.TLS}).DialContext(ctx, "tcp", b.cfg.Broker)
			if err != nil {
				return nil, err
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			b.conn = conn
			return packets.NewThreadSafeConn(conn), nil
		},
		OnConnectionUp: func(*autopaho.ConnectionManager, *paho.Connack) {
			select {
			case b.ups <- struct{}{}:
			default: // about to subscribe anyway
			}
		},
		OnConnectError: func(err error) {
			b.cfg.Logger.Warn("broker cannot be reached", "broker", b.cfg.Broker, "error", err)
		},
		ConnectPacketBuilder: func(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			size, most, alias := uint32(8<<10), uint16(maxWaiting), uint16(0)
			if c.Properties == nil {
				c.Properties = &paho.ConnectProperties{}
			}
			c.Properties.MaximumPacketSize, c.Properties.ReceiveMaximum, c.Properties.TopicAliasMaximum = &size, &most, &alias
			return c, nil
		},
		ClientConfig: paho.ClientConfig{ClientID: b.cfg.ClientID, EnableManualAcknowledgment: true, SendAcksInterval: ackEvery,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){b.received}},
	}
}

// received hands a frame on to be judged. A retained message is an old one that a broker should
// not have kept.
func (b *Bridge) received(p paho.PublishReceived) (bool, error) {
	id, kind := evidence.ParseTopic(p.Packet.Topic)
	switch {
	case p.Packet.Retain:
	case kind == evidence.TopicHello:
		select {
		case b.asks <- askOf(id, p.Packet):
		default: // so many are asking that all will get one soon anyway
		}
	case kind == evidence.TopicBatch:
		b.mu.Lock()
		conn := b.conn
		b.mu.Unlock()
		select {
		case b.judges[int(id[0])%len(b.judges)] <- taken{id: id, p: p, conn: conn}:
		case <-b.ctx.Done():
		}
		return true, nil
	}
	b.ack(id, p)
	return true, nil
}

// taken is a frame on its way from the broker to the disk.
type taken struct {
	id   evidence.PrinterID
	p    paho.PublishReceived
	conn net.Conn
	w    *write // what follows from it, nil: nothing
}

// judge judges the frames of its printers, in their order, until ctx ends.
func (b *Bridge) judge(frames <-chan taken) {
	for {
		select {
		case <-b.ctx.Done():
			return
		case t := <-frames:
			var err error
			if t.w, err = b.in.begin(t.id, t.p.Packet.Payload); err != nil {
				b.again(t, err)
				continue
			}
			select {
			case b.kept <- t:
			case <-b.ctx.Done():
				return
			}
		}
	}
}

// keep acknowledges what is stored, until ctx ends.
func (b *Bridge) keep() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case t := <-b.kept:
			if t.w != nil {
				if err := b.in.commit.wait(t.w); err != nil {
					b.again(t, err)
					continue
				}
			}
			b.ack(t.id, t.p)
		}
	}
}

// again gives the connection up on which a frame came that could not be kept: the broker
// delivers it, and what came behind it, on the next one.
func (b *Bridge) again(t taken, err error) {
	b.cfg.Logger.Error("a batch could not be kept; the broker will deliver it again", "printer", t.id.String(), "error", err)
	_ = t.conn.Close() // it is given up either way
}

// ack acknowledges a message that asks for it.
func (b *Bridge) ack(id evidence.PrinterID, p paho.PublishReceived) {
	if p.Packet.QoS == 0 {
		return
	}
	if err := p.Client.Ack(p.Packet); err != nil && !errors.Is(err, paho.ErrPacketNotFound) {
		b.cfg.Logger.Warn("a batch could not be acknowledged", "printer", id.String(), "error", err)
	}
}

// work subscribes on each new connection and answers who asks for a nonce.
func (b *Bridge) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.ups:
			if err := b.subscribe(ctx); err != nil && ctx.Err() == nil {
				b.cfg.Logger.Error("the broker does not let the fleet subscribe", "broker", b.cfg.Broker, "error", err)
				continue
			}
			b.SendNonces()
		case a := <-b.asks:
			b.sendNonce(ctx, a)
		}
	}
}

func (b *Bridge) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	_, err := b.cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: evidence.AllBatches, QoS: 1, RetainHandling: 2},
		{Topic: evidence.AllHellos, QoS: 0, RetainHandling: 2}}})
	return err
}

// SendNonces gives every enrolled printer a new nonce.
func (b *Bridge) SendNonces() {
	for _, id := range b.in.verifier.Printers() {
		select {
		case b.asks <- ask{id: id}:
		default:
			return // the rest get theirs next time
		}
	}
}

// ask is who wants a nonce, and the correlation data of the request (MQTT 5.0, section
// 4.10), nil if there was none.
type ask struct {
	id          evidence.PrinterID
	correlation []byte
}

func askOf(id evidence.PrinterID, p *paho.Publish) ask {
	a := ask{id: id}
	if p.Properties != nil {
		a.correlation = p.Properties.CorrelationData
	}
	return a
}

func (b *Bridge) sendNonce(ctx context.Context, a ask) {
	n := b.in.Nonce(a.id)
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := b.cm.Publish(ctx, &paho.Publish{Topic: evidence.NonceTopic(a.id), QoS: 0, Payload: n,
		Properties: &paho.PublishProperties{CorrelationData: a.correlation}}); err != nil {
		b.cfg.Logger.Warn("a nonce could not be sent", "printer", a.id.String(), "error", err)
	}
}

// noSubscriber is the reason of a PUBACK that says that nobody waits for the message (MQTT 5.0,
// section 3.4.2.1).
const noSubscriber = 0x10

// Offer sends an offer to a printer and returns once the broker has passed it on.
func (b *Bridge) Offer(ctx context.Context, to evidence.PrinterID, envelope []byte) error {
	resp, err := b.cm.Publish(ctx, &paho.Publish{Topic: evidence.OfferTopic(to), QoS: 1, Payload: envelope})
	if err != nil {
		return fmt.Errorf("offer a job: %w", err)
	}
	if resp.ReasonCode == noSubscriber {
		return errors.New("the printer takes no offers now")
	}
	return nil
}

// Close disconnects and waits for what is under way.
func (b *Bridge) Close() error {
	b.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := b.cm.Disconnect(ctx)
	b.wg.Wait()
	if err != nil {
		return fmt.Errorf("leave broker %s: %w", b.cfg.Broker, err)
	}
	return nil
}
