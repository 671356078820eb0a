package verify

import (
	"container/list"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"platen/agent/evidence"
)

// Cold is where a Verifier puts the states of printers that have not been heard for a while: a
// file of its own, which it writes anew and nobody else does. Nothing in it is needed after a
// restart: [Verifier.PrinterState] is what lasts.
type Cold interface {
	io.ReaderAt
	io.WriterAt
}

// DefaultHot is how many printers' states a Verifier with a Config.Cold has in memory: 40 MB.
const DefaultHot = 4096

// room is what places in a Cold are multiples of, in bytes.
const room = 1 << 10

// printer is the state of one printer in memory.
type printer struct {
	id     evidence.PrinterID
	record json.RawMessage // its Record
	boot   evidence.PCRs   // of that
	ak     *ecdsa.PublicKey
	signer []byte // qualified name of the attestation key
	chain  chain
	turn   uint64 // batches believed less those taken back, since it was loaded
	newer  bool   // than what the Cold has
}

// entry is what a Verifier has in memory of every printer.
type entry struct {
	hot   *list.Element // of a *printer; nil: its state is in the Cold
	at    int64         // in the Cold
	size  uint32        // of its place there, 0: it has none
	spoke bool          // something was believed of it
}

// known are the printers of a Verifier: those heard last in memory, the latest first, the others
// in a Cold.
type known struct {
	cold  Cold // nil: all are in memory
	most  int  // in memory, if there is a Cold
	end   int64
	index map[evidence.PrinterID]entry
	hot   list.List
	buf   []byte // of what was read or is written
}

func newKnown(cold Cold, most int) *known {
	return &known{cold: cold, most: most, index: map[evidence.PrinterID]entry{}}
}

// get returns a printer, which is in memory until the next get or put. An error is a Refusal if
// nobody is enrolled under this id.
func (k *known) get(id evidence.PrinterID) (*printer, error) {
	e, ok := k.index[id]
	switch {
	case !ok:
		return nil, refuse(UnknownPrinter, nil)
	case e.hot != nil:
		k.hot.MoveToFront(e.hot)
		return e.hot.Value.(*printer), nil
	}
	p, err := k.read(id, e)
	if err != nil {
		return nil, err
	}
	return p, k.warm(p)
}

// peek returns a printer and leaves what is in memory as it is.
func (k *known) peek(id evidence.PrinterID) (*printer, error) {
	e, ok := k.index[id]
	switch {
	case !ok:
		return nil, refuse(UnknownPrinter, nil)
	case e.hot != nil:
		return e.hot.Value.(*printer), nil
	}
	return k.read(id, e)
}

func (k *known) read(id evidence.PrinterID, e entry) (*printer, error) {
	k.buf = slices.Grow(k.buf[:0], int(e.size))[:e.size]
	if _, err := k.cold.ReadAt(k.buf, e.at); err != nil {
		return nil, fmt.Errorf("read what is remembered of printer %v: %w", id, err)
	}
	p, err := unpack(k.buf)
	if err == nil && p.id != id {
		err = errors.New("it is another's")
	}
	if err != nil {
		return nil, fmt.Errorf("read what is remembered of printer %v: %w", id, err)
	}
	return p, nil
}

// put takes a printer's state, new or in place of the one before.
func (k *known) put(p *printer) error {
	if e := k.index[p.id]; e.hot != nil {
		e.hot.Value = p
		k.hot.MoveToFront(e.hot)
	} else if err := k.warm(p); err != nil {
		return err
	}
	k.changed(p)
	return nil
}

// changed notes that a printer's state, which is in memory, is another now.
func (k *known) changed(p *printer) {
	p.newer = true
	e := k.index[p.id]
	e.spoke = p.chain.Seq > 0
	k.index[p.id] = e
}

// warm brings a printer into memory. On an error nothing is.
func (k *known) warm(p *printer) error {
	for k.cold != nil && k.hot.Len() >= k.most {
		if err := k.cool(k.hot.Back()); err != nil {
			return err
		}
	}
	e := k.index[p.id]
	e.hot = k.hot.PushFront(p)
	k.index[p.id] = e
	return nil
}

// cool takes a printer out of memory.
func (k *known) cool(el *list.Element) error {
	p := el.Value.(*printer)
	e := k.index[p.id]
	if p.newer {
		k.buf = pack(k.buf[:0], p)
		if need := (len(k.buf) + room - 1) / room * room; need > int(e.size) {
			e.at, e.size = k.end, uint32(need) // what it had is not used again before a restart
			k.end += int64(need)
		}
		k.buf = slices.Grow(k.buf, int(e.size)-len(k.buf))[:e.size] // what lies behind it is not looked at
		if _, err := k.cold.WriteAt(k.buf, e.at); err != nil {
			return fmt.Errorf("put away what is remembered of printer %v: %w", p.id, err)
		}
	}
	k.hot.Remove(el)
	e.hot = nil
	k.index[p.id] = e
	return nil
}

func (k *known) forget(id evidence.PrinterID) {
	if e := k.index[id]; e.hot != nil {
		k.hot.Remove(e.hot)
	}
	delete(k.index, id)
}
