package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"platen/updater/slot"
)

// Open reads the log in fsys and checks it against the TPM. A log that was tampered
// with is left behind: a new one begins with an entry that says what was found, see
// [Log.Damage]. Close it after use.
func Open(ctx context.Context, fsys slot.FS, signer Signer, logger *slog.Logger) (*Log, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	l := &Log{fs: fsys, signer: signer, log: logger, kick: make(chan struct{}, 1), repeats: map[string]*repeat{}, limit: maxSegment}
	l.walk.end.Hash = genesis
	var fresh bool
	var err error
	if l.counted, fresh, err = signer.CountHead(ctx, false); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	if err = l.read(); err == nil {
		err = l.checkHead(ctx, fresh)
	}
	var tampered *TamperError
	if errors.As(err, &tampered) {
		l.damage = tampered
		logger.Error("the audit log was tampered with: a new one begins", "code", tampered.ErrorCode(), "entry", tampered.N)
		err = l.beginAnew()
	}
	if err == nil && l.walk.heads == 0 { // from here on the TPM knows that there is a log
		l.count = l.counted
		if failed := l.sign(ctx); failed != nil && ctx.Err() == nil {
			logger.Error("the audit log has no head yet: it is tried again", "error", failed)
		} else {
			err = failed
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the audit log: %w", err), l.Close())
	}
	l.wake()
	return l, nil
}

// read walks the segments and puts right what a power cut has left.
func (l *Log) read() error {
	type part struct {
		segment
		data []byte
	}
	var parts []part
	torn := -1
	for at := range segments {
		b, err := slot.ReadAll(l.fs, segmentName(at), maxSegment+slack)
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
			continue
		}
		if err != nil && l.oversize(segmentName(at)) {
			return &TamperError{"edited", 0}
		}
		if err != nil {
			return err
		}
		if n, ok := firstNumber(b); ok {
			parts = append(parts, part{segment{at, n}, b})
		} else if torn >= 0 || !unfinished(b) {
			return &TamperError{"edited", 0}
		} else {
			torn = at
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return int(min(max(int64(a.first)-int64(b.first), -1), 1)) })
	for i, p := range parts {
		if i > 0 && p.at != (parts[i-1].at+1)%segments {
			return &TamperError{"truncated", p.first}
		}
		rest, err := l.lines(p.data)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			if i < len(parts)-1 || !unfinished(rest) {
				return &TamperError{"edited", l.walk.end.N + 1}
			}
			l.torn = true
		}
		l.segs = append(l.segs, p.segment)
		l.size = int64(len(p.data) - len(rest))
	}
	if n := len(parts); torn >= 0 && (n > 0 && torn != (parts[n-1].at+1)%segments || n == 0 && torn != 0) {
		return &TamperError{"edited", l.walk.end.N + 1}
	}
	if err := l.dropFront(); err != nil || len(l.segs) == 0 {
		return err
	}
	f, err := l.fs.Open(l.segs[len(l.segs)-1].name(), slot.Edit)
	l.file = f
	return err
}

// oversize reports whether a segment is larger than any that a log has written.
func (l *Log) oversize(name string) bool {
	f, err := l.fs.Open(name, slot.Read)
	if err != nil {
		return false
	}
	defer f.Close()
	size, err := f.Size()
	return err == nil && size > maxSegment+slack
}

// dropFront forgets segments before the entry at which the log says that it begins: a cut
// came before they were overwritten.
func (l *Log) dropFront() error {
	for len(l.segs) > 1 && l.segs[0].first < l.walk.begin {
		l.segs = l.segs[1:]
		l.walk.first = l.segs[0].first
	}
	return l.walk.front()
}

// firstNumber is the number of the first entry of a segment.
func firstNumber(b []byte) (uint64, bool) {
	line, _, whole := bytes.Cut(b, []byte("\n"))
	var e Entry
	return e.N, whole && json.Unmarshal(line, &e) == nil && e.N > 0
}

// unfinished reports whether b can be what a cut has left of one line.
func unfinished(b []byte) bool {
	i := bytes.IndexByte(b, '\n')
	return i < 0 || len(bytes.TrimRight(b[i+1:], "\x00")) == 0
}

// lines walks whole entries and returns what is left of b at the first that is none.
func (l *Log) lines(b []byte) ([]byte, error) {
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return b, nil
		}
		e, err := l.walk.line(line)
		if err != nil {
			if unfinished(b) && !json.Valid(line) {
				return b, nil
			}
			return nil, err
		}
		l.note(e)
		b = rest
	}
	return nil, nil
}

// checkHead holds the log against the TPM: it signed the last head, and has counted no
// further. Only a printer's first log comes before the TPM counts.
func (l *Log) checkHead(ctx context.Context, fresh bool) error {
	h := l.walk.last
	if h == nil && fresh {
		return nil
	}
	if h == nil {
		return &TamperError{"truncated", l.walk.end.N + 1}
	}
	public, err := l.signer.AttestationKey(ctx)
	if err != nil {
		return err
	}
	key, err := attestationKey(public, l.signer.ID())
	if err != nil {
		return err
	}
	if checkQuote(key, h.quote(), h.qualifying(l.signer.ID())) != nil {
		return &TamperError{"signature", h.Of}
	}
	if h.Count != l.counted && h.Count != l.counted+1 { // a cut came before it was counted
		return &TamperError{"rolled-back", l.walk.end.N}
	}
	return l.settle(ctx)
}

// beginAnew empties the ring and writes down why.
func (l *Log) beginAnew() error {
	l.closeFile()
	l.walk, l.segs, l.size, l.torn, l.unsigned, l.urgent, l.consents = walk{end: Ref{0, genesis}}, nil, 0, false, 0, 0, nil
	for at := segments - 1; at >= 0; at-- {
		f, err := l.fs.Open(segmentName(at), slot.Create)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	_, err := l.append(Entry{At: time.Now(), Event: Tampered, Code: l.damage.Kind, Serial: l.damage.N})
	return err
}
