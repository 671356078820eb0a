package telemetry

import (
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/seam"
)

// Compile-time: the seam's shares are the catalogue's.
var _ [catalog.DutyBins]uint8 = [seam.DutyBins]uint8{}

// A heater's histogram is told once it was on for so long, in so many jobs that are over, with no
// more than half of it in any of them: that of one job by itself tells jobs apart (cross/privacy
// measures it). Only jobs of more than an hour count.
const (
	dutyWindow = 4 * time.Hour
	dutyJobs   = 4
)

// duty is a heater's histogram since it was last told, of whole jobs.
type duty struct {
	Heater int64                   `json:"heater"`
	Time   int64                   `json:"time"`           // s: sum of the beginnings of buckets
	Most   int64                   `json:"most,omitempty"` // s: the largest of them
	Jobs   int                     `json:"jobs"`
	Tenths [catalog.DutyBins]int64 `json:"tenths"` // of seconds
}

// tested is what a self-test has come to.
type tested struct {
	Motion int64        `json:"motion"`
	Result int64        `json:"result"`       // a code of catalog.TestResult
	Of     *seam.Tested `json:"of,omitempty"` // its figures, if it was done
}

// testTime is how long after its beginning a self-test is told: more than one takes. How long
// its first homing took says where the job before has left the head.
const testTime = 20 * time.Minute

// idle reports whether a record is withheld while a job is loaded, and not only later than
// what it is of.
func (r record) idle() bool { return r.Tested != nil || r.Duty != nil }

// mayTell reports whether a record's items may be told the recipient of g now.
func (r record) mayTell(g consent.Grant, m catalog.Moment) bool {
	id := catalog.JobID
	switch {
	case r.Tested != nil:
		id = catalog.TestResult
	case r.Duty != nil:
		id = catalog.DutyHeater
	}
	it, ok := catalog.Lookup(id)
	return ok && it.MayTell(g.Profile, m)
}

// Tested takes the figures of a self-test, whose end is still to come.
func (j *Jobs) Tested(m seam.Tested) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.figures = &m
}

// TestEnded takes the receipt of a self-test. Its figures are told if it was done; nobody is told of
// one that was refused: that the machine was warm says that it has printed.
func (j *Jobs) TestEnded(r seam.Receipt, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := &tested{Motion: catalog.MotionNumber(), Result: result(r.Code)}
	if f := j.figures; r.Code == seam.CodeDone && f != nil && f.Job == r.Job {
		t.Of = f
	}
	j.figures = nil
	began := j.testing
	j.testing = time.Time{}
	if t.Result == 0 || r.Code == seam.CodeRefused {
		return
	}
	if began.IsZero() { // no status came meanwhile
		began = now
	}
	j.t.add(record{Due: began.Add(testTime), Tested: t})
	j.change()
}

// result is the catalogue's code of how a job or a self-test ended; 0 is not yet.
func result(c seam.Code) int64 {
	switch c {
	case seam.CodeDone:
		return 1
	case seam.CodeCancelled:
		return 2
	case seam.CodeRefused:
		return 3
	case seam.CodeFault:
		return 4
	}
	return 0
}

// Duty takes the heaters' shares of a job that ends.
func (j *Jobs) Duty(m seam.Duty, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range m.Heaters[:m.N] {
		if h.Hours < 2 {
			continue
		}
		d := j.t.duty(int64(h.ID))
		on := min(int64(3600)<<(h.Hours-2), int64(longest/time.Second))
		d.Time += on
		d.Most = max(d.Most, on)
		d.Jobs++
		for i, share := range h.Share {
			d.Tenths[i] += int64(share) * on
		}
		if d.Jobs >= dutyJobs && d.Time >= max(int64(dutyWindow/time.Second), 2*d.Most) {
			told := *d
			told.Most = 0
			j.t.add(record{Due: now, Duty: &told})
			*d = duty{Heater: d.Heater}
		}
	}
	j.change()
}

// duty is the histogram of a heater since it was last told.
func (t *tally) duty(heater int64) *duty {
	for i := range t.Duty {
		if t.Duty[i].Heater == heater {
			return &t.Duty[i]
		}
	}
	t.Duty = append(t.Duty, duty{Heater: heater})
	return &t.Duty[len(t.Duty)-1]
}

func (d *duty) samples() []catalog.Sample {
	s := add(nil, catalog.DutyHeater, d.Heater)
	s = add(s, catalog.DutyTime, d.Time)
	for i, tenths := range d.Tenths {
		s = add(s, catalog.Duty0+catalog.ID(i), tenths*10/d.Time)
	}
	return s
}

func (t *tested) samples() []catalog.Sample {
	s := add(nil, catalog.TestMotion, t.Motion)
	s = add(s, catalog.TestResult, t.Result)
	f := t.Of
	if f == nil {
		return s
	}
	for id, v := range map[catalog.ID]uint32{
		catalog.TestHalf: f.Half, catalog.TestMost: f.Most,
		catalog.TestNoise: f.Noise, catalog.TestResends: f.Resends, catalog.TestErrors: f.Errors,
	} {
		s = add(s, id, int64(v))
	}
	for i, a := range f.Axes {
		n := catalog.ID(3 * i)
		s = add(s, catalog.TestSweep+n, int64(a.Sweep))
		if a.Felt {
			s = add(s, catalog.TestSpread+n, int64(a.Spread))
			s = add(s, catalog.TestShift+n, int64(a.Shift))
		}
	}
	return s
}

// Digests takes what recipients are told of the file of the job that is about to begin, by
// [Key]; nil tells nobody. More than consent.MaxRecipients can have no grants.
func (j *Jobs) Digests(d map[string]int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.t.Digests = d
}
