package telemetry

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/seam"
)

var (
	vendor = evidence.RecipientID{1}
	owner  = evidence.RecipientID{2}
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

// P7: one frame of one size in each slot of a fixed grid, news or not, and at most
// 64 KiB an hour. T-P4.
func TestFixedGridAndSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer func() { r.stop() }()
		r.grants.set(allow(t, vendor, catalog.Vendor, time.Hour*24, 1))
		for minute := range 120 { // an idle hour, then an hour of printing
			if minute >= 60 {
				r.src.m.Set(status(seam.PhasePrinting, int32(60_000+minute*10)))
			}
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		frames := r.wire.sent()
		bytesIn := [2]int{}
		for i, f := range frames {
			if len(f.data) != evidence.WireSize {
				t.Fatalf("frame %d has %d bytes", i, len(f.data))
			}
			if i > 0 && f.at.Sub(frames[i-1].at) != time.Minute {
				t.Errorf("frame %d came %v after the one before", i, f.at.Sub(frames[i-1].at))
			}
			bytesIn[min(1, i/60)] += len(f.data)
		}
		if bytesIn[0] != 60*evidence.WireSize || bytesIn[0] > 64<<10 || bytesIn[1] < bytesIn[0] || bytesIn[1] > bytesIn[0]+evidence.WireSize {
			t.Errorf("bytes an hour: %v", bytesIn)
		}
	})
}

func TestNoGrantNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer func() { r.stop() }()
		r.src.m.Set(status(seam.PhaseIdle, 20_000))
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := r.src.count(); n != 0 || r.wire.open != 0 || len(r.wire.sent()) != 0 {
			t.Errorf("without a grant: %d samplings, %d links, %d frames", n, r.wire.open, len(r.wire.sent()))
		}
		// Control: the same with a grant.
		r.grants.set(allow(t, vendor, catalog.Vendor, time.Hour, 1))
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.src.count() == 0 || r.wire.open != 1 || len(r.wire.sent()) == 0 {
			t.Error("control: a grant changed nothing")
		}
		// A grant that ends by itself.
		time.Sleep(time.Hour)
		synctest.Wait()
		before := len(r.wire.sent())
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.wire.open != 0 || len(r.wire.sent()) != before {
			t.Error("frames after the end of the grant")
		}
	})
}

func TestRevokeWithinASecondEmptiesSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := start(t, func(c *Config) { c.StateDir = dir })
		defer func() { r.stop() }()
		r.grants.set(allow(t, owner, catalog.Owner, time.Hour, 1))
		time.Sleep(10 * time.Second)
		r.wire.set(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := r.col.Stats(); len(s) != 1 || s[0].Waiting < 20 || s[0].Problem == "" {
			t.Fatalf("control: nothing waits: %+v", s)
		}
		before := len(r.wire.sent())
		r.wire.set(false)
		r.grants.set()
		time.Sleep(time.Second)
		synctest.Wait()
		if r.wire.open != 0 || len(r.col.Stats()) != 0 {
			t.Error("the link is open a second after revoking")
		}
		time.Sleep(time.Minute)
		if n := len(r.wire.sent()); n != before {
			t.Errorf("%d frames after revoking", n-before)
		}
		again := time.Now()
		r.grants.set(allow(t, owner, catalog.Owner, time.Hour, 2))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		_, msgs := read(t, r.wire.sent()[before:])
		for _, m := range msgs {
			if m.At.Before(again.Truncate(time.Second)) {
				t.Errorf("a message of %v survived revoking at %v", m.At, again)
			}
		}
		if len(msgs) == 0 {
			t.Error("control: nothing was sent under the new grant")
		}
	})
}

func TestVendorNeverUnderAMinute(t *testing.T) {
	g := consent.Grant{Profile: catalog.Vendor, Period: time.Second}
	if d := period(g, 0); d != time.Minute {
		t.Errorf("vendor: %v", d)
	}
	g.Profile = catalog.Owner
	if d := period(g, 0); d != time.Second {
		t.Errorf("owner: %v", d)
	}
	if d := period(g, 5*time.Second); d != 5*time.Second {
		t.Errorf("owner with a longer grid: %v", d)
	}
}

// T03: the network is gone for 7 days.
func TestSevenDaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 100
		r := start(t, func(c *Config) { c.SpoolLen = most })
		defer func() { r.stop() }()
		r.wire.set(true)
		r.grants.set(allow(t, vendor, catalog.Vendor, 30*24*time.Hour, 1))
		for range 7 * 24 * 60 {
			r.src.m.Set(status(seam.PhaseIdle, 20_000))
			time.Sleep(time.Minute)
		}
		s := r.col.Stats()[0]
		if s.Waiting != most || s.Dropped < 7*24*60-most-5 {
			t.Errorf("waiting %d, dropped %d", s.Waiting, s.Dropped)
		}
		r.wire.set(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		hs, msgs := read(t, r.wire.sent())
		var told, next uint64
		for i, h := range hs {
			if h.Seq != uint64(i+1) || h.First != next+h.Dropped {
				t.Errorf("batch %d: seq %d, first %d dropped %d, want first %d", i, h.Seq, h.First, h.Dropped, next+h.Dropped)
			}
			told += h.Dropped
			next = h.First + h.Count
		}
		if told != r.col.Stats()[0].Dropped {
			t.Errorf("the headers tell of %d lost messages, %d were", told, r.col.Stats()[0].Dropped)
		}
		if next != told+uint64(len(msgs)) || r.col.Stats()[0].Waiting != 0 {
			t.Errorf("%d messages arrived of %d, %d lost, %d still waiting", len(msgs), next, told, r.col.Stats()[0].Waiting)
		}
	})
}

func TestUnacknowledgedFrameIsSentAgainAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := start(t, func(c *Config) { c.StateDir = dir })
		lossy := &wire{}
		r.stop()
		// The broker has the frame, but its acknowledgement is lost, and the agent
		// restarts.
		r = start(t, func(c *Config) {
			c.StateDir = dir
			c.Dial = func(g consent.Grant) (Link, error) { return &deaf{wireLink{lossy, g.Recipient}}, nil }
		})
		g := allow(t, owner, catalog.Owner, time.Hour, 1)
		r.grants.set(g)
		time.Sleep(5 * time.Second)
		r.stop()
		r = start(t, func(c *Config) { c.StateDir = dir })
		r.grants.set(g)
		time.Sleep(5 * time.Second)
		r.stop()
		first := lossy.sent()
		for _, f := range first[1:] {
			if !bytes.Equal(f.data, first[0].data) {
				t.Error("a frame was changed before it was acknowledged")
			}
		}
		second := r.wire.sent()
		if !bytes.Equal(second[0].data, first[0].data) {
			t.Error("after the restart another frame came first")
		}
		hs, _ := read(t, second)
		for i, h := range hs {
			if h.Seq != uint64(i+1) || h.Start != 1000 {
				t.Errorf("batch %d: seq %d of the chain of %d", i, h.Seq, h.Start)
			}
		}
		// A later boot begins a new chain.
		r = start(t, func(c *Config) { c.StateDir, c.Quoter = dir, quoter{2} })
		r.grants.set(g)
		time.Sleep(time.Second)
		r.stop()
		if hs, _ := read(t, r.wire.sent()); hs[0].Boot != 2 || hs[0].Seq != 1 {
			t.Errorf("after a boot: boot %d seq %d", hs[0].Boot, hs[0].Seq)
		}
	})
}

// deaf is a link whose acknowledgements are lost.
type deaf struct{ wireLink }

func (l *deaf) Publish(ctx context.Context, f []byte) error {
	if err := l.wireLink.Publish(ctx, f); err != nil {
		return err
	}
	return errors.New("no acknowledgement")
}

// P6 and P7: a fault leaves at once and uses up the slot that follows.
func TestFaultLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer func() { r.stop() }()
		r.src.m.Set(status(seam.PhasePrinting, 60_000))
		r.grants.set(allow(t, vendor, catalog.Vendor, 24*time.Hour, 1))
		time.Sleep(59 * time.Second)
		r.src.m.Set(status(seam.PhasePrinting, 60_000))
		time.Sleep(21 * time.Second)
		fault := status(seam.PhaseFault, 61_000)
		fault.Fault = 2
		r.src.m.Set(fault)
		at := time.Now()
		for range 10 { // a fault that flickers gains nothing
			time.Sleep(time.Second)
			r.src.m.Set(status(seam.PhasePrinting, 60_000))
			r.src.m.Set(fault)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		frames := r.wire.sent()
		if d := frames[2].at.Sub(at); d != 0 {
			t.Errorf("the fault left %v later", d)
		}
		_, msgs := read(t, frames[2:3])
		if v, ok := msgs[0].Get(catalog.Fault); !ok || v != 2 {
			t.Errorf("fault %d %v", v, ok)
		}
		if _, ok := msgs[0].Get(catalog.BedTemp); ok {
			t.Error("the temperature came before its period had passed")
		}
		begin := frames[0].at
		if n := len(frames); n != 12 {
			t.Errorf("%d frames in 11.5 minutes", n)
		}
		for _, f := range frames[3:] {
			if f.at.Sub(begin)%time.Minute != 0 {
				t.Errorf("the grid moved: a frame at %v", f.at.Sub(begin))
			}
		}
		if d := frames[3].at.Sub(begin); d != 3*time.Minute {
			t.Errorf("the slot that was brought forward was not used up: next frame at %v", d)
		}
	})
}

// P1: what would tell of the model is withheld while a job is loaded.
func TestIdleOnlyItemsAreWithheldDuringAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		defer func() { r.stop() }()
		r.grants.set(allow(t, owner, catalog.Owner, time.Hour, 1))
		for _, c := range []struct {
			phase seam.Phase
			want  bool
		}{{seam.PhaseIdle, true}, {seam.PhaseLoading, false}, {seam.PhasePrinting, false}, {seam.PhasePaused, false}, {seam.PhaseFault, false}, {seam.PhaseDone, true}} {
			r.src.m.Set(status(c.phase, 20_000))
			time.Sleep(4 * time.Second)
			synctest.Wait()
			sent := r.wire.sent()
			_, msgs := read(t, sent[len(sent)-1:])
			if _, ok := msgs[0].Get(catalog.LinkResends); ok != c.want {
				t.Errorf("%v: resends sent: %v", c.phase, ok)
			}
		}
	})
}

func TestMachineForgetsOldStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMachine()
		if !m.Loaded() {
			t.Error("an unknown machine counts as idle")
		}
		m.Set(status(seam.PhaseIdle, 20_000))
		if got, _ := m.AppendSamples(t.Context(), nil); len(got) == 0 || m.Loaded() {
			t.Error("control: a fresh status is not used")
		}
		time.Sleep(maxAge + time.Second)
		if got, _ := m.AppendSamples(t.Context(), nil); len(got) != 0 || !m.Loaded() {
			t.Errorf("an old status is used: %v", got)
		}
	})
}
