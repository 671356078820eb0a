package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Port is a port behind which a recorded controller answers: what it said is read
// once the host has said as many lines as it had said before in the recording. A
// host that says something else than was recorded is answered all the same; see
// Differs. It forgets times, so that a recording of hours is played in moments. A
// driver that believes the positions it is told will not follow a recording, in which
// they are replaced.
type Port struct {
	mu     sync.Mutex
	moved  *sync.Cond
	events []Event
	next   int // the event that is played next
	said   int // lines of the host that no event has been found for
	out    []byte
	half   []byte
	scrub  scrubber
	line   int // lines of the host so far
	differ int // the first that was not as recorded, from 1
	closed bool

	deadline time.Time   // of reads; zero is none
	alarm    *time.Timer // wakes a reader at the deadline
}

// NewPort makes a port that plays what the controller said in events.
func NewPort(events []Event) *Port {
	p := &Port{events: events}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// Read reads what the controller says. At the end of the recording it waits for
// Close, as a controller with nothing to say.
func (p *Port) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.closed {
			return 0, os.ErrClosed
		}
		p.play()
		if len(p.out) > 0 {
			n := copy(b, p.out)
			p.out = p.out[:copy(p.out, p.out[n:])]
			return n, nil
		}
		if !p.deadline.IsZero() && !time.Now().Before(p.deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		p.moved.Wait()
	}
}

// SetReadDeadline has reads return os.ErrDeadlineExceeded from t on.
func (p *Port) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	p.deadline = t
	if p.alarm != nil {
		p.alarm.Stop()
	}
	if !t.IsZero() {
		p.alarm = time.AfterFunc(time.Until(t), p.moved.Broadcast)
	}
	p.moved.Broadcast()
	return nil
}

// play moves on to the next event for which the host has not said enough.
func (p *Port) play() {
	for ; p.next < len(p.events); p.next++ {
		switch e := p.events[p.next]; e.Dir {
		case Heard:
			p.out = append(p.out, e.Text...)
		case Sent:
			if p.said == 0 {
				return
			}
			p.said--
		}
	}
}

// Write takes what the host says.
func (p *Port) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, os.ErrClosed
	}
	for _, c := range b {
		p.half = append(p.half, c)
		if c == '\n' || len(p.half) == 1 && realtime(c) {
			p.hear(p.half)
			p.half = p.half[:0]
		}
	}
	p.moved.Broadcast()
	return len(b), nil
}

// hear takes a line of the host and holds it against the recording.
func (p *Port) hear(b []byte) {
	p.play()
	p.line++
	if p.differ == 0 && !p.asRecorded(b) {
		p.differ = p.line
	}
	p.said++
	p.play()
}

func (p *Port) asRecorded(b []byte) bool {
	if p.next >= len(p.events) {
		return false
	}
	if len(b) > 1 {
		body := bytes.TrimRight(b, "\r\n")
		b = append(p.scrub.line(nil, body), b[len(body):]...)
	}
	return bytes.Equal(fold(b), fold([]byte(p.events[p.next].Text)))
}

// fold makes all numbers and texts of the same length alike.
func fold(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if isDigit(c) || c == '.' || c == '-' || c == '+' {
			out[i] = '0'
		}
	}
	if star := bytes.LastIndexByte(out, '*'); star >= 0 {
		out = out[:star]
	}
	return out
}

// Close ends the port.
func (p *Port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.alarm != nil {
		p.alarm.Stop()
	}
	p.scrub.wipe()
	clear(p.half)
	p.moved.Broadcast()
	return nil
}

// Differs returns the number, from 1, of the first line of the host whose letters
// and lengths were not those of the recording, or 0 while all were.
func (p *Port) Differs() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.differ
}

// Finished reports whether all of the recording has been played and read.
func (p *Port) Finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.play()
	return p.next == len(p.events) && len(p.out) == 0
}

// ErrSilent reports a controller that answered less than the recorded one.
var ErrSilent = errors.New("controller did not answer as often as the recorded one")

// Drive says the host's side of a recording to the controller at port, each line once
// it has answered as many lines as it had in the recording, and returns the
// conversation. A controller that does not for the time of patience is ErrSilent. Its
// moves are as many and as long in text as those recorded, but lead elsewhere: one that
// minds where they lead (soft limits) stops. Nothing checks these moves: Drive is for
// simulated controllers, and never for one with motors. It closes the port.
func Drive(ctx context.Context, port io.ReadWriteCloser, events []Event, patience time.Duration) ([]Event, error) {
	d := driver{start: time.Now(), moved: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() { d.read(port) })
	err := d.play(ctx, port, events, patience)
	if cerr := port.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("play recording: %w", cerr)
	}
	wg.Wait()
	return d.events, err
}

type driver struct {
	start time.Time
	moved chan struct{}

	mu      sync.Mutex
	events  []Event
	half    []byte
	answers int
}

// read takes what the controller says until the port ends.
func (d *driver) read(port io.Reader) {
	var buf [512]byte
	for {
		n, err := port.Read(buf[:])
		d.mu.Lock()
		for _, c := range buf[:n] {
			if d.half = append(d.half, c); c == '\n' {
				d.events = append(d.events, Event{At: time.Since(d.start), Dir: Heard, Text: string(d.half)})
				d.answers += answer(d.half)
				d.half = d.half[:0]
			}
		}
		d.mu.Unlock()
		select {
		case d.moved <- struct{}{}:
		default: // a wake-up waits already
		}
		if err != nil {
			return
		}
	}
}

// answer is 1 for a line that the host waits for: the answer to one of its own, or the
// banner.
func answer(line []byte) int {
	for _, p := range []string{"ok", "error:", "<", "start", "Grbl"} {
		if bytes.HasPrefix(line, []byte(p)) {
			return 1
		}
	}
	return 0
}

func (d *driver) play(ctx context.Context, port io.Writer, events []Event, patience time.Duration) error {
	want := 0
	for i, e := range events {
		switch e.Dir {
		case Heard:
			want += answer([]byte(e.Text))
			continue
		case Sent:
		default:
			continue
		}
		if err := d.await(ctx, want, patience); err != nil {
			return fmt.Errorf("play recording, event %d: %w", i+1, err)
		}
		d.mu.Lock()
		d.events = append(d.events, Event{At: time.Since(d.start), Dir: Sent, Text: e.Text})
		d.mu.Unlock()
		if _, err := port.Write([]byte(e.Text)); err != nil {
			return fmt.Errorf("play recording, event %d: %w", i+1, err)
		}
	}
	if err := d.await(ctx, want, patience); err != nil {
		return fmt.Errorf("play recording: %w", err)
	}
	return nil
}

// await waits for answers.
func (d *driver) await(ctx context.Context, want int, patience time.Duration) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		d.mu.Lock()
		have := d.answers
		d.mu.Unlock()
		if have >= want {
			return nil
		}
		select {
		case <-d.moved:
		case <-limit.C:
			return ErrSilent
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
