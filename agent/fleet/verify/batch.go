package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"platen/agent/evidence"
)

// Batch judges the batch in wire that came under the name from: the topic it was
// published to, or the common name of the client's certificate. The error of
// what is not believed is a *Refusal; the verifier's state is then unchanged. Any other error
// is the Cold's, and nothing was judged.
func (v *Verifier) Batch(from evidence.PrinterID, wire []byte) (Verdict, error) {
	b, err := evidence.Decode(wire)
	if err != nil {
		return Verdict{}, refuse(BadEncoding, err)
	}
	h, err := evidence.ParseHeader(b.Header)
	if err != nil {
		return Verdict{}, refuse(BadEncoding, err)
	}
	if h.Printer != from {
		return Verdict{}, refuse(PrinterSwapped, fmt.Errorf("it speaks for %v", h.Printer))
	}
	v.mu.Lock()
	p, err := v.known.get(from)
	v.mu.Unlock()
	if err != nil {
		return Verdict{}, err
	}
	if h.Recipient != v.cfg.Recipient {
		return Verdict{}, refuse(WrongRecipient, nil)
	}
	// Nearly all the time goes into the signature, so nobody waits for it: an id is the
	// digest of its key, so a printer that enrols anew meanwhile has the same.
	att, err := quoted(p.ak, p.signer, b.Quote.Attest, b.Quote.Sig, sha256.Sum256(b.Header))
	if err != nil {
		return Verdict{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if p, err = v.known.get(from); err != nil {
		return Verdict{}, err
	}
	return v.judge(p, b, h, att)
}

// judge goes on where the quote is the printer's; Header is canonical, so its digest is
// what the quote is over.
func (v *Verifier) judge(p *printer, b evidence.Batch, h evidence.Header, att attested) (Verdict, error) {
	digest := sha256.Sum256(b.Header)
	if uint64(len(b.Msgs)) != h.Count || evidence.Root(b.Msgs) != h.Root {
		return Verdict{}, refuse(WrongRoot, nil)
	}
	runs, err := v.measured(p, b, att)
	if err != nil {
		return Verdict{}, err
	}
	next := p.chain.clone()
	place, err := next.admit(h, digest, att.clock)
	if err != nil {
		return Verdict{}, err
	}
	age, err := v.age(&next, h, place.late)
	if err != nil {
		return Verdict{}, err
	}
	unseen := !next.saw(settingsBase(b.Log), att.clock.ResetCount, false)
	next.trust(b.Log, att.clock.ResetCount, v.listed(p.id, &next, b.Log, att.clock.ResetCount))
	changed := !place.late && next.runsWith(b.Log.Settings)
	before := p.chain
	p.chain, p.turn = next, p.turn+1
	v.known.changed(p)
	return Verdict{
		before: before, turn: p.turn,
		Printer: h.Printer, Header: h, Release: runs.Number, Agent: b.Log.Digests[len(b.Log.Digests)-1], Msgs: b.Msgs,
		Settings: b.Log.Settings, SettingsChanged: changed, SettingsUnseen: unseen,
		Missing: place.missing, Late: place.late, NewChain: place.newChain,
		Fresh: len(h.Nonce) > 0 && !v.cfg.Offline && age <= v.cfg.Fresh, Age: age, Clock: att.clock.Clock,
	}, nil
}

// age checks a batch's nonce and returns how long ago it was issued. A batch that
// came late carries the nonce of its time; any other at least the last one's. A
// chain that begins before the printer has heard from us has none yet.
func (v *Verifier) age(c *chain, h evidence.Header, late bool) (time.Duration, error) {
	if len(h.Nonce) == 0 {
		if c.Nonced && !late {
			return 0, refuse(NonceStale, errors.New("the chain had a nonce before"))
		}
		return 0, nil
	}
	if v.cfg.Offline {
		c.Nonced = true
		return 0, nil
	}
	at, ok := v.issued(h.Printer, h.Nonce)
	if !ok {
		return 0, refuse(NonceUnknown, nil)
	}
	age := max(0, v.cfg.Now().Sub(time.UnixMilli(at)))
	if age > v.cfg.MaxAge {
		return 0, refuse(NonceStale, fmt.Errorf("issued %v ago", age.Round(time.Second)))
	}
	if !late {
		if at < c.NonceAt {
			return 0, refuse(NonceStale, errors.New("older than the last one used"))
		}
		c.NonceAt, c.Nonced = at, true
	}
	return age, nil
}
