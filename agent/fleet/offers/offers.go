// Package offers keeps what printers are to be offered until they have it: tickets of sealed jobs,
// as envelopes it does not open, and the sealed files themselves.
//
// Start at [Put] and [Hold], which commands call beside a running fleet, and at [Desk], which runs in
// it: a printer that waits for offers is sent each of its own once, and one that is away gets them
// when it comes back. All that is kept lies in two folders below the fleet's:
//
//	offers/PRINTER/JOB.json   an offer that was not acknowledged yet
//	jobs/DIGEST               a sealed file, under the SHA-256 of it
package offers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"platen/agent/durable"
	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

const (
	lookEvery  = time.Second      // for offers that commands have put
	retryEvery = 30 * time.Second // for a printer that was away and has not said that it is back
	sweepEvery = time.Hour        // for sealed files that are old; oftener if they are kept for less than four times that
	sendTime   = 15 * time.Second // for a printer to acknowledge an offer
	atOnce     = 16               // printers that offers are sent to side by side
	maxOffer   = 64 << 10         // bytes of a kept offer
	ending     = ".json"
)

// Offer is one offer as it is kept.
type Offer struct {
	Job      string    `json:"job"`      // random id of the ticket, in hexadecimal
	Until    time.Time `json:"until"`    // end of the ticket
	Envelope []byte    `json:"envelope"` // the ticket
}

// Put keeps an offer to a printer below the fleet's folder until the printer has it.
func Put(dir string, to evidence.PrinterID, o Offer) error {
	if b, err := hex.DecodeString(o.Job); err != nil || len(b) == 0 {
		return errors.New("keep an offer: its job has no id")
	}
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("keep an offer: %w", err)
	}
	folder := filepath.Join(dir, "offers", to.String())
	for range 5 { // a desk that has sent the last offer in it removes the folder
		if err = os.MkdirAll(folder, 0o700); err == nil {
			err = durable.Replace(filepath.Join(folder, o.Job+ending), text)
		}
		if !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("keep an offer: %w", err)
	}
	return nil
}

// Held is the folder of sealed files below the fleet's.
func Held(dir string) string { return filepath.Join(dir, "jobs") }

// Hold keeps a copy of a sealed file below the fleet's folder and returns its name there.
func Hold(dir string, r io.Reader) (string, error) {
	if err := os.MkdirAll(Held(dir), 0o700); err != nil {
		return "", fmt.Errorf("hold a sealed file: %w", err)
	}
	f, err := os.CreateTemp(Held(dir), ".new-*")
	if err != nil {
		return "", fmt.Errorf("hold a sealed file: %w", err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), r)
	name := hex.EncodeToString(sum.Sum(nil))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(Held(dir), name))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("hold a sealed file: %w", err), os.Remove(f.Name()))
	}
	return name, nil
}

// Needed has a sealed file, by the name that Hold gave it, kept at least until the end of a
// ticket for it, however short the fleet keeps such files: a printer may fetch it until then.
func Needed(dir, name string, until time.Time) error {
	path := filepath.Join(Held(dir), name)
	fi, err := os.Stat(path)
	if err == nil && fi.ModTime().Before(until) { // the time from which its age counts
		err = os.Chtimes(path, time.Time{}, until)
	}
	if err != nil {
		return fmt.Errorf("hold a sealed file: %w", err)
	}
	return nil
}

// Sender carries an offer to a printer and returns once it was acknowledged: the fleet's broker,
// or a bridge to another one.
type Sender interface {
	Offer(ctx context.Context, to evidence.PrinterID, envelope []byte) error
}

// Desk sends what is kept.
type Desk struct {
	dir    string
	held   string
	keep   time.Duration
	record func(store.Event)
	log    *slog.Logger

	mu    sync.Mutex
	tried map[evidence.PrinterID]time.Time // when an offer was last sent in vain
	woken chan struct{}
}

// NewDesk makes the desk of the fleet's folder. Sealed files are removed when they have been there
// for as long as keep, and for as long as that after the end of the last ticket for them. record is told of each offer that a printer has.
func NewDesk(dir string, keep time.Duration, record func(store.Event), log *slog.Logger) *Desk {
	return &Desk{dir: filepath.Join(dir, "offers"), held: Held(dir), keep: keep, record: record, log: log,
		tried: map[evidence.PrinterID]time.Time{}, woken: make(chan struct{}, 1)}
}

// Listens notes that a printer waits for offers from now on. It does not block.
func (d *Desk) Listens(id evidence.PrinterID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tried, id)
	select {
	case d.woken <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run sends offers until ctx ends.
func (d *Desk) Run(ctx context.Context, s Sender) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for swept := (time.Time{}); ; {
		if time.Since(swept) >= min(sweepEvery, d.keep/4) {
			d.sweep()
			swept = time.Now()
		}
		d.round(ctx, s)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-d.woken:
		}
	}
}

// sweep removes sealed files that are old.
func (d *Desk) sweep() {
	files, err := os.ReadDir(d.held)
	if err != nil {
		return // there are none yet
	}
	for _, f := range files {
		if fi, err := f.Info(); err != nil || time.Since(fi.ModTime()) < d.keep {
			continue
		}
		if err := os.Remove(filepath.Join(d.held, f.Name())); err != nil {
			d.log.Warn("an old sealed file cannot be removed", "error", err)
		}
	}
}

// round sends to each printer what it is to be offered.
func (d *Desk) round(ctx context.Context, s Sender) {
	folders, err := os.ReadDir(d.dir)
	if err != nil {
		return // nothing was ever offered
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, f := range folders {
		id, err := evidence.ParsePrinterID(f.Name())
		if err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			d.printer(ctx, s, id)
		})
	}
	wg.Wait()
}

// printer sends one printer its offers, one after the other, until one does not get there.
func (d *Desk) printer(ctx context.Context, s Sender, id evidence.PrinterID) {
	files, err := filepath.Glob(filepath.Join(d.dir, id.String(), "*"+ending))
	if err != nil {
		return
	}
	if len(files) == 0 {
		d.forget(id)
		return
	}
	for _, path := range files {
		if ctx.Err() != nil || !d.due(id) {
			return
		}
		o, err := read(path)
		if err != nil {
			d.log.Debug("an offer cannot be read", "printer", id.String(), "error", err)
			continue // it keeps no other back
		}
		if time.Now().After(o.Until) {
			d.log.Warn("an offer was given up: its ticket has ended", "printer", id.String(), "job", o.Job)
			d.remove(path)
			continue
		}
		if err := send(ctx, s, id, o.Envelope); err != nil {
			d.log.Debug("an offer is not sent now", "printer", id.String(), "error", err)
			d.mu.Lock()
			d.tried[id] = time.Now()
			d.mu.Unlock()
			return
		}
		d.remove(path)
		d.record(store.Event{Event: store.Offered, Printer: id.String(), Job: o.Job})
	}
}

// forget removes the folder of a printer that has got everything. What lies there although it
// is no offer stays, and the folder with it.
func (d *Desk) forget(id evidence.PrinterID) {
	_ = os.Remove(filepath.Join(d.dir, id.String())) // another offer may just have come
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tried, id)
}

func send(ctx context.Context, s Sender, id evidence.PrinterID, envelope []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	return s.Offer(ctx, id, envelope)
}

// due reports whether a printer is to be sent something now.
func (d *Desk) due(id evidence.PrinterID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.tried[id]
	return !ok || time.Since(at) >= retryEvery
}

func (d *Desk) remove(path string) {
	if err := os.Remove(path); err != nil {
		d.log.Error("an offer cannot be removed and will be sent again", "error", err)
	}
}

func read(path string) (o Offer, err error) {
	f, err := os.Open(path)
	if err != nil {
		return o, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxOffer))
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	return o, err
}
