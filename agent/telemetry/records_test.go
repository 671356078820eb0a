package telemetry

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/evidence"
	"platen/agent/seam"
)

// told are the messages of a recipient that have an item, with when they came.
func told(t *testing.T, r *rig, vendors bool, id catalog.ID) (msgs []catalog.Message, at []time.Time) {
	t.Helper()
	for _, f := range r.wire.sent() {
		_, all := read(t, []sentFrame{f})
		for _, m := range all {
			if _, ok := m.Get(id); ok && (f.to == vendor) == vendors {
				msgs, at = append(msgs, m), append(at, f.at)
			}
		}
	}
	return msgs, at
}

// selfTested is a self-test from its beginning to its receipt.
func selfTested(m *Machine, code seam.Code) {
	m.Set(seam.Status{Phase: seam.PhaseTesting, Ambient: seam.NoAmbient})
	job := [16]byte{9}
	f := &seam.Tested{Job: job, Half: 3440, Most: 7100, Longest: 9000, Noise: 120, Resends: 2}
	f.Axes[0] = seam.TestedAxis{Sweep: 4128, Felt: true, Spread: 40, Shift: -520}
	f.Axes[1] = seam.TestedAxis{Sweep: 4126}
	m.Take(f)
	m.TestEnded(seam.Receipt{Job: job, Code: code})
	m.Set(seam.Status{Phase: seam.PhaseIdle, Ambient: seam.NoAmbient})
}

// P5: a self-test is told once, in figures of the catalogue, never while a job is loaded, and
// to a vendor not before the cover of the job before it has ended: that it was run says that
// no job was there.
func TestSelfTestIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := NewJobs("", rand.NewPCG(1, 2), nil)
		r := start(t, func(c *Config) { c.Jobs = jobs })
		defer func() { r.stop() }()
		r.src.m.Follow(jobs)
		service := allow(t, owner, catalog.Service, 23*time.Hour, 1)
		service.Period = time.Minute
		r.grants.set(allow(t, vendor, catalog.Vendor, 48*time.Hour, 1), service)
		idle(r.src.m, 90*time.Second)
		job(r.src.m, 10*time.Minute, seam.CodeDone, 5)
		selfTested(r.src.m, seam.CodeRefused) // warm, as any is after a job
		selfTested(r.src.m, seam.CodeDone)
		began := time.Now()
		job(r.src.m, 20*time.Minute, seam.CodeDone, 5) // at once: nobody is told anything meanwhile
		ended := time.Now()
		idle(r.src.m, 3*time.Hour)
		selfTested(r.src.m, seam.CodeCancelled)
		idle(r.src.m, 30*time.Minute)
		synctest.Wait()
		for _, vendors := range []bool{true, false} {
			msgs, at := told(t, r, vendors, catalog.TestResult)
			if len(msgs) != 2 {
				t.Fatalf("vendor %v: told %d times of two self-tests", vendors, len(msgs))
			}
			earliest := ended
			if vendors {
				earliest = began.Add(time.Hour) // the end of the second job's bucket
			}
			if at[0].Before(earliest) || at[0].After(earliest.Add(3*time.Minute)) {
				t.Errorf("vendor %v: told %v after the second job began", vendors, at[0].Sub(began))
			}
			want := map[catalog.ID]int64{
				catalog.TestMotion: catalog.MotionNumber(), catalog.TestResult: 1, catalog.TestHalf: 3400, catalog.TestMost: 7100,
				catalog.TestNoise: 100, catalog.TestResends: 2, catalog.TestErrors: 0, catalog.TestSweep: 4130, catalog.TestSpread: 50, catalog.TestShift: -500,
				catalog.TestSweep + 3: 4130,
			}
			for id, v := range want {
				if got, ok := msgs[0].Get(id); !ok || got != v {
					t.Errorf("vendor %v: item %d is %d (%v), want %d", vendors, id, got, ok, v)
				}
			}
			if _, ok := msgs[0].Get(catalog.TestSpread + 3); ok {
				t.Error("an axis whose end stop was not felt has a spread")
			}
			if v, _ := msgs[1].Get(catalog.TestResult); v != 2 {
				t.Errorf("a cancelled one ended with %d", v)
			}
			if _, ok := msgs[1].Get(catalog.TestHalf); ok {
				t.Error("a cancelled one has figures")
			}
		}
		states, _ := told(t, r, false, catalog.State)
		for _, m := range states {
			if v, _ := m.Get(catalog.State); v == int64(seam.PhaseTesting) {
				t.Error("a state that the catalogue does not have")
			}
		}
	})
}

// A self-test that was lost with its session, or whose last status came after its receipt, does not
// lend its beginning and its figures to the next.
func TestLostSelfTestIsForgotten(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	j := NewJobs("", rand.NewPCG(1, 2), nil)
	begin := func() { j.Observe(seam.Status{Phase: seam.PhaseTesting}, now) }
	lose := map[string]func(){
		"lost": func() { j.TestEnded(seam.Receipt{}, now) }, "with its agent": func() {},
		"status after receipt": func() { j.TestEnded(seam.Receipt{Code: seam.CodeCancelled}, now); begin() },
	}
	for name, end := range lose {
		begin()
		j.Tested(seam.Tested{Job: [16]byte{7}})
		end()
		if name != "lost" {
			j.Observe(seam.Status{Phase: seam.PhaseIdle}, now)
		}
		if j.figures != nil {
			t.Errorf("%s: figures are left", name)
		}
		now = now.Add(time.Hour)
		begin()
		now = now.Add(time.Minute)
		j.TestEnded(seam.Receipt{Code: seam.CodeCancelled}, now)
		if due := j.t.Records[len(j.t.Records)-1].Due; !due.Equal(now.Add(testTime - time.Minute)) {
			t.Errorf("%s: the next is told %v after its end", name, due.Sub(now))
		}
	}
}

// P9: the histogram of a heater is of four hours and more, of four jobs and more, comes between jobs, and to
// no vendor.
func TestDutyIsToldOfHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := NewJobs("", rand.NewPCG(1, 2), nil)
		r := start(t, func(c *Config) { c.Jobs = jobs })
		defer func() { r.stop() }()
		r.src.m.Follow(jobs)
		service := allow(t, owner, catalog.Service, 23*time.Hour, 1)
		service.Period = time.Minute
		r.grants.set(allow(t, vendor, catalog.Vendor, 48*time.Hour, 1), service)
		idle(r.src.m, 90*time.Second)
		for n := range 4 {
			d := seam.Duty{N: 1}
			d.Heaters[0] = seam.HeaterDuty{ID: 8, Hours: 4, Share: [seam.DutyBins]uint8{uint8(2 * n), 10 - uint8(2*n)}}
			job(r.src.m, 10*time.Minute, seam.CodeDone, 5)
			r.src.m.Take(&d)
			if n == 3 {
				job(r.src.m, 10*time.Minute, seam.CodeDone, 5)
			}
			began := time.Now()
			idle(r.src.m, 10*time.Minute)
			synctest.Wait()
			msgs, at := told(t, r, false, catalog.DutyHeater)
			if n < 3 && len(msgs) > 0 {
				t.Errorf("told after %d jobs", n+1)
			}
			if n == 3 && (len(msgs) != 1 || at[0].Before(began)) {
				t.Fatalf("told %d times, %v", len(msgs), at)
			}
			if n == 3 {
				for id, v := range map[catalog.ID]int64{catalog.DutyHeater: 8, catalog.DutyTime: 16 * 3600, catalog.Duty0: 30, catalog.Duty0 + 1: 70, catalog.Duty0 + 4: 0} {
					if got, _ := msgs[0].Get(id); got != v {
						t.Errorf("item %d is %d, want %d", id, got, v)
					}
				}
			}
		}
		if msgs, _ := told(t, r, true, catalog.DutyHeater); len(msgs) > 0 {
			t.Error("a vendor was told")
		}
	})
}

// P9: no job is most of what is told, and jobs of an hour and less are left out.
func TestDutyIsOfManyJobs(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name  string
		hours []uint8 // buckets of jobs
		time  int64   // in hours, of what is told after the last of them and no sooner; 0: nothing is
	}{
		{"control", []uint8{2, 2, 2, 2}, 4},
		{"short ones", []uint8{1, 1, 1, 1, 1, 1, 1, 1}, 0},
		{"short ones before", []uint8{1, 1, 1, 2, 2, 2, 2}, 4},
		{"long one", []uint8{2, 5, 2, 2}, 0}, // eight hours of eleven
		{"long one and enough beside it", []uint8{5, 2, 2, 4, 2, 2}, 16},
	} {
		j := NewJobs("", rand.NewPCG(1, 2), nil)
		for i, hours := range c.hours {
			d := seam.Duty{N: 1}
			d.Heaters[0] = seam.HeaterDuty{ID: 8, Hours: hours, Share: [seam.DutyBins]uint8{10}}
			j.Duty(d, now)
			if last := i == len(c.hours)-1; (len(j.t.Records) > 0) != (last && c.time > 0) {
				t.Errorf("%s: %d records after job %d", c.name, len(j.t.Records), i+1)
			}
		}
		if c.time > 0 && j.t.Records[0].Duty.Time != c.time*3600 {
			t.Errorf("%s: of %d s", c.name, j.t.Records[0].Duty.Time)
		}
	}
}

// P8: what a recipient is told of a file is what was computed for its grant; it outlives a restart,
// and nobody else is told anything.
func TestDigestIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jobs.json")
		named := func(serial uint64) consent.Grant {
			g, err := consent.New(consent.Terms{Recipient: owner, Name: "x", Profile: catalog.Owner, From: time.Now(), Serial: serial,
				Items: append(catalog.Granted(catalog.Owner), catalog.JobDigest)})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		with, without := named(1), allow(t, vendor, catalog.Vendor, 48*time.Hour, 1)
		j := NewJobs(path, rand.NewPCG(1, 2), nil)
		for _, g := range []consent.Grant{with, without} {
			j.next(g, catalog.Moment{}, time.Now())
		}
		run := func(j *Jobs, digests map[string]int64) {
			j.Digests(digests)
			j.Observe(seam.Status{Phase: seam.PhasePrinting}, time.Now())
			j.keep()
		}
		run(j, map[string]int64{Key(with): 1234567890123})
		again := NewJobs(path, rand.NewPCG(1, 3), nil) // in mid-print
		time.Sleep(time.Minute)
		again.Ended(seam.Receipt{Code: seam.CodeDone}, time.Now())
		run(again, nil) // the next job's file is nobody's business
		time.Sleep(time.Minute)
		again.Ended(seam.Receipt{Code: seam.CodeDone}, time.Now())
		again.keep()
		if b, err := os.ReadFile(path); err != nil || !bytes.Contains(b, []byte("1234567890123")) {
			t.Fatalf("control: it is not kept: %v", err)
		}
		last := NewJobs(path, nil, nil)
		time.Sleep(5 * time.Hour)
		var got []int64
		for _, g := range []consent.Grant{with, without} {
			for range 2 {
				samples, r := last.next(g, catalog.Moment{}, time.Now())
				if r.N == 0 {
					t.Fatal("nothing to tell")
				}
				last.told(g, r)
				v := int64(-1)
				for _, s := range samples {
					if s.ID() == catalog.JobDigest {
						v = s.Value()
					}
				}
				got = append(got, v)
			}
		}
		if got[0] != 1234567890123 || got[1] != -1 || got[2] != -1 || got[3] != -1 {
			t.Errorf("told %v", got)
		}
	})
}

// The largest file that is written is one that is read: every recipient there can be is told of every
// job.
func TestDigestsOfAllFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.json")
	j := NewJobs(path, rand.NewPCG(1, 2), nil)
	all := map[string]int64{}
	for i := range consent.MaxRecipients {
		g := consent.Grant{Recipient: evidence.RecipientID{byte(i), 1}, Serial: 1<<64 - 1}
		all[Key(g)] = 1 << 52
		j.tell(g, record{N: 1 << 40})
		j.tell(g, record{N: 1 << 40, Tested: &tested{}})
	}
	now := time.Unix(1_800_000_000, 0)
	for range maxKept {
		j.Digests(all)
		j.Observe(seam.Status{Phase: seam.PhasePrinting}, now)
		j.Ended(seam.Receipt{Code: seam.CodeDone, Material: 8}, now.Add(time.Minute))
	}
	j.Digests(all)
	j.Observe(seam.Status{Phase: seam.PhasePrinting}, now)
	j.keep()
	got, err := loadTally(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Records) != maxKept || len(got.Records[0].Digests) != len(all) || len(got.Digests) != len(all) || len(got.Told) != len(all) {
		t.Errorf("%d records, %d digests, %d told", len(got.Records), len(got.Digests), len(got.Told))
	}
}
