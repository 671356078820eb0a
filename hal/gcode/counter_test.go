package gcode

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestCounterNeverOverruns streams lines of any length at firmware that takes its time
// and holds the promise against its receive buffer.
func TestCounterNeverOverruns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{127, 1023}).Draw(t, "buffer")
		c, now := NewCounter(CounterConfig{Bytes: size}), time.Unix(1e9, 0)
		c.Restart(now)
		var rx []byte
		fullest, sent := 0, 0
		var got, want []string
		for turn := 0; len(got) < 200; turn++ {
			if turn > 100_000 {
				t.Fatalf("stuck after %d lines", len(got))
			}
			if sent < 200 && c.Ready() {
				cmd := fmt.Sprintf("G1X%dF%0*d", sent, rapid.IntRange(1, 40).Draw(t, "length"), sent)
				if seq := c.Add([]byte(cmd)); seq != uint64(sent+1) {
					t.Fatalf("sequence number %d of line %d", seq, sent)
				}
				want = append(want, cmd)
				sent++
			}
			rx = c.AppendWire(rx, now)
			fullest = max(fullest, len(rx))
			if turn%3 == 0 || sent == 200 {
				if line, rest, ok := bytes.Cut(rx, []byte("\n")); ok {
					got, rx = append(got, string(line)), rest
					if err := c.Handle(&Reply{Kind: OK}, now); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if fullest > size {
			t.Fatalf("%d bytes in a buffer of %d", fullest, size)
		}
		if fullest < size/2 && size < 200 {
			t.Fatalf("the buffer was never more than %d full: the window is not used", fullest)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("line %d differs", i)
			}
		}
		if c.Proven() != 200 || c.Accepted() != 200 || c.Stats() != (Stats{}) {
			t.Fatalf("%d proven, %+v", c.Proven(), c.Stats())
		}
	})
}

func TestCounterAnswers(t *testing.T) {
	c, now := NewCounter(CounterConfig{}), time.Unix(1e9, 0)
	c.Restart(now)
	add := func() {
		c.Add([]byte("G1X1"))
		c.AppendWire(nil, now)
	}
	add()
	if err := c.Handle(&Reply{Kind: Refusal}, now); !errors.Is(err, ErrRefused) {
		t.Errorf("a refused line: %v", err)
	}
	if err := c.Handle(&Reply{Kind: Start}, now); !errors.Is(err, ErrReset) {
		t.Errorf("a restart: %v", err)
	}
	c.Restart(now)
	c.Handle(&Reply{Kind: OK}, now)
	if c.Stats().Spurious != 1 {
		t.Errorf("an ok for nothing was not counted: %+v", c.Stats())
	}
	c.AppendBare(nil, []byte("$X\n"), 1)
	c.Handle(&Reply{Kind: OK}, now)
	if c.Stats().Spurious != 1 {
		t.Errorf("the ok of a bare line was counted as spurious: %+v", c.Stats())
	}
	// A lost ok: the controller is idle and its buffer empty, for longer than Stall.
	add()
	add()
	for i, idle := range []bool{true, true, false, true, true, true} {
		if c.Accepted() == c.next {
			t.Errorf("oks were given up after report %d", i)
		}
		c.Handle(&Reply{Kind: Report, Idle: idle}, now)
		now = now.Add(600 * time.Millisecond)
	}
	if c.Accepted() != c.next || c.Stats().Stalls != 1 {
		t.Errorf("lost oks: %d of %d accepted, %+v", c.Accepted(), c.next, c.Stats())
	}
}
