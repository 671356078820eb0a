package dhcp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	clientPort = 68
	serverPort = 67
	firstTry   = 2 * time.Second
	lastTry    = 64 * time.Second
)

// Keep gets an address for an interface that is up, gives each lease to use, and keeps it
// until ctx ends; then it returns nil. It returns an error of use, and of an interface that
// cannot be asked on; what fails later is tried again.
func Keep(ctx context.Context, iface string, use func(Lease) error) error {
	dev, err := net.InterfaceByName(iface)
	if err != nil {
		return fmt.Errorf("find the interface: %w", err)
	}
	if len(dev.HardwareAddr) != 6 {
		return fmt.Errorf("interface %s is no Ethernet", iface)
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = errors.Join(unix.BindToDevice(int(fd), iface), unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		})
		return errors.Join(err, serr)
	}}
	conn, err := lc.ListenPacket(ctx, "udp4", fmt.Sprintf("0.0.0.0:%d", clientPort))
	if err != nil {
		return fmt.Errorf("ask for an address: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	c := client{ctx: ctx, conn: conn, mac: dev.HardwareAddr, first: firstTry,
		all: &net.UDPAddr{IP: net.IPv4bcast, Port: serverPort}, server: func(a netip.Addr) net.Addr { return &net.UDPAddr{IP: a.AsSlice(), Port: serverPort} }}
	return c.keep(use)
}

// client asks on one interface.
type client struct {
	ctx    context.Context
	conn   net.PacketConn
	mac    []byte
	all    net.Addr
	server func(netip.Addr) net.Addr
	first  time.Duration // how long the first answer is waited for
}

func (c client) keep(use func(Lease) error) error {
	for c.ctx.Err() == nil {
		l, err := c.acquire()
		for err == nil {
			if err := use(l); err != nil {
				return fmt.Errorf("use an address: %w", err)
			}
			l, err = c.renew(l)
		}
		if !errors.Is(err, errLost) && c.ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// errLost reports a lease that ended, or that its server took back.
var errLost = errors.New("the lease has ended")

// acquire asks until somebody gives an address.
func (c client) acquire() (Lease, error) {
	for wait := c.first; ; wait = min(2*wait, lastTry) {
		a := ask{kind: discover, mac: c.mac}
		_, l, err := c.exchange(&a, c.all, wait, offer)
		if err == nil {
			a = ask{kind: request, mac: c.mac, address: l.Address, server: l.server}
			var kind byte
			if kind, l, err = c.exchange(&a, c.all, wait, ack, nak); err == nil && kind == ack {
				return l, nil
			}
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // the cable is out, say
			Pause(c.ctx, wait)
		}
		if c.ctx.Err() != nil {
			return Lease{}, c.ctx.Err()
		}
	}
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// renew waits until half of the lease is over and asks for the same again.
func (c client) renew(l Lease) (Lease, error) {
	begun := time.Now()
	for _, step := range []struct {
		at time.Duration
		to net.Addr
	}{{l.Time / 2, c.server(l.server)}, {l.Time / 8 * 7, c.all}} {
		if Pause(c.ctx, time.Until(begun.Add(step.at))); c.ctx.Err() != nil {
			return Lease{}, c.ctx.Err()
		}
		a := ask{kind: request, mac: c.mac, address: l.Address, renew: true}
		kind, next, err := c.exchange(&a, step.to, c.first, ack, nak)
		if err == nil && kind == ack {
			return next, nil
		}
		if err == nil {
			return Lease{}, errLost
		}
		if c.ctx.Err() != nil {
			return Lease{}, c.ctx.Err()
		}
	}
	return Lease{}, errLost
}

// exchange sends a message and awaits one of these kinds as its answer.
func (c client) exchange(a *ask, to net.Addr, wait time.Duration, kinds ...byte) (byte, Lease, error) {
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return 0, Lease{}, err
	}
	a.id = binary.BigEndian.Uint32(id[:])
	if err := c.conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return 0, Lease{}, err
	}
	if c.ctx.Err() != nil { // whose end had set its own deadline
		return 0, Lease{}, c.ctx.Err()
	}
	if _, err := c.conn.WriteTo(a.packet(), to); err != nil {
		return 0, Lease{}, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if err != nil {
			return 0, Lease{}, err
		}
		kind, l, err := parse(buf[:n], a.id, c.mac)
		if err != nil {
			continue
		}
		for _, k := range kinds {
			if k == kind {
				return kind, l, nil
			}
		}
	}
}
