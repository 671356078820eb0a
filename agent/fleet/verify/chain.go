package verify

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/evidence"
)

// hash is a SHA-256 digest that is hexadecimal at rest.
type hash [32]byte

// MarshalText returns hexadecimal digits.
func (h hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText parses 64 hexadecimal digits.
func (h *hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return errors.New("not a SHA-256 digest")
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// place is where in a chain a batch belongs.
type place struct {
	missing  []Range
	late     bool
	newChain bool
}

// Bounds of what is remembered of a chain. Older batches count as seen, older gaps
// as final.
const (
	maxRecent  = 32
	maxMissing = 32
	maxValues  = 16
)

// link is a batch that was believed.
type link struct {
	Seq    uint64 `json:"seq"`
	Digest hash   `json:"digest"`
	Prev   hash   `json:"prev"`
	First  uint64 `json:"first"` // number of the first message less those dropped
	Next   uint64 `json:"next"`  // number of the message after the last
}

// chain is what is remembered of a printer's batches.
type chain struct {
	Boot    uint64    `json:"boot"`
	Start   uint64    `json:"start"`
	Seq     uint64    `json:"seq"` // highest number believed; 0 before any
	Reset   uint32    `json:"reset"`
	Restart uint32    `json:"restart"`
	Clock   uint64    `json:"clock"`
	NonceAt int64     `json:"nonce_at"` // of the latest nonce in any chain, Unix milliseconds
	Nonced  bool      `json:"nonced"`   // this chain has had a nonce
	Recent  []link    `json:"recent"`   // by number, rising
	Missing []Range   `json:"missing"`  // rising
	Values  []hash    `json:"values"`   // of the agent's PCR that a log was seen to reach
	Ran     []ranWith `json:"ran"`      // values of the settings' PCR that were seen, the latest last

	Settings [3]hash `json:"settings"` // configuration, board file and controller of the newest batch
}

// ranWith is a value that SettingsPCR was seen to have between two resets of the TPM: what ran
// before a reset says nothing of what runs after it.
type ranWith struct {
	Reset  uint32 `json:"reset"` // the TPM's count of them
	Value  hash   `json:"value"`
	Listed bool   `json:"listed,omitempty"` // all that led to it was held against a list, and stood there
}

func (c *chain) clone() chain {
	d := *c
	d.Recent = append([]link{}, c.Recent...)
	d.Missing = append([]Range{}, c.Missing...)
	d.Values = append([]hash{}, c.Values...)
	d.Ran = append([]ranWith{}, c.Ran...)
	return d
}

// trusts reports whether a log may begin at base: at zero, or at a value that a log
// of released agents was seen to reach. No other sequence reaches the same value,
// so it does not matter in which boot that was.
func (c *chain) trusts(base [32]byte) bool {
	known := base == [32]byte{}
	for _, value := range c.Values {
		known = known || value == hash(base)
	}
	return known
}

// saw reports whether what a printer runs with may follow the value base of SettingsPCR: zero,
// or one that was seen since the TPM was reset this often, and, if a list is demanded, only had what
// stood on it.
func (c *chain) saw(base [32]byte, reset uint32, listed bool) bool {
	return base == [32]byte{} || slices.ContainsFunc(c.Ran, func(r ranWith) bool {
		return r.Reset == reset && r.Value == base && (r.Listed || !listed)
	})
}

// trust remembers the values that a log replays through, and what ran when the TPM had been
// reset this often; listed is what known says of it.
func (c *chain) trust(l evidence.Log, reset uint32, listed bool) {
	if now := (ranWith{reset, l.Settings.Value(), listed}); !c.saw(now.Value, reset, listed) {
		c.Ran = append(c.Ran, now)
		c.Ran = c.Ran[max(0, len(c.Ran)-maxValues):]
	}
	var values []hash
	for n := range len(l.Digests) + 1 {
		values = append(values, hash(evidence.Log{Base: l.Base, Digests: l.Digests[:n]}.Value()))
	}
	for _, value := range values {
		known := value == hash{}
		for _, have := range c.Values {
			known = known || have == value
		}
		if !known {
			c.Values = append(c.Values, value)
		}
	}
	c.Values = c.Values[max(0, len(c.Values)-maxValues):]
}

// runsWith notes what a printer runs with now, and reports whether it did not before.
func (c *chain) runsWith(s evidence.Settings) bool {
	now := [3]hash{s.Config, s.Board, s.Controller}
	changed := now != c.Settings
	c.Settings = now
	return changed
}

// admit finds a batch's place and moves the chain there.
func (c *chain) admit(h evidence.Header, digest [32]byte, clock tpm2.TPMSClockInfo) (place, error) {
	fresh, err := c.order(h, clock)
	if err != nil {
		return place{}, err
	}
	if fresh {
		*c = chain{Boot: h.Boot, Start: h.Start, NonceAt: c.NonceAt, Values: c.Values, Ran: c.Ran, Settings: c.Settings}
	}
	p := place{newChain: fresh}
	l := link{Seq: h.Seq, Digest: digest, Prev: h.Prev, First: h.First - h.Dropped, Next: h.First + h.Count}
	if h.Dropped > h.First {
		return place{}, refuse(NumberMismatch, nil)
	}
	if h.Seq <= c.Seq {
		p.late = true
		return p, c.fill(l)
	}
	if clock.Clock < c.Clock {
		return place{}, refuse(ClockBackwards, nil)
	}
	if err := c.follows(l); err != nil {
		return place{}, err
	}
	if h.Seq > c.Seq+1 {
		p.missing = []Range{{c.Seq + 1, h.Seq - 1}}
		c.Missing = append(c.Missing, p.missing...)
		c.Missing = c.Missing[max(0, len(c.Missing)-maxMissing):]
	}
	c.Seq, c.Clock, c.Reset, c.Restart = h.Seq, clock.Clock, clock.ResetCount, clock.RestartCount
	c.remember(l)
	return p, nil
}

// order reports whether a header begins a chain after this one, and refuses one of
// an earlier chain, of an earlier boot, or of a boot that the TPM denies.
func (c *chain) order(h evidence.Header, clock tpm2.TPMSClockInfo) (fresh bool, err error) {
	switch {
	case h.Start > clock.Clock:
		return false, refuse(ClockBackwards, errors.New("the chain began after the quote"))
	case c.Seq == 0:
		return true, nil
	case h.Boot > c.Boot:
		if clock.ResetCount == c.Reset && clock.RestartCount == c.Restart {
			return false, refuse(ResetMismatch, errors.New("a new boot without a reset of the TPM"))
		}
		return true, nil
	case h.Boot < c.Boot:
		return false, refuse(BootBackwards, fmt.Errorf("boot %d after boot %d", h.Boot, c.Boot))
	case clock.ResetCount != c.Reset || clock.RestartCount < c.Restart && h.Seq > c.Seq:
		return false, refuse(ResetMismatch, nil)
	case h.Start < c.Start:
		return false, refuse(ChainBackwards, nil)
	case h.Start > c.Start:
		if clock.Clock < c.Clock || h.Start < c.Clock {
			return false, refuse(ClockBackwards, errors.New("the chain overlaps the one before"))
		}
		return true, nil
	}
	return false, nil
}

// follows checks a batch beyond the chain's head against the head.
func (c *chain) follows(l link) error {
	head := link{}
	if n := len(c.Recent); n > 0 {
		head = c.Recent[n-1]
	}
	if l.Seq == c.Seq+1 {
		return joins(head, l)
	}
	if l.First < head.Next {
		return refuse(NumberMismatch, nil)
	}
	return nil
}

// joins checks two batches with successive numbers; the first of a chain follows
// the empty link.
func joins(a, b link) error {
	if b.Prev != a.Digest {
		return refuse(PrevMismatch, nil)
	}
	if b.First != a.Next {
		return refuse(NumberMismatch, nil)
	}
	return nil
}

// fill takes a batch that is not beyond the head: one that was missing, or none.
func (c *chain) fill(l link) error {
	for _, seen := range c.Recent {
		if seen.Seq == l.Seq && seen.Digest != l.Digest {
			return refuse(Forked, fmt.Errorf("batch %d", l.Seq))
		}
	}
	gap := -1
	for i, r := range c.Missing {
		if r.From <= l.Seq && l.Seq <= r.To {
			gap = i
		}
	}
	if gap < 0 {
		return refuse(Replayed, fmt.Errorf("batch %d", l.Seq))
	}
	if l.Seq == 1 {
		if err := joins(link{}, l); err != nil {
			return err
		}
	}
	for _, seen := range c.Recent {
		var err error
		switch {
		case seen.Seq+1 == l.Seq:
			err = joins(seen, l)
		case l.Seq+1 == seen.Seq && seen.Prev != l.Digest:
			err = refuse(Forked, fmt.Errorf("batch %d is not the one that %d follows", l.Seq, seen.Seq))
		case l.Seq+1 == seen.Seq:
			err = joins(l, seen)
		}
		if err != nil {
			return err
		}
	}
	c.close(gap, l.Seq)
	c.remember(l)
	return nil
}

// close takes seq out of a gap.
func (c *chain) close(gap int, seq uint64) {
	r := c.Missing[gap]
	var rest []Range
	if r.From < seq {
		rest = append(rest, Range{r.From, seq - 1})
	}
	if seq < r.To {
		rest = append(rest, Range{seq + 1, r.To})
	}
	c.Missing = append(c.Missing[:gap:gap], append(rest, c.Missing[gap+1:]...)...)
}

// remember inserts a link by its number.
func (c *chain) remember(l link) {
	at := len(c.Recent)
	for at > 0 && c.Recent[at-1].Seq > l.Seq {
		at--
	}
	c.Recent = append(c.Recent[:at:at], append([]link{l}, c.Recent[at:]...)...)
	c.Recent = c.Recent[max(0, len(c.Recent)-maxRecent):]
}
