package main

import (
	"bytes"
	"context"
	"os"
	"sync"
	"time"

	"platen/hal/sim"
	"platen/hal/unit"
)

// wire is the serial line to a simulated printer, which is part of this process: what
// the printer is told is what a proof knows of the program that is printed.
type wire struct {
	port   string
	file   *os.File
	cancel context.CancelFunc
	served chan struct{}

	mu    sync.Mutex
	slow  bool // from the next move on
	from  int  // moves when it was made slow
	rest  []byte
	lines bytes.Buffer // those that move
	moves int
	marks []mark
}

// mark is a number of moves that somebody waits for.
type mark struct {
	at   int
	done chan struct{}
}

// newWire starts a printer as fast as it goes.
func newWire() (*wire, error) {
	const side, height = 220 * unit.Millimetre, 250 * unit.Millimetre
	p, err := sim.New(sim.Config{Firmware: sim.Marlin2, Speed: sim.Fastest, EmergencyParser: true, ResetOnOpen: true,
		Volume: [3]unit.Length{side, side, height}})
	if err != nil {
		return nil, err
	}
	master, port, err := sim.OpenPTY()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &wire{port: port, file: master, cancel: cancel, served: make(chan struct{})}
	go func() {
		defer close(w.served)
		_ = p.Serve(ctx, &line{master, w}) // it ends with the line
	}()
	return w, nil
}

// close pulls the plug.
func (w *wire) close() {
	w.cancel()
	w.file.Close()
	<-w.served
}

// line is the printer's end.
type line struct {
	*os.File
	w *wire
}

// Read reads what the host says, and notes it. A slow line takes its time for each piece.
func (l *line) Read(p []byte) (int, error) {
	n, err := l.File.Read(p)
	if n > 0 && l.w.note(p[:n]) {
		time.Sleep(slowness)
	}
	return n, err
}

// slowness is how long a slow line takes for a piece: a model's lines take minutes then.
const slowness = 50 * time.Millisecond

// note keeps lines that move, tells those who wait for them, and says whether the line is
// slow.
func (w *wire) note(p []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		l, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			break
		}
		w.rest = rest
		if x := bytes.IndexByte(l, 'X'); x >= 0 && bytes.IndexByte(l[x:], 'E') > 0 {
			w.lines.Write(l)
			w.lines.WriteByte('\n')
			w.moves++
		}
	}
	keep := w.marks[:0]
	for _, m := range w.marks {
		if w.moves >= m.at {
			close(m.done)
		} else {
			keep = append(keep, m)
		}
	}
	w.marks = keep
	return w.slow && w.moves > w.from
}

// after returns a channel that is closed once n more moves were told.
func (w *wire) after(n int) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := make(chan struct{})
	w.marks = append(w.marks, mark{w.moves + n, done})
	return done
}

// setSlow makes the line slow, or fast again.
func (w *wire) setSlow(slow bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow, w.from = slow, w.moves
}

// program is every line that moved something so far.
func (w *wire) program() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.lines.Bytes())
}

// count is how many moves were told so far.
func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.moves
}
