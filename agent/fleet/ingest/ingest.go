// Package ingest takes frames from printers, has them verified, and turns them into
// events: believed batches with their values, refusals with their reasons, and
// batches that are missing.
//
// Start at [New]. An [Ingest] is the handler of the fleet's own broker; [Bridge]
// connects it to any other MQTT v5 broker instead.
package ingest

import (
	"bytes"
	"errors"
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
	emit     func(store.Event)
	log      *slog.Logger

	burst, rate float64

	mu      sync.Mutex // one frame at a time: verdict, log and state belong together
	bucket  map[evidence.PrinterID]*bucket
	watched map[evidence.PrinterID]*watched
}

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
	return &Ingest{verifier: v, store: s, emit: emit, log: log, burst: burst, rate: rate, bucket: map[evidence.PrinterID]*bucket{}, watched: map[evidence.PrinterID]*watched{}}
}

// Allow changes how many frames are taken from one printer: a burst, and so many a second
// after it. It is called before the first frame.
func (in *Ingest) Allow(burst, perSecond float64) { in.burst, in.rate = burst, perSecond }

// Known reports whether a printer is enrolled and has not left.
func (in *Ingest) Known(id evidence.PrinterID) bool {
	_, ok := in.verifier.Record(id)
	return ok && !in.store.Left(id)
}

// Nonce makes a nonce for a printer, nil if it is not enrolled.
func (in *Ingest) Nonce(id evidence.PrinterID) []byte {
	if !in.Known(id) {
		return nil
	}
	return in.verifier.Nonce(id)
}

// Frame judges a frame that came under the name from, and stores what follows. An
// error means that it could not be stored; a frame that is not believed is an event
// and no error.
func (in *Ingest) Frame(from evidence.PrinterID, frame []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	known := in.Known(from)
	payer := from
	if !known {
		payer = evidence.PrinterID{} // strangers share one allowance, and cost no memory
	}
	if ok, news := in.take(payer, time.Now()); !ok {
		if !news {
			return nil
		}
		return in.record(store.Event{Event: store.Refused, Printer: from.String(), Reason: string(Flood)})
	}
	if !known {
		reason := verify.UnknownPrinter
		if in.store.Left(from) {
			reason = verify.Revoked
		}
		return in.record(store.Event{Event: store.Refused, Printer: from.String(), Reason: string(reason)})
	}
	before, err := in.verifier.PrinterState(from)
	if err != nil {
		return err
	}
	verdict, err := in.verifier.Batch(from, frame)
	if err != nil {
		return in.refused(from, frame, err)
	}
	if err := in.believed(verdict, frame); err != nil {
		// The printer will send the frame again: judge it then as if it were new.
		return errors.Join(err, in.verifier.RestorePrinter(before))
	}
	return nil
}

func (in *Ingest) refused(from evidence.PrinterID, frame []byte, err error) error {
	reason := verify.ReasonOf(err)
	if reason == "" {
		return fmt.Errorf("verify a batch: %w", err)
	}
	e := store.Event{Event: store.Refused, Printer: from.String(), Reason: string(reason)}
	if b, err := evidence.Decode(frame); err == nil {
		if h, err := evidence.ParseHeader(b.Header); err == nil {
			e.Seq = h.Seq
		}
	}
	in.log.Warn("a batch was refused", "printer", e.Printer, "seq", e.Seq, "reason", e.Reason)
	return in.record(e)
}

// believed stores the events of a verified batch, and then that it was seen.
func (in *Ingest) believed(v verify.Verdict, frame []byte) error {
	who := v.Printer.String()
	for _, m := range v.Missing {
		in.log.Warn("batches are missing", "printer", who, "from", m.From, "to", m.To)
		if err := in.record(store.Event{Event: store.Missing, Printer: who, From: m.From, To: m.To}); err != nil {
			return err
		}
	}
	e := store.Event{Event: store.Batch, Printer: who, Seq: v.Header.Seq, Boot: v.Header.Boot, Release: v.Release,
		Msgs: len(v.Msgs), Dropped: v.Header.Dropped, Fresh: v.Fresh, Late: v.Late, NewChain: v.NewChain, Frame: bytes.TrimRight(frame, "\x00")}
	strange := 0
	for _, raw := range v.Msgs {
		m, err := catalog.Decode(raw)
		if err != nil {
			strange++
			continue
		}
		e.Values = map[string]int64{}
		for _, val := range m.Values {
			e.Values[val.Item.Name] = val.Value
		}
	}
	if err := in.record(e); err != nil {
		return err
	}
	if strange > 0 {
		in.log.Warn("messages say what the catalogue does not know", "printer", who, "seq", e.Seq, "messages", strange)
		err := in.record(store.Event{Event: store.Refused, Printer: who, Seq: e.Seq, Msgs: strange, Reason: string(NotInCatalogue)})
		if err != nil {
			return err
		}
	}
	if err := in.heard(v.Printer, e.Values, v.Late, time.Now()); err != nil {
		return err
	}
	return in.store.SavePrinter(in.verifier, v.Printer)
}

// record stores an event and then tells of it.
func (in *Ingest) record(e store.Event) error {
	e.Schema, e.At = store.Schema, time.Now().UTC()
	if err := in.store.Append(e); err != nil {
		return err
	}
	e.Frame = nil
	in.emit(e)
	return nil
}

// take counts a frame; news is true for the first one too many.
func (in *Ingest) take(id evidence.PrinterID, now time.Time) (ok, news bool) {
	b := in.bucket[id]
	if b == nil {
		b = &bucket{left: in.burst, at: now}
		in.bucket[id] = b
	}
	b.left = min(in.burst, b.left+in.rate*now.Sub(b.at).Seconds())
	b.at = now
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
