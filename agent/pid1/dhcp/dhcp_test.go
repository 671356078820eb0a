package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var testMAC = []byte{2, 0, 0, 1, 2, 3}

// answer is a server's message to one of ours.
func answer(to []byte, kind byte, lease uint32, change func([]byte) []byte) []byte {
	b := make([]byte, headSize)
	copy(b, []byte{2, 1, 6})
	copy(b[4:8], to[4:8])
	copy(b[16:20], []byte{192, 0, 2, 7})
	copy(b[28:34], to[28:34])
	b = binary.BigEndian.AppendUint32(b, cookie)
	b = append(b, optType, 1, kind, optServer, 4, 192, 0, 2, 1, optMask, 4, 255, 255, 255, 0, optRouter, 4, 192, 0, 2, 1,
		optDNS, 8, 192, 0, 2, 2, 192, 0, 2, 3, optTime, 4)
	b = append(binary.BigEndian.AppendUint32(b, lease), optEnd)
	if change != nil {
		b = change(b)
	}
	return b
}

// wire is a link to a server, in the time of a test's bubble.
type wire struct {
	serve func(packet []byte, to net.Addr) [][]byte
	out   int // so many messages cannot be sent

	mu       sync.Mutex
	deadline time.Time
	in       chan []byte
}

func (w *wire) WriteTo(p []byte, to net.Addr) (int, error) {
	if w.out > 0 {
		w.out--
		return 0, errors.New("network is unreachable")
	}
	for _, b := range w.serve(bytes.Clone(p), to) {
		w.in <- b
	}
	return len(p), nil
}

func (w *wire) ReadFrom(p []byte) (int, net.Addr, error) {
	w.mu.Lock()
	t := time.NewTimer(time.Until(w.deadline))
	w.mu.Unlock()
	defer t.Stop()
	select {
	case b := <-w.in:
		return copy(p, b), nil, nil
	case <-t.C:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (w *wire) SetDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *wire) SetReadDeadline(t time.Time) error  { return w.SetDeadline(t) }
func (w *wire) SetWriteDeadline(t time.Time) error { return nil }
func (w *wire) LocalAddr() net.Addr                { return nil }
func (w *wire) Close() error                       { return nil }

// kindOf is the type of a message of ours.
func kindOf(p []byte) byte { return p[headSize+6] }

func run(ctx context.Context, w *wire, use func(Lease) error) error {
	w.in = make(chan []byte, 16)
	c := client{ctx: ctx, conn: w, mac: testMAC, first: firstTry, all: &net.UDPAddr{IP: net.IPv4bcast},
		server: func(a netip.Addr) net.Addr { return &net.UDPAddr{IP: a.AsSlice()} }}
	return c.keep(use)
}

// TestKeep gets a lease after lost answers, renews it with its server, then with anybody,
// and begins anew when it is refused.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var discovers, renewals int
		w := &wire{out: 3, serve: func(p []byte, to net.Addr) [][]byte {
			toAll := to.(*net.UDPAddr).IP.Equal(net.IPv4bcast)
			switch kindOf(p) {
			case discover:
				if discovers++; discovers == 1 {
					return nil // lost
				}
				noise := answer(p, offer, 3600, func(b []byte) []byte { b[4]++; return b })
				return [][]byte{{1, 2, 3}, noise, answer(p, offer, 3600, nil)}
			case request:
				if binary.BigEndian.Uint32(p[12:]) == 0 { // not a renewal
					return [][]byte{answer(p, ack, 3600, nil)}
				}
				switch renewals++; {
				case renewals == 1 && !toAll:
					return nil // the server is away; anybody will do
				case renewals == 2 && toAll:
					return [][]byte{answer(p, ack, 3600, nil)}
				}
				return [][]byte{answer(p, nak, 0, nil)}
			}
			t.Errorf("message of type %d", kindOf(p))
			return nil
		}}
		var got []Lease
		var begun time.Time
		var at []time.Duration
		err := run(ctx, w, func(l Lease) error {
			if got = append(got, l); len(got) == 1 {
				begun = time.Now()
			}
			at = append(at, time.Since(begun).Round(time.Minute))
			if len(got) == 3 {
				cancel()
			}
			return nil
		})
		want := Lease{Address: netip.MustParseAddr("192.0.2.7"), Bits: 24, Gateway: netip.MustParseAddr("192.0.2.1"), Time: time.Hour,
			DNS: []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}}
		if err != nil || len(got) != 3 {
			t.Fatalf("%d leases, %v", len(got), err)
		}
		if d := cmp.Diff(want, got[0], cmpopts.IgnoreUnexported(Lease{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Error(d)
		}
		// renewed after 7/8 of the first hour, refused after half of the second
		if d := cmp.Diff([]time.Duration{0, 53 * time.Minute, 83 * time.Minute}, at); d != "" {
			t.Error(d)
		}
		if discovers != 3 || renewals != 3 {
			t.Errorf("%d discovers, %d renewals", discovers, renewals)
		}
	})
}

// TestKeepEnds: a lease that cannot be used ends it, and so does the context while nobody
// answers.
func TestKeepEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{serve: func(p []byte, _ net.Addr) [][]byte {
			if kindOf(p) == discover {
				return [][]byte{answer(p, offer, 60, nil)}
			}
			return [][]byte{answer(p, ack, 60, nil)}
		}}
		bad := errors.New("bad")
		if err := run(t.Context(), w, func(Lease) error { return bad }); !errors.Is(err, bad) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		silent := &wire{serve: func([]byte, net.Addr) [][]byte { return nil }}
		if err := run(ctx, silent, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	ours := ask{kind: discover, id: 7, mac: testMAC}.packet()
	if kind, _, err := parse(answer(ours, offer, 60, nil), 7, testMAC); kind != offer || err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"cut":              func(b []byte) []byte { return b[:headSize+2] },
		"cut in an option": func(b []byte) []byte { return b[:len(b)-3] },
		"a request":        func(b []byte) []byte { b[0] = 1; return b },
		"another's":        func(b []byte) []byte { b[30]++; return b },
		"no cookie":        func(b []byte) []byte { b[headSize]++; return b },
		"mask with holes":  func(b []byte) []byte { b[bytes.Index(b, []byte{255, 255, 255, 0})+1] = 0; return b },
		"no address":       func(b []byte) []byte { clear(b[16:20]); return b },
		"loopback":         func(b []byte) []byte { b[16] = 127; return b },
	} {
		if _, _, err := parse(answer(ours, offer, 60, change), 7, testMAC); !errors.Is(err, errPacket) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	ours := ask{kind: discover, id: 7, mac: testMAC}.packet()
	f.Add(answer(ours, offer, 60, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, l, err := parse(b, 7, testMAC)
		if err == nil && kind == ack && (l.Bits < 1 || l.Bits > 32 || l.Time < minLease || len(l.DNS) > maxDNS) {
			t.Errorf("%+v", l)
		}
	})
}
