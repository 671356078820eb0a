package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"platen/agent/evidence"
	"platen/updater/slot"
)

// format begins an exported log.
const format = "platen audit log, version 1"

// preamble is the first line of an exported log.
type preamble struct {
	Format  string             `json:"format"`
	Printer evidence.PrinterID `json:"printer"`
	Key     []byte             `json:"key"` // TPMT_PUBLIC of the attestation key
}

// Export has the TPM sign the log as it is and writes all of it to w, for [Verify]. The
// nonce, which may be empty, is signed with it: who chose it knows that the log is not an
// older one. It consists of at most 64 of a-z and 0-9.
func (l *Log) Export(ctx context.Context, w io.Writer, nonce string) error {
	if err := l.drain(); err != nil {
		return err
	}
	end, err := l.lastHead(ctx, nonce)
	if err != nil {
		return err
	}
	key, err := l.signer.AttestationKey(ctx)
	if err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	line, err := json.Marshal(preamble{format, l.signer.ID(), key})
	if err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	text, err := l.upTo(end)
	if err == nil {
		_, err = w.Write(append(append(line, '\n'), text...))
	}
	if err != nil {
		return fmt.Errorf("export the audit log: %w", err)
	}
	return nil
}

// lastHead writes a head that no entry came before while the TPM signed.
func (l *Log) lastHead(ctx context.Context, nonce string) (Ref, error) {
	for range 10 {
		before := l.End()
		if end, err := l.head(ctx, nonce); err != nil || end.N == before.N+1 {
			return end, err
		}
	}
	return Ref{}, errors.New("export the audit log: it grows faster than the TPM signs: try again")
}

// upTo is the text of the log up to an entry.
func (l *Log) upTo(end Ref) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text []byte
	for _, s := range l.segs {
		b, err := slot.ReadAll(l.fs, s.name(), maxSegment+slack)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(b) {
			text = append(text, line...)
			if hash(bytes.TrimSuffix(line, []byte("\n"))) == end.Hash {
				return text, nil
			}
		}
	}
	return nil, errors.New("its end is gone from the disk")
}

// Report is what an exported log proves.
type Report struct {
	Printer evidence.PrinterID `json:"printer"`
	First   uint64             `json:"first"` // entry; above 1 the log was rotated
	Last    Ref                `json:"last"`  // entry
	Covered uint64             `json:"covered"`
	Count   uint64             `json:"count"` // of the TPM, at the last head: never lower in a later export
	At      time.Time          `json:"at"`    // of the last head
	Heads   int                `json:"heads"`
	Nonce   string             `json:"nonce,omitempty"` // of Export
	PCRs    []string           `json:"pcrs"`            // registers of evidence.Selection when it was signed
}

// Verify checks an exported log of the printer with this id, and calls each, if it is not
// nil, with every entry. All heads in it have to be the printer's. An error that is a
// *TamperError says what was done to it.
func Verify(r io.Reader, id evidence.PrinterID, each func(Entry) error) (Report, error) {
	rep := Report{Printer: id}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 4096), 64<<10)
	var pre preamble
	if !in.Scan() || json.Unmarshal(in.Bytes(), &pre) != nil || pre.Format != format {
		return rep, errors.New("this is not an exported audit log: make one with platen audit export")
	}
	if pre.Printer != id {
		return rep, fmt.Errorf("the audit log is of printer %s", pre.Printer)
	}
	key, err := attestationKey(pre.Key, id)
	if err != nil {
		return rep, fmt.Errorf("the audit log cannot be checked: %w", err)
	}
	var w walk
	for in.Scan() {
		e, err := w.line(in.Bytes())
		if err != nil {
			return rep, err
		}
		if h := e.Head; h != nil {
			if checkQuote(key, h.quote(), h.qualifying(id)) != nil {
				return rep, &TamperError{"signature", e.N}
			}
			if h.Count < rep.Count || h.Of < rep.Covered {
				return rep, &TamperError{"forked", e.N}
			}
			rep.Covered, rep.Count, rep.At = h.Of, h.Count, e.At
		}
		if each != nil {
			if err := each(e); err != nil {
				return rep, err
			}
		}
	}
	if err := in.Err(); err != nil {
		return rep, fmt.Errorf("read the audit log: %w", err)
	}
	rep.First, rep.Last, rep.Heads = w.first, w.end, w.heads
	if err := w.front(); err != nil {
		return rep, err
	}
	if w.last == nil || rep.Covered+1 != w.end.N || rep.Covered < w.first && w.first > 1 {
		return rep, &TamperError{"truncated", w.end.N + 1} // an export ends with a head over all of it
	}
	rep.Nonce = w.last.Nonce
	for _, p := range w.last.PCRs {
		rep.PCRs = append(rep.PCRs, fmt.Sprintf("%x", p[:]))
	}
	return rep, nil
}

// Extends checks that a later exported log, which Verify has accepted, goes on where an
// earlier one was: it holds its last entry, or begins behind it and counts on. Otherwise
// the printer has told two stories, or was put back.
func Extends(earlier Report, later []byte) error {
	rep, err := Verify(bytes.NewReader(later), earlier.Printer, nil)
	if err != nil {
		return err
	}
	if rep.Last.N < earlier.Last.N || rep.Count < earlier.Count {
		return &TamperError{"rolled-back", rep.Last.N}
	}
	if rep.First > earlier.Last.N+1 {
		return nil // rotated since
	}
	in := bufio.NewScanner(bytes.NewReader(later))
	in.Buffer(make([]byte, 0, 4096), 64<<10)
	for in.Scan() {
		var e Entry
		if json.Unmarshal(in.Bytes(), &e) != nil || e.Event == "" {
			continue // the first line
		}
		if e.N == earlier.Last.N && hash(in.Bytes()) != earlier.Last.Hash || e.N == earlier.Last.N+1 && e.Prev != earlier.Last.Hash {
			return &TamperError{"forked", e.N}
		}
	}
	return nil
}
