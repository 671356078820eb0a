package catalog

import (
	"flag"
	"maps"
	"math"
	"os"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write REFERENCE.md")

// The page of reference is the list's.
func TestPageIsTheList(t *testing.T) {
	const path = "REFERENCE.md"
	if *update {
		if err := os.WriteFile(path, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != Page() {
		t.Error("REFERENCE.md is not of this catalogue: run go test ./agent/catalog -update")
	}
	// Control: a changed line changes the page.
	defer func(old []Item) { list = old }(list)
	list = append([]Item(nil), list...)
	list[index(BedTemp)].Resolution = 100
	if string(b) == Page() {
		t.Error("control: a finer bed temperature left the page as it was")
	}
}

// message encodes samples at a moment and decodes what leaves.
func message(t *testing.T, e *Encoder, m Moment, in []Sample) Message {
	t.Helper()
	b, err := e.Encode(nil, m, in)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func samples(t *testing.T, of map[ID]int64) (in []Sample) {
	t.Helper()
	for id, v := range of {
		s, ok := Of(id, v)
		if !ok {
			t.Fatalf("no sample of item %d with %d", id, v)
		}
		in = append(in, s)
	}
	return in
}

// P2, P3: what a vendor sees under a cover is the cover; the owner sees the machine.
func TestCover(t *testing.T) {
	cover := Cover{Job: true, Heat: true, Quarter: 50}
	real := map[ID]int64{State: 2, Progress: 100, BedTemp: 47_000, HotEnd0: 90_000, HeatInBand: HeatOff, HostCPU: 10, HostSoCTemp: 40_000, HostUptime: 7200}
	for _, c := range []struct {
		name    string
		profile Profile
		cover   Cover
		state   int64
		want    map[ID]int64
		not     []ID
	}{
		{"vendor, covered", Vendor, cover, 2, map[ID]int64{State: StatePrinting, Progress: 50, HeatInBand: HeatInOrder, HostUptime: 7200}, []ID{BedTemp, HotEnd0, HostCPU, HostSoCTemp}},
		{"vendor, paused", Vendor, cover, 5, map[ID]int64{State: StatePrinting}, nil},
		{"vendor, fault", Vendor, cover, 7, map[ID]int64{State: StateFault}, []ID{BedTemp}},
		{"vendor, growing cold", Vendor, Cover{Heat: true}, 2, map[ID]int64{State: 2, HostCPU: 10}, []ID{BedTemp, HotEnd0, Progress}},
		{"vendor, no cover", Vendor, Cover{}, 2, map[ID]int64{State: 2, BedTemp: 47_000, HotEnd0: 90_000}, []ID{Progress}},
		{"service", Service, cover, 2, map[ID]int64{State: 2, BedTemp: 47_000, Progress: 50}, nil},
		{"owner", Owner, cover, 2, map[ID]int64{State: 2, BedTemp: 47_000, Progress: 100}, nil},
	} {
		e, err := NewEncoder(c.profile, Granted(c.profile))
		if err != nil {
			t.Fatal(err)
		}
		real[State] = c.state
		m := message(t, e, Moment{At: t0, Cover: c.cover}, samples(t, real))
		for id, v := range c.want {
			if got, ok := m.Get(id); !ok || got != v {
				t.Errorf("%s: item %d is %d, %v, want %d", c.name, id, got, ok, v)
			}
		}
		for _, id := range c.not {
			if got, ok := m.Get(id); ok {
				t.Errorf("%s: item %d left: %d", c.name, id, got)
			}
		}
	}
}

// P3: all that a vendor's record of a job can say of its design is which of eight
// durations it had.
func TestRecordHasThreeBits(t *testing.T) {
	seen := map[int64]bool{}
	it, _ := Lookup(JobDuration)
	for d := time.Second; d < 10_000*time.Hour; d = d*21/20 + time.Second {
		s, ok := Of(JobDuration, int64(d/time.Second))
		if !ok {
			t.Fatal("no sample")
		}
		n := it.value(it.wire(s.value))
		seen[n] = true
		if s.value > n || s.value*2 < n && n > it.Resolution {
			t.Errorf("%v is in the bucket that ends at %d s", d, n)
		}
	}
	if bits := math.Log2(float64(len(seen))); bits > 3 {
		t.Errorf("%d durations: %.2f bits", len(seen), bits)
	}
	for _, it := range Items() {
		design := it.Class == ClassJob && !it.OptIn && it.ID != JobID && it.ID != JobStart && it.ID != JobDuration && it.ID != JobResult
		if design && it.Profiles&Vendor != 0 && it.Period < 7*24*time.Hour {
			t.Errorf("%s says more of each job to a vendor", it.Name)
		}
	}
	if len(seen) != 8 {
		t.Errorf("control: %d buckets", len(seen))
	}
}

// What does not fit into a message comes with a later one, and urgent items never wait.
func TestWhatDoesNotFitComesLater(t *testing.T) {
	all, every := map[ID]int64{}, []ID{}
	for _, it := range Items() {
		all[it.ID], every = it.Hi, append(every, it.ID)
	}
	e, err := NewEncoder(Owner, every)
	if err != nil {
		t.Fatal(err)
	}
	seen, least := map[ID]bool{}, len(all)
	now := maps.Clone(all)
	for n := range 5 {
		m := message(t, e, Moment{At: t0.Add(time.Duration(n) * time.Minute)}, samples(t, now))
		for _, v := range m.Values {
			seen[v.Item.ID] = true
			if v.Item.once() { // and is not told again
				delete(now, v.Item.ID)
			}
		}
		least = min(least, len(m.Values))
		if _, ok := m.Get(Fault); !ok {
			t.Error("a fault had to wait")
		}
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d items came in five messages", len(seen), len(all))
	}
	if least == len(all) {
		t.Error("control: everything fitted into one")
	}
}

// A record is whole in the message that it is told in, whatever else there is to say, and
// whether or not that was ever said before.
func TestRecordsAreWhole(t *testing.T) {
	every := []ID{}
	rest := map[ID]int64{}
	records := map[Class]map[ID]int64{ClassJob: {}, ClassTest: {}, ClassDuty: {}}
	for _, it := range Items() {
		every = append(every, it.ID)
		switch of, ok := records[it.Class]; {
		case ok && it.Period == time.Minute:
			of[it.ID] = it.Hi
		case !ok:
			rest[it.ID] = it.Hi
		}
	}
	for class, record := range records {
		e, err := NewEncoder(Owner, every)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 { // as the first message, and after others
			at := t0.Add(time.Duration(n) * time.Minute)
			m := message(t, e, Moment{At: at}, append(samples(t, rest), samples(t, record)...))
			for id := range record {
				if _, ok := m.Get(id); !ok {
					t.Errorf("%s, message %d: item %d of %d is missing", class, n, id, len(record))
				}
			}
			if len(m.Values) >= len(rest)+len(record) {
				t.Error("control: everything fitted")
			}
		}
	}
}

// What its owner has to name is in no grant that does not: nobody gets it by asking for
// everything.
func TestOptInIsNamed(t *testing.T) {
	for _, p := range []Profile{Vendor, Service, Owner} {
		for _, id := range Granted(p) {
			if it, _ := Lookup(id); it.OptIn {
				t.Errorf("%s is in every grant under profile %s", it.Name, p)
			}
		}
		e, err := NewEncoder(p, append(Granted(p), JobDigest))
		if err != nil {
			t.Fatal(err)
		}
		in := samples(t, map[ID]int64{JobDigest: 1<<DigestBits - 1})
		if v, ok := func() (int64, bool) { m := message(t, e, Moment{At: t0}, in); return m.Get(JobDigest) }(); !ok || v != 1<<DigestBits-1 {
			t.Errorf("control: named under profile %s it is %d, %v", p, v, ok)
		}
		if e, err = NewEncoder(p, Granted(p)); err != nil {
			t.Fatal(err)
		}
		if m := message(t, e, Moment{At: t0}, in); len(m.Values) > 0 {
			t.Errorf("it left under profile %s without a name", p)
		}
	}
}

// Figures of a self-test, and of heaters, are withheld while a job is loaded, and from a
// vendor while one is covered: that there was a self-test says that no job was there.
func TestIdleRecordsWait(t *testing.T) {
	for _, c := range []struct {
		p     Profile
		m     Moment
		leave bool
	}{
		{Service, Moment{At: t0, Loaded: true}, false},
		{Vendor, Moment{At: t0, Cover: Cover{Job: true, Heat: true}}, false},
		{Vendor, Moment{At: t0}, true},
		{Service, Moment{At: t0, Cover: Cover{Job: true, Heat: true}}, true},
	} {
		ids := []ID{TestResult}
		if c.p != Vendor {
			ids = append(ids, Duty0)
		}
		for _, id := range ids {
			e, err := NewEncoder(c.p, Granted(c.p))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := func() (int64, bool) { m := message(t, e, c.m, samples(t, map[ID]int64{id: 1})); return m.Get(id) }(); ok != c.leave {
				t.Errorf("%s, loaded %v, covered %v: item %d left is %v", c.p, c.m.Loaded, c.m.Cover.Job, id, ok)
			}
			if it, _ := Lookup(id); it.MayTell(c.p, c.m) != c.leave {
				t.Errorf("%s, loaded %v, covered %v: item %d may be told is %v", c.p, c.m.Loaded, c.m.Cover.Job, id, !c.leave)
			}
		}
	}
}
