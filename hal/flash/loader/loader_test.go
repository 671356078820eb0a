package loader

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestLayout(t *testing.T) {
	// An STM32F4: sectors of 16, 64 and 128 KiB, a bootloader in the first two.
	l, err := NewLayout(0x08000000, []Run{{4, 16 << 10}, {1, 64 << 10}, {3, 128 << 10}}, 0x08008000, 480<<10)
	if err != nil {
		t.Fatal(err)
	}
	if l.Pages() != 6 || l.Size() != 480<<10 || l.Start() != 0x08008000 {
		t.Errorf("%d pages, %d bytes at %#x", l.Pages(), l.Size(), l.Start())
	}
	for n, want := range []struct {
		at, size, number int
		address          Address
	}{
		{0, 16 << 10, 2, 0x08008000}, {16 << 10, 16 << 10, 3, 0x0800c000}, {32 << 10, 64 << 10, 4, 0x08010000},
		{96 << 10, 128 << 10, 5, 0x08020000}, {224 << 10, 128 << 10, 6, 0x08040000}, {352 << 10, 128 << 10, 7, 0x08060000},
	} {
		at, size := l.Page(n)
		if at != want.at || size != want.size || l.Number(n) != want.number || l.Address(n) != want.address {
			t.Errorf("page %d: %d bytes at %d, number %d, %#x", n, size, at, l.Number(n), l.Address(n))
		}
	}
	for size, want := range map[int]int{0: 0, 1: 1, 16 << 10: 1, 16<<10 + 1: 2, 480 << 10: 6} {
		if got := l.Cover(size); got != want {
			t.Errorf("%d bytes cover %d pages, want %d", size, got, want)
		}
	}
}

func TestBadLayouts(t *testing.T) {
	runs := []Run{{8, 1024}}
	for name, c := range map[string]struct {
		runs  []Run
		start Address
		size  int
	}{
		"no flash": {nil, 0x08000000, 1024}, "starts within a page": {runs, 0x08000100, 1024}, "ends within a page": {runs, 0x08000000, 1000},
		"ends behind the flash": {runs, 0x08000000, 9 << 10}, "starts before it": {runs, 0x07fffc00, 2048}, "nothing": {runs, 0x08000000, 0},
		"less than nothing": {runs, 0x08000000, -1024}, "too large": {[]Run{{3 << 10, 1024}}, 0x08000000, 3 << 20},
		"odd pages": {[]Run{{8, 1000}}, 0x08000000, 1000}, "huge pages": {[]Run{{1, 512 << 10}}, 0x08000000, 512 << 10},
		"over the end of memory": {runs, 0xfffffc00, 2048}, "many pages": {[]Run{{1 << 30, 1024}}, 0x08000000, 1024},
	} {
		if _, err := NewLayout(0x08000000, c.runs, c.start, c.size); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if (Layout{}).Pages() != 0 {
		t.Error("the zero layout has pages")
	}
}

// tape is a port that says things at their time.
type tape struct {
	said  []byte
	at    []time.Duration
	from  time.Time
	until time.Time
	fail  error
}

func (p *tape) Write(b []byte) (int, error)       { return len(b), p.fail }
func (p *tape) Close() error                      { return nil }
func (p *tape) SetReadDeadline(t time.Time) error { p.until = t; return nil }
func (p *tape) Read(b []byte) (int, error) {
	if p.fail != nil {
		return 0, p.fail
	}
	if len(p.said) > 0 && p.from.Add(p.at[0]).Before(p.until) {
		time.Sleep(time.Until(p.from.Add(p.at[0])))
		b[0] = p.said[0]
		p.said, p.at = p.said[1:], p.at[1:]
		return 1, nil
	}
	time.Sleep(time.Until(p.until))
	return 0, os.ErrDeadlineExceeded
}

func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		p := &tape{said: []byte("abcde"), from: time.Now()}
		for _, ms := range []int{10, 900, 1000, 5000, 5010} {
			p.at = append(p.at, time.Duration(ms)*time.Millisecond)
		}
		l := NewLine(p)
		var two [2]byte
		if err := l.Bytes(ctx, time.Second, two[:]); err != nil || string(two[:]) != "ab" {
			t.Errorf("%q, %v", two, err)
		}
		if err := l.Drain(ctx, 300*time.Millisecond); err != nil {
			t.Error(err)
		}
		if d := time.Since(p.from); d != 1300*time.Millisecond {
			t.Errorf("drained until %v", d)
		}
		if err := l.Bytes(ctx, time.Second, two[:]); !errors.Is(err, ErrLine) {
			t.Errorf("nothing came: %v", err)
		}
		if d := time.Since(p.from); d != 2300*time.Millisecond {
			t.Errorf("waited until %v", d)
		}
		if err := l.Bytes(ctx, 3*time.Second, two[:]); err != nil || string(two[:]) != "de" {
			t.Errorf("%q, %v", two, err)
		}
		ended, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		from := time.Now()
		if err := l.Bytes(ended, time.Hour, two[:]); !errors.Is(err, context.DeadlineExceeded) || time.Since(from) > 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(from))
		}
		p.fail = io.ErrUnexpectedEOF
		if err := l.Bytes(ctx, time.Second, two[:]); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrLine) {
			t.Errorf("a port that fails: %v", err)
		}
		if err := l.Send(two[:]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a port that fails: %v", err)
		}
	})
}

// TestEndlessNoise: a line that is never quiet holds nobody up, and fills nothing.
func TestEndlessNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &tape{from: time.Now()}
		for i := range 20000 {
			p.said = append(p.said, byte(i))
			p.at = append(p.at, time.Duration(i)*time.Millisecond)
		}
		l := NewLine(p)
		if err := l.Drain(t.Context(), 50*time.Millisecond); err != nil {
			t.Error(err)
		}
		if d := time.Since(p.from); d > time.Second {
			t.Errorf("drained for %v", d)
		}
		_, err := l.Message(t.Context(), 10*time.Second, func([]byte) (int, int) { return 0, 0 })
		if !errors.Is(err, ErrLine) || len(l.buf) > maxBuffered {
			t.Errorf("%v, %d bytes kept", err, len(l.buf))
		}
	})
}
