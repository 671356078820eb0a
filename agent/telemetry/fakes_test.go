package telemetry

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/seam"
)

// grants is a set of grants that tests change.
type grants struct {
	mu      sync.Mutex
	all     []consent.Grant
	changed chan struct{}
}

func (g *grants) Grants(now time.Time) []consent.Grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	var in []consent.Grant
	for _, x := range g.all {
		if x.InForce(now) == nil {
			in = append(in, x)
		}
	}
	return in
}

func (g *grants) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.changed
}

func (g *grants) set(all ...consent.Grant) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = all
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// quoter stands in for the TPM: structures of the real size, signed by nobody.
type quoter struct{ boot uint64 }

func (q quoter) NewChain(_ context.Context, r evidence.RecipientID) (*evidence.Chain, error) {
	return evidence.NewChain(evidence.PrinterID{7}, r, q.boot, 1000), nil
}

func (q quoter) Quote(context.Context, [32]byte) (evidence.Quote, error) {
	return evidence.Quote{Attest: make([]byte, 145), Sig: make([]byte, 72)}, nil
}

func (q quoter) Log(context.Context) (evidence.Log, error) {
	return evidence.Log{Digests: [][32]byte{{1}}}, nil
}

// wire is a network that tests take down.
type wire struct {
	mu     sync.Mutex
	down   bool
	open   int
	frames []sentFrame
}

type sentFrame struct {
	to   evidence.RecipientID
	at   time.Time
	data []byte
}

func (w *wire) dial(g consent.Grant) (Link, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open++
	return &wireLink{w, g.Recipient}, nil
}

func (w *wire) set(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

func (w *wire) sent() []sentFrame {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.frames)
}

type wireLink struct {
	w  *wire
	to evidence.RecipientID
}

var errDown = errors.New("no network")

func (l *wireLink) Nonce(context.Context) ([]byte, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.w.down {
		return nil, errDown
	}
	return make([]byte, 32), nil
}

func (l *wireLink) Publish(_ context.Context, f []byte) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.w.down {
		return errDown
	}
	l.w.frames = append(l.w.frames, sentFrame{l.to, time.Now(), bytes.Clone(f)})
	return nil
}

func (l *wireLink) Close() error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.open--
	return nil
}

func allow(t *testing.T, r evidence.RecipientID, p catalog.Profile, life time.Duration, serial uint64) consent.Grant {
	t.Helper()
	g, err := consent.New(consent.Terms{Recipient: r, Name: "x", Profile: p, From: time.Now(), Life: life, Serial: serial})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// counted is a source that counts how often it is asked.
type counted struct {
	mu sync.Mutex
	n  int
	m  *Machine
}

func (c *counted) AppendSamples(ctx context.Context, dst []catalog.Sample) ([]catalog.Sample, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.m.AppendSamples(ctx, dst)
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// rig is a running collector.
type rig struct {
	grants *grants
	wire   *wire
	src    *counted
	col    *Collector
	stop   func()
}

func start(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{grants: &grants{}, wire: &wire{}, src: &counted{m: NewMachine()}}
	cfg := Config{Grants: r.grants, Quoter: quoter{1}, Sources: []Source{r.src}, Dial: r.wire.dial, Loaded: r.src.m.Loaded, Urgent: r.src.m.Urgent()}
	if change != nil {
		change(&cfg)
	}
	var err error
	if r.col, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.col.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		r.stop = func() {}
	}
	return r
}

// status is a printing machine's status with a bed at temp.
func status(phase seam.Phase, temp int32) seam.Status {
	return seam.Status{Phase: phase, NHeaters: 1, Heaters: [seam.MaxHeaters]seam.Heater{{ID: 0, Actual: temp, Target: temp}}, Resends: 160}
}

// read decodes all messages of frames.
func read(t *testing.T, frames []sentFrame) (hs []evidence.Header, msgs []catalog.Message) {
	t.Helper()
	for _, f := range frames {
		b, err := evidence.Decode(f.data)
		if err != nil {
			t.Fatal(err)
		}
		h, err := evidence.ParseHeader(b.Header)
		if err != nil {
			t.Fatal(err)
		}
		hs = append(hs, h)
		for _, m := range b.Msgs {
			msg, err := catalog.Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			msgs = append(msgs, msg)
		}
	}
	return hs, msgs
}
