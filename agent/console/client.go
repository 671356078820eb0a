package console

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"sync"
)

// ErrGarbled reports a request or a reply that something else was written into. Whether the
// command ran is not known.
var ErrGarbled = errors.New("the console's line was damaged: ask again")

// Answer is what a command said and how it ended.
type Answer struct {
	// Out and Err are its outputs; characters that a terminal acts on are blanks.
	Out, Err string
	// Code is its exit code.
	Code int
}

// Client asks a printer at the other end of a serial line. What the printer says is given to it
// line by line with [Client.Line], by whoever reads and keeps the console's output.
type Client struct {
	send sync.Mutex // of w; apart from mu, since a reply may have to be taken before a request is
	w    io.Writer

	mu   sync.Mutex
	next int
	asks map[string]*asked
}

// asked is a request under way.
type asked struct {
	out, errs strings.Builder
	sum       uint32
	done      chan struct{}
	code      int
	err       error
}

// NewClient is a client whose requests go to w.
func NewClient(w io.Writer) *Client { return &Client{w: w, asks: map[string]*asked{}} }

// Ask runs platen with args, and with in as its standard input if there is any, and returns what
// it said. A command that fails is an Answer with its code; an error is a line that failed, ctx, or
// ErrGarbled.
func (c *Client) Ask(ctx context.Context, in []byte, args ...string) (Answer, error) {
	text := strings.Join(args, " ")
	if len(in) > 0 {
		text += " < " + base64.StdEncoding.EncodeToString(in)
	}
	a := &asked{done: make(chan struct{})}
	c.mu.Lock()
	c.next++
	id := strconv.Itoa(c.next)
	c.asks[id] = a
	c.mu.Unlock()
	c.send.Lock()
	_, err := fmt.Fprintf(c.w, "\n#%s %s %s\n", id, sumOf([]byte(text)), text)
	c.send.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.asks, id)
	}()
	if err != nil {
		return Answer{}, fmt.Errorf("asking at the console: %w", err)
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("no answer at the console: %w", context.Cause(ctx))
	}
	if a.err == nil && a.code == CodeGarbled {
		a.err = ErrGarbled
	}
	return Answer{a.out.String(), a.errs.String(), a.code}, a.err
}

// Line takes one line that the printer wrote, and says whether it is of a reply.
func (c *Client) Line(line string) bool {
	line = strings.TrimRight(line, "\r\n")
	id, rest, ok := strings.Cut(strings.TrimPrefix(line, "#"), " ")
	if !ok || line[0] != '#' || len(rest) < 2 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.asks[id]
	if !ok || rest[1] != ' ' {
		return false
	}
	a.take(rest[0], rest)
	return true
}

func (a *asked) take(kind byte, rest string) {
	end := ""
	to := &a.out
	switch kind {
	case 'o', 'e':
		end = "\n"
	case 'x':
		a.finish(rest[2:])
		return
	}
	if kind == 'e' || kind == 'E' {
		to = &a.errs
	}
	a.sum = crc32.Update(a.sum, crc32.IEEETable, []byte(rest+"\n"))
	to.WriteString(rest[2:] + end)
}

// finish takes the last line of a reply; there may be one only.
func (a *asked) finish(text string) {
	select {
	case <-a.done:
		return
	default:
	}
	var sum uint32
	if n, err := fmt.Sscanf(text, "%d %x", &a.code, &sum); n != 2 || err != nil || sum != a.sum {
		a.err = ErrGarbled
	}
	close(a.done)
}
