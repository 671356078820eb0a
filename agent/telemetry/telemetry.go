// Package telemetry turns what the printer measures into evidence for those whom
// the owner has granted it to, and for nobody else.
//
// Start at [New] and [Collector.Run]. One goroutine samples on the grid of each
// grant's period; the catalogue's encoder, made for that grant, lets through what
// was granted; a channel a recipient keeps the messages in a bounded spool, binds as
// many of them as fit into one batch with the TPM's quote, and sends one frame of
// fixed size in each slot of its grid, whether or not there is news. A frame that
// was not acknowledged is sent again in the next slot, byte for byte.
//
// Without a grant nothing is sampled, built or connected. Revoking empties the
// spool, closes the connection and forgets the frame under way.
//
// The package sees no type that could hold design data: samples are numbers of
// catalogued items, and the import table keeps slicer, session and programs away.
package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/spool"
)

// Source is anything that can be sampled.
type Source interface {
	// AppendSamples appends the present values to dst. What cannot be read is left
	// out and reported in the error; the rest is still appended.
	AppendSamples(ctx context.Context, dst []catalog.Sample) ([]catalog.Sample, error)
}

// Quoter signs evidence; attest.TPM is one.
type Quoter interface {
	// NewChain begins a chain at the TPM's present clock.
	NewChain(ctx context.Context, r evidence.RecipientID) (*evidence.Chain, error)
	// Quote signs the digest of a header.
	Quote(ctx context.Context, qualifying [32]byte) (evidence.Quote, error)
	// Log is the log of the PCR that agents are measured into.
	Log(ctx context.Context) (evidence.Log, error)
}

// Link carries frames to one recipient; uplink.Link is one.
type Link interface {
	// Nonce waits until the recipient can be reached and returns its last nonce, nil
	// if it has not sent one.
	Nonce(ctx context.Context) ([]byte, error)
	// Publish sends a frame and returns once the recipient's broker has it.
	Publish(ctx context.Context, frame []byte) error
	// Close ends the connection, within a second.
	Close() error
}

// Grants says what the owner allows; consent.Store is one.
type Grants interface {
	// Grants returns the grants in force at now.
	Grants(now time.Time) []consent.Grant
	// Changed is closed at the next change.
	Changed() <-chan struct{}
}

// Config is what a collector is made of. Grants, Quoter and Dial are needed.
type Config struct {
	Grants  Grants
	Quoter  Quoter
	Sources []Source
	// Dial begins a connection to a granted recipient. It does not wait for it.
	Dial func(g consent.Grant) (Link, error)
	// Loaded reports whether a job is loaded: some items are withheld then. Nil
	// means that it is not known, and they always are.
	Loaded func() bool
	// Jobs says what may be told of jobs; nil tells nothing of them, and covers none.
	Jobs *Jobs
	// Urgent wakes the collector for a fault, see [Machine.Urgent]; nil never does.
	Urgent <-chan struct{}
	// OwnerGrid lengthens the period of recipients under profile owner; a period
	// shorter than the grant's has no effect.
	OwnerGrid time.Duration
	// StateDir keeps each chain's place and its frame under way over a restart of the
	// agent. It should not outlive the boot: a folder in /run is right. Empty begins
	// new chains at each start.
	StateDir string
	// Spool opens what keeps the messages for a recipient that cannot be reached; nil keeps
	// the newest 4096 of each in memory.
	Spool func(g consent.Grant) (*spool.Spool, error)
	// Mirror, if set, keeps each frame for the owner. It is called before a frame is first
	// published; with an error the frame does not leave. After a restart the frame under
	// way is given to it again.
	Mirror func(r evidence.RecipientID, frame []byte) error
	// Sent, if set, is told of each frame that was acknowledged.
	Sent func(r evidence.RecipientID, frame []byte)
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

const (
	spoolLen   = 4096
	maxWait    = time.Second      // between two looks at what is in force
	sampleTime = 2 * time.Second  // for all sources together
	sendTime   = 30 * time.Second // for one attempt at a frame
)

// Collector samples for everyone who has a grant.
type Collector struct {
	cfg Config

	failed map[evidence.RecipientID]string // why a channel could not be started, once said
	gone   uint64                          // messages lost to recipients that are not granted any more

	mu       sync.Mutex
	channels map[evidence.RecipientID]*channel
}

// New checks the configuration and makes a collector. Nothing happens before Run.
func New(cfg Config) (*Collector, error) {
	if cfg.Grants == nil || cfg.Quoter == nil || cfg.Dial == nil {
		return nil, errors.New("telemetry needs grants, a quoter and a way to dial")
	}
	if cfg.Spool == nil {
		cfg.Spool = func(consent.Grant) (*spool.Spool, error) { return spool.InMemory(spoolLen), nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Loaded == nil {
		cfg.Loaded = func() bool { return true }
	}
	return &Collector{cfg: cfg, failed: map[evidence.RecipientID]string{}, channels: map[evidence.RecipientID]*channel{}}, nil
}

// Run samples and sends until ctx ends, then waits for what it started. Frames
// under way are kept in StateDir.
func (c *Collector) Run(ctx context.Context) error {
	defer c.stopAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var jobs <-chan struct{}
	if c.cfg.Jobs != nil {
		jobs = c.cfg.Jobs.changed
		defer c.cfg.Jobs.keep()
	}
	for {
		if c.cfg.Jobs != nil {
			c.cfg.Jobs.keep()
		}
		changed := c.cfg.Grants.Changed()
		c.reconcile(ctx)
		c.sample(ctx, time.Now())
		timer.Reset(c.wait())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		case <-jobs:
		case <-c.cfg.Urgent:
			c.bringForward(time.Now()) // and the next round samples
		}
	}
}

// reconcile starts and stops channels so that they are those of the grants in force.
func (c *Collector) reconcile(ctx context.Context) {
	want := map[evidence.RecipientID]consent.Grant{}
	for _, g := range c.cfg.Grants.Grants(time.Now()) {
		want[g.Recipient] = g
	}
	var over []*channel
	for r, ch := range c.snapshot() {
		if g, ok := want[r]; ok && g.Serial == ch.grant.Serial {
			delete(want, r)
			continue
		}
		over = append(over, ch)
	}
	c.end(over)
	for r, g := range want {
		ch, err := c.start(ctx, g)
		if err != nil { // and again in a second
			if c.failed[r] != err.Error() {
				c.failed[r] = err.Error()
				c.cfg.Logger.Error("cannot send to a recipient", "recipient", r.String(), "error", err)
			}
			continue
		}
		delete(c.failed, r)
		c.set(r, ch)
		c.cfg.Logger.Info("recipient is granted", "recipient", r.String(), "profile", g.Profile.String(), "period", ch.period.String())
	}
}

// end ends channels that are not granted any more: all of them first stop sending, and
// only then what was waiting is overwritten, which takes as long as a disk does.
func (c *Collector) end(over []*channel) {
	var closing sync.WaitGroup
	for _, ch := range over {
		closing.Go(ch.hangUp)
	}
	closing.Wait()
	for _, ch := range over {
		ch.forget()
		c.mu.Lock()
		c.gone += ch.stat().Dropped
		c.mu.Unlock()
		c.set(ch.grant.Recipient, nil)
		c.cfg.Logger.Info("recipient is not granted any more", "recipient", ch.grant.Recipient.String())
	}
}

// sample takes one sample for all channels whose slot has come.
func (c *Collector) sample(ctx context.Context, now time.Time) {
	var due []*channel
	for _, ch := range c.snapshot() {
		if ch.early || !now.Before(ch.next) {
			due = append(due, ch)
		}
	}
	if len(due) == 0 {
		return
	}
	samples := c.read(ctx)
	m := catalog.Moment{Loaded: c.cfg.Loaded()}
	if c.cfg.Jobs != nil {
		m.Cover = c.cfg.Jobs.Cover(now)
	}
	for _, ch := range due {
		ch.slot(now, m, c.withRecord(ch.grant, m, now, samples))
	}
}

// withRecord adds to samples the next record of a job that the recipient of g is to be
// told.
func (c *Collector) withRecord(g consent.Grant, m catalog.Moment, now time.Time, samples []catalog.Sample) []catalog.Sample {
	if c.cfg.Jobs == nil {
		return samples
	}
	news, r := c.cfg.Jobs.next(g, m, now)
	if r.N == 0 {
		return samples
	}
	c.cfg.Jobs.told(g, r)
	return slices.Concat(samples, news)
}

func (c *Collector) read(ctx context.Context) []catalog.Sample {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	var samples []catalog.Sample
	for _, src := range c.cfg.Sources {
		var err error
		if samples, err = src.AppendSamples(ctx, samples); err != nil {
			c.cfg.Logger.Debug("a sensor cannot be read", "error", err)
		}
	}
	return add(samples, catalog.SpoolDropped, int64(c.Dropped()))
}

// wait is how long until the next slot, but no longer than grants may be looked at.
func (c *Collector) wait() time.Duration {
	d := maxWait
	for _, ch := range c.snapshot() {
		d = min(d, time.Until(ch.next))
	}
	return max(d, 0)
}

// bringForward takes the next slot of each channel now, because of a fault. The
// slot is then used up, so that no more frames leave than the grid has slots.
func (c *Collector) bringForward(now time.Time) {
	for _, ch := range c.snapshot() {
		if ch.next.Sub(now) <= ch.period {
			ch.early = true
		}
	}
}

func (c *Collector) snapshot() map[evidence.RecipientID]*channel {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[evidence.RecipientID]*channel, len(c.channels))
	for r, ch := range c.channels {
		m[r] = ch
	}
	return m
}

func (c *Collector) set(r evidence.RecipientID, ch *channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch == nil {
		delete(c.channels, r)
	} else {
		c.channels[r] = ch
	}
}

func (c *Collector) stopAll() {
	for r, ch := range c.snapshot() {
		ch.stop()
		c.set(r, nil)
	}
}

// Stat is how things stand with one recipient.
type Stat struct {
	Recipient evidence.RecipientID `json:"recipient"`
	Name      string               `json:"name"`
	Profile   string               `json:"profile"`
	Sent      uint64               `json:"sent"`    // frames acknowledged since the agent started
	Waiting   int                  `json:"waiting"` // messages in the spool
	Dropped   uint64               `json:"dropped"` // messages lost since the agent started
	Last      time.Time            `json:"last"`    // last acknowledgement
	Problem   string               `json:"problem,omitempty"`
}

// Stats returns how things stand with each recipient that has a grant.
func (c *Collector) Stats() []Stat {
	var out []Stat
	for _, ch := range c.snapshot() {
		out = append(out, ch.stat())
	}
	slices.SortFunc(out, func(a, b Stat) int { return bytes.Compare(a.Recipient[:], b.Recipient[:]) })
	return out
}

// Dropped is how many messages were lost to all spools since the agent started.
func (c *Collector) Dropped() uint64 {
	c.mu.Lock()
	n := c.gone
	c.mu.Unlock()
	for _, s := range c.Stats() {
		n += s.Dropped
	}
	return n
}
