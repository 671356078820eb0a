package broker

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
)

var (
	one = evidence.PrinterID{1}
	two = evidence.PrinterID{2}
)

type desk struct {
	mu  sync.Mutex
	got []string
}

func (d *desk) Frame(from evidence.PrinterID, f []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, fmt.Sprintf("%d:%s", from[0], f))
	return nil
}

func (d *desk) Nonce(evidence.PrinterID) []byte  { return []byte("nonce") }
func (d *desk) Known(id evidence.PrinterID) bool { return id == one || id == two }
func (d *desk) Listens(id evidence.PrinterID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, fmt.Sprintf("%d listens", id[0]))
}

func (d *desk) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.got...)
}
func id16(n byte) []byte         { return []byte{0, n} }
func text(s string) []byte       { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }
func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
func packet(head byte, body ...[]byte) []byte {
	b := cat(body...)
	return cat([]byte{head}, size(len(b)), b)
}
func publish(topic string, payload, props []byte) []byte {
	return packet(0x32, text(topic), id16(7), append([]byte{byte(len(props))}, props...), payload)
}

func size(n int) []byte {
	var b []byte
	for n >= 0x80 {
		b, n = append(b, byte(n)|0x80), n>>7
	}
	return append(b, byte(n))
}

// connect is a CONNECT with flags and, with them, a will.
func connect(id string, flags byte, will ...[]byte) []byte {
	return packet(0x10, text("MQTT"), []byte{5, flags, 0, 60, 0}, text(id), cat(will...))
}

type rig struct {
	t *testing.T
	a *ca.CA
	b *Broker
	d *desk
}

func start(t *testing.T) *rig {
	t.Helper()
	a, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Server([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{}
	b, err := Start(Config{Listen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: a.Pool()}, Handler: d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{t: t, a: a, b: b, d: d}
}

// dial connects with the certificate of printer id.
func (r *rig) dial(id evidence.PrinterID) net.Conn {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	der, err := r.a.Client(&x509.CertificateRequest{PublicKey: key.Public()}, id)
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", r.b.Addr(), &tls.Config{RootCAs: r.a.Pool(), Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answer reads one packet: its type and body.
func answer(conn net.Conn) (byte, []byte) {
	var head [2]byte
	if _, err := conn.Read(head[:1]); err != nil {
		return 0, nil
	}
	if _, err := conn.Read(head[1:]); err != nil {
		return 0, nil
	}
	body := make([]byte, head[1])
	for n := 0; n < len(body); {
		m, err := conn.Read(body[n:])
		if err != nil {
			return 0, nil
		}
		n += m
	}
	return head[0] >> 4, body
}

func (r *rig) say(conn net.Conn, b []byte) (byte, []byte) {
	r.t.Helper()
	if _, err := conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
	return answer(conn)
}

func TestWhoMayConnect(t *testing.T) {
	r := start(t)
	for name, c := range map[string]struct {
		cert evidence.PrinterID
		hi   []byte
		ok   bool
	}{
		"control":         {one, connect(one.String(), 2), true},
		"another's name":  {one, connect(two.String(), 2), false},
		"no name":         {one, connect("", 2), false},
		"not enrolled":    {evidence.PrinterID{3}, connect(evidence.PrinterID{3}.String(), 2), false},
		"with a will":     {one, connect(one.String(), 6, []byte{0}, text(evidence.NonceTopic(two)), text("evil")), false},
		"MQTT 3.1.1":      {one, packet(0x10, text("MQTT"), []byte{4, 2, 0, 60}, text(one.String())), false},
		"the inline name": {one, connect("inline", 2), false},
	} {
		kind, body := r.say(r.dial(c.cert), c.hi)
		if ok := kind == packets.Connack && len(body) > 1 && body[1] == 0; ok != c.ok {
			t.Errorf("%s: let in %v (packet %d, % x)", name, ok, kind, body)
		}
	}
}

// T05: nothing passes between printers, nothing is kept.
func TestPrintersAreKeptApart(t *testing.T) {
	r := start(t)
	conn, other := r.dial(one), r.dial(two)
	r.say(conn, connect(one.String(), 2))
	r.say(other, connect(two.String(), 2))
	for topic, want := range map[string]bool{
		evidence.NonceTopic(one): true, evidence.OfferTopic(one): true, evidence.OfferTopic(two): false, "platen/v1/+/offer": false,
		evidence.NonceTopic(two): false, evidence.BatchTopic(one): false, evidence.BatchTopic(two): false,
		"#": false, "platen/v1/+/nonce": false, "$SYS/#": false, "$share/g/" + evidence.NonceTopic(one): false,
	} {
		kind, body := r.say(conn, packet(0x82, id16(1), []byte{0}, text(topic), []byte{0}))
		if ok := kind == packets.Suback && body[len(body)-1] < 0x80; ok != want {
			t.Errorf("subscribing to %s: %v", topic, ok)
		}
	}
	if _, body := r.say(other, packet(0x82, id16(1), []byte{0}, text(evidence.NonceTopic(two)), []byte{0})); body[len(body)-1] != 0 {
		t.Fatal("control: the other printer cannot subscribe to its own nonces")
	}
	for topic, want := range map[string]bool{
		evidence.BatchTopic(one): true, evidence.BatchTopic(two): false, evidence.NonceTopic(two): false, evidence.NonceTopic(one): false, "platen/v1/x/evidence": false,
		evidence.OfferTopic(one): false, evidence.OfferTopic(two): false,
	} {
		kind, body := r.say(conn, publish(topic, []byte("frame"), nil))
		if ok := kind == packets.Puback && (len(body) < 3 || body[2] < 0x80); ok != want {
			t.Errorf("publishing to %s: acknowledged %v (% x)", topic, ok, body)
		}
	}
	if got := r.d.list(); !slices.Equal(got, []string{"1 listens", "1:frame"}) {
		t.Errorf("the handler got %q", got)
	}
	// The other printer has heard nothing; it would hear a nonce, the control.
	r.b.SendNonces()
	if kind, body := answer(other); kind != packets.Publish || !bytes.HasSuffix(body, []byte("nonce")) {
		t.Errorf("the first thing the other printer heard: packet %d, %q", kind, body)
	}
}

func TestBrokerBoundsWhatItReads(t *testing.T) {
	for name, b := range map[string][]byte{
		"a large frame":  publish(evidence.BatchTopic(one), make([]byte, maxPacket+1), nil),
		"a topic alias":  publish(evidence.BatchTopic(one), []byte("x"), []byte{0x23, 0, 1}),
		"256 MiB":        {0x32, 0xff, 0xff, 0xff, 0x7f},
		"retained frame": packet(0x33, text(evidence.BatchTopic(one)), id16(1), []byte{0}, []byte("x")),
	} {
		r := start(t)
		conn := r.dial(one)
		r.say(conn, connect(one.String(), 2))
		if kind, body := r.say(conn, b); kind == packets.Puback && (len(body) < 3 || body[2] < 0x80) || len(r.d.list()) != 0 {
			t.Errorf("%s: taken (packet %d, % x)", name, kind, body)
		}
	}
	r := start(t)
	conn := r.dial(one)
	r.say(conn, connect(one.String(), 2))
	if kind, _ := r.say(conn, publish(evidence.BatchTopic(one), make([]byte, evidence.WireSize), nil)); kind != packets.Puback || len(r.d.list()) != 1 {
		t.Error("control: a frame of the usual size was not taken")
	}
}
