package pid1

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// TestMain lets the test binary be a child that waits to be told to end.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "wait" {
		time.Sleep(time.Hour)
		return
	}
	os.Exit(m.Run())
}

// TestStop ends what was started, and knows by its number what has ended.
func TestStop(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := start([]string{self, "wait"})
	if err != nil {
		t.Fatal(err)
	}
	if pid <= 1 { // whom that would end
		t.Fatalf("process %d was started", pid)
	}
	if _, gone := reap(pid); gone {
		t.Fatal("it ended by itself")
	}
	var out bytes.Buffer
	b := board{out: &out}
	if b.stop(pid); out.Len() > 0 {
		t.Errorf("said %q", out.String())
	}
	if _, gone := reap(pid); gone {
		t.Error("it ends twice")
	}
}
