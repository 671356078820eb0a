package trace

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a disk that takes nothing until it is told to.
type stuck struct {
	bytes.Buffer
	told chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.told
	return s.Buffer.Write(p)
}

// now is a port that also writes at once.
type now struct{ script }

func (n *now) WriteNow(p []byte) (int, error) { return n.Write(p) }

// TestSlowDisk: a disk that hangs holds up nobody who prints or halts.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &stuck{told: make(chan struct{})}
		port := &now{script{answers: []string{"ok\n", "ok\n"}}}
		r := Record(port, disk, Options{Title: "test"})
		time.Sleep(2 * writeEvery) // it hangs by now
		synctest.Wait()
		begun := time.Now()
		if _, err := io.WriteString(r, "G1 X71.713\n"); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(r); err != nil {
			t.Error(err)
		}
		if n, err := r.WriteNow([]byte("M112\n")); n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if d := time.Since(begun); d != 0 || !strings.HasSuffix(port.raw.String(), "M112\nok\n") {
			t.Errorf("after %v the port has %q", d, port.raw.String())
		}
		close(disk.told)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"test", "G1 X", "ok", "M112"} {
			if !strings.Contains(disk.String(), want) {
				t.Errorf("the recording has no %q: %s", want, disk.String())
			}
		}
	})
}

// TestTooSlow ends a recording that nobody takes, and not the conversation.
func TestTooSlow(t *testing.T) {
	disk := &stuck{told: make(chan struct{})}
	r := Record(&script{}, disk, Options{})
	line := strings.Repeat("G1 X71.713 Y20.357\n", 1000)
	for range 300 {
		if n, err := io.WriteString(r, line); n != len(line) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	close(disk.told)
	if err := r.Close(); !errors.Is(err, errSlow) {
		t.Errorf("close: %v", err)
	}
	if n := disk.Len(); n < maxWaiting || n > 2*maxWaiting+1<<20 {
		t.Errorf("%d bytes were recorded", n)
	}
}
