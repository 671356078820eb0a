package uplink

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"platen/agent/evidence"
)

// hop stands between a link and its broker, and is told what to do with the bytes.
type hop struct {
	ln    net.Listener
	held  atomic.Bool // bytes go nowhere, and nobody is told: a half-open socket
	pace  time.Duration
	conns sync.WaitGroup

	mu   sync.Mutex
	to   string
	open []net.Conn
}

func newHop(t *testing.T, to string) *hop {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &hop{ln: ln, to: to}
	r.conns.Go(r.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		r.cut()
		r.conns.Wait()
	})
	return r
}

func (r *hop) accept() {
	for {
		in, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		to := r.to
		r.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		r.mu.Lock()
		r.open = append(r.open, in, out)
		r.mu.Unlock()
		r.conns.Go(func() { r.copy(out, in) })
		r.conns.Go(func() { r.copy(in, out) })
	}
}

func (r *hop) copy(to, from net.Conn) {
	b := make([]byte, 64)
	for {
		n, err := from.Read(b)
		if err != nil {
			_ = to.Close()
			return
		}
		if r.held.Load() {
			continue
		}
		time.Sleep(r.pace)
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections.
func (r *hop) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.open {
		_ = c.Close()
	}
	r.open = nil
}

// sent publishes again and again until the broker has it.
func sent(t *testing.T, l *Link, frame string) {
	t.Helper()
	ctx := within(t, 2*time.Minute)
	for {
		if _, err := l.Nonce(ctx); err != nil {
			t.Fatal(err)
		}
		if l.Publish(ctx, []byte(frame)) == nil {
			return
		}
	}
}

// T03: a connection that is half open: what is published is not acknowledged, the error
// says so, the connection is given up, and the next one carries the frame.
func TestHalfOpen(t *testing.T) {
	a, d := authority(t), &desk{}
	r := newHop(t, startBroker(t, a, d).Addr())
	l := dial(t, a, r.ln.Addr().String())
	sent(t, l, "before")
	r.held.Store(true)
	if err := l.Publish(within(t, 300*time.Millisecond), []byte("into the void")); err == nil {
		t.Error("a frame was acknowledged over a connection that is dead")
	}
	r.held.Store(false)
	sent(t, l, "after")
	if got := d.got(); len(got) < 2 || got[0] != "before" || got[len(got)-1] != "after" {
		t.Errorf("arrived: %q", got)
	}
}

// T03: a network that is slow carries everything all the same.
func TestSlowNetwork(t *testing.T) {
	a, d := authority(t), &desk{}
	r := newHop(t, startBroker(t, a, d).Addr())
	r.pace = 5 * time.Millisecond
	l := dial(t, a, r.ln.Addr().String())
	sent(t, l, strings.Repeat("f", evidence.WireSize))
	if got := d.got(); len(got) == 0 || len(got[len(got)-1]) != evidence.WireSize {
		t.Errorf("%d frames arrived", len(got))
	}
}

// T03: a network that breaks off again and again.
func TestFlakyNetwork(t *testing.T) {
	a, d := authority(t), &desk{}
	r := newHop(t, startBroker(t, a, d).Addr())
	l := dial(t, a, r.ln.Addr().String())
	for _, frame := range []string{"one", "two", "three"} {
		sent(t, l, frame)
		r.cut()
	}
	got := strings.Join(d.got(), " ")
	if !strings.Contains(got, "one") || !strings.Contains(got, "two") || !strings.Contains(got, "three") {
		t.Errorf("arrived: %s", got)
	}
}

// beside is how many bytes of what a client sends in clear are none of a handshake: all but
// its records of type 22, and alerts, 21 (RFC 8446, 5.1).
func beside(b []byte) (n int) {
	for len(b) > 0 {
		if len(b) < 5 || b[1] != 3 || len(b) < 5+int(b[3])<<8+int(b[4]) {
			return n + len(b)
		}
		size := 5 + int(b[3])<<8 + int(b[4])
		if b[0] != 21 && b[0] != 22 {
			n += size
		}
		b = b[size:]
	}
	return n
}

// T03: a captive portal answers everything with a page, in clear or under a certificate of its
// own. No application byte is sent, and the error says what is wrong.
func TestCaptivePortal(t *testing.T) {
	a, rogue := authority(t), authority(t)
	for said, want := range map[string]int{"\x10\x0d\x00\x04MQTT\x05": 9, "\x17\x03\x03\x00\x01x": 6, "\x16\x03\x01\x00\x01x\x10": 1, "\x15\x03\x03\x00\x02\x02\x16": 0} {
		if n := beside([]byte(said)); n != want { // the control
			t.Fatalf("%d bytes of %q are none of a handshake, want %d", n, said, want)
		}
	}
	page := []byte("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nLog in")
	for name, conf := range map[string]*tls.Config{"in clear": nil, "under TLS": server(t, rogue, "127.0.0.1")} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var app atomic.Int64 // bytes that came inside of TLS, or are none of TLS
		var wg sync.WaitGroup
		asked := make(chan struct{}, 1)
		wg.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				if conf != nil {
					c := tls.Server(conn, conf)
					n, _ := io.Copy(io.Discard, c)
					app.Add(n)
				} else {
					_, _ = conn.Write(page)
					b, _ := io.ReadAll(conn)
					app.Add(int64(beside(b)))
				}
				_ = conn.Close()
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		})
		l, err := Dial(Config{Broker: ln.Addr().String(), Roots: a.Pool(), Certificate: identity(t, a, me), Printer: me})
		if err != nil {
			t.Fatal(err)
		}
		<-asked
		if _, err := l.Nonce(within(t, 300*time.Millisecond)); err == nil {
			t.Errorf("%s: a portal counts as the broker", name)
		}
		shut(t, l)
		_ = ln.Close()
		wg.Wait()
		if app.Load() != 0 {
			t.Errorf("%s: %d bytes", name, app.Load())
		}
	}
}

// T31, T03: a broker that was away for long is found again, and nothing piles up meanwhile.
func TestBrokerAwayForLong(t *testing.T) {
	a, d := authority(t), &desk{}
	r := newHop(t, "127.0.0.1:1") // where nobody is
	l := dial(t, a, r.ln.Addr().String())
	for range 20 {
		if err := l.Publish(within(t, 20*time.Millisecond), []byte("early")); err == nil {
			t.Fatal("a frame was acknowledged by nobody")
		}
	}
	b := startBroker(t, a, d)
	r.mu.Lock()
	r.to = b.Addr()
	r.mu.Unlock()
	sent(t, l, "late")
	if got := strings.Join(d.got(), " "); !strings.HasPrefix(got, "late") {
		t.Errorf("arrived: %q", got)
	}
}

// The fleet's broker, which sees itself who is gone, takes a printer's will and passes nothing on.
func TestWill(t *testing.T) {
	a, d := authority(t), &desk{}
	b := startBroker(t, a, d)
	l, err := Dial(Config{Broker: b.Addr(), Roots: a.Pool(), Certificate: identity(t, a, me), Printer: me, Will: true})
	if err != nil {
		t.Fatal(err)
	}
	sent(t, l, "with a will")
	l.drop() // without leave
	sent(t, l, "again")
	shut(t, l)
	if got := strings.Join(d.got(), " "); !strings.HasPrefix(got, "with a will") || !strings.HasSuffix(got, "again") {
		t.Errorf("arrived: %s", got)
	}
}
