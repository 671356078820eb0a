package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// hanging is a stick whose reads come back when somebody pulls it out.
type hanging struct {
	out   chan struct{}
	ended chan struct{} // a read that was under way
}

func (h hanging) ReadAt(p []byte, _ int64) (int, error) {
	<-h.out
	clear(p) // it writes to what it was given
	h.ended <- struct{}{}
	return len(p), nil
}

// TestHangingStick: a read that does not come back holds nobody longer than the time there is for
// a stick, and does no harm when it does come back.
func TestHangingStick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hanging{make(chan struct{}), make(chan struct{}, 1)}
		ctx, cancel := context.WithTimeout(t.Context(), stickTime)
		defer cancel()
		buf := []byte("as it was")
		began := time.Now()
		n, err := punctual{ctx, h}.ReadAt(buf, 0)
		if n != 0 || !errors.Is(err, errSlowStick) || time.Since(began) != stickTime {
			t.Errorf("%d bytes after %v: %v", n, time.Since(began), err)
		}
		close(h.out)
		if <-h.ended; string(buf) != "as it was" {
			t.Errorf("a late read has written %q", buf)
		}
		late := 0
		synctest.Wait()
		if _, err := inTime(ctx, func() (int, error) { return 7, nil }, func(n int) { late = n }); !errors.Is(err, errSlowStick) {
			t.Errorf("after its time: %v", err)
		}
		if synctest.Wait(); late != 7 {
			t.Errorf("what comes too late is %d, and nobody puts it away", late)
		}
	})
	got := make([]byte, 8) // the control
	n, err := punctual{t.Context(), bytes.NewReader([]byte("whole"))}.ReadAt(got, 1)
	if n != 4 || err != io.EOF || string(got[:n]) != "hole" {
		t.Errorf("control: %q, %v", got[:n], err)
	}
}
