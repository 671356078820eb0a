package audit

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"platen/updater/updatertest"
)

// A segment that somebody has made too large stops no printer: it is an edited log.
func TestOversizeSegment(t *testing.T) {
	s, d := newSoft(t), updatertest.NewDisk()
	add(t, open(t, d, s), job(1))
	b, _ := d.Contents("log-0")
	d.Damage("log-0", append(bytes.Clone(b), make([]byte, maxSegment+slack)...))
	if l := open(t, d, s); l.Damage() == nil || l.Damage().Kind != "edited" {
		t.Errorf("opened with %v", l.Damage())
	}
}

// Nor does a disk that is full at the first start: Run has the first head written later.
func TestFirstHeadLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newSoft(t), &full{Disk: updatertest.NewDisk()}
		d.set(true)
		l := open(t, d, s)
		if l.walk.heads != 0 {
			t.Fatal("control: a head on a full disk")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		d.set(false)
		time.Sleep(2 * retry)
		synctest.Wait()
		l.mu.Lock()
		heads := l.walk.heads
		l.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if heads == 0 { // before Run ended
			t.Error("no head")
		}
	})
}
