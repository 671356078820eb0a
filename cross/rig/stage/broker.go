package stage

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"platen/agent/fleet/ca"
)

// Broker is a broker in the hands of an attacker who even has a certificate of the
// fleet: it passes frames on, keeps them, repeats them and swallows them.
type Broker struct {
	mqtt.HookBase

	// Addr is where it listens.
	Addr string
	// Gulped tells of each frame that was swallowed.
	Gulped chan struct{}

	server *mqtt.Server
	tap    io.Writer

	mu     sync.Mutex
	kept   []packets.Packet // frames that passed
	vanish int              // how many of the next frames do
}

// Insider has the fleet whose CA certificate lies at path certify the attacker, and
// writes certificate and key to insider.pem and insider.key in dir.
func Insider(path, dir string) (tls.Certificate, error) {
	authority, err := ca.Open(filepath.Dir(path))
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := authority.Server([]string{"127.0.0.1"})
	if err != nil {
		return cert, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return cert, err
	}
	return cert, errors.Join(
		os.WriteFile(filepath.Join(dir, "insider.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600),
		os.WriteFile(filepath.Join(dir, "insider.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

// NewBroker starts a broker. tap, if not nil, is given every byte that comes in, as
// the broker sees it: after TLS. Its writes come one at a time.
func NewBroker(cert tls.Certificate, tap io.Writer) (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Broker{Addr: l.Addr().String(), Gulped: make(chan struct{}, 16), tap: tap}
	b.server = mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := b.server.AddHook(b, nil); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	tl := tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
	if err := b.server.AddListener(listeners.NewNet("hostile", &tapped{Listener: tl, b: b})); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return b, b.server.Serve()
}

// Close ends the broker.
func (b *Broker) Close() error { return b.server.Close() }

// tapped passes what its connections read to the broker's tap.
type tapped struct {
	net.Listener
	b *Broker
}

// Accept waits for a connection.
func (t *tapped) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil || t.b.tap == nil {
		return c, err
	}
	return &tappedConn{c, t.b}, nil
}

type tappedConn struct {
	net.Conn
	b *Broker
}

// Read reads, and lets the tap see it.
func (c *tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if _, terr := c.b.tap.Write(p[:n]); terr != nil && err == nil {
		err = terr
	}
	return n, err
}

// ID names the hook.
func (b *Broker) ID() string { return "hostile" }

// Provides says which of the broker's events the hook sees.
func (b *Broker) Provides(what byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish}, []byte{what})
}

// OnConnectAuthenticate lets everybody in.
func (b *Broker) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck allows everything.
func (b *Broker) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// OnPublish keeps a frame, or lets it vanish though its sender is told that it
// arrived.
func (b *Broker) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline || !strings.HasSuffix(pk.TopicName, "/evidence") {
		return pk, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.vanish > 0 {
		b.vanish--
		b.Gulped <- struct{}{}
		return pk, packets.CodeSuccessIgnore
	}
	b.kept = append(b.kept, pk.Copy(false))
	return pk, nil
}

// Kept is how many frames have passed.
func (b *Broker) Kept() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.kept)
}

// Replay publishes the oldest frame kept once more.
func (b *Broker) Replay() error { return b.again(func([]byte) {}) }

// Flip publishes the oldest frame kept with one bit changed.
func (b *Broker) Flip() error { return b.again(func(p []byte) { p[len(p)/8] ^= 1 }) }

// again publishes the oldest frame kept after change.
func (b *Broker) again(change func([]byte)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) == 0 {
		return errors.New("no frame has passed yet")
	}
	p := bytes.Clone(b.kept[0].Payload)
	change(p)
	return b.server.Publish(b.kept[0].TopicName, p, false, 1)
}

// Swallow lets the next frame vanish.
func (b *Broker) Swallow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.vanish = 1
}
