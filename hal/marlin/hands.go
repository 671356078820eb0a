package marlin

import (
	"errors"
	"fmt"
	"io"

	"platen/hal"
)

// Buffers between the owner and its hands. Two for each: one is worked on while the
// other is filled. What is written is bounded by the window of the line engine, so
// that neither queue can hold anything back for long.
const (
	rxBuffers = 4
	rxSize    = 512
	txBuffers = 2
	txSize    = 1024
)

// stopText is the emergency stop. The line feed before it ends whatever half line the
// controller has.
const stopText = "\nM112\n"

func (m *Machine) start() {
	for range rxBuffers {
		m.rxFree <- make([]byte, rxSize)
	}
	for range txBuffers {
		m.txFree <- make([]byte, 0, txSize)
	}
	m.wg.Go(m.reader)
	m.wg.Go(m.writer)
}

// reader hands what the port says to the owner until the port ends.
func (m *Machine) reader() {
	for {
		var buf []byte
		select {
		case buf = <-m.rxFree:
		case <-m.quit:
			return
		}
		n, err := m.readSome(buf[:rxSize])
		if n > 0 {
			select {
			case m.rx <- buf[:n]:
			case <-m.quit:
				return
			}
		}
		if err != nil {
			m.broke(err)
			return
		}
	}
}

// readSome reads at least one byte or fails. A port may return without either, but
// not for ever.
func (m *Machine) readSome(buf []byte) (int, error) {
	for range 100 {
		if n, err := m.port.Read(buf); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// writer writes what it is handed, stops first.
func (m *Machine) writer() {
	for {
		select {
		case written := <-m.urgent:
			m.write([]byte(stopText), written)
			continue
		default:
		}
		select {
		case written := <-m.urgent:
			m.write([]byte(stopText), written)
		case buf := <-m.tx:
			m.write(buf, nil)
			m.txFree <- buf[:0] // there are no more buffers than room for them
		case <-m.quit:
			return
		}
	}
}

func (m *Machine) write(b []byte, written chan<- error) {
	_, err := m.port.Write(b)
	if err != nil {
		m.broke(err)
	}
	if written != nil {
		written <- err
	}
}

// broke tells the owner that the port has failed.
func (m *Machine) broke(err error) {
	select {
	case <-m.quit:
		return // it was closed
	default:
	}
	if !errors.Is(err, hal.ErrDisconnected) {
		err = fmt.Errorf("%w: %v", hal.ErrDisconnected, err)
	}
	select {
	case m.broken <- err:
	default:
	}
}
