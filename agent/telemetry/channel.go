package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/spool"
)

// channel is what one recipient is sent: its encoder, spool, chain and link.
//
// The collector's goroutine owns enc, next and early; the channel's goroutine owns
// chain and frame; mu guards the rest.
type channel struct {
	grant  consent.Grant
	period time.Duration
	quoter Quoter
	link   Link
	file   chainFile
	sent   func(evidence.RecipientID, []byte)
	mirror func(evidence.RecipientID, []byte) error
	log    *slog.Logger

	enc   *catalog.Encoder
	next  time.Time // nominal time of the next slot
	early bool      // the next slot was brought forward

	chain  *evidence.Chain
	frame  []byte // built and not yet acknowledged
	upto   uint64 // the first message of the spool that the chain does not speak for
	shown  bool   // the frame is in the owner's mirror
	unkept bool   // the chain's place could not be written down
	stale  bool   // the file may say an earlier place of the chain
	spool  *spool.Spool

	mu sync.Mutex
	st Stat

	kick   chan struct{} // a slot has come; one is enough
	cancel context.CancelFunc
	done   chan struct{}
}

// start opens a channel for a grant in force. Its first slot is now.
func (c *Collector) start(ctx context.Context, g consent.Grant) (*channel, error) {
	enc, err := catalog.NewEncoder(g.Profile, g.Items)
	if err != nil {
		return nil, err
	}
	link, err := c.cfg.Dial(g) // first: opening a spool costs more, and fails less
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	kept, err := c.cfg.Spool(g)
	if err != nil {
		return nil, errors.Join(err, link.Close())
	}
	ch := &channel{
		grant: g, period: period(g, c.cfg.OwnerGrid), quoter: c.cfg.Quoter, link: link,
		file: newChainFile(c.cfg.StateDir, g.Recipient), sent: c.cfg.Sent, mirror: c.cfg.Mirror, log: c.cfg.Logger,
		enc: enc, next: time.Now(), spool: kept,
		st:   Stat{Recipient: g.Recipient, Name: g.Name, Profile: g.Profile.String()},
		kick: make(chan struct{}, 1), done: make(chan struct{}),
	}
	ctx, ch.cancel = context.WithCancel(ctx)
	go ch.run(ctx)
	return ch, nil
}

// period is the time between two slots: the grant's, never under what its profile
// allows, and for the owner no shorter than the configured grid.
func period(g consent.Grant, ownerGrid time.Duration) time.Duration {
	d := max(g.Period, g.Profile.MinPeriod())
	if g.Profile == catalog.Owner {
		d = max(d, ownerGrid)
	}
	return d
}

// slot encodes one message and has the channel send. The message bears the nominal
// time of its slot, by the clock as it is now: the clock may have been set since the
// slot before. Slots that passed while the collector was held up are left out; the
// grid does not move.
func (ch *channel) slot(now time.Time, m catalog.Moment, samples []catalog.Sample) {
	ahead := ch.next.Sub(now) // by the monotonic clock; not above zero, unless early
	if ahead < 0 {
		ahead += -ahead / ch.period * ch.period
	}
	m.At = now.Add(min(ahead, 0))
	ch.next = now.Add(ahead + ch.period)
	ch.early = false
	msg, err := ch.enc.Encode(nil, m, samples)
	if err != nil {
		ch.problem(err)
		return
	}
	ch.spool.Put(msg, m.At)
	select {
	case ch.kick <- struct{}{}:
	default: // the slot before is still being sent; this one's message waits
	}
}

func (ch *channel) run(ctx context.Context) {
	defer close(ch.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ch.kick:
		}
		err := ch.send(ctx)
		if ctx.Err() == nil {
			ch.problem(err)
		}
	}
}

// send brings one frame to the recipient: the one under way, or a new one.
func (ch *channel) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, max(min(ch.period, sendTime), 5*time.Second))
	defer cancel()
	if err := ch.open(ctx); err != nil {
		return err
	}
	nonce, err := ch.link.Nonce(ctx)
	if err != nil {
		return fmt.Errorf("reach the recipient: %w", err)
	}
	if ch.frame == nil {
		if err := ch.build(ctx, nonce); err != nil {
			return err
		}
	}
	if ch.stale { // a restart would make another frame of the same number
		if err := ch.keep(); err != nil {
			return err
		}
	}
	if err := ch.show(); err != nil {
		return err
	}
	if err := ch.link.Publish(ctx, ch.frame); err != nil {
		return fmt.Errorf("send a frame: %w", err)
	}
	if ch.sent != nil {
		ch.sent(ch.grant.Recipient, ch.frame)
	}
	ch.frame, ch.shown = nil, false
	ch.spool.Done(ch.upto)
	ch.mu.Lock()
	ch.st.Sent++
	ch.st.Last = time.Now()
	ch.mu.Unlock()
	_ = ch.keep() // at worst the frame is sent again
	return nil
}

// show puts the frame into the owner's mirror before it leaves for the first time. What
// the owner cannot be shown is not sent.
func (ch *channel) show() error {
	if ch.mirror == nil || ch.shown {
		return nil
	}
	if err := ch.mirror(ch.grant.Recipient, ch.frame); err != nil {
		return fmt.Errorf("write the owner's mirror, without which nothing is sent: %w", err)
	}
	ch.shown = true
	return nil
}

// open finds the chain's place, at the first slot.
func (ch *channel) open(ctx context.Context) error {
	if ch.chain != nil {
		return nil
	}
	fresh, err := ch.quoter.NewChain(ctx, ch.grant.Recipient)
	if err != nil {
		return fmt.Errorf("begin a chain: %w", err)
	}
	ch.chain, ch.frame, ch.upto = ch.file.resume(ch.grant.Serial, ch.spool.ID(), fresh)
	if ch.spool.Take(ch.upto); ch.frame == nil {
		ch.spool.Done(ch.upto)
	}
	return nil
}

// boundTries bounds how often a frame is bound anew because something was measured between
// reading the logs and quoting.
const boundTries = 3

// build binds waiting messages into a new frame and moves the chain past it.
func (ch *channel) build(ctx context.Context, nonce []byte) error {
	if len(nonce) == 0 {
		nonce = lastNonce(ch.chain)
	}
	log, err := ch.measured(ctx)
	if err != nil {
		return err
	}
	for range boundTries {
		room := evidence.Room(evidence.WireSize, len(nonce), len(log.Digests))
		msgs, lost, upto := ch.spool.Peek(room, evidence.MsgOverhead, evidence.MaxMsgs)
		h, err := ch.chain.Next(msgs, nonce, lost)
		if err != nil {
			return fmt.Errorf("make a header: %w", err)
		}
		frame, err := ch.bind(ctx, h, msgs, log)
		if err != nil {
			return err
		}
		after, err := ch.measured(ctx)
		if err != nil {
			return err
		}
		if after.Value() != log.Value() || after.Settings.Value() != log.Settings.Value() {
			log = after
			continue
		}
		if err := ch.chain.Commit(h); err != nil {
			return err
		}
		ch.spool.Take(upto)
		ch.frame, ch.upto, ch.stale = frame, upto, true
		return nil
	}
	return errors.New("bind a frame: what is measured keeps changing")
}

// measured is the log that a frame carries.
func (ch *channel) measured(ctx context.Context) (evidence.Log, error) {
	log, err := ch.quoter.Log(ctx)
	if err != nil {
		return log, fmt.Errorf("read the log of what was measured: %w", err)
	}
	return log.Tail(evidence.MaxLog), nil
}

// lastNonce is the nonce of a chain's last batch: a recipient that is slow to give a
// new one still takes the one before.
func lastNonce(c *evidence.Chain) []byte {
	if c.Last() == nil {
		return nil
	}
	h, err := evidence.ParseHeader(c.Last())
	if err != nil {
		return nil
	}
	return h.Nonce
}

// keep writes the chain's place down. That it cannot is no reason to send nothing, as long
// as no earlier place is left, from which a restart would go on: then it is an error.
func (ch *channel) keep() error {
	err := ch.file.save(ch.grant.Serial, ch.upto, ch.chain.Last(), ch.frame, ch.spool.ID())
	if err != nil && !ch.unkept {
		ch.log.Warn("a restart of the agent will begin a new chain", "recipient", ch.grant.Recipient.String(), "error", err)
	}
	ch.unkept = err != nil
	if err != nil {
		err = ch.file.remove()
	}
	ch.stale = ch.stale && err != nil
	return err
}

func (ch *channel) bind(ctx context.Context, h evidence.Header, msgs [][]byte, log evidence.Log) ([]byte, error) {
	raw, err := h.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode a header: %w", err)
	}
	digest, err := h.Digest()
	if err != nil {
		return nil, fmt.Errorf("encode a header: %w", err)
	}
	quote, err := ch.quoter.Quote(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("have the TPM quote: %w", err)
	}
	frame, err := evidence.Encode(evidence.Batch{Header: raw, Msgs: msgs, Quote: quote.Signed(), Log: log}, evidence.WireSize)
	if err != nil {
		return nil, fmt.Errorf("encode a batch: %w", err)
	}
	return frame, nil
}

// stop ends the channel and keeps its place for the next start.
func (ch *channel) stop() {
	ch.hangUp()
	ch.close()
}

func (ch *channel) close() {
	<-ch.done
	if err := ch.spool.Close(); err != nil {
		ch.log.Warn("closing a spool", "recipient", ch.grant.Recipient.String(), "error", err)
	}
}

// hangUp has the channel send nothing more, and ends the connection.
func (ch *channel) hangUp() {
	ch.cancel()
	if err := ch.link.Close(); err != nil {
		ch.log.Warn("closing a link", "recipient", ch.grant.Recipient.String(), "error", err)
	}
}

// forget drops what was waiting in a channel that was hung up, and ends it.
func (ch *channel) forget() {
	if err := ch.spool.Clear(); err != nil {
		ch.log.Error("emptying a spool", "recipient", ch.grant.Recipient.String(), "error", err)
	}
	ch.close()
	if ch.chain != nil && ch.frame == nil {
		return // nothing under way: a later grant may go on with the chain
	}
	// The frame will never arrive: the next chain is a new one, so that the recipient
	// of a later grant does not look for it.
	ch.frame = nil
	if err := ch.file.remove(); err != nil {
		ch.log.Error("forgetting a frame", "recipient", ch.grant.Recipient.String(), "error", err)
	}
}

// problem records what went wrong in the last slot, nil if nothing did.
func (ch *channel) problem(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	ch.mu.Lock()
	news := text != ch.st.Problem
	ch.st.Problem = text
	ch.mu.Unlock()
	if news && err != nil && !errors.Is(err, context.Canceled) {
		ch.log.Warn("evidence is not getting through; it is kept and sent later", "recipient", ch.grant.Recipient.String(), "error", err)
	} else if news {
		ch.log.Info("evidence is getting through", "recipient", ch.grant.Recipient.String())
	}
}

func (ch *channel) stat() Stat {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	s := ch.st
	s.Waiting, s.Dropped = ch.spool.Len()
	return s
}
