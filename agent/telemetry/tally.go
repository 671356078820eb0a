package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/durable"
)

// tally is what a [Jobs] keeps over a restart.
//
// Requirements: the file tells no job's duration or material more exactly than its
// record does, nor with the time at which it was written; a job is counted once, or, if
// the power is cut before its end is written, without a record; a recipient is not told a
// record twice.
// Layout: JSON, replaced as a whole, times in whole hours. Failures: a file that is
// damaged begins anew, and the odometers with it.
type tally struct {
	Version int `json:"version"`

	Open  time.Time `json:"open"`  // since when a job runs; zero if none does
	From  time.Time `json:"from"`  // when the cover began
	Until time.Time `json:"until"` // when it ends, once the job has

	Jobs       int64     `json:"jobs"`
	Hours      int64     `json:"hours"`
	Metres     int64     `json:"metres"`
	Window     time.Time `json:"window"`
	WindowJobs int       `json:"window_jobs"`

	N       uint64            `json:"n"` // records ever
	Records []record          `json:"records"`
	Told    map[string]uint64 `json:"told"`                // the last record of a job of each recipient
	Idle    map[string]uint64 `json:"told_idle,omitempty"` // the last of the others

	Duty    []duty           `json:"duty,omitempty"`
	Digests map[string]int64 `json:"digests,omitempty"` // of the open job: see record
}

// record is what is told of one job, or of all of them.
type record struct {
	N        uint64    `json:"n"`
	Due      time.Time `json:"due"`
	ID       int64     `json:"id"`
	Start    int64     `json:"start"`    // s since 1970, a multiple of four hours
	Duration int64     `json:"duration"` // end of the bucket in s
	Result   int64     `json:"result"`
	Material int64     `json:"material"` // end of the bucket in mm
	Odometer *odometer `json:"odometer,omitempty"`
	Tested   *tested   `json:"tested,omitempty"`
	Duty     *duty     `json:"duty,omitempty"`

	Digests map[string]int64 `json:"digests,omitempty"` // what is told of the file, by key
}

type odometer struct{ Jobs, Hours, Metres int64 }

// samples is what the recipient of g is told.
func (r record) samples(g consent.Grant) []catalog.Sample {
	switch {
	case r.Tested != nil:
		return r.Tested.samples()
	case r.Duty != nil:
		return r.Duty.samples()
	}
	if o := r.Odometer; o != nil {
		s := add(nil, catalog.OdometerJobs, o.Jobs)
		s = add(s, catalog.OdometerTime, o.Hours*3600)
		return add(s, catalog.OdometerMaterial, o.Metres*1000)
	}
	s := add(nil, catalog.JobID, r.ID)
	s = add(s, catalog.JobStart, r.Start)
	s = add(s, catalog.JobDuration, r.Duration)
	s = add(s, catalog.JobResult, r.Result)
	if d, ok := r.Digests[Key(g)]; ok {
		s = add(s, catalog.JobDigest, d)
	}
	return add(s, catalog.JobMaterial, r.Material)
}

// add numbers a record and keeps it, in place of those that nobody came for.
func (t *tally) add(r record) {
	t.N++
	r.N = t.N
	t.Records = slices.DeleteFunc(t.Records, func(o record) bool { return o.Due.Add(keepTime).Before(r.Due) })
	if len(t.Records) >= maxKept {
		t.Records = slices.Delete(t.Records, 0, 1)
	}
	t.Records = append(t.Records, r)
}

// maxTally bounds the file in bytes: maxKept records, each with as many digests as there can be
// recipients, and what those were told.
const maxTally = 1 << 20

func loadTally(path string) (tally, error) {
	t := tally{Version: 1}
	if path == "" {
		return t, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("read what is kept of jobs: %w", err)
	}
	var got tally
	if len(b) > maxTally || json.Unmarshal(b, &got) != nil || got.Version != 1 || len(got.Records) > maxKept ||
		slices.ContainsFunc(got.Records, func(r record) bool { return r.Duty != nil && r.Duty.Time <= 0 }) {
		return t, fmt.Errorf("%s is damaged", path)
	}
	return got, nil
}

// encode is what may be kept: a time that is not yet over is rounded up, one that is over
// down.
func (t *tally) encode() ([]byte, error) {
	kept := *t
	kept.Open, kept.From, kept.Window = t.Open.Truncate(time.Hour), time.Time{}, t.Window.Truncate(time.Hour)
	if !t.Open.IsZero() {
		kept.From = t.From.Truncate(time.Hour)
	}
	if !t.Until.IsZero() {
		kept.Until = t.Until.Truncate(time.Hour).Add(time.Hour)
	}
	kept.Records = slices.Clone(t.Records)
	for i := range kept.Records {
		due := &kept.Records[i].Due
		if whole := due.Truncate(time.Hour); whole.Before(*due) {
			*due = whole.Add(time.Hour)
		}
	}
	b, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("encode what is kept of jobs: %w", err)
	}
	return b, nil
}

func save(path string, b []byte) error {
	if path == "" {
		return nil
	}
	if err := durable.Replace(path, b); err != nil {
		return fmt.Errorf("keep what is told of jobs: %w", err)
	}
	return nil
}
