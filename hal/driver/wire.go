package driver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"platen/hal"
)

// Buffers between the owner and its hand: one is filled while the other is written.
// What is written is bounded by the window of the line engine, so that neither can
// hold anything back for long.
const (
	rxSize    = 1024
	txBuffers = 2
	txSize    = 1024
)

// send puts the owner's buffer on the wire: at once if the port takes it, else by
// the hand.
func (o *owner) send() {
	if len(o.buf) == 0 {
		return
	}
	if o.now != nil && !o.slow {
		n, err := o.now.WriteNow(o.buf)
		if err != nil {
			o.fail(hal.FaultPort, portError(err))
			return
		}
		if n == len(o.buf) {
			o.buf = o.buf[:0]
			return
		}
		o.buf = o.buf[:copy(o.buf, o.buf[n:])]
		o.slow = true // until the hand has got rid of it
	}
	o.tx <- o.buf // has room for every buffer there is
	o.buf = nil
}

// borrow gets a buffer back from the hand. It reports whether the owner has one.
func (o *owner) borrow() bool {
	if o.buf != nil {
		return true
	}
	select {
	case o.buf = <-o.txFree:
		o.slow = len(o.tx) > 0
		return true
	default:
		return false
	}
}

// hand writes what the port did not take at once, stops first.
func (m *Machine) hand() {
	for {
		select {
		case written := <-m.urgent:
			m.write([]byte(m.profile.Stop), written)
			continue
		default:
		}
		select {
		case written := <-m.urgent:
			m.write([]byte(m.profile.Stop), written)
		case buf := <-m.tx:
			m.write(buf, nil)
			m.txFree <- buf[:0] // there are no more buffers than room for them
			m.wake()
		case <-m.quit:
			return
		}
	}
}

func (m *Machine) write(b []byte, written chan<- error) {
	_, err := m.port.Write(b)
	if err != nil {
		m.box.mu.Lock()
		m.box.broken = portError(err)
		m.box.mu.Unlock()
		m.box.news.Store(true)
		m.wake()
	}
	if written != nil {
		written <- err
	}
}

func portError(err error) error {
	if errors.Is(err, hal.ErrDisconnected) {
		return err
	}
	return fmt.Errorf("%w: %v", hal.ErrDisconnected, err)
}

// listen reads what the port says, until deadline at the latest or until others wake
// the owner. It returns nothing if neither brought anything.
func (o *owner) listen(deadline time.Time) ([]byte, error) {
	ear := &o.box.ear
	if !ear.CompareAndSwap(earBusy, earListen) {
		ear.Store(earBusy) // woken: who has done so has left word before
		return nil, nil
	}
	// The deadline is moved only when it has to be: one that passes too early does no
	// harm, and setting it costs as much as a read. One that is woken late, when the
	// owner is at work again, ends the next read.
	if o.armed.IsZero() || deadline.Before(o.armed) {
		o.armed = deadline
		if err := o.port.SetReadDeadline(deadline); err != nil {
			return nil, err
		}
		if ear.Load() == earWoken { // the deadline may have come after the waker's
			ear.Store(earBusy)
			o.armed = time.Time{}
			return nil, nil
		}
	}
	n, err := o.port.Read(o.rx[:])
	ear.Store(earBusy)
	timeout := err != nil && errors.Is(err, os.ErrDeadlineExceeded)
	if timeout {
		o.armed, err = time.Time{}, nil
	}
	if n > 0 || timeout {
		o.empty = 0
	} else if o.empty++; err == nil && o.empty > maxEmpty {
		err = io.ErrNoProgress
	}
	return o.rx[:n], err
}
