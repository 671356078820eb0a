package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"platen/cross/rig/stage"
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

// replayed puts a hostile broker between printer and verifier and has it repeat a
// frame, and alter one.
func (d *demo) replayed(ctx context.Context) (string, error) {
	cert, err := stage.Insider(d.ca, d.Dir)
	if err != nil {
		return "", err
	}
	if d.attacker, err = stage.NewBroker(cert, nil); err != nil {
		return "", err
	}
	d.fleet.Stop()
	if _, err := d.fleetUp(ctx, "--broker", d.attacker.Addr, "--broker-ca", d.ca, "--broker-cert", d.Path("insider.pem"), "--broker-key", d.Path("insider.key")); err != nil {
		return "", err
	}
	d.network.point(d.attacker.Addr)
	if _, err := d.fleet.Wait(ctx, 60*time.Second, 0, func(e stage.Event) bool { return e.Event == "batch" }); err != nil {
		return "", fmt.Errorf("through the hostile broker: %w", err)
	}
	from := len(d.fleet.Events())
	if err := d.attacker.Replay(); err != nil {
		return "", err
	}
	replay, err := d.fleet.Wait(ctx, 20*time.Second, from, func(e stage.Event) bool { return e.Event == "refused" })
	if err != nil {
		return "", err
	}
	if err := d.attacker.Flip(); err != nil {
		return "", err
	}
	flip, err := d.fleet.Wait(ctx, 20*time.Second, from, func(e stage.Event) bool { return e.Event == "refused" && e.Reason != replay.Reason })
	if err != nil {
		return "", fmt.Errorf("a flipped bit: %w", err)
	}
	return fmt.Sprintf("a hostile broker repeats one: refused as %s; it flips a bit: refused as %s", replay.Reason, flip.Reason), nil
}

// dropped has the hostile broker swallow a frame though it tells the printer that
// it arrived.
func (d *demo) dropped(ctx context.Context) (string, error) {
	from := len(d.fleet.Events())
	d.attacker.Swallow()
	select {
	case <-d.attacker.Gulped:
	case <-time.After(30 * time.Second):
		return "", errors.New("no frame came to be swallowed")
	}
	e, err := d.fleet.Wait(ctx, 30*time.Second, from, func(e stage.Event) bool { return e.Event == "missing" })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the hostile broker swallows one: noticed, batch %d is missing", e.From), nil
}
