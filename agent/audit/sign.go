package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	signAfter = time.Minute     // from the first entry that no head covers
	signMost  = 64              // entries that no head covers
	retry     = 5 * time.Second // after the disk or the TPM has failed
	lastTime  = 3 * time.Second // for the last head of an agent that ends
	again     = time.Minute     // in which an event that repeats itself is written once
	maxRepeat = 64              // kinds of such events
	maxTokens = 24
	tokenTime = 24 * time.Hour
)

// budget spares the TPM, whose counters bear some 100,000 writes: two dozen a day last
// for eleven years. It is the times of the heads that were counted, but for those of grants
// and revocations: each of these is the owner's own doing.
type budget []time.Time

// room reports whether one more may be counted now.
func (b *budget) room(now time.Time) bool {
	*b = slices.DeleteFunc(*b, func(t time.Time) bool { return now.Sub(t) >= tokenTime || t.After(now) })
	return len(*b) < maxTokens
}

// repeat is an event that came before.
type repeat struct {
	until time.Time
	more  uint64 // that were not written
}

// Note has Run write an entry soon. It never blocks and needs neither disk nor TPM: it
// is for whoever has a printer to keep safe. Entries that find no room are counted, and
// so are refusals that repeat themselves within a minute.
func (l *Log) Note(e Entry) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	l.waitMu.Lock()
	defer l.waitMu.Unlock()
	if e.Event == Refused && !l.news(&e) {
		return
	}
	if len(l.waiting) >= maxWaiting {
		l.lost++
		return
	}
	l.waiting = append(l.waiting, e)
	l.wake()
}

// news reports whether a refusal is to be written, with how many came since the last.
func (l *Log) news(e *Entry) bool {
	r := l.repeats[e.Code]
	if r == nil {
		if len(l.repeats) >= maxRepeat {
			clear(l.repeats)
		}
		r = &repeat{}
		l.repeats[e.Code] = r
	}
	if e.At.Before(r.until) {
		r.more++
		return false
	}
	e.Serial, r.more, r.until = r.more+1, 0, e.At.Add(again)
	return true
}

// Run writes what was noted and has the TPM sign heads until ctx ends, and then once
// more. A disk or a TPM that fails is tried again; nobody waits for it.
func (l *Log) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	said := false
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
			defer cancel()
			if err := errors.Join(l.drain(), l.sign(ctx)); err != nil {
				l.log.Warn("the audit log ends without a head", "error", err)
			}
			return nil
		case <-l.kick:
		case <-timer.C:
		}
		err := l.drain()
		if err == nil && l.due() {
			err = l.sign(ctx)
		}
		if err != nil && !said && ctx.Err() == nil {
			l.log.Error("the audit log cannot be written or signed: entries wait", "error", err)
		}
		said = err != nil
		timer.Reset(l.pause(err))
	}
}

// pause is how long Run may sleep if nobody wakes it.
func (l *Log) pause(err error) time.Duration {
	if err != nil {
		return retry
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unsigned == 0 {
		return time.Hour
	}
	return max(time.Until(l.since.Add(signAfter)), 0)
}

// due reports whether it is time for a head.
func (l *Log) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.walk.heads == 0 || l.urgent > 0 || l.unsigned >= signMost || l.unsigned > 0 && time.Since(l.since) >= signAfter
}

// drain writes what was noted, oldest first, and how much was lost.
func (l *Log) drain() error {
	l.draining.Lock()
	defer l.draining.Unlock()
	for {
		l.waitMu.Lock()
		var e Entry
		n, lost := len(l.waiting), l.lost
		if n > 0 {
			e = l.waiting[0]
		} else if lost > 0 {
			e = Entry{Event: Lost, Serial: lost}
		}
		l.waitMu.Unlock()
		if n == 0 && lost == 0 {
			return nil
		}
		if _, err := l.Append(e); err != nil {
			return err
		}
		l.waitMu.Lock()
		if n > 0 {
			l.waiting = append(l.waiting[:0], l.waiting[1:]...)
		} else {
			l.lost -= lost
		}
		l.waitMu.Unlock()
	}
}

// sign writes a head over all that the log holds, if the last is not one.
func (l *Log) sign(ctx context.Context) error {
	l.mu.Lock()
	done := l.walk.heads > 0 && l.unsigned == 0
	l.mu.Unlock()
	if done {
		return nil
	}
	_, err := l.head(ctx, "")
	return err
}

// head writes a head and returns where it is. The log is not held up while the TPM signs.
func (l *Log) head(ctx context.Context, nonce string) (Ref, error) {
	l.signing.Lock()
	defer l.signing.Unlock()
	if err := l.settle(ctx); err != nil {
		return Ref{}, err
	}
	l.mu.Lock()
	h := &Head{Of: l.walk.end.N, Hash: l.walk.end.Hash, Count: l.count, Nonce: nonce}
	counts := l.walk.heads == 0 || l.urgent > 0 || l.unsigned > 0 && l.budget.room(time.Now())
	l.mu.Unlock()
	if counts {
		h.Count++
	}
	q, err := l.signer.Quote(ctx, h.qualifying(l.signer.ID()))
	if err != nil {
		return Ref{}, fmt.Errorf("have the TPM sign the audit log: %w", err)
	}
	h.Attest, h.Sig = q.Attest, q.Sig
	for i := range q.PCRs {
		h.PCRs[i] = q.PCRs[i]
	}
	ref, err := l.Append(Entry{Event: Signed, Head: h})
	if err != nil {
		return ref, err
	}
	return ref, l.settle(ctx)
}

// settle has the TPM count up to the last head. signing is held.
func (l *Log) settle(ctx context.Context) error {
	l.mu.Lock()
	want := l.count
	l.mu.Unlock()
	for got := l.counted; got < want; l.counted = got {
		var err error
		if got, _, err = l.signer.CountHead(ctx, false); err == nil && got < want {
			got, _, err = l.signer.CountHead(ctx, true)
		}
		if err != nil {
			return fmt.Errorf("have the TPM count heads: %w", err)
		}
	}
	return nil
}
