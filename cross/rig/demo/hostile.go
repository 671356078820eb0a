package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// relay is the network between printer and broker: it passes bytes on to whichever
// broker the demo wants.
type relay struct {
	l net.Listener

	mu    sync.Mutex
	to    string
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newRelay() (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{l: l, conns: map[net.Conn]bool{}}
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.pass(c) })
		}
	})
	return r, nil
}

func (r *relay) addr() string { return r.l.Addr().String() }

// point sends all further connections to another broker and cuts the present ones.
func (r *relay) point(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	for c := range r.conns {
		c.Close()
	}
}

func (r *relay) pass(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	out, err := net.Dial("tcp", r.to)
	if err == nil {
		r.conns[c], r.conns[out] = true, true
	}
	r.mu.Unlock()
	if err != nil {
		return
	}
	defer out.Close()
	back := make(chan struct{})
	go func() { defer close(back); io.Copy(c, out); c.Close() }()
	io.Copy(out, c)
	out.Close()
	<-back
	r.mu.Lock()
	delete(r.conns, c)
	delete(r.conns, out)
	r.mu.Unlock()
}

func (r *relay) close() {
	r.l.Close()
	r.point("")
	r.wg.Wait()
}

// hostile is a broker in the hands of an attacker who even has a certificate of the
// fleet: it passes frames on, keeps them, repeats them and swallows them.
type hostile struct {
	mqtt.HookBase
	server *mqtt.Server
	addr   string

	mu     sync.Mutex
	kept   []packets.Packet // frames that passed
	vanish int              // how many of the next frames do
	gulped chan struct{}
}

func newHostile(cert tls.Certificate) (*hostile, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hostile{addr: l.Addr().String(), gulped: make(chan struct{}, 16)}
	h.server = mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := h.server.AddHook(h, nil); err != nil {
		return nil, err
	}
	tl := tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert})
	if err := h.server.AddListener(listeners.NewNet("hostile", tl)); err != nil {
		return nil, err
	}
	return h, h.server.Serve()
}

// ID names the hook.
func (h *hostile) ID() string { return "hostile" }

// Provides says which of the broker's events the hook sees.
func (h *hostile) Provides(b byte) bool {
	return bytes.Contains([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish}, []byte{b})
}

// OnConnectAuthenticate lets everybody in.
func (h *hostile) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck allows everything.
func (h *hostile) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// OnPublish keeps a frame, or lets it vanish though its sender is told that it
// arrived.
func (h *hostile) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline || !strings.HasSuffix(pk.TopicName, "/evidence") {
		return pk, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.vanish > 0 {
		h.vanish--
		h.gulped <- struct{}{}
		return pk, packets.CodeSuccessIgnore
	}
	h.kept = append(h.kept, pk.Copy(false))
	return pk, nil
}

// replay publishes the oldest frame kept once more.
func (h *hostile) replay() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kept) == 0 {
		return errors.New("no frame has passed yet")
	}
	return h.server.Publish(h.kept[0].TopicName, h.kept[0].Payload, false, 1)
}

// flip publishes the oldest frame kept with one bit changed.
func (h *hostile) flip() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kept) == 0 {
		return errors.New("no frame has passed yet")
	}
	p := bytes.Clone(h.kept[0].Payload)
	p[len(p)/8] ^= 1
	return h.server.Publish(h.kept[0].TopicName, p, false, 1)
}

// swallow lets the next frame vanish.
func (h *hostile) swallow() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.vanish = 1
}
