package main

import (
	"io"
	"net"
	"sync"
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
