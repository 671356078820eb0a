package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"platen/agent/evidence"
)

// Recall moves a printer's chain past a frame that this fleet has believed before, and whose
// verdict was kept while the state was not. It checks no signature, nor what ran on the printer:
// whoever keeps what was believed says that it was. A batch that the chain knows already is refused
// as any other would be (Replayed, BootBackwards, ...), and nothing has changed then.
func (v *Verifier) Recall(from evidence.PrinterID, wire []byte) error {
	b, err := evidence.Decode(wire)
	if err != nil {
		return refuse(BadEncoding, err)
	}
	h, err := evidence.ParseHeader(b.Header)
	if err != nil {
		return refuse(BadEncoding, err)
	}
	att, ok := readAttest(b.Quote.Attest)
	if !ok {
		return refuse(BadAttest, nil)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	p, err := v.known.get(from)
	if err == nil && h.Printer != from {
		err = refuse(UnknownPrinter, nil)
	}
	if err != nil {
		return err
	}
	next := p.chain.clone()
	place, err := next.admit(h, sha256.Sum256(b.Header), att.clock)
	if err != nil {
		return err
	}
	if len(h.Nonce) == NonceSize && !place.late {
		next.NonceAt, next.Nonced = int64(binary.BigEndian.Uint64(h.Nonce)), true
	}
	next.trust(b.Log, att.clock.ResetCount, v.listed(from, &next, b.Log, att.clock.ResetCount))
	if !place.late {
		next.runsWith(b.Log.Settings)
	}
	p.chain = next
	v.known.changed(p)
	return nil
}

// Undo takes the last batch that was believed of a printer back, since it could not be kept: it
// is judged as if it were new when it comes again. Of several, the last comes first.
func (v *Verifier) Undo(of Verdict) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, err := v.known.get(of.Printer)
	if err != nil {
		return fmt.Errorf("take a batch back: %w", err)
	}
	if p.turn != of.turn {
		return errors.New("take a batch back: it is not the last that was believed of its printer")
	}
	values, ran := p.chain.Values, p.chain.Ran // what was seen stays true
	p.chain, p.turn = of.before, p.turn-1
	p.chain.Values, p.chain.Ran = values, ran
	v.known.changed(p)
	return nil
}
