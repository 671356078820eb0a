package serial

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var past = time.Unix(1, 0)

// TestInterruptedReads ends reads on an owned thread by deadlines in the past, over and
// over and at every moment, while bytes come: no read stays, no byte is lost.
func TestInterruptedReads(t *testing.T) {
	for _, owned := range []bool{false, true} {
		m, slave := openPTY(t)
		p := open(t, slave, 250000)
		rounds := 2000
		if testing.Short() {
			rounds = 300
		}
		var wg sync.WaitGroup
		ended := make(chan struct{})
		sum := 0
		var interrupted atomic.Int64
		wg.Go(func() {
			defer close(ended)
			if owned {
				runtime.LockOSThread() // which ends with this goroutine
				p.Own()
			}
			buf := make([]byte, 64)
			for sum < rounds {
				n, err := p.Read(buf)
				sum += n
				if err == nil {
					continue
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
					return
				}
				interrupted.Add(1)
				if err := p.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for i := range rounds {
			before, guard := interrupted.Load(), time.Now().Add(time.Minute)
			if err := p.SetReadDeadline(past); err != nil {
				t.Fatal(err)
			}
			for i%16 == 0 && interrupted.Load() == before { // without a byte that would end it as well
				if time.Now().After(guard) {
					t.Fatalf("owned %v: read %d does not end", owned, i)
				}
				time.Sleep(100 * time.Microsecond)
				p.SetReadDeadline(past) // the reader may have set its own behind the last
			}
			if _, err := m.Write([]byte{'x'}); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("a read does not end")
		}
		wg.Wait()
		if sum != rounds {
			t.Errorf("owned %v: %d bytes of %d", owned, sum, rounds)
		}
	}
}

// TestOnlyTheDeadlineEndsRead has nothing come at all: a read that stays ends when the
// deadline is moved to the past or to soon, and at Close.
func TestOnlyTheDeadlineEndsRead(t *testing.T) {
	_, slave := openPTY(t)
	p := open(t, slave, 115200)
	next, reads := make(chan bool), make(chan error)
	go func() {
		runtime.LockOSThread()
		p.Own()
		for range next {
			_, err := p.Read(make([]byte, 8))
			reads <- err
		}
	}()
	defer close(next)
	for i := range 60 {
		p.SetReadDeadline(time.Now().Add(time.Hour))
		next <- true
		if i%2 == 0 {
			time.Sleep(time.Millisecond) // so that the kernel has it, mostly
		}
		want := os.ErrDeadlineExceeded
		switch i % 3 {
		case 0:
			p.SetReadDeadline(past)
		case 1:
			p.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		default:
			if i == 59 {
				want = os.ErrClosed
				p.Close()
				break
			}
			select {
			case err := <-reads:
				t.Fatalf("control: read %d ended by itself: %v", i, err)
			case <-time.After(5 * time.Millisecond):
			}
			p.SetReadDeadline(past)
		}
		select {
		case err := <-reads:
			if !errors.Is(err, want) {
				t.Fatalf("read %d: %v, want %v", i, err, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("read %d does not end", i)
		}
	}
}

// TestStuckWrite writes to a port that takes nothing any more: the deadline ends it, and so
// does Close.
func TestStuckWrite(t *testing.T) {
	_, slave := openPTY(t)
	p := open(t, slave, 115200)
	much := make([]byte, 1<<20) // more than any tty buffers
	p.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := p.Write(much); !errors.Is(err, os.ErrDeadlineExceeded) || n == len(much) {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := p.WriteNow(much); n != 0 || err != nil {
		t.Errorf("control: it takes %d more bytes (%v)", n, err)
	}
	p.SetWriteDeadline(time.Time{})
	done := make(chan error, 1)
	go func() {
		_, err := p.Write(much)
		done <- err
	}()
	time.Sleep(10 * time.Millisecond)
	p.Close()
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Close did not end the write")
	}
}
