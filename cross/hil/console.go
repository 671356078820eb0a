package hil

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"platen/agent/console"
)

// Console is the serial console of a board that is on.
type Console struct {
	rw     io.ReadWriteCloser
	client *console.Client
	done   chan struct{}

	mu    sync.Mutex
	log   io.Writer
	lines []string // but for replies to what was asked
	wake  chan struct{}
}

// maxLines is how many of the last lines are kept to be waited for; the log has all.
const maxLines = 20_000

// Failed is what a command said at the console that ended with another code than 0.
type Failed struct {
	// Command is its name, Text what it said.
	Command, Text string
	// Code is its exit code.
	Code int
}

// Error says what failed and how.
func (f *Failed) Error() string {
	return fmt.Sprintf("platen %s: exit code %d: %s", f.Command, f.Code, f.Text)
}

// newConsole reads what comes from rw, and copies it to log, until rw ends.
func newConsole(rw io.ReadWriteCloser, log io.Writer) *Console {
	c := &Console{rw: rw, client: console.NewClient(rw), done: make(chan struct{}), log: log, wake: make(chan struct{})}
	go func() {
		defer close(c.done)
		r := bufio.NewReader(rw)
		for {
			l, err := r.ReadString('\n')
			if l != "" {
				c.take(l)
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

func (c *Console) take(line string) {
	reply := c.client.Line(line)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(c.log, line) // the log is for people
	if reply {
		return
	}
	if len(c.lines) == maxLines {
		c.lines = append(c.lines[:0], c.lines[maxLines/2:]...)
	}
	c.lines = append(c.lines, strings.TrimRight(line, "\r\n"))
	close(c.wake)
	c.wake = make(chan struct{})
}

// Close ends the line and waits for its reader.
func (c *Console) Close() error {
	err := c.rw.Close()
	<-c.done
	return err
}

// Wait returns the first line that holds one of texts and was not said before the board was
// switched on. It waits until the console ends, ctx does, or patience does.
func (c *Console) Wait(ctx context.Context, texts ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c.mu.Lock()
		wake := c.wake
		for _, l := range c.lines {
			for _, t := range texts {
				if strings.Contains(l, t) {
					c.mu.Unlock()
					return l, nil
				}
			}
		}
		c.mu.Unlock()
		select {
		case <-wake:
		case <-c.done:
			return "", fmt.Errorf("the console ended before it said %q; it said at last: %s", texts, c.tail())
		case <-ctx.Done():
			return "", fmt.Errorf("the console did not say %q: %w; it said at last: %s", texts, ctx.Err(), c.tail())
		}
	}
}

// ready waits for an agent that answers and returns what the board had used until then.
func (c *Console) ready(ctx context.Context) (usage, error) {
	l, err := c.Wait(ctx, agentReady)
	if err != nil {
		return usage{}, err
	}
	_, numbers, _ := strings.Cut(l, agentReady+" ")
	return parseUsage(numbers)
}

// Count is how many lines hold text.
func (c *Console) Count(text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, l := range c.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// tail is the last lines.
func (c *Console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines[max(0, len(c.lines)-5):], " | ")
}

// Ask runs platen with args on the printer, with in as standard input if there is any, and
// returns its standard output. A command that fails is a *Failed with all it said.
func (c *Console) Ask(ctx context.Context, in []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-c.done:
			end(errors.New("the console has ended"))
		case <-ended.Done():
		}
	}()
	a, err := c.client.Ask(ended, in, args...)
	if err != nil {
		return "", fmt.Errorf("platen %s: %w", args[0], err)
	}
	if a.Code != 0 {
		return a.Out, &Failed{args[0], strings.TrimSpace(a.Err + a.Out), a.Code}
	}
	return a.Out, nil
}

// patience is a guard against hanging: how long anything that has to come may take.
const patience = 10 * time.Minute
