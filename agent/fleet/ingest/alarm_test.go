package ingest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

// kinds are those of events.
func kinds(events []store.Event) []store.Kind {
	out := []store.Kind{}
	for _, e := range events {
		out = append(out, e.Event)
	}
	return out
}

// TestSilent: a printer that stops speaking is told of once, and once more when it speaks
// again; one that never spoke is nobody's alarm.
func TestSilent(t *testing.T) {
	b := newBench(t)
	look := func(now time.Time) []store.Kind {
		t.Helper()
		b.events = nil
		if err := b.in.Silent(now, SilentAfter); err != nil {
			t.Fatal(err)
		}
		return kinds(b.events)
	}
	now := time.Now()
	for range 3 {
		now = now.Add(time.Hour)
		if got := look(now); len(got) != 0 {
			t.Errorf("before it ever spoke: %v", got)
		}
	}
	b.take(b.frame())
	said := time.Now()
	for _, c := range []struct {
		after time.Duration
		want  []store.Kind
	}{{0, nil}, {SilentAfter - time.Minute, nil}, {SilentAfter + time.Minute, []store.Kind{store.Silent}}, {2 * SilentAfter, nil}} {
		if got := look(said.Add(c.after)); len(got) != len(c.want) {
			t.Errorf("after %v: %v, want %v", c.after, got, c.want)
		}
	}
	if got := kinds(b.take(b.frame())); !cmp.Equal(got, []store.Kind{store.Batch, store.Heard}) {
		t.Errorf("heard again: %v", got)
	}
	if got := look(time.Now()); len(got) != 0 {
		t.Errorf("and it is silent at once: %v", got)
	}
	// Another fleet's side over the same folder counts from when it first looks.
	b.in = New(b.v, b.s, func(e store.Event) { b.events = append(b.events, e) }, nil)
	later := time.Now().Add(24 * time.Hour)
	if got := look(later); len(got) != 0 {
		t.Errorf("after a day in which nobody listened: %v", got)
	}
	if got := look(later.Add(unheard - time.Minute)); len(got) != 0 {
		t.Errorf("before it has told its grid: %v", got)
	}
	if got := look(later.Add(unheard)); !cmp.Equal(got, []store.Kind{store.Silent}) {
		t.Errorf("and after as long as any printer may be: %v", got)
	}
}

// TestSilentByItsGrid: a printer with a wide grid is silent after three of its own slots, whatever
// alerts it has sent in between, and whatever it has not told in an outage before.
func TestSilentByItsGrid(t *testing.T) {
	h := newHouse(t, 1)
	p := h.printers[0]
	at := time.Unix(1_800_000_000, 0)
	say := func(after ...time.Duration) {
		t.Helper()
		for _, d := range after {
			at = at.Add(d)
			if err := h.in.Frame(p.record.Printer, p.frame(message(at))); err != nil {
				t.Fatal(err)
			}
		}
	}
	silent := func(after time.Duration) bool {
		t.Helper()
		n := 0
		h.in.commit.emit = func(e store.Event) {
			if e.Event == store.Silent {
				n++
			}
		}
		if err := h.in.Silent(time.Now().Add(after), SilentAfter); err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
	say(time.Hour)
	if !silent(SilentAfter + time.Minute) {
		t.Error("control: a printer of an unknown grid is not silent after the usual time")
	}
	say(time.Hour, time.Hour, 10*time.Minute, time.Hour) // the third by an alert
	if silent(2*time.Hour + 59*time.Minute) {
		t.Error("silent before three of its slots")
	}
	if !silent(3*time.Hour + time.Minute) {
		t.Error("not silent after three of its slots")
	}
	say(time.Minute, time.Minute, time.Minute, time.Minute) // another grant
	if !silent(SilentAfter + time.Minute) {
		t.Error("not silent after three slots of its new grid")
	}
	say(time.Minute)
	p.chain = evidence.NewChain(p.record.Printer, h.s.Fleet.Recipient, 3, p.clock) // a restart, after a month
	say(30 * 24 * time.Hour)
	if !silent(SilentAfter + time.Minute) {
		t.Error("an outage is taken for its grid")
	}
}

// TestSensorsMissing: a change of what a printer cannot read is told of, and nothing else.
func TestSensorsMissing(t *testing.T) {
	b := newBench(t)
	said := uint16(catalog.SensorsMissing)
	for i, c := range []struct {
		mask int64
		want []store.Kind
	}{{0, []store.Kind{store.Batch}}, {2, []store.Kind{store.Batch, store.Sensors}}, {2, []store.Kind{store.Batch}},
		{3, []store.Kind{store.Batch, store.Sensors}}, {0, []store.Kind{store.Batch, store.Sensors}}} {
		events := b.take(b.frame(map[uint16]int64{0: 1_800_000_000 + int64(i), said: c.mask}))
		if got := kinds(events); !cmp.Equal(got, c.want) {
			t.Errorf("step %d: %v, want %v", i, got, c.want)
		}
		if last := events[len(events)-1]; last.Event == store.Sensors && last.Mask != uint64(c.mask) {
			t.Errorf("step %d: mask %b, want %b", i, last.Mask, c.mask)
		}
	}
}
