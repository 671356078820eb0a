package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"platen/agent/intake"
	"platen/agent/marker"
	"platen/agent/seam"
)

// Refusals about a print that a power loss broke. Their codes begin with "broken".
var (
	errBroken       = &refusal{"broken-print", "a power loss has broken a print: go on with it (platen print --resume and the same file), or clear the bed and forget it (platen discard)"}
	errNotBroken    = &refusal{"broken-none", "there is no broken print to go on with: leave --resume out"}
	errBrokenOther  = &refusal{"broken-other", "that is not the print that was broken: it takes the same file or ticket, the same settings and plate, and the same release; or clear the bed, platen discard"}
	errBrokenLayers = &refusal{"broken-layers", "the broken print cannot go on, for its program does not say where layers begin: clear the bed, platen discard"}
	errBrokenBoard  = &refusal{"broken-board", "this machine cannot go on with a broken print: its board file does not say that Z stays where it is (keeps_z): clear the bed, platen discard"}
)

// recovery knows where the running print would go on after a power loss, and what is left of
// one that was broken. It is the only one that touches the marker; what a disk can be made to
// forget is in the ledger.
type recovery struct {
	log  *slog.Logger
	kick chan struct{}      // has room for one: there is something to do
	ask  chan chan struct{} // somebody waits until all is on the disk
	gone chan struct{}      // closed when run has ended

	mu      sync.Mutex
	file    *marker.File // nil until the TPM opens what its keys open
	ledger  *intake.Ledger
	boot    uint64
	session [16]byte       // job of the session there is, as it said when it got ready
	met     bool           // a session has got ready
	now     *marker.Marker // the print that runs
	broken  *marker.Marker // the print that was broken
	over    []marker.Marker
	share   uint8 // of now that is printed, in quarters, by the session's word
	counted uint8 // the same, as far as the ledger knows it

	written marker.Marker // what is on the disk; run's own
	there   bool          // whether anything is
	when    time.Time     // of the last write
}

func newRecovery(log *slog.Logger) *recovery {
	return &recovery{log: log, kick: make(chan struct{}, 1), ask: make(chan chan struct{}), gone: make(chan struct{})}
}

// open takes over what an earlier agent has left: a marker of this boot is of a print that
// goes on or has ended meanwhile; one of an earlier boot is of a print that a power loss broke.
func (r *recovery) open(path string, key [32]byte, boot uint64, l *intake.Ledger) error {
	file, err := marker.Open(path, key)
	if err != nil {
		return err
	}
	m, ok, err := file.Read()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file, r.ledger, r.boot, r.there = file, l, boot, true // what is no marker goes as well
	switch {
	case r.now != nil: // a print has begun while the marker could not be read
		r.now.Boot = boot
	case ok && m.Boot < boot:
		r.broken, r.written = &m, m
		r.log.Warn("a power loss has broken a print")
	case ok && m.Boot == boot:
		r.now, r.written = &m, m
		r.ended(func(now [16]byte) bool { return r.met && now != r.session })
	}
	r.wake()
	return nil
}

// run keeps the disk up to date until ctx ends.
func (r *recovery) run(ctx context.Context) error {
	defer close(r.gone)
	var late <-chan time.Time
	for {
		var asked chan struct{}
		select {
		case <-ctx.Done():
			r.keep(context.WithoutCancel(ctx), true)
			return nil
		case <-r.kick:
		case <-late:
		case asked = <-r.ask:
		}
		late = nil
		if wait := r.keep(ctx, asked != nil); wait > 0 {
			late = time.After(wait)
		}
		if asked != nil {
			close(asked)
		}
	}
}

// settle waits until all that has happened is on the disk, and counted.
func (r *recovery) settle(ctx context.Context) {
	if r == nil {
		return
	}
	done := make(chan struct{})
	select {
	case r.ask <- done:
	case <-r.gone:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-r.gone:
	}
}

func (r *recovery) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// keep brings disk and ledger to where the print is; it returns how long to wait before what
// is left is done. What must not be late is done at once, and all of it if all.
func (r *recovery) keep(ctx context.Context, all bool) (wait time.Duration) {
	r.mu.Lock()
	file, over := r.file, r.over
	r.over = nil
	var now *marker.Marker
	if r.now != nil {
		m := *r.now
		now = &m
	}
	broken, share := r.broken, r.share // what is broken is not written to
	quarter := now != nil && now.Count > 0 && share != r.counted
	r.mu.Unlock()
	if file == nil {
		return 0
	}
	for _, m := range over {
		if err := r.ledger.Over(ctx, m.Job[:], m.Count, time.Now()); err != nil {
			r.log.Error("end of a copy not counted", "error", err.Error())
		}
	}
	switch {
	case now == nil && broken == nil && r.there:
		r.remove()
	case now == nil && broken != nil && *broken != r.written: // it is back
		r.write(*broken)
	case now == nil || *now == r.written && !quarter:
	case quarter:
		r.write(*now) // the count after this one is good with the very layer only
		r.write(r.reach(ctx, *now, share))
	default:
		if wait = marker.Every - time.Since(r.when); wait > 0 && !all && r.there && now.Count == r.written.Count {
			return wait
		}
		r.write(*now)
	}
	return 0
}

// reach has the ledger count a quarter of the print that runs.
func (r *recovery) reach(ctx context.Context, m marker.Marker, share uint8) marker.Marker {
	n, err := r.ledger.Reach(ctx, m.Job[:], m.Count, m.Layer, time.Now())
	if err != nil {
		r.log.Error("quarter of a copy not counted", "error", err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted = share
	if r.now != nil && r.now.Job == m.Job && r.now.Count == m.Count {
		r.now.Count = n
	}
	for i := range r.over { // it has ended meanwhile
		if r.over[i].Job == m.Job && r.over[i].Count == m.Count {
			r.over[i].Count = n
		}
	}
	m.Count = n
	return m
}

func (r *recovery) write(m marker.Marker) {
	r.when = time.Now()
	if err := r.file.Write(m); err != nil {
		r.log.Error("a power loss would break the print for good", "error", err.Error())
		return
	}
	r.written, r.there = m, true
}

func (r *recovery) remove() {
	if err := r.file.Remove(); err != nil {
		r.log.Error("marker not removed", "error", err.Error())
		return
	}
	r.written, r.there = marker.Marker{}, false
}

// admit says where a job goes on: nil is its beginning. tag is what the print is made of, and
// job its id if it has one from its ticket.
func (r *recovery) admit(resume bool, job [16]byte, tag [32]byte, can bool) (*marker.Marker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch b := r.broken; {
	case b == nil && resume:
		return nil, errNotBroken
	case b == nil:
		return nil, nil
	case !resume:
		return nil, errBroken
	case b.Tag != tag || job != [16]byte{} && job != b.Job:
		return nil, errBrokenOther
	case b.Mark == seam.MarkNone:
		return nil, errBrokenLayers
	case b.Layer > 0 && !can:
		return nil, errBrokenBoard
	default:
		m := *b
		return &m, nil
	}
}

// begin notes that a job is about to be handed to the session.
func (r *recovery) begin(m marker.Marker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.Boot = r.boot
	r.now, r.broken, r.session, r.share, r.counted = &m, nil, m.Job, 0, 0
	r.wake()
}

// back notes that a job could not be handed to the session after all: one that was to go on from
// where it was broken is broken as before, and can be tried again; any other ends. What a resume
// counted stays counted.
func (r *recovery) back(job [16]byte, from *marker.Marker) {
	if from == nil {
		r.end(job)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || r.now.Job != job {
		return
	}
	m := *from
	m.Count = r.now.Count
	r.now, r.broken = nil, &m
	r.wake()
}

// layer notes where the print that runs has got to.
func (r *recovery) layer(l seam.Layer) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != nil && r.now.Mark != seam.MarkNone {
		r.now.Layer, r.now.Mark = l.Layer, l.Mark
		r.wake()
	}
}

// status notes the quarters of the print that runs; the last one ends with it.
func (r *recovery) status(st seam.Status) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := st.Progress / 25; r.now != nil && q > r.share && q < 4 && (st.Phase == seam.PhasePrinting || st.Phase == seam.PhasePaused) {
		r.share = q
		r.wake()
	}
}

// ready notes that a session has got ready, with a job of an earlier agent or none: another
// one that ran has ended.
func (r *recovery) ready(job [16]byte) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session, r.met = job, true
	r.ended(func(now [16]byte) bool { return now != job })
}

// end notes that a job has ended, whatever came of it.
func (r *recovery) end(job [16]byte) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended(func(now [16]byte) bool { return now == job })
}

// ended lets go of the print that runs if it is one of those. The lock is held.
func (r *recovery) ended(is func(job [16]byte) bool) {
	if r.now == nil || !is(r.now.Job) {
		return
	}
	if r.now.Count > 0 {
		r.over = append(r.over, *r.now)
	}
	r.now = nil
	r.wake()
}

// discard forgets the print that was broken.
func (r *recovery) discard() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken == nil {
		return errNotBroken
	}
	if r.broken.Count > 0 {
		r.over = append(r.over, *r.broken)
	}
	r.broken = nil
	r.wake()
	return nil
}

// pending reports whether there is a broken print.
func (r *recovery) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken != nil
}

// view is what the owner is shown of a broken print; nil if there is none.
func (r *recovery) view(can bool) *intake.BrokenView {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.broken
	if b == nil {
		return nil
	}
	v := &intake.BrokenView{Layer: int(b.Layer), Ticket: b.Count > 0}
	var why *refusal
	switch {
	case b.Mark == seam.MarkNone:
		why = errBrokenLayers
	case b.Layer > 0 && !can:
		why = errBrokenBoard
	}
	if why != nil {
		v.Code, v.Why = why.code, why.what
	}
	return v
}
