package telemetry

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/catalog"
	"platen/agent/seam"
)

// job runs a job of a length on a machine that reports each ten seconds.
func job(m *Machine, took time.Duration, code seam.Code, material uint8) {
	for end := time.Now().Add(took); time.Now().Before(end); time.Sleep(min(10*time.Second, max(time.Until(end), 1))) {
		m.Set(seam.Status{Phase: seam.PhasePrinting, Ambient: seam.NoAmbient})
	}
	m.Ended(seam.Receipt{Code: code, Material: material})
	m.Set(seam.Status{Phase: seam.PhaseIdle, Ambient: seam.NoAmbient})
}

// idle lets time pass on an idle machine.
func idle(m *Machine, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
		m.Set(seam.Status{Phase: seam.PhaseIdle, Ambient: seam.NoAmbient})
	}
}

// P3: a job is told once, up to an hour after the end of its bucket, in buckets, its start
// to four hours.
func TestJobIsToldOnce(t *testing.T) {
	for _, c := range []struct {
		took time.Duration
		code seam.Code
		want map[catalog.ID]int64
		from time.Duration // since its beginning, at the earliest
	}{
		{10 * time.Minute, seam.CodeDone, map[catalog.ID]int64{catalog.JobDuration: 3600, catalog.JobResult: 1}, time.Hour},
		{61 * time.Minute, seam.CodeCancelled, map[catalog.ID]int64{catalog.JobDuration: 7200, catalog.JobResult: 2}, 2 * time.Hour},
		{20 * time.Minute, seam.CodeFault, map[catalog.ID]int64{catalog.JobDuration: 3600, catalog.JobResult: 4}, 20 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			jobs := NewJobs("", rand.NewPCG(1, 2), nil)
			r := start(t, func(c *Config) { c.Jobs = jobs })
			defer func() { r.stop() }()
			r.src.m.Follow(jobs)
			service := allow(t, owner, catalog.Service, 23*time.Hour, 1)
			service.Period = time.Minute // as often as the other, which is enough here
			r.grants.set(allow(t, vendor, catalog.Vendor, 48*time.Hour, 1), service)
			idle(r.src.m, 90*time.Second)
			began := time.Now()
			job(r.src.m, c.took, c.code, 5)
			idle(r.src.m, c.from+90*time.Minute)
			synctest.Wait()
			told := map[bool]int{}
			for _, f := range r.wire.sent() {
				_, msgs := read(t, []sentFrame{f})
				for _, m := range msgs {
					id, ok := m.Get(catalog.JobID)
					if !ok {
						continue
					}
					told[f.to == vendor]++
					for item, v := range c.want {
						if got, _ := m.Get(item); got != v {
							t.Errorf("%v: item %d is %d, want %d", c.took, item, got, v)
						}
					}
					if s, _ := m.Get(catalog.JobStart); s%14400 != 0 || s > began.Unix()+7200 || s < began.Unix()-7200 {
						t.Errorf("%v: start %d, began %d", c.took, s, began.Unix())
					}
					if v, ok := m.Get(catalog.JobMaterial); ok == (f.to == vendor) || ok && v != 16_000 {
						t.Errorf("%v: material %d, %v", c.took, v, ok)
					}
					if late := f.at.Sub(began.Add(c.from)); late < 0 || late > time.Hour+2*time.Minute {
						t.Errorf("%v: told %v after its bucket", c.took, late)
					}
					if id == 0 {
						t.Error("no number")
					}
				}
			}
			if told[true] != 1 || told[false] != 1 {
				t.Errorf("%v: told %v times", c.took, told)
			}
		})
	}
}

// P4: odometers once a week, if there were ten jobs in it, in buckets.
func TestOdometersAreWeekly(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	j := NewJobs("", rand.NewPCG(3, 4), nil)
	g := allow(t, vendor, catalog.Vendor, time.Hour, 1)
	e, err := catalog.NewEncoder(catalog.Vendor, g.Items)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	listen := func() { // for what there is to tell
		for {
			samples, n := j.next(g, catalog.Moment{}, now)
			if n.N == 0 {
				return
			}
			j.told(g, n)
			b, err := e.Encode(nil, catalog.Moment{At: now}, samples)
			if err != nil {
				t.Fatal(err)
			}
			m, err := catalog.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := m.Get(catalog.OdometerJobs); ok {
				got = append(got, v)
				s, _ := m.Get(catalog.OdometerTime)
				if mm, _ := m.Get(catalog.OdometerMaterial); s == 0 || mm == 0 {
					t.Errorf("an odometer without time or material: %d s, %d mm", s, mm)
				}
			}
		}
	}
	listen()
	for _, n := range [...]int{9, 12, 0, 30} {
		end := now.Add(window)
		for range n {
			j.Observe(seam.Status{Phase: seam.PhasePrinting}, now)
			now = now.Add(30 * time.Minute)
			j.Ended(seam.Receipt{Code: seam.CodeDone, Material: 4}, now)
			now = now.Add(2 * time.Hour)
			listen()
		}
		now = end
		listen()
	}
	if len(got) != 2 || got[0] < 21 || got[0] > 26 || got[1] < 51 || got[1] > 64 {
		t.Errorf("odometers %v, want one of 21 jobs and one of 51, in buckets", got)
	}
}

// Rounded sums are right in the mean: no job's own length is in them.
func TestSumsAreRightInTheMean(t *testing.T) {
	j := NewJobs("", rand.NewPCG(5, 6), nil)
	sum := int64(0)
	for range 10_000 {
		sum += j.chance(1234, 3600)
	}
	if want := 10_000 * 1234 / 3600.0; float64(sum) < want*0.95 || float64(sum) > want*1.05 {
		t.Errorf("%d hours, want about %.0f", sum, want)
	}
}

// What is on the disk tells no job more exactly than its record does, and outlives the
// agent: nobody is told twice.
func TestJobsOnDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jobs.json")
		j := NewJobs(path, rand.NewPCG(7, 8), nil)
		g := allow(t, vendor, catalog.Vendor, 240*time.Hour, 1)
		m := NewMachine()
		m.Follow(j)
		if _, n := j.next(g, catalog.Moment{}, time.Now()); n.N != 0 {
			t.Error("something to tell before there was a job")
		}
		idle(m, 17*time.Minute+13*time.Second)
		began := time.Now()
		job(m, 37*time.Minute+11*time.Second, seam.CodeDone, 5)
		if _, n := j.next(g, catalog.Moment{}, time.Now()); n.N != 0 { // begins the week of the odometers
			t.Error("told at once")
		}
		j.keep()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var kept map[string]any
		if err := json.Unmarshal(b, &kept); err != nil {
			t.Fatal(err)
		}
		kept["due"] = kept["records"].([]any)[0].(map[string]any)["due"]
		for _, key := range []string{"open", "from", "until", "window", "due"} {
			at, err := time.Parse(time.RFC3339, kept[key].(string))
			if err != nil || at.Unix()%3600 != 0 && !at.IsZero() {
				t.Errorf("%s is kept as %v, %v", key, kept[key], err)
			}
		}
		if hours := kept["hours"].(float64); hours != 0 && hours != 1 {
			t.Errorf("%v hours for one job of less than one", hours)
		}
		again := NewJobs(path, rand.NewPCG(9, 9), nil)
		if c := again.Cover(time.Now()); !c.Job || !c.Heat {
			t.Errorf("the cover does not outlive the agent: %+v", c)
		}
		time.Sleep(time.Until(began.Add(4 * time.Hour)))
		samples, n := again.next(g, catalog.Moment{}, time.Now())
		if len(samples) == 0 {
			t.Fatal("control: nothing to tell after a restart")
		}
		again.told(g, n)
		third := NewJobs(path, nil, nil)
		if _, n := third.next(g, catalog.Moment{}, time.Now()); n.N != 0 {
			t.Error("a job is told again after a restart")
		}
		if _, n := third.next(allow(t, vendor, catalog.Vendor, time.Hour, 2), catalog.Moment{}, time.Now()); n.N != 0 {
			t.Error("a new grant is told of a job that ended before it")
		}
	})
}

// Jobs whose records fall due in another order than they ended are all told, in that order.
func TestOverlappingJobs(t *testing.T) {
	turned := 0
	for seed := range uint64(20) {
		now := time.Unix(1_800_000_000, 0)
		j := NewJobs("", rand.NewPCG(seed, 1), nil)
		g := allow(t, vendor, catalog.Vendor, 240*time.Hour, 1)
		j.next(g, catalog.Moment{}, now)
		for _, code := range []seam.Code{seam.CodeDone, seam.CodeFault} { // the second covers nothing after its end
			j.Observe(seam.Status{Phase: seam.PhasePrinting}, now)
			now = now.Add(10 * time.Minute)
			j.Ended(seam.Receipt{Code: code}, now)
		}
		if j.t.Records[1].Due.Before(j.t.Records[0].Due) {
			turned++
		}
		var got []uint64
		for range 5 * 60 {
			now = now.Add(time.Minute)
			if _, n := j.next(g, catalog.Moment{}, now); n.N != 0 {
				j.told(g, n)
				got = append(got, n.N)
			}
		}
		if len(got) != 2 || got[0] != 1 || got[1] != 2 {
			t.Errorf("seed %d: told %v of two jobs", seed, got)
		}
	}
	if turned == 0 {
		t.Error("control: no two records fell due in another order")
	}
}

// Whoever tells of a machine does not wait for the disk, and the collector writes it down
// nevertheless.
func TestJobsAreWrittenByTheCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jobs.json")
		jobs := NewJobs(path, rand.NewPCG(1, 2), nil)
		m := NewMachine()
		m.Follow(jobs)
		m.Set(seam.Status{Phase: seam.PhasePrinting})
		m.Ended(seam.Receipt{Code: seam.CodeDone})
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("it was written by the machine's goroutine: %v", err)
		}
		r := start(t, func(c *Config) { c.Jobs = jobs })
		defer func() { r.stop() }()
		for i := range 2 {
			synctest.Wait()
			if kept, err := loadTally(path); err != nil || kept.Jobs != int64(1+i) || len(kept.Records) != 1+i {
				t.Errorf("%d jobs and %d records kept, want %d: %v", kept.Jobs, len(kept.Records), 1+i, err)
			}
			m.Set(seam.Status{Phase: seam.PhasePrinting})
			m.Ended(seam.Receipt{Code: seam.CodeDone})
		}
	})
}

// A job that the power ended has no length that anybody knows, and covers nothing after it.
func TestPowerEndsAJob(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.json")
	now := time.Unix(1_800_000_000, 0)
	j := NewJobs(path, rand.NewPCG(1, 1), nil)
	j.Observe(seam.Status{Phase: seam.PhasePrinting}, now)
	j.keep()
	now = now.Add(70 * time.Hour) // most of it without power
	j = NewJobs(path, rand.NewPCG(1, 1), nil)
	if !j.Cover(now).Job {
		t.Error("control: it is not covered while it may run")
	}
	j.Observe(seam.Status{Phase: seam.PhaseConnecting}, now)
	j.Observe(seam.Status{Phase: seam.PhaseIdle}, now)
	if c := j.Cover(now.Add(time.Second)); c.Job {
		t.Errorf("covered after it was lost: %+v", c)
	}
	if j.t.Jobs != 1 || j.t.Hours != 0 || len(j.t.Records) != 0 {
		t.Errorf("%d jobs, %d hours, %d records", j.t.Jobs, j.t.Hours, len(j.t.Records))
	}
}

// A damaged file begins anew.
func TestJobsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.json")
	for text, jobs := range map[string]int64{
		`{"version":1,"jobs":"many"}`: 0,
		`{"version":1,"jobs":3,"records":[{"n":1,"duty":{"heater":8,"time":0}}]}`:     0, // shares of no time
		`{"version":1,"jobs":3,"records":[{"n":1,"duty":{"heater":8,"time":14400}}]}`: 3, // control
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if j := NewJobs(path, nil, nil); j.t.Version != 1 || j.t.Jobs != jobs {
			t.Errorf("%+v of %s", j.t, text)
		}
	}
}

// P6: what is wrong is judged at full rate; a fault leaves at once, a warning with the next
// message. An unplugged sensor is told within two periods.
func TestAlerts(t *testing.T) {
	for _, c := range []struct {
		name     string
		st       seam.Status
		code     int64
		severity int64
		within   time.Duration
	}{
		{"a sensor is unplugged", seam.Status{Phase: seam.PhaseIdle, Missing: 4}, 32, 2, 2 * time.Minute},
		{"no filament", seam.Status{Phase: seam.PhasePaused, Trip: 13}, 13, 2, 2 * time.Minute},
		{"hot and idle", seam.Status{Phase: seam.PhaseIdle, Trip: 14}, 14, 1, 2 * time.Minute},
		{"thermal runaway", seam.Status{Phase: seam.PhaseFault, Trip: 2, Fault: 2}, 2, 3, time.Second},
		{"known before the machine has stopped", seam.Status{Phase: seam.PhasePrinting, Trip: 2}, 2, 3, time.Second},
		{"the controller", seam.Status{Phase: seam.PhaseFault, Fault: 10}, 33, 3, time.Second},
		{"a door that stops the machine", seam.Status{Phase: seam.PhaseFault, Trip: 12, Fault: 11}, 12, 3, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, nil)
			defer func() { r.stop() }()
			r.grants.set(allow(t, vendor, catalog.Vendor, time.Hour, 1))
			idle(r.src.m, 5*time.Minute+30*time.Second)
			at := time.Now()
			c.st.Ambient = seam.NoAmbient
			for time.Since(at) < 3*time.Minute {
				r.src.m.Set(c.st)
				time.Sleep(10 * time.Second)
			}
			synctest.Wait()
			told := time.Duration(-1)
			for _, f := range r.wire.sent() {
				_, msgs := read(t, []sentFrame{f})
				for _, m := range msgs {
					code, _ := m.Get(catalog.Alert)
					severity, _ := m.Get(catalog.Severity)
					if f.at.Before(at) && (code != 0 || severity != 0) {
						t.Errorf("%s: told before", c.name)
					}
					if missing, _ := m.Get(catalog.SensorsMissing); !f.at.Before(at) && missing != int64(c.st.Missing) {
						t.Errorf("%s: missing %d", c.name, missing)
					}
					if code == c.code && severity == c.severity && told < 0 {
						told = f.at.Sub(at)
					}
				}
			}
			if told < 0 || told > c.within {
				t.Errorf("%s: told after %v", c.name, told)
			}
		})
	}
}

// Heaters are in order while they are on their way, and are not once they are off their
// target for long.
func TestHeatInBand(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var h heat
	st := seam.Status{NHeaters: 1}
	set := func(actual, target int32, after time.Duration) int64 {
		now = now.Add(after)
		st.Heaters[0] = seam.Heater{ID: 8, Actual: actual, Target: target}
		h.watch(st, now)
		return h.code(st, now)
	}
	for i, c := range []struct {
		actual, target int32
		after          time.Duration
		want           int64
	}{
		{22_000, 0, time.Second, catalog.HeatOff},
		{22_000, 210_000, time.Second, catalog.HeatInOrder},
		{150_000, 210_000, 9 * time.Minute, catalog.HeatInOrder},
		{209_000, 210_000, time.Minute, catalog.HeatInOrder},
		{190_000, 210_000, time.Minute, catalog.HeatInOrder},
		{190_000, 210_000, 11 * time.Minute, catalog.HeatOutOfBand},
		{190_000, 195_000, time.Second, catalog.HeatInOrder},
		{190_000, 0, time.Hour, catalog.HeatOff},
	} {
		if got := set(c.actual, c.target, c.after); got != c.want {
			t.Errorf("step %d: %d, want %d", i, got, c.want)
		}
	}
}
