package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress shows how far long work has come: a bar that redraws itself on a
// terminal, a line every ten seconds and at the end elsewhere.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	label string
	last  time.Time
	shown int
}

// NewProgress shows progress of what label names on w, usually os.Stderr.
func NewProgress(w io.Writer, label string) *Progress {
	f, ok := w.(*os.File)
	return &Progress{w: w, label: label, tty: ok && term.IsTerminal(int(f.Fd())), shown: -1}
}

// Set shows that done of total is done; note is a short text behind the bar.
func (p *Progress) Set(done, total int64, note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pct := 0
	if total > 0 {
		pct = int(100 * min(done, total) / total)
	}
	every := 10 * time.Second
	if p.tty {
		every = 100 * time.Millisecond
	}
	if pct == p.shown || (pct < 100 && time.Since(p.last) < every) {
		return
	}
	p.last, p.shown = time.Now(), pct
	if !p.tty {
		fmt.Fprintf(p.w, "%s: %d%% %s\n", p.label, pct, note)
		return
	}
	const width = 30
	full := pct * width / 100
	fmt.Fprintf(p.w, "\r\x1b[K%s [%s%s] %3d%% %s", p.label, strings.Repeat("█", full), strings.Repeat("·", width-full), pct, note)
}

// Done ends the bar.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tty && p.shown >= 0 {
		fmt.Fprintln(p.w)
	}
}
