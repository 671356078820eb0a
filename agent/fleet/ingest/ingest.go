// Package ingest takes frames from printers, has them verified, and turns them into
// events: believed batches with their values, refusals with their reasons, and
// batches that are missing.
//
// Start at [New]. An [Ingest] is the handler of the fleet's own broker; [Bridge]
// connects it to any other MQTT v5 broker instead.
//
// Frames of different printers are judged beside each other, those of one in their order. What
// follows from them goes to the disk together (commit.go): one wait for it serves all that were
// judged during the one before, and each frame is acknowledged after its own. The printers' states
// follow later ([Ingest.Save], [Ingest.Checkpoint]), since the log says what they have to be.
package ingest

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
	"platen/agent/fleet/verify"
)

// Reasons for refusing what the verifier does not judge.
const (
	// NotInCatalogue: a verified message says something the catalogue has no item for.
	NotInCatalogue verify.Reason = "not_in_catalogue"
	// Flood: a printer sends more than its grid can explain; the frames are dropped.
	Flood verify.Reason = "flood"
)

// Limits of what is taken from one printer, unless others are given: a burst, and so
// many a second after it.
const (
	burst = 30
	rate  = 3
)

// Ingest judges and keeps frames. Its methods may be called from any goroutine.
type Ingest struct {
	verifier *verify.Verifier
	store    *store.Store
	log      *slog.Logger

	burst, rate float64
	commit      *committer
	lanes       [lanes]sync.Mutex // each for the printers of its number: their frames keep their order
	saving      sync.Mutex
	disk        sync.Mutex // from the reading of states until they are saved: none takes a later one's place

	mu      sync.Mutex
	bucket  map[evidence.PrinterID]*bucket // that are not full
	sweep   int                            // of so many of them, the full ones are looked for
	watched map[evidence.PrinterID]*watched
	dirty   map[evidence.PrinterID]bool // state on disk is older than the log
}

// lanes bounds how many frames are judged at once.
const lanes = 64

// lane is the lock of a printer: first the disk, then the lane, then the gate, then mu.
func (in *Ingest) lane(id evidence.PrinterID) *sync.Mutex { return &in.lanes[id[0]%lanes] }

// bucket counts what a printer may still send.
type bucket struct {
	left   float64
	at     time.Time
	floods bool // the flood has been reported
}

// New makes an ingest over a verifier and a store. emit is told of each event, after
// it was stored; it may be nil.
func New(v *verify.Verifier, s *store.Store, emit func(store.Event), log *slog.Logger) *Ingest {
	if emit == nil {
		emit = func(store.Event) {}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Ingest{verifier: v, store: s, log: log, burst: burst, rate: rate, commit: newCommitter(s, emit),
		bucket: map[evidence.PrinterID]*bucket{}, watched: map[evidence.PrinterID]*watched{}, dirty: map[evidence.PrinterID]bool{}}
}

// Allow changes how many frames are taken from one printer: a burst, and so many a second
// after it. It is called before the first frame.
func (in *Ingest) Allow(burst, perSecond float64) { in.burst, in.rate = burst, perSecond }

// Known reports whether a printer is enrolled and has not left.
func (in *Ingest) Known(id evidence.PrinterID) bool {
	return in.verifier.Known(id) && !in.store.Left(id)
}

// Nonce makes a nonce for a printer, nil if it is not enrolled.
func (in *Ingest) Nonce(id evidence.PrinterID) []byte {
	if !in.Known(id) {
		return nil
	}
	return in.verifier.Nonce(id)
}

// Frame judges a frame that came under the name from, and returns once what follows is
// stored. An error means that it could not be stored; a frame that is not believed is an event
// and no error.
func (in *Ingest) Frame(from evidence.PrinterID, frame []byte) error {
	w, err := in.begin(from, frame)
	if w == nil {
		return err
	}
	return in.commit.wait(w)
}

// begin judges a frame and adds what follows to what is to be written; nil: nothing follows.
func (in *Ingest) begin(from evidence.PrinterID, frame []byte) (*write, error) {
	lane := in.lane(from)
	lane.Lock()
	defer lane.Unlock()
	in.commit.gate.RLock()
	defer in.commit.gate.RUnlock()
	w, err := in.judge(from, frame)
	if w != nil {
		in.commit.add(w)
	}
	return w, err
}

func (in *Ingest) judge(from evidence.PrinterID, frame []byte) (*write, error) {
	known := in.Known(from)
	payer := from
	if !known {
		payer = evidence.PrinterID{} // strangers share one allowance, and cost no memory
	}
	if ok, news := in.take(payer, time.Now()); !ok {
		if !news {
			return nil, nil
		}
		return refusal(store.Event{Printer: from.String()}, Flood), nil
	}
	if !known {
		reason := verify.UnknownPrinter
		if in.store.Left(from) {
			reason = verify.Revoked
		}
		return refusal(store.Event{Printer: from.String()}, reason), nil
	}
	verdict, err := in.verifier.Batch(from, frame)
	if err != nil {
		return in.refused(from, frame, err)
	}
	return in.believed(verdict, frame), nil
}

func refusal(e store.Event, reason verify.Reason) *write {
	e.Event, e.Reason = store.Refused, string(reason)
	return &write{events: []store.Event{stamped(e, time.Now())}}
}

func stamped(e store.Event, now time.Time) store.Event {
	e.Schema, e.At = store.Schema, now.UTC()
	return e
}

func (in *Ingest) refused(from evidence.PrinterID, frame []byte, err error) (*write, error) {
	reason := verify.ReasonOf(err)
	if reason == "" {
		return nil, fmt.Errorf("verify a batch: %w", err)
	}
	e := store.Event{Printer: from.String()}
	if b, err := evidence.Decode(frame); err == nil {
		if h, err := evidence.ParseHeader(b.Header); err == nil {
			e.Seq = h.Seq
		}
	}
	in.log.Warn("a batch was refused", "printer", e.Printer, "seq", e.Seq, "reason", string(reason))
	return refusal(e, reason), nil
}

// believed is what follows from a verified batch.
func (in *Ingest) believed(v verify.Verdict, frame []byte) *write {
	who, now := v.Printer.String(), time.Now()
	w := &write{}
	add := func(e store.Event) {
		e.Printer = who
		w.events = append(w.events, stamped(e, now))
	}
	for _, m := range v.Missing {
		in.log.Warn("batches are missing", "printer", who, "from", m.From, "to", m.To)
		add(store.Event{Event: store.Missing, From: m.From, To: m.To})
	}
	if v.SettingsChanged {
		add(settings(v))
	}
	values, times, strange := valuesOf(v.Msgs)
	add(store.Event{Event: store.Batch, Seq: v.Header.Seq, Boot: v.Header.Boot, Release: v.Release, Values: values,
		Msgs: len(v.Msgs), Dropped: v.Header.Dropped, Fresh: v.Fresh, Late: v.Late, NewChain: v.NewChain, Frame: evidence.Trim(frame)})
	if strange > 0 {
		in.log.Warn("messages say what the catalogue does not know", "printer", who, "seq", v.Header.Seq, "messages", strange)
		add(store.Event{Event: store.Refused, Seq: v.Header.Seq, Msgs: strange, Reason: string(NotInCatalogue)})
	}
	unhear := in.heard(v, values, times, now, add)
	w.undo = func() error {
		unhear()
		return in.verifier.Undo(v)
	}
	return w
}

// settings says what a printer runs with.
func settings(v verify.Verdict) store.Event {
	e := store.Event{Event: store.Settings, Seq: v.Header.Seq, Config: hex.EncodeToString(v.Settings.Config[:]),
		Board: hex.EncodeToString(v.Settings.Board[:])}
	if v.Settings.Controller != [32]byte{} {
		e.Controller = hex.EncodeToString(v.Settings.Controller[:])
	}
	if v.SettingsUnseen {
		e.Reason = string(verify.SettingsUnseen)
	}
	return e
}

// valuesOf is what the last message says that the catalogue knows, the times that messages bear,
// and how many say what the catalogue does not know.
func valuesOf(msgs [][]byte) (values map[string]int64, times []time.Time, strange int) {
	for _, raw := range msgs {
		m, err := catalog.Decode(raw)
		if err != nil {
			strange++
			continue
		}
		times = append(times, m.At)
		values = make(map[string]int64, len(m.Values))
		for _, val := range m.Values {
			values[val.Item.Name] = val.Value
		}
	}
	return values, times, strange
}

// take counts a frame; news is true for the first one too many.
func (in *Ingest) take(id evidence.PrinterID, now time.Time) (ok, news bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	b := in.bucket[id]
	if b == nil {
		in.forgetFull(now)
		b = &bucket{left: in.burst, at: now}
		in.bucket[id] = b
	}
	in.refill(b, now)
	if b.left < 1 {
		news, b.floods = !b.floods, true
		return false, news
	}
	b.left--
	if b.left > in.burst/2 {
		b.floods = false
	}
	return true, false
}

func (in *Ingest) refill(b *bucket, now time.Time) {
	b.left = min(in.burst, b.left+in.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// forgetFull forgets, once many buckets have come, those that are full again: a printer without
// one has a full one.
func (in *Ingest) forgetFull(now time.Time) {
	if len(in.bucket) < max(in.sweep, lanes) {
		return
	}
	for id, b := range in.bucket {
		if in.refill(b, now); b.left == in.burst {
			delete(in.bucket, id)
		}
	}
	in.sweep = 2 * len(in.bucket)
}
