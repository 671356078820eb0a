package evidence

import "fmt"

// Chain makes the headers of one printer's batches for one recipient. It is not
// safe for concurrent use.
//
// A chain lives in RAM and ends with the boot. A caller that restarts within a
// boot either keeps [Chain.Last] where a reset of the machine loses it (a tmpfs)
// and calls [Resume], or begins a new chain with a later start.
type Chain struct {
	next Header // the next header but for messages, nonce and drops
	last []byte // canonical bytes of the last committed header
}

// NewChain begins a chain in the TPM's boot number boot, at start milliseconds of
// the TPM's clock.
func NewChain(printer PrinterID, recipient RecipientID, boot, start uint64) *Chain {
	return &Chain{next: Header{V: Version, Printer: printer, Recipient: recipient, Boot: boot, Start: start, Seq: 1}}
}

// Resume continues the chain whose last committed header is given in its canonical
// bytes, see [Chain.Last].
func Resume(last []byte) (*Chain, error) {
	h, err := ParseHeader(last)
	if err != nil {
		return nil, fmt.Errorf("resume chain: %w", err)
	}
	c := NewChain(h.Printer, h.Recipient, h.Boot, h.Start)
	if err := c.advance(h); err != nil {
		return nil, err
	}
	return c, nil
}

// Next makes the header of the next batch, which holds msgs; dropped is how many
// messages were lost since the batch before. The chain does not move: a caller
// whose quote fails asks again. Messages beyond the limits are an ErrLimit.
func (c *Chain) Next(msgs [][]byte, nonce []byte, dropped uint64) (Header, error) {
	if err := checkMsgs(msgs); err != nil {
		return Header{}, err
	}
	h := c.next
	if h.First+dropped < h.First {
		return Header{}, fmt.Errorf("%w: message numbers wrap", ErrLimit)
	}
	h.First += dropped
	h.Count = uint64(len(msgs))
	h.Root = Root(msgs)
	h.Nonce = append([]byte{}, nonce...)
	h.Dropped = dropped
	return h, h.check()
}

// Commit moves the chain past h, which Next made and a quote has signed. Another
// header is an error and moves nothing.
func (c *Chain) Commit(h Header) error {
	if h.Seq != c.next.Seq || h.Prev != c.next.Prev || h.Boot != c.next.Boot || h.Start != c.next.Start ||
		h.Printer != c.next.Printer || h.Recipient != c.next.Recipient {
		return fmt.Errorf("commit: header %d is not the next of this chain", h.Seq)
	}
	return c.advance(h)
}

// Last is the canonical bytes of the last committed header, nil before the first.
func (c *Chain) Last() []byte { return c.last }

func (c *Chain) advance(h Header) error {
	raw, err := h.Bytes()
	if err != nil {
		return err
	}
	digest, err := h.Digest()
	if err != nil {
		return err
	}
	c.last = raw
	c.next.Seq = h.Seq + 1
	c.next.First = h.First + h.Count
	c.next.Prev = digest
	return nil
}
