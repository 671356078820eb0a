// Package history judges evidence that somebody has kept, away from printer, broker and
// fleet: the log of a fleet, exported as lines of JSON, or the mirror that an owner's
// printer keeps of everything it sent, exported as frames one after the other.
//
// Start at [Check]. It needs what enrolment established of each printer ([verify.Record])
// and which agents were released, and says what of the history is believed, what is
// refused and why, and what is missing. It knows no nonces, so it cannot say how fresh
// anything was when it was sent; order and completeness it can.
package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// Refusal is a frame that is not believed.
type Refusal struct {
	// Frame is its number in the history, from 1.
	Frame int `json:"frame"`
	// Printer is who it says it is of; empty if that cannot be read.
	Printer string `json:"printer,omitempty"`
	// Seq is the number that it bears in its chain, 0 if that cannot be read.
	Seq uint64 `json:"seq,omitempty"`
	// Reason is why.
	Reason verify.Reason `json:"reason"`
}

// Gap is batches of a chain that the history does not have, both numbers included.
type Gap struct {
	Printer   string `json:"printer"`
	Recipient string `json:"recipient"`
	Boot      uint64 `json:"boot"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`

	start uint64
}

// Beginning is the first batch that a history has of a printer for a recipient, if there were
// others in its chain before: a mirror is a ring, and a fleet keeps its log for so long. Whether
// more of it is gone than that explains, only who kept it can say.
type Beginning struct {
	Printer   string `json:"printer"`
	Recipient string `json:"recipient"`
	Boot      uint64 `json:"boot"`
	Batch     uint64 `json:"batch"`
}

// Report is what a history holds.
type Report struct {
	// Frames is how many there were; Believed of them are, Repeated of them are again.
	Frames   int `json:"frames"`
	Believed int `json:"believed"`
	Repeated int `json:"repeated"`
	// Messages is how many the believed ones hold, and Dropped how many the printers say
	// that their spools lost.
	Messages int    `json:"messages"`
	Dropped  uint64 `json:"dropped"`
	// Chains is how many there were: one for each start of an agent that did not go on
	// with the chain before.
	Chains int `json:"chains"`
	// Begins is where the history begins within a chain.
	Begins []Beginning `json:"begins"`
	// Refused is in the order of the history; Missing as it is after its last frame.
	Refused []Refusal `json:"refused"`
	Missing []Gap     `json:"missing"`
	// Printers is what is known of each, in the order in which they were first believed.
	Printers []Claims `json:"printers"`
}

// Clean reports whether nothing was refused and nothing is missing.
func (r Report) Clean() bool { return len(r.Refused) == 0 && len(r.Missing) == 0 }

// Check judges the history in r. The error is about reading it; what is not believed is
// in the report. A fleet's log and an owner's mirror are told apart by how they begin.
// Memory does not grow with the length of the history, but with what is wrong with it.
func Check(r io.Reader, records []verify.Record, known verify.Releases) (Report, error) {
	c := checker{records: records, known: known, by: map[evidence.RecipientID]*verify.Verifier{},
		first: map[pair]Gap{}, rep: Report{Begins: []Beginning{}, Refused: []Refusal{}, Missing: []Gap{}, Printers: []Claims{}}}
	for frame, err := range frames(bufio.NewReader(r)) {
		if err != nil {
			return c.rep, fmt.Errorf("read the history: frame %d: %w", c.rep.Frames+1, err)
		}
		if err := c.frame(frame); err != nil {
			return c.rep, err
		}
	}
	c.begin()
	return c.rep, nil
}

// pair is a printer and one of its recipients, as in a Gap.
type pair struct{ printer, recipient string }

// begin takes what is missing before the first batch of each printer for what it is.
func (c *checker) begin() {
	c.rep.Missing = slices.DeleteFunc(c.rep.Missing, func(g Gap) bool {
		if first := c.first[pair{g.Printer, g.Recipient}]; g.From != 1 || g.Boot != first.Boot || g.start != first.start {
			return false
		}
		c.rep.Begins = append(c.rep.Begins, Beginning{g.Printer, g.Recipient, g.Boot, g.To + 1})
		return true
	})
}

type checker struct {
	records []verify.Record
	known   verify.Releases
	by      map[evidence.RecipientID]*verify.Verifier
	first   map[pair]Gap // with nothing in it but the first chain
	rep     Report
}

func (c *checker) frame(frame []byte) error {
	c.rep.Frames++
	h, err := header(frame)
	if err != nil {
		c.rep.Refused = append(c.rep.Refused, Refusal{Frame: c.rep.Frames, Reason: verify.BadEncoding})
		return nil
	}
	v, err := c.verifier(h.Recipient)
	if err != nil {
		return err
	}
	got, err := v.Batch(h.Printer, frame)
	switch reason := verify.ReasonOf(err); {
	case err == nil:
		c.believed(got)
	case reason == verify.Replayed:
		c.rep.Repeated++
	case reason == "":
		return fmt.Errorf("judge frame %d: %w", c.rep.Frames, err)
	default:
		c.rep.Refused = append(c.rep.Refused, Refusal{c.rep.Frames, h.Printer.String(), h.Seq, reason})
	}
	return nil
}

func header(frame []byte) (evidence.Header, error) {
	b, err := evidence.Decode(frame)
	if err != nil {
		return evidence.Header{}, err
	}
	return evidence.ParseHeader(b.Header)
}

// verifier is that of one recipient: each has chains of its own.
func (c *checker) verifier(r evidence.RecipientID) (*verify.Verifier, error) {
	if v := c.by[r]; v != nil {
		return v, nil
	}
	v, err := verify.New(verify.Config{Recipient: r, Releases: c.known, Offline: true})
	if err != nil {
		return nil, err
	}
	for _, rec := range c.records {
		if err := v.Enrol(rec); err != nil {
			return nil, err
		}
	}
	c.by[r] = v
	return v, nil
}

func (c *checker) believed(v verify.Verdict) {
	h := v.Header
	c.rep.Believed++
	c.rep.Messages += len(v.Msgs)
	c.rep.Dropped += h.Dropped
	if v.NewChain {
		c.rep.Chains++
		p := pair{h.Printer.String(), h.Recipient.String()}
		if _, known := c.first[p]; !known {
			c.first[p] = Gap{Boot: h.Boot, start: h.Start}
		}
	}
	if v.Late {
		c.close(h)
	} else {
		c.know(claims(v))
	}
	for _, m := range v.Missing {
		c.rep.Missing = append(c.rep.Missing, Gap{h.Printer.String(), h.Recipient.String(), h.Boot, m.From, m.To, h.Start})
	}
}

// know keeps what is known of a printer now.
func (c *checker) know(now Claims) {
	if i := slices.IndexFunc(c.rep.Printers, func(old Claims) bool { return old.UEID == now.UEID }); i >= 0 {
		c.rep.Printers[i] = now
		return
	}
	c.rep.Printers = append(c.rep.Printers, now)
}

// close takes a batch that came late out of the gap that it leaves smaller.
func (c *checker) close(h evidence.Header) {
	i := slices.IndexFunc(c.rep.Missing, func(g Gap) bool {
		return g.Printer == h.Printer.String() && g.Recipient == h.Recipient.String() && g.Boot == h.Boot && g.start == h.Start &&
			g.From <= h.Seq && h.Seq <= g.To
	})
	if i < 0 {
		return
	}
	low, high := c.rep.Missing[i], c.rep.Missing[i]
	low.To, high.From = h.Seq-1, h.Seq+1
	var rest []Gap
	for _, g := range []Gap{low, high} {
		if g.From <= g.To {
			rest = append(rest, g)
		}
	}
	c.rep.Missing = slices.Replace(c.rep.Missing, i, i+1, rest...)
}

// frames yields the frames of a history, and at most one error, last.
func frames(r *bufio.Reader) iter.Seq2[[]byte, error] {
	first, err := r.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return func(func([]byte, error) bool) {}
	case err != nil:
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	case first[0] == '{':
		return logged(r)
	}
	return mirrored(r)
}

// mirrored reads frames of the size they were sent in.
func mirrored(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, evidence.WireSize)
		for {
			_, err := io.ReadFull(r, buf)
			if errors.Is(err, io.EOF) {
				return
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = fmt.Errorf("it ends within a frame of %d bytes", evidence.WireSize)
			}
			if !yield(buf, err) || err != nil {
				return
			}
		}
	}
}

// logged reads the believed frames of a log's lines: what was refused is not evidence.
func logged(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, 2*evidence.MaxWire)
		for sc.Scan() {
			var e store.Event
			if err := json.Unmarshal(sc.Bytes(), &e); err != nil || e.Event == "" {
				yield(nil, errors.New("a line is not an event: export with platen-fleet events --frames -o jsonl"))
				return
			}
			if e.Event != store.Batch {
				continue
			}
			if len(e.Frame) == 0 {
				yield(nil, errors.New("a batch without its evidence: export with --frames"))
				return
			}
			if !yield(e.Frame, nil) {
				return
			}
		}
		if err := sc.Err(); err != nil {
			yield(nil, err)
		}
	}
}
