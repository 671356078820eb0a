package trust

import (
	"hash"
	"io"

	"platen/updater"
)

// A file is read and hashed this much before it is written: so much at once, so often.
const (
	aheadBytes  = 4 << 20
	aheadPieces = 2
)

// ahead reads and hashes a file while what it has read is written.
type ahead struct {
	pieces chan []byte   // what was read and hashed, in its order; closed at the end
	free   chan []byte   // pieces that were written
	end    chan struct{} // closed when nothing more is wanted
	err    error         // why it ended, io.EOF for the end of the file; once pieces is closed
}

// readAhead reads body, of which left bytes may come, into sum, unless that is nil.
func readAhead(body io.Reader, sum hash.Hash, left int64) *ahead {
	a := &ahead{make(chan []byte, aheadPieces), make(chan []byte, aheadPieces), make(chan struct{}), nil}
	for range aheadPieces {
		a.free <- nil // memory comes when it is needed
	}
	go func() { // stop waits for it
		defer close(a.pieces)
		for a.err == nil {
			left = a.one(body, sum, left)
		}
	}()
	return a
}

// one reads a piece and returns what may still come.
func (a *ahead) one(body io.Reader, sum hash.Hash, left int64) int64 {
	var buf []byte
	select {
	case buf = <-a.free:
	case <-a.end:
		a.err = io.ErrClosedPipe
		return left
	}
	if buf == nil {
		buf = make([]byte, min(aheadBytes, left+1))
	}
	n, err := body.Read(buf[:cap(buf)])
	a.err = err
	if int64(n) > left {
		a.err = updater.ErrTooLong
		return left
	}
	if sum != nil {
		sum.Write(buf[:n])
	}
	if n > 0 {
		a.pieces <- buf[:n] // there is room for all of them
	} else {
		a.free <- buf
	}
	return left - int64(n)
}

// stop has it read no more, once whoever calls has ended a Read that waits, and waits for it.
func (a *ahead) stop() {
	close(a.end)
	for range a.pieces {
	}
}
