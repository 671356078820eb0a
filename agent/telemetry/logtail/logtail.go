// Package logtail follows the log files of printers that say how they are nowhere else,
// and makes of their lines what the catalogue has items for.
//
// Start at [New] and [Tail.Run]. A [Tail] reads one file, by asking once in a while what
// was added; it follows the file when it is renamed, truncated or copied and truncated,
// and takes each whole line once, over restarts of the agent and cuts of power as well.
// A [Family] says how the lines of one kind of software read: what a line says becomes a
// state, temperatures or a count. No byte of a line goes any further; of lines that no
// parser knows only the number is kept.
//
// # Design note: the place in the file
//
// Requirements: what a line says is counted once; no line is left out as long as the file
// that it stands in is there when it is looked for. Non-requirements: lines that were
// overwritten or deleted while the agent did not run, and compressed copies; they are
// missed. Layout: a place is a file of JSON, replaced as a whole, with the offset up to
// which lines were taken, fingerprints of what stands before it, and the counts; so that
// counts and place are always of one moment. Failures: a file whose inode or fingerprints
// are not those of the place was rotated; its rest is read from where it is now, which is
// the file beside it that has the fingerprints, and then all that are newer, up to the
// one with the name. If none has them, the one with the name is read from its beginning.
package logtail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"platen/agent/durable"
	"platen/agent/seam"
)

const (
	maxLine = 16 << 10         // a longer line is one that no parser knows
	chunk   = 64 << 10         // read at once
	grace   = 3                // looks at a file that was renamed, before it is left
	poll    = time.Second      // between two looks
	fresh   = 30 * time.Second // since the last line, for temperatures to be believed
	save    = time.Minute      // between two writes of the place
)

// Config is what a tail is made of.
type Config struct {
	Path   string        // the file that is written to now
	Family string        // a name of [Families]
	Place  string        // file in which the place is kept; its folder must be there
	Every  time.Duration // between two looks; 0 means a second
	// Set is told how the printer is, as its session would, after each look from the
	// first line on.
	Set func(seam.Status)
	// Logger takes what an operator should know; nil discards it.
	Logger *slog.Logger
}

// Counts are what is counted of the lines of one printer since it was first followed.
type Counts struct {
	Lines    uint64 `json:"lines"`   // taken
	Unknown  uint64 `json:"unknown"` // of them, those that no parser knows, while no job is loaded
	Errors   uint64 `json:"errors"`
	Restarts uint64 `json:"restarts"`
	Lost     uint64 `json:"lost"` // times that what stood behind the place could not be found
}

// place is where reading goes on.
type place struct {
	Version int    `json:"version"`
	Inode   uint64 `json:"inode"`
	Offset  int64  `json:"offset"`
	Head    string `json:"head"`    // fingerprint of the file's beginning
	Tail    string `json:"tail"`    // of what stands before the offset
	Skip    bool   `json:"skip"`    // the offset is in the middle of a line that is too long
	Counts  Counts `json:"counts"`  //
	Started bool   `json:"started"` // the file was seen
}

// Tail follows one file. Its methods but Counts are for one goroutine.
type Tail struct {
	cfg    Config
	parse  parser
	place  place
	state  state
	file   *os.File // that is read, nil for none
	gone   int      // looks at which it had another name already
	buf    []byte
	last   time.Time // that a line was taken
	counts chan Counts
	told   string    // the problem that was last logged
	saved  time.Time // when the place was last written down
	zero   bool      // at an offset of zero
}

// New checks the configuration and reads the place.
func New(cfg Config) (*Tail, error) {
	parse, ok := families[cfg.Family]
	if !ok {
		return nil, fmt.Errorf("%q is no kind of log: use one of %s", cfg.Family, names())
	}
	if cfg.Every <= 0 {
		cfg.Every = poll
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Set == nil {
		cfg.Set = func(seam.Status) {}
	}
	t := &Tail{cfg: cfg, parse: parse, buf: make([]byte, 0, maxLine), counts: make(chan Counts, 1)}
	b, err := os.ReadFile(cfg.Place)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the place in a log: %w", err)
	default:
		if json.Unmarshal(b, &t.place) != nil || t.place.Version != 1 || t.place.Offset < 0 {
			cfg.Logger.Warn("place in a log is damaged: the log is read from its end")
			t.place = place{}
		}
	}
	t.place.Version, t.zero = 1, t.place.Offset == 0
	t.counts <- t.place.Counts
	return t, nil
}

// Run follows the file until ctx ends.
func (t *Tail) Run(ctx context.Context) error {
	defer t.end()
	tick := time.NewTicker(t.cfg.Every)
	defer tick.Stop()
	for {
		t.step(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Counts are what has been counted and kept.
func (t *Tail) Counts() Counts {
	c := <-t.counts
	t.counts <- c
	return c
}

// step looks at the file once and says how the printer is.
func (t *Tail) step(ctx context.Context) {
	before := t.place.Counts.Lines
	err := t.look(ctx)
	if text := fmt.Sprint(err); err != nil && text != t.told {
		t.cfg.Logger.Warn("log of the printer cannot be followed", "error", text)
		t.told = text
	} else if err == nil {
		t.told = ""
	}
	if t.place.Counts.Lines != before {
		t.last = time.Now()
	}
	if t.last.IsZero() {
		return // nothing is known yet
	}
	st := t.state.status()
	if time.Since(t.last) > fresh { // a log of events may be silent for long, but not one of measurements
		st.Heaters, st.NHeaters = [seam.MaxHeaters]seam.Heater{}, 0
		if t.cfg.Family == steady {
			st.Phase = seam.PhaseConnecting
		}
	}
	t.cfg.Set(st)
}

// look takes all lines that are new, and keeps the place behind each piece.
func (t *Tail) look(ctx context.Context) error {
	if t.file == nil {
		if err := t.open(); err != nil || t.file == nil {
			return err
		}
	}
	for {
		if err := t.take(ctx); err != nil {
			return err
		}
		next, err := t.moved()
		if err != nil || !next {
			return err
		}
	}
}

// take reads what stands behind the place up to the end of the file, or until that is not
// the file any more.
func (t *Tail) take(ctx context.Context) error {
	piece := make([]byte, chunk)
	for ctx.Err() == nil {
		n, err := t.file.ReadAt(piece, t.place.Offset+int64(len(t.buf)))
		if n == 0 {
			return ignoreEOF(err)
		}
		if !t.place.before(t.file) { // it was truncated, perhaps before it was read
			return nil
		}
		t.lines(piece[:n])
		if err := t.mark(false); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// lines takes the whole lines of what was kept of the piece before and of b.
func (t *Tail) lines(b []byte) {
	t.buf = append(t.buf, b...)
	for {
		i := bytes.IndexByte(t.buf, '\n')
		if i < 0 {
			break
		}
		t.line(t.buf[:i])
		t.drop(i + 1)
	}
	if zeros := leading(t.buf); zeros > 0 { // a hole, where a file was truncated under its writer
		t.drop(zeros)
	}
	if len(t.buf) > maxLine {
		t.place.Skip = true
		t.drop(len(t.buf))
	}
}

func (t *Tail) drop(n int) {
	t.place.Offset += int64(n)
	t.buf = append(t.buf[:0], t.buf[n:]...)
}

// leading is how many bytes b begins with that are zero.
func leading(b []byte) int { return len(b) - len(bytes.TrimLeft(b, "\x00")) }

// line takes one line.
func (t *Tail) line(b []byte) {
	c := &t.place.Counts
	c.Lines++
	b = bytes.TrimRight(b[leading(b):], "\r")
	if t.place.Skip || len(b) > maxLine {
		t.place.Skip = false
		if !t.state.loaded() {
			c.Unknown++
		}
		return
	}
	switch t.parse(&t.state, string(b)) {
	case unknown:
		if !t.state.loaded() { // how many lines a job has is a thing of its design
			c.Unknown++
		}
	case failed:
		c.Errors++
	case restarted:
		c.Restarts++
	}
}

// mark notes what stands before the place, and writes that down if it is time, or now.
func (t *Tail) mark(now bool) error {
	p := &t.place
	var err error
	if p.Head, p.Tail, err = prints(t.file, p.Offset); err != nil {
		return fmt.Errorf("read a log again: %w", err)
	}
	if p.Inode, err = inode(t.file); err != nil {
		return err
	}
	p.Started = true
	<-t.counts
	t.counts <- p.Counts
	first := t.zero && p.Offset > 0 // a place at the beginning of a file has no fingerprint
	if !now && !first && time.Since(t.saved) < save {
		return nil
	}
	t.saved, t.zero = time.Now(), p.Offset == 0
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the place in a log: %w", err)
	}
	if err := durable.Replace(t.cfg.Place, b); err != nil {
		return fmt.Errorf("keep the place in a log: %w", err)
	}
	return nil
}

// end closes the file, and writes its place down.
func (t *Tail) end() {
	if t.file != nil {
		if err := t.mark(true); err != nil {
			t.cfg.Logger.Warn("place in a log is not kept: some of it is read again", "error", err.Error())
		}
	}
	t.close()
}

func (t *Tail) close() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
	t.buf = t.buf[:0]
}
