package telemetry

import (
	crand "crypto/rand"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"platen/agent/catalog"
	"platen/agent/consent"
	"platen/agent/seam"
)

// What is told of jobs, and when.
const (
	coldTime  = 2 * time.Hour              // from the end of a cover until what was heated is as cold as the room
	mostDelay = time.Hour                  // of a record, drawn by chance
	window    = 7*24*time.Hour + time.Hour // between two readings of the odometers
	fewest    = 10                         // jobs in a window, for a reading
	keepTime  = 7 * 24 * time.Hour         // how long a record waits for recipients that cannot be reached
	maxKept   = 256                        // records
	longest   = 128 * time.Hour            // end of the last bucket of durations
)

// Jobs makes of what a machine does what may be told of its jobs: the cover that a
// vendor sees in place of one, a record of each in buckets, and odometers.
//
// Nothing exact is kept: the file of a Jobs holds buckets, and odometers to which each
// job adds a whole number of hours, rounded up or down by chance so that the sum is
// right in the mean. The collector writes it after a job has begun or ended: whoever tells
// a Jobs of a machine never waits for the disk.
type Jobs struct {
	path string // "" keeps nothing
	log  *slog.Logger
	draw *rand.Rand

	changed chan struct{} // there is something to write
	saving  sync.Mutex    // one goroutine writes; taken before mu
	problem string        // why the last write failed

	mu    sync.Mutex
	t     tally
	dirty bool // t is not what the file says
	cold  bool // the open job was begun before a restart: nobody knows how long it took

	testing time.Time    // since when a self-test runs; zero if none does
	figures *seam.Tested // of the self-test that ends
}

// NewJobs reads the file at path, which need not be there; one that cannot be read
// begins anew. An empty path keeps nothing over a restart. Delays, roundings and the
// numbers of jobs are drawn from chance; nil is the system's. A nil log discards.
func NewJobs(path string, chance rand.Source, log *slog.Logger) *Jobs {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if chance == nil {
		var seed [32]byte
		crand.Read(seed[:])
		chance = rand.NewChaCha8(seed)
	}
	j := &Jobs{path: path, log: log, draw: rand.New(chance), changed: make(chan struct{}, 1)}
	var err error
	if j.t, err = loadTally(path); err != nil {
		log.Warn("odometers begin anew", "error", err.Error())
	}
	j.cold = !j.t.Open.IsZero()
	return j
}

// Ended takes a receipt of the session. The last one of a job ends it.
func (j *Jobs) Ended(r seam.Receipt, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if code := result(r.Code); code != 0 {
		j.finish(now, code, r.Material)
	}
}

// Observe takes what the machine does at now. Only changes of it are of consequence.
func (j *Jobs) Observe(st seam.Status, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch st.Phase {
	case seam.PhaseLoading, seam.PhasePrinting, seam.PhasePaused:
		j.begin(now)
	case seam.PhaseTesting:
		if j.testing.IsZero() {
			j.testing = now
		}
	case seam.PhaseIdle: // whoever would have sent a receipt is gone
		j.finish(now, 0, 0)
		j.testing, j.figures = time.Time{}, nil
	}
}

func (j *Jobs) begin(now time.Time) {
	if !j.t.Open.IsZero() {
		return
	}
	j.t.Open = now
	if !now.Before(j.t.Until) { // else the cover of the job before goes on
		j.t.From = now
	}
	j.change()
}

// finish ends the open job, with a code of catalog.JobResult. What is refused, ends in a
// fault or is lost is as long as it is by no design: its cover ends with it. One that was
// lost with the power, or while there was no agent, is counted and nothing else.
func (j *Jobs) finish(now time.Time, code int64, material uint8) {
	start := j.t.Open
	if start.IsZero() {
		return
	}
	took := max(now.Sub(start), 0)
	shown := start.Add(bucket(took))
	if code == 0 || code >= 3 {
		shown = now
	}
	lost := code == 0 && j.cold
	j.cold = false
	coarse, _ := catalog.Lookup(catalog.JobStart)
	digests := j.t.Digests
	j.t.Open, j.t.Digests = time.Time{}, nil
	if shown.After(j.t.Until) {
		j.t.Until = shown
	}
	j.t.Jobs++
	j.t.WindowJobs++
	if lost {
		j.change()
		return
	}
	j.t.add(record{
		Due: shown.Add(time.Duration(j.draw.Int64N(int64(mostDelay)))), ID: int64(j.draw.Uint32()), Start: coarse.Bucket(start.Unix()),
		Duration: int64(min(bucket(took), longest) / time.Second), Result: code, Material: length(material), Digests: digests,
	})
	j.t.Hours += j.chance(int64(took/time.Second), 3600)
	// The mean of what falls into a bucket that is twice as long as the one before, if
	// all lengths are as likely by their logarithm, is 1/(2 ln 2) of its end.
	j.t.Metres += j.chance(length(material)*7213/10_000, 1000)
	j.change()
}

// length is the end of a seam.Receipt's bucket of material, in mm.
func length(bucket uint8) int64 {
	if bucket == 0 {
		return 0
	}
	return 1000 << (min(bucket, seam.MostMaterial) - 1)
}

// chance is v/unit, rounded up or down by chance so that it is right in the mean.
func (j *Jobs) chance(v, unit int64) int64 {
	n := v / unit
	if j.draw.Int64N(unit) < v%unit {
		n++
	}
	return n
}

// bucket is the end of the bucket that a duration falls into: an hour and its doublings up
// to the longest, then whole multiples of that.
func bucket(d time.Duration) time.Duration {
	if d > longest {
		return (d + longest - 1) / longest * longest
	}
	it, _ := catalog.Lookup(catalog.JobDuration)
	return max(time.Duration(it.Bucket(int64((d+time.Second-1)/time.Second)))*time.Second, time.Hour)
}

// Cover is what hides a job at now.
func (j *Jobs) Cover(now time.Time) catalog.Cover {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := catalog.Cover{
		Job:  !j.t.Open.IsZero() || now.Before(j.t.Until),
		Heat: !j.t.Open.IsZero() || now.Before(j.t.Until.Add(coldTime)),
	}
	if c.Job {
		passed := now.Sub(j.t.From) // no more than is known after a restart: the longest
		passed = min(max(passed, 0), longest)
		c.Quarter = uint8(25 * (4 * passed / bucket(passed)))
	}
	return c
}

// next is the oldest record that is due at now and that the recipient of a grant has not
// been told yet, with its number. A recipient is told what ends under its grant, in the order
// in which it ended: a record that is not yet due, or may not be told at m, holds up those after
// it. Records of jobs and the others do not wait for each other.
func (j *Jobs) next(g consent.Grant, m catalog.Moment, now time.Time) (samples []catalog.Sample, r record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.read(now)
	if _, ok := j.t.Told[Key(g)]; !ok {
		j.tell(g, record{N: j.t.N})
		j.tell(g, record{N: j.t.N, Tested: &tested{}})
		return nil, record{}
	}
	for _, idle := range []bool{false, true} {
		told := j.t.told(idle)[Key(g)]
		for _, r := range j.t.Records {
			if r.N <= told || r.idle() != idle {
				continue
			}
			if now.Before(r.Due) || !r.mayTell(g, m) {
				break
			}
			return r.samples(g), r
		}
	}
	return nil, record{}
}

// told notes that a recipient has been told a record, and returns once that is kept.
func (j *Jobs) told(g consent.Grant, r record) {
	j.mu.Lock()
	j.tell(g, r)
	j.mu.Unlock()
	j.keep()
}

func (j *Jobs) tell(g consent.Grant, r record) {
	told := j.t.told(r.idle())
	for k := range told { // earlier grants for the recipient
		if strings.HasPrefix(k, g.Recipient.String()+" ") {
			delete(told, k)
		}
	}
	told[Key(g)] = r.N
	j.change()
}

// told are the last records that recipients were told, of jobs or of the rest.
func (t *tally) told(idle bool) map[string]uint64 {
	m := &t.Told
	if idle {
		m = &t.Idle
	}
	if *m == nil {
		*m = map[string]uint64{}
	}
	return *m
}

// Key names a grant, in what is kept of who was told what.
func Key(g consent.Grant) string {
	return g.Recipient.String() + " " + strconv.FormatUint(g.Serial, 10)
}

// read reads the odometers if their week is over.
func (j *Jobs) read(now time.Time) {
	if j.t.Window.IsZero() || now.Before(j.t.Window) { // the clock was set back
		j.t.Window = now
		return
	}
	if now.Sub(j.t.Window) < window {
		return
	}
	if j.t.WindowJobs >= fewest {
		j.t.add(record{Due: now, Odometer: &odometer{j.t.Jobs, j.t.Hours, j.t.Metres}})
	}
	j.t.Window, j.t.WindowJobs = now, 0
	j.change()
}

// change notes that there is something to write. The lock is held.
func (j *Jobs) change() {
	j.dirty = true
	select {
	case j.changed <- struct{}{}:
	default: // it is said already
	}
}

// keep writes what has changed. What could not be written is left for the next call.
func (j *Jobs) keep() {
	j.saving.Lock()
	defer j.saving.Unlock()
	j.mu.Lock()
	if !j.dirty {
		j.mu.Unlock()
		return
	}
	b, err := j.t.encode()
	j.dirty = false
	j.mu.Unlock()
	if err == nil {
		err = save(j.path, b)
	}
	if err == nil {
		j.problem = ""
		return
	}
	j.mu.Lock()
	j.dirty = true
	j.mu.Unlock()
	if j.problem != err.Error() {
		j.problem = err.Error()
		j.log.Warn("odometers are not kept", "error", j.problem)
	}
}
