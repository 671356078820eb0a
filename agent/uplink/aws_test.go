package uplink

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"platen/agent/evidence"
)

// strict is a broker with the limits of AWS IoT Core ("AWS IoT Core endpoints and quotas",
// "MQTT 5 supported features"): what is beyond them ends the connection, and the test.
type strict struct {
	mu     sync.Mutex
	broken []string
	frames [][]byte
	hellos []*packets.Publish
	wills  []string // topics
}

const awsALPN = "x-amzn-mqtt-ca"

// awsLimits says what of a packet AWS IoT Core would not take.
func awsLimits(p *packets.ControlPacket) error {
	switch c := p.Content.(type) {
	case *packets.Connect:
		switch {
		case c.ProtocolVersion != 5 || len(c.ClientID) > 128 || c.ClientID == "":
			return errors.New("client id, or version")
		case c.KeepAlive < 30 || c.KeepAlive > 1200:
			return errors.New("keep alive")
		case c.WillRetain || c.WillQOS > 1 || len(c.WillTopic) > 256:
			return errors.New("will")
		case c.Properties.AuthMethod != "":
			return errors.New("enhanced authentication")
		case c.Properties.SessionExpiryInterval != nil && *c.Properties.SessionExpiryInterval > 7*24*60*60:
			return errors.New("session expiry")
		}
	case *packets.Publish:
		switch {
		case len(c.Topic) > 256 || strings.Count(c.Topic, "/") > 7 || strings.HasPrefix(c.Topic, "$"):
			return errors.New("topic")
		case c.QoS > 1 || c.Retain || len(c.Payload) > 128<<10:
			return errors.New("quality, retained, or size")
		case c.Properties.SubscriptionIdentifier != nil:
			return errors.New("subscription identifier")
		}
	case *packets.Subscribe:
		if len(c.Subscriptions) > 8 || c.Properties.SubscriptionIdentifier != nil {
			return errors.New("subscriptions, or an identifier of one")
		}
		for _, s := range c.Subscriptions {
			if s.QoS > 1 || strings.HasPrefix(s.Topic, "$share/") || strings.Count(s.Topic, "/") > 7 {
				return errors.New("a subscription")
			}
		}
	case *packets.Puback, *packets.Pingreq, *packets.Disconnect:
	default:
		return fmt.Errorf("packet type %d", p.Type)
	}
	return nil
}

// talk serves one client.
func (s *strict) talk(conn io.ReadWriteCloser) {
	defer conn.Close()
	for {
		p, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		if err := awsLimits(p); err != nil {
			s.mu.Lock()
			s.broken = append(s.broken, err.Error())
			s.mu.Unlock()
			return
		}
		s.answer(conn, p)
	}
}

func (s *strict) answer(conn io.Writer, p *packets.ControlPacket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c := p.Content.(type) {
	case *packets.Connect:
		if c.WillFlag && string(c.WillMessage) == evidence.Gone {
			s.wills = append(s.wills, c.WillTopic)
		}
		// session expiry, receive maximum, quality, size, aliases, no identifiers, keep alive
		props := []byte{0x11, 0, 0, 0, 0, 0x21, 0, 100, 0x24, 1, 0x27, 0, 2, 0x48, 0, 0x22, 0, 8, 0x29, 0, 0x13, 0, 60}
		_, _ = conn.Write(append([]byte{0x20, byte(3 + len(props)), 0, 0, byte(len(props))}, props...))
	case *packets.Subscribe:
		_, _ = conn.Write([]byte{0x90, 4, byte(c.PacketID >> 8), byte(c.PacketID), 0, 0})
	case *packets.Pingreq:
		_, _ = conn.Write([]byte{0xd0, 0})
	case *packets.Publish:
		if c.QoS == 0 {
			s.hellos = append(s.hellos, c)
			_, _ = conn.Write(answerTo(c, c.Properties.CorrelationData, "fresh"))
			return
		}
		s.frames = append(s.frames, c.Payload)
		_, _ = conn.Write([]byte{0x40, 2, byte(c.PacketID >> 8), byte(c.PacketID)})
	}
}

// answerTo is a nonce on the response topic of a hello.
func answerTo(hello *packets.Publish, correlation []byte, nonce string) []byte {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.PUBLISH)
	c := p.Content.(*packets.Publish)
	c.Topic, c.Payload, c.Properties.CorrelationData = hello.Properties.ResponseTopic, []byte(nonce), correlation
	if _, err := p.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// AWS IoT Core on port 443 wants a protocol of its own in the handshake, and keeps to its
// limits: a link does with them.
func TestWithinTheLimitsOfAWS(t *testing.T) {
	a := authority(t)
	conf := server(t, a, "127.0.0.1")
	conf.NextProtos = []string{awsALPN}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	s := &strict{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.talk(conn) })
		}
	})
	cfg, _ := taking()
	cfg.Broker, cfg.Roots, cfg.Certificate, cfg.ALPN, cfg.Will = ln.Addr().String(), a.Pool(), identity(t, a, me), awsALPN, true
	l, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Nonce(within(t, time.Minute)); err != nil || string(n) != "fresh" {
		t.Errorf("nonce %q, %v", n, err)
	}
	frame := bytes.Repeat([]byte("f"), evidence.WireSize)
	if err := l.Publish(within(t, time.Minute), frame); err != nil {
		t.Error(err)
	}
	shut(t, l)
	plain := cfg
	plain.ALPN = "mqtt" // which this one does not speak
	if l, err = Dial(plain); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Nonce(within(t, 500*time.Millisecond)); err == nil {
		t.Error("connected under another protocol")
	}
	shut(t, l)
	_ = ln.Close()
	wg.Wait()
	if len(s.wills) != 1 || s.wills[0] != evidence.GoneTopic(me) {
		t.Errorf("wills: %q", s.wills)
	}
	if len(s.broken) > 0 || len(s.frames) != 1 || !bytes.Equal(s.frames[0], frame) || len(s.hellos) != 1 {
		t.Errorf("beyond the limits: %v; %d frames, %d hellos", s.broken, len(s.frames), len(s.hellos))
	}
}

// Control: the broker above would have noticed.
func TestLimitsOfAWSAreNoticed(t *testing.T) {
	id := 7
	for name, c := range map[string]packets.Packet{
		"deep topic":    &packets.Publish{Topic: "a/b/c/d/e/f/g/h/i", Properties: &packets.Properties{}},
		"large":         &packets.Publish{Topic: "a", Payload: make([]byte, 128<<10+1), Properties: &packets.Properties{}},
		"retained":      &packets.Publish{Topic: "a", Retain: true, Properties: &packets.Properties{}},
		"quality 2":     &packets.Publish{Topic: "a", QoS: 2, Properties: &packets.Properties{}},
		"identifier":    &packets.Subscribe{Properties: &packets.Properties{SubscriptionIdentifier: &id}},
		"shared":        &packets.Subscribe{Properties: &packets.Properties{}, Subscriptions: []packets.SubOptions{{Topic: "$share/x/y"}}},
		"short pings":   &packets.Connect{ProtocolVersion: 5, ClientID: "x", KeepAlive: 5, Properties: &packets.Properties{}},
		"AUTH":          &packets.Auth{},
		"retained will": &packets.Connect{ProtocolVersion: 5, ClientID: "x", KeepAlive: 60, WillRetain: true, Properties: &packets.Properties{}},
	} {
		if awsLimits(&packets.ControlPacket{Content: c}) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// T05: a nonce that answers another request than this connection's is not taken; the
// answer to it is, and one that nobody asked for.
func TestAnswerOfAnotherRequest(t *testing.T) {
	for name, c := range map[string]struct {
		correlation []byte
		want        string
	}{
		"another request's": {[]byte("another"), "mine"}, "a longer one's": {[]byte("asking now"), "mine"},
		"control: this one's": {[]byte("asking"), "new"}, "control: unasked": {nil, "new"},
	} {
		l := &Link{cfg: Config{Printer: me}, nonce: []byte("mine"), asking: []byte("asking"), state: make(chan struct{})}
		m := &paho.Publish{Topic: evidence.NonceTopic(me), Payload: []byte("new"), Properties: &paho.PublishProperties{CorrelationData: c.correlation}}
		if _, err := l.received(paho.PublishReceived{Packet: m}); err != nil || string(l.nonce) != c.want {
			t.Errorf("%s: took %q, %v", name, l.nonce, err)
		}
	}
}
