package telemetry

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/seam"
	"platen/agent/spool"
)

var (
	vendor = evidence.RecipientID{1}
	owner  = evidence.RecipientID{2}
)

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
		days := 7
		if testing.Short() {
			days = 1
		}
		r := start(t, func(c *Config) {
			c.Spool = func(consent.Grant) (*spool.Spool, error) { return spool.InMemory(most), nil }
		})
		defer func() { r.stop() }()
		r.wire.set(true)
		r.grants.set(allow(t, vendor, catalog.Vendor, 30*24*time.Hour, 1))
		for range days * 24 * 60 {
			r.src.m.Set(status(seam.PhaseIdle, 20_000))
			time.Sleep(time.Minute)
		}
		s := r.col.Stats()[0]
		if s.Waiting != most || s.Dropped < uint64(days)*24*60-most-5 {
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
		said := r.col.read(t.Context())
		if i := slices.IndexFunc(said, func(s catalog.Sample) bool { return s.ID() == catalog.SpoolDropped }); i < 0 || uint64(said[i].Value()) != told {
			t.Errorf("the catalogue's count of lost messages is not %d: %v", told, said)
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
		m.Set(seam.Status{Phase: seam.PhaseConnecting})
		if !m.Loaded() {
			t.Error("a session that does not have its controller yet counts as idle")
		}
		m.Set(status(seam.PhaseIdle, 20_000))
		time.Sleep(maxAge + time.Second)
		if got, _ := m.AppendSamples(t.Context(), nil); len(got) != 0 || !m.Loaded() {
			t.Errorf("an old status is used: %v", got)
		}
	})
}

// T-P2, as far as this room goes: two designs that differ in all that the session's
// status can tell of them, but not in temperatures and quarters, are the same to
// the recipient.
func TestDesignsLookTheSame(t *testing.T) {
	said := func(p catalog.Profile, phase seam.Phase, resends, errs uint32) (msgs [][]byte) {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, nil)
			defer func() { r.stop() }()
			for i := range uint32(300) {
				st := status(phase, 60_000)
				st.Progress = uint8(i / 75 * 25)
				st.Resends, st.LinkErrs = i*resends, i*errs
				r.src.m.Set(st)
				time.Sleep(time.Second / 2) // slots are half way between two statuses
				if i == 0 {
					r.grants.set(allow(t, owner, p, time.Hour, 1))
				}
				time.Sleep(time.Second / 2)
			}
			synctest.Wait()
			for _, f := range r.wire.sent() {
				b, err := evidence.Decode(f.data)
				if err != nil {
					t.Fatal(err)
				}
				msgs = append(msgs, b.Msgs...)
			}
		})
		return msgs
	}
	for _, p := range []catalog.Profile{catalog.Vendor, catalog.Owner, catalog.Service} {
		a, b := said(p, seam.PhasePrinting, 1, 0), said(p, seam.PhasePrinting, 77, 3)
		if len(a) < 4 || !slices.EqualFunc(a, b, bytes.Equal) {
			t.Errorf("%s: two designs differ in %d messages", p, len(a))
		}
	}
	// Control: without a job the same counts do show.
	if slices.EqualFunc(said(catalog.Owner, seam.PhaseIdle, 1, 0), said(catalog.Owner, seam.PhaseIdle, 77, 3), bytes.Equal) {
		t.Error("control: nothing would have shown")
	}
}
