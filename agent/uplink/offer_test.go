package uplink

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"platen/agent/evidence"
	"platen/agent/fleet/broker"
)

// message is one that a link has handed on.
type message struct {
	text     string
	retained bool
}

// taking is a configuration that takes offers, and where they come.
func taking() (Config, chan message) {
	got := make(chan message, 64)
	return Config{Printer: me, Offer: func(b []byte, retained bool) { got <- message{string(b), retained} }}, got
}

// publish is a PUBLISH at quality q.
func publish(topic string, payload []byte, q byte, retain bool) []byte {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.PUBLISH)
	c := p.Content.(*packets.Publish)
	c.Topic, c.Payload, c.QoS, c.PacketID, c.Retain = topic, payload, q, 7, retain
	if _, err := p.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// The fleet's broker knows that a printer has an offer, of any size that a ticket may have, and
// that one that takes none does not.
func TestOffersArrive(t *testing.T) {
	a := authority(t)
	b := startBroker(t, a, &desk{})
	cfg, got := taking()
	cfg.Broker, cfg.Roots, cfg.Certificate = b.Addr(), a.Pool(), identity(t, a, me)
	offer := func(text []byte) error { return b.Offer(within(t, 10*time.Second), me, text) }
	if err := offer([]byte("early")); err == nil {
		t.Error("an offer was taken by nobody")
	}
	l, err := Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a ticket", string(bytes.Repeat([]byte("t"), MaxOffer))} {
		arrived(t, b, []byte(want))
		if m := <-got; m.text != want || m.retained {
			t.Errorf("%d bytes arrived of %d, retained %v", len(m.text), len(want), m.retained)
		}
	}
	if _, err := l.Nonce(within(t, 30*time.Second)); err != nil {
		t.Errorf("the link does what it did: %v", err)
	}
	shut(t, l)
	l = dial(t, a, b.Addr())
	if _, err := l.Nonce(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := offer([]byte("x")); err == nil {
		t.Error("a printer that takes no offers took one")
	}
}

// arrived offers again and again until the printer is there.
func arrived(t *testing.T, b *broker.Broker, text []byte) {
	t.Helper()
	ctx := within(t, time.Minute)
	for b.Offer(ctx, me, text) != nil {
		if ctx.Err() != nil {
			t.Fatal("no offer arrives")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// T05, T06: offers open nothing else to a hostile broker.
func TestGuardWithOffers(t *testing.T) {
	topic := evidence.OfferTopic(me)
	through := func(b []byte) ([]byte, error) {
		return throughGuard(b, MaxOffer+maxPacket, topic)
	}
	for name, b := range hostile() {
		if name == "property flood" { // bounded, and without effect
			continue
		}
		if out, err := through(append(bytes.Clone(connack), b...)); err == nil || !bytes.Equal(out, connack) {
			t.Errorf("%s: handed on %d bytes, error %v", name, len(out), err)
		}
	}
	for name, b := range map[string][]byte{
		"another's offer":           publish(evidence.OfferTopic(evidence.PrinterID{1}), []byte("x"), 1, false),
		"a nonce at quality 1":      publish(evidence.NonceTopic(me), []byte("x"), 1, false),
		"an offer at quality 2":     publish(topic, []byte("x"), 2, false),
		"an offer that is too long": publish(topic, make([]byte, MaxOffer+maxPacket), 1, false),
		"a long nonce":              publish(evidence.NonceTopic(me), make([]byte, MaxOffer), 0, false),
	} {
		if out, err := through(append(bytes.Clone(connack), b...)); !errors.Is(err, errBroker) || !bytes.Equal(out, connack) {
			t.Errorf("%s: handed on %d bytes, error %v", name, len(out), err)
		}
	}
	for name, b := range map[string][]byte{
		"offer": publish(topic, make([]byte, MaxOffer), 1, false), "retained": publish(topic, []byte("x"), 1, true),
		"at quality 0": publish(topic, []byte("x"), 0, false), "nonce": pub(evidence.NonceTopic(me), []byte("n"), false),
	} {
		whole := append(bytes.Clone(connack), b...)
		if out, err := through(whole); err != nil || !bytes.Equal(out, whole) {
			t.Errorf("control: %s: handed on %d bytes, error %v", name, len(out), err)
		}
	}
}

// T05: a broker that keeps, repeats and makes up offers gets each of them to the printer as what it is, and
// at most 8 MiB of memory.
func TestHostileOffers(t *testing.T) {
	a := authority(t)
	conf := server(t, a, "127.0.0.1")
	topic := evidence.OfferTopic(me)
	var flood []byte
	for range 40 {
		flood = append(flood, publish(topic, make([]byte, MaxOffer), 1, false)...)
	}
	for name, c := range map[string]struct {
		send []byte
		want message // the first
		n    int
	}{
		"control":  {publish(topic, []byte("ticket"), 1, false), message{"ticket", false}, 1},
		"retained": {publish(topic, []byte("old"), 1, true), message{"old", true}, 1},
		"repeated": {bytes.Repeat(publish(topic, []byte("again"), 1, false), 3), message{"again", false}, 3},
		"empty":    {publish(topic, nil, 1, false), message{}, 1},
		"a flood":  {flood, message{string(make([]byte, MaxOffer)), false}, 40},
	} {
		addr, wait := serve(t, conf, c.send)
		cfg, got := taking()
		cfg.Broker, cfg.Roots, cfg.Certificate = addr, a.Pool(), identity(t, a, me)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l, err := Dial(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.n {
			select {
			case m := <-got:
				if m != c.want {
					t.Errorf("%s: %d bytes, retained %v", name, len(m.text), m.retained)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%s: offer %d did not come", name, i)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
			t.Errorf("%s: %d bytes more on the heap", name, grown)
		}
		shut(t, l)
		wait()
	}
}
