package telemetry

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/mirror"
	"platen/agent/seam"
	"platen/agent/spool"
	"platen/updater/updatertest"
)

// bare seals nothing.
type bare struct{}

func (bare) Seal(_ context.Context, b []byte) ([]byte, error)   { return bytes.Clone(b), nil }
func (bare) Unseal(_ context.Context, b []byte) ([]byte, error) { return bytes.Clone(b), nil }

// outbox is the disks of spools and mirrors, one of each a recipient.
type outbox struct {
	t *testing.T

	mu      sync.Mutex
	spools  map[evidence.RecipientID]*updatertest.Disk
	mirrors map[evidence.RecipientID]*mirror.Mirror
}

func newOutbox(t *testing.T) *outbox {
	return &outbox{t: t, spools: map[evidence.RecipientID]*updatertest.Disk{}, mirrors: map[evidence.RecipientID]*mirror.Mirror{}}
}

func (o *outbox) spool(g consent.Grant) (*spool.Spool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spools[g.Recipient] == nil {
		o.spools[g.Recipient] = updatertest.NewDisk()
	}
	return spool.Open(context.Background(), o.spools[g.Recipient], bare{}, g.Recipient.String(), nil)
}

func (o *outbox) mirror(r evidence.RecipientID, frame []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mirrors[r] == nil {
		m, err := mirror.Open(updatertest.NewDisk())
		if err != nil {
			return err
		}
		o.mirrors[r] = m
	}
	return o.mirrors[r].Add(frame)
}

func (o *outbox) in(c *Config) { c.Spool, c.Mirror = o.spool, o.mirror }

// kept is how many bytes a recipient's spool has on its disk.
func (o *outbox) kept(r evidence.RecipientID) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, name := range []string{"key", "seg-0", "seg-1"} {
		b, _ := o.spools[r].Contents(name)
		n += len(b)
	}
	return n
}

// mirrored is what the owner reads in a recipient's mirror.
func (o *outbox) mirrored(r evidence.RecipientID) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b bytes.Buffer
	if err := o.mirrors[r].Export(&b); err != nil {
		o.t.Error(err)
	}
	return b.Bytes()
}

// Several recipients, each with its own items, chain, spool and mirror: none gets what
// was granted to another, and the end of one leaves the others alone. The mirror is what was
// on the wire, frame by frame (T-P5).
func TestRecipientsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t)
		r := start(t, o.in)
		defer func() { r.stop() }()
		narrow, err := consent.New(consent.Terms{Recipient: vendor, Name: "x", Profile: catalog.Vendor, From: time.Now(), Life: time.Hour, Serial: 1, Items: []catalog.ID{catalog.State}})
		if err != nil {
			t.Fatal(err)
		}
		wide := allow(t, owner, catalog.Owner, time.Hour, 1)
		r.grants.set(narrow, wide)
		for range 300 {
			r.src.m.Set(status(seam.PhaseIdle, 60_000))
			time.Sleep(time.Second)
		}
		r.wire.set(true)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if o.kept(vendor) == 0 || o.kept(owner) == 0 {
			t.Fatalf("control: %d and %d bytes wait", o.kept(vendor), o.kept(owner))
		}
		r.grants.set(narrow) // the owner's own is revoked, while the network is down
		time.Sleep(time.Second)
		synctest.Wait()
		if o.kept(owner) != 0 || o.kept(vendor) == 0 {
			t.Errorf("a second after revoking: %d bytes of it, %d of the other", o.kept(owner), o.kept(vendor))
		}
		r.wire.set(false)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		wire := map[evidence.RecipientID][]byte{}
		for _, f := range r.wire.sent() {
			wire[f.to] = append(wire[f.to], f.data...)
			_, msgs := read(t, []sentFrame{f})
			for _, m := range msgs {
				for _, v := range m.Values {
					if f.to == vendor && v.Item.ID != catalog.State {
						t.Fatalf("the vendor was sent %s, which was granted to the owner", v.Item.Name)
					}
				}
			}
		}
		for who, id := range map[string]evidence.RecipientID{"vendor": vendor, "owner": owner} {
			if got := o.mirrored(id); !bytes.HasPrefix(got, wire[id]) || len(got)-len(wire[id]) > evidence.WireSize || len(wire[id]) == 0 {
				t.Errorf("the %s was sent %d bytes, the mirror has %d", who, len(wire[id]), len(got))
			}
		}
		if got := o.mirrored(vendor); !bytes.Equal(got, wire[vendor]) {
			t.Error("the mirror is not what the vendor was sent")
		}
	})
}

// A restart of the agent, and then of the machine: what waited is sent, in order, and what
// was acknowledged is not sent again.
func TestMessagesOutliveTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, dir := newOutbox(t), t.TempDir()
		g := allow(t, vendor, catalog.Vendor, 24*time.Hour, 1)
		run := func(boot uint64, down bool, d time.Duration) []sentFrame {
			r := start(t, func(c *Config) { o.in(c); c.StateDir, c.Quoter = dir, quoter{boot} })
			r.wire.set(down)
			r.grants.set(g)
			time.Sleep(d)
			synctest.Wait()
			r.stop()
			return r.wire.sent()
		}
		var frames []sentFrame
		frames = append(frames, run(1, false, 10*time.Minute)...)
		frames = append(frames, run(1, true, time.Hour)...) // the network goes
		frames = append(frames, run(1, true, time.Hour)...) // the agent is restarted
		frames = append(frames, run(2, true, time.Hour)...) // the machine is restarted
		frames = append(frames, run(2, false, 2*time.Hour)...)
		seen := map[int64]int{}
		last, lost := int64(0), uint64(0)
		for _, f := range frames {
			hs, msgs := read(t, []sentFrame{f})
			lost += hs[0].Dropped
			for _, m := range msgs {
				if at := m.At.Unix(); at < last {
					t.Fatalf("a message of %v behind one of %v", m.At, time.Unix(last, 0))
				} else {
					last = at
				}
				seen[m.At.Unix()/60]++
			}
		}
		twice := 0
		for _, n := range seen {
			if n > 1 {
				twice++
			}
		}
		// Three hours and ten minutes before the last start, a message a minute.
		if len(seen) < 5*60 || lost != 0 || twice > 6 {
			t.Errorf("%d minutes of messages, %d lost, %d minutes twice", len(seen), lost, twice)
		}
	})
}

// What the owner cannot be shown does not leave; it waits.
func TestNothingLeavesWithoutTheMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		full := true
		r := start(t, func(c *Config) {
			c.Mirror = func(evidence.RecipientID, []byte) error {
				mu.Lock()
				defer mu.Unlock()
				if full {
					return errDown
				}
				return nil
			}
		})
		defer func() { r.stop() }()
		r.grants.set(allow(t, vendor, catalog.Vendor, time.Hour, 1))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(r.wire.sent()); n != 0 || r.col.Stats()[0].Problem == "" {
			t.Errorf("%d frames left", n)
		}
		mu.Lock()
		full = false
		mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if _, msgs := read(t, r.wire.sent()); len(msgs) < 18 {
			t.Errorf("control: %d messages of 20 minutes", len(msgs))
		}
	})
}
