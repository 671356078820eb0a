package uplink

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"platen/agent/evidence"
)

var connack = []byte{0x20, 3, 0, 0, 0}

// pub is a PUBLISH at quality 0.
func pub(topic string, payload []byte, retain bool) []byte {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.PUBLISH)
	c := p.Content.(*packets.Publish)
	c.Topic, c.Payload, c.Retain = topic, payload, retain
	if _, err := p.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// hostile is what a broker must not send after its greeting, T06.
func hostile() map[string][]byte {
	flood := bytes.Repeat([]byte{0x26, 0, 1, 'k', 0, 1, 'v'}, 100) // user properties
	n := len(flood)
	disconnect := append([]byte{0xe0, 0x80 | byte((n+3)&0x7f), byte((n + 3) >> 7), 0, 0x80 | byte(n&0x7f), byte(n >> 7)}, flood...)
	return map[string][]byte{
		"varint without end":     {0x30, 0xff, 0xff, 0xff, 0xff, 0xff},
		"varint too long a form": {0x30, 0x80, 0x00},
		"256 MiB":                {0x30, 0xff, 0xff, 0xff, 0x7f},
		"1 MiB":                  {0x30, 0x80, 0x80, 0x40},
		"just too long":          append([]byte{0x30, 0x80, 0x08}, make([]byte, 1024)...),
		"alias 0":                {0x30, 9, 0, 1, 'a', 3, 0x23, 0, 0, 'x', 'y'},
		"alias 1":                {0x30, 9, 0, 1, 'a', 3, 0x23, 0, 1, 'x', 'y'},
		"alias without topic":    {0x30, 7, 0, 0, 3, 0x23, 0, 1, 'x'},
		"AUTH":                   {0xf0, 2, 0x18, 0},
		"AUTH loop":              bytes.Repeat([]byte{0xf0, 2, 0x18, 0}, 1000),
		"a second CONNACK":       connack,
		"CONNECT":                {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 0},
		"SUBSCRIBE":              {0x82, 6, 0, 1, 0, 0, 0, 0},
		"PINGREQ":                {0xc0, 0},
		"PUBREL":                 {0x62, 2, 0, 1},
		"PUBLISH at quality 1":   {0x32, 7, 0, 1, 'a', 0, 1, 0, 'x'},
		"PUBLISH at quality 3":   {0x36, 7, 0, 1, 'a', 0, 1, 0, 'x'},
		"PUBLISH without topic":  {0x30, 1, 0},
		"topic longer than all":  {0x30, 4, 0xff, 0xff, 'a', 0},
		"property length lies":   {0x30, 6, 0, 1, 'a', 0x7f, 0, 0},
		"unknown property":       {0x30, 7, 0, 1, 'a', 2, 0x7e, 0, 'x'},
		"reserved type 0":        {0x00, 0},
		"reserved bits":          {0xd1, 0},
		"SUBACK of nothing":      {0x90, 0},
		"property flood":         disconnect,
		"noise":                  []byte("HTTP/1.1 200 OK\r\n\r\n"),
	}
}

// through sends bytes through a guard and reads what it hands on.
func through(b []byte) (out []byte, err error) { return throughGuard(b, maxPacket, "") }

// throughGuard is through, for a guard that may let offers pass.
func throughGuard(b []byte, most int, offers string) (out []byte, err error) {
	a, z := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = z.Write(b)
		_ = z.Close()
	}()
	g := newGuard(a, most, offers)
	out, err = io.ReadAll(g)
	_ = a.Close()
	<-done
	return out, err
}

func TestGuardHandsOnWhatABrokerMaySay(t *testing.T) {
	good := bytes.Join([][]byte{connack, {0x90, 4, 0, 1, 0, 0}, {0x40, 2, 0, 1}, pub(evidence.NonceTopic(me), []byte("n"), false),
		{0xd0, 0}, {0x40, 3, 0, 1, 0x80}, {0xe0, 2, 0x8b, 0}}, nil)
	out, err := through(good)
	if err != nil || !bytes.Equal(out, good) {
		t.Errorf("%x became %x (%v)", good, out, err)
	}
}

func TestGuardEndsOnHostilePackets(t *testing.T) {
	for name, b := range hostile() {
		out, err := through(append(bytes.Clone(connack), b...))
		if name == "property flood" { // bounded, and without effect
			continue
		}
		if err == nil || !bytes.Equal(out, connack) {
			t.Errorf("%s: handed on %x, error %v", name, out[min(len(out), len(connack)):], err)
		}
	}
	for name, b := range map[string][]byte{
		"before the greeting": {0x40, 2, 0, 1},
		"session present":     {0x20, 3, 1, 0, 0},
		"pinged every second": {0x20, 6, 0, 0, 3, 0x13, 0, 1},
		"window of nothing":   {0x20, 6, 0, 0, 3, 0x21, 0, 0},
		"another name":        {0x20, 7, 0, 0, 4, 0x12, 0, 1, 'x'},
		"quality 0 only":      {0x20, 5, 0, 0, 2, 0x24, 0},
	} {
		if out, err := through(b); !errors.Is(err, errBroker) || len(out) != 0 {
			t.Errorf("%s: handed on %x, error %v", name, out, err)
		}
	}
	many := bytes.Repeat([]byte{0xd0, 0}, maxPackets+10)
	if out, err := through(append(bytes.Clone(connack), many...)); !errors.Is(err, errBroker) || len(out) > len(connack)+2*maxPackets {
		t.Errorf("a flood of pings: %d bytes handed on, error %v", len(out), err)
	}
}

// serve greets one client like a broker, sends b, and listens until the client goes.
func serve(t *testing.T, conf *tls.Config, b []byte) (addr string, wait func()) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := packets.ReadPacket(conn); err != nil { // CONNECT
			return
		}
		_, _ = conn.Write(connack)
		sub, err := packets.ReadPacket(conn)
		for err == nil && sub.Type != packets.SUBSCRIBE { // a ping may come first
			sub, err = packets.ReadPacket(conn)
		}
		if err != nil {
			return
		}
		id := sub.PacketID()
		_, _ = conn.Write(append([]byte{0x90, 4, byte(id >> 8), byte(id), 0, 0}, b...))
		_, _ = io.Copy(io.Discard, conn)
	}()
	return ln.Addr().String(), func() {
		_ = ln.Close()
		<-served
	}
}

// T05, T06: the whole link against a hostile broker: no panic, no nonce taken, at
// most 8 MiB more memory.
func TestHostileBroker(t *testing.T) {
	a := authority(t)
	conf := server(t, a, "127.0.0.1")
	cert := identity(t, a, me)
	topic := evidence.NonceTopic(me)
	attacks := hostile()
	attacks["retained nonce"] = pub(topic, []byte("evil"), true)
	attacks["another's nonce"] = pub(evidence.NonceTopic(evidence.PrinterID{1}), []byte("evil"), false)
	attacks["command"] = pub(strings.Replace(topic, "nonce", "command", 1), []byte("print"), false)
	attacks["long nonce"] = pub(topic, bytes.Repeat([]byte("e"), maxNonceLen+1), false)
	attacks["empty nonce"] = pub(topic, nil, false)
	attacks["redirect"] = []byte{0xe0, 12, 0x9d, 10, 0x1c, 0, 7, 'e', 'v', 'i', 'l', ':', '1', '0'}
	// Controls: the same rig delivers a nonce that is one, before and after.
	controls := []string{"first", "last"}
	for i, name := range append(append(controls[:1:1], slices.Sorted(maps.Keys(attacks))...), controls[1]) {
		b, want := attacks[name], "mine"
		if b == nil {
			b, want = pub(topic, []byte(controls[min(i, 1)]), false), controls[min(i, 1)]
		}
		addr, wait := serve(t, conf, b)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l, err := Dial(Config{Broker: addr, Roots: a.Pool(), Certificate: cert, Printer: me, Nonce: []byte("mine")})
		if err != nil {
			t.Fatal(err)
		}
		if want != "mine" {
			if n, err := l.Nonce(within(t, 10*time.Second)); err != nil || string(n) != want {
				t.Errorf("control: nonce %q, %v", n, err)
			}
		}
		time.Sleep(60 * time.Millisecond)
		l.mu.Lock()
		nonce := string(l.nonce)
		l.mu.Unlock()
		if nonce != want {
			t.Errorf("%s: took %q for a nonce", name, nonce)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
			t.Errorf("%s: %d bytes more on the heap", name, grown)
		}
		shut(t, l)
		wait()
	}
}

func FuzzGuard(f *testing.F) {
	for _, b := range hostile() {
		f.Add(append(bytes.Clone(connack), b...))
	}
	f.Add(append(bytes.Clone(connack), pub(evidence.NonceTopic(me), []byte("n"), false)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, _ := through(b)
		if !bytes.HasPrefix(b, out) {
			t.Fatal("the guard changed bytes")
		}
	})
}
