package driver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"platen/hal/gcode"
)

// Bounds of the inbox.
const (
	ringSize = 64 // commands that Run encodes ahead: 50 ms of the fastest print, 4 KiB
	maxQueue = 8  // requests at once; more wait in post
)

// inbox is what others have left for the owner.
type inbox struct {
	mu       sync.Mutex
	ring     [ringSize]command
	head, n  int
	reqs     []*request
	draining bool  // Run waits for the ring to be empty
	halted   bool  // Halt was called
	broken   error // the hand could not write
	hungry   bool  // the owner could send more if the ring had it

	news atomic.Bool   // something of reqs, halted and broken is to be collected
	ear  atomic.Int32  // what the owner does; see ear
	room chan struct{} // has room for one: the ring or the queue of requests has room again
}

// command is one command on its way from Run to the owner.
type command struct {
	n    uint8
	wait bool // it waits for heat
	text [gcode.MaxCommand]byte
}

// States of the owner's ear.
const (
	earBusy   = iota // it works, and will look into the inbox after that
	earListen        // it is in Read, or about to be
	earWoken         // it was woken since it last looked
)

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// wake has the owner look into its inbox.
func (m *Machine) wake() { m.box.wake(m.port) }

func (b *inbox) wake(port Port) {
	if b.ear.Swap(earWoken) == earListen {
		_ = port.SetReadDeadline(past) // on a port that is closed the read has ended
	}
}

// halt notes that whatever ends the machine now is the host's doing.
func (b *inbox) halt() {
	b.mu.Lock()
	b.halted = true
	b.mu.Unlock()
	b.news.Store(true)
}

// signal tells those who wait that there is room.
func (b *inbox) signal() {
	select {
	case b.room <- struct{}{}:
	default:
	}
}

// push leaves one command in the ring. It returns false if the ring is full.
func (m *Machine) push(cmd []byte, wait bool) bool {
	b := &m.box
	b.mu.Lock()
	if b.n == ringSize {
		b.mu.Unlock()
		return false
	}
	c := &b.ring[(b.head+b.n)%ringSize]
	c.n, c.wait = uint8(copy(c.text[:], cmd)), wait
	b.n++
	hungry := b.hungry
	b.hungry = false
	b.mu.Unlock()
	if hungry {
		b.wake(m.port)
	}
	return true
}

// pop moves the oldest command of the ring to c.
func (b *inbox) pop(c *command) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == 0 {
		b.hungry = true
		return false
	}
	from := &b.ring[b.head]
	c.n, c.wait = from.n, from.wait
	copy(c.text[:c.n], from.text[:from.n])
	b.head = (b.head + 1) % ringSize
	if b.n--; b.n == ringSize/2 || b.n == 0 && b.draining {
		b.signal()
	}
	return true
}

// clear forgets the commands in the ring.
func (b *inbox) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n, b.draining = 0, false
	select {
	case <-b.room:
	default:
	}
}

// post leaves a request for the owner.
func (m *Machine) post(ctx context.Context, r *request) error {
	for {
		b := &m.box
		b.mu.Lock()
		if len(b.reqs) < maxQueue {
			b.reqs = append(b.reqs, r)
			b.mu.Unlock()
			b.news.Store(true)
			b.wake(m.port)
			return nil
		}
		b.mu.Unlock()
		timer := time.NewTimer(10 * time.Millisecond) // nobody else than a crowd of callers waits here
		select {
		case <-timer.C:
		case <-m.dead:
			timer.Stop()
			return m.cause()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
