package ingest

import (
	"errors"
	"sync"

	"platen/agent/fleet/store"
)

// write is what follows from one frame, on its way to the disk. undo takes back what was
// changed in memory for it; it may be nil.
type write struct {
	events []store.Event
	undo   func() error

	over bool // durable, or failed and undone; then err says why
	err  error
}

// committer brings writes to the disk, in the order in which they came, as many at a time as
// have come while the disk was busy: whoever waits first writes for the others.
type committer struct {
	store *store.Store
	emit  func(store.Event)
	gate  sync.RWMutex // held for reading by whoever changes memory and adds the write for it

	mu      sync.Mutex
	change  sync.Cond // a group is over
	waiting []*write
	busy    bool // somebody writes
}

func newCommitter(s *store.Store, emit func(store.Event)) *committer {
	c := &committer{store: s, emit: emit}
	c.change.L = &c.mu
	return c
}

// add puts a write behind the others. Who adds holds the gate, and waits later.
func (c *committer) add(w *write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, w)
}

// wait returns once a write is durable and was told of, or failed and was undone.
func (c *committer) wait(w *write) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !w.over {
		if c.busy {
			c.change.Wait()
			continue
		}
		c.busy = true
		group := c.waiting // w is among them
		c.waiting = nil
		c.mu.Unlock()
		group = c.write(group)
		c.mu.Lock()
		for _, o := range group {
			o.over = true
		}
		c.busy = false
		c.change.Broadcast()
	}
	return w.err
}

// flush returns once everything that was added before is over.
func (c *committer) flush() {
	w := &write{}
	c.add(w)
	_ = c.wait(w) // whose writes failed is told
}

// write brings a group to the disk, and returns all that is over with that.
func (c *committer) write(group []*write) []*write {
	var events []store.Event
	for _, w := range group {
		events = append(events, w.events...)
	}
	if len(events) == 0 {
		return group
	}
	if err := c.store.Append(events...); err != nil {
		return c.fail(group, err)
	}
	for _, e := range events {
		e.Frame = nil
		c.emit(e)
	}
	return group
}

// fail undoes a group, and what was added since, for that was judged as if the group had been
// kept. Nothing is judged meanwhile.
func (c *committer) fail(group []*write, err error) []*write {
	c.gate.Lock()
	defer c.gate.Unlock()
	c.mu.Lock()
	group = append(group, c.waiting...)
	c.waiting = nil
	c.mu.Unlock()
	for i := len(group) - 1; i >= 0; i-- {
		w := group[i]
		w.err = err
		if w.undo != nil {
			w.err = errors.Join(err, w.undo())
		}
	}
	return group
}
