package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"platen/agent/evidence"
	"platen/agent/fleet/ca"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// mosquitto starts the real broker with certificates of a.
func mosquitto(t *testing.T, a *ca.CA) string {
	t.Helper()
	cert, err := a.Server([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return rigtest.Mosquitto(t, rig.MosquittoConfig{CA: a.Path(), Cert: write("cert.pem", "CERTIFICATE", cert.Certificate[0]),
		Key: write("key.pem", "PRIVATE KEY", key)}).Addr
}

// subscribe subscribes to a topic as the recipient's side does. What comes is on the channel; leave
// ends the connection, and the session if it is not to last.
func subscribe(t *testing.T, a *ca.CA, addr, topic string, lasting bool) (heard <-chan string, leave func()) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: a.Pool(), Certificates: []tls.Certificate{identity(t, a, evidence.PrinterID{0xf1})}})
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan string, 64)
	c := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn), OnPublishReceived: []func(paho.PublishReceived) (bool, error){
		func(p paho.PublishReceived) (bool, error) {
			all <- string(p.Packet.Payload)
			return true, nil
		}}})
	hello := &paho.Connect{ClientID: "recipient", KeepAlive: 60, CleanStart: true}
	if lasting {
		expiry := uint32(3600)
		hello.Properties = &paho.ConnectProperties{SessionExpiryInterval: &expiry}
	}
	if _, err := c.Connect(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	return all, func() {
		if err := c.Disconnect(&paho.Disconnect{}); err != nil {
			t.Error(err)
		}
		<-c.Done()
	}
}

// TestWillAtMosquitto: Mosquitto tells of a printer whose connection breaks off, and of none that
// takes its leave.
func TestWillAtMosquitto(t *testing.T) {
	a := authority(t)
	addr := mosquitto(t, a)
	heard, leave := subscribe(t, a, addr, "platen/v1/+/#", false)
	defer leave()
	until := func(want string) (before []string) {
		t.Helper()
		for {
			select {
			case got := <-heard:
				if got == want {
					return before
				}
				before = append(before, got)
			case <-time.After(2 * time.Minute):
				t.Fatalf("%q did not come", want)
			}
		}
	}
	open := func() *Link {
		l, err := Dial(Config{Broker: addr, Roots: a.Pool(), Certificate: identity(t, a, me), Printer: me, Will: true})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	sent(t, l, "one")
	until("one")
	l.drop()
	until(evidence.Gone)
	sent(t, l, "two")
	until("two")
	shut(t, l)
	l = open()
	sent(t, l, "three")
	if got := strings.Join(until("three"), " "); strings.Contains(got, evidence.Gone) {
		t.Errorf("after a leave: %q", got)
	}
	shut(t, l)
}

// TestNobodyTakesFrames: a broker that has nobody to pass a frame on to forgets it, and the frame
// counts as not sent; with a recipient, be it one whose session waits for it, it is sent.
func TestNobodyTakesFrames(t *testing.T) {
	a := authority(t)
	addr := mosquitto(t, a)
	l := dial(t, a, addr)
	publish := func() error {
		t.Helper()
		if _, err := l.Nonce(within(t, 2*time.Minute)); err != nil {
			t.Fatal(err)
		}
		return l.Publish(within(t, 2*time.Minute), []byte("frame"))
	}
	if err := publish(); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("to nobody: %v", err)
	}
	heard, leave := subscribe(t, a, addr, evidence.AllBatches, true)
	if err := publish(); err != nil {
		t.Errorf("to somebody: %v", err)
	}
	if got := <-heard; got != "frame" {
		t.Errorf("heard %q", got)
	}
	leave()
	if err := publish(); err != nil {
		t.Errorf("to a session that waits: %v", err)
	}
}
