package pid1

import (
	"bytes"
	"os/exec"
	"testing"
)

// TestStop ends what was started, and knows by its number what has ended.
func TestStop(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := start([]string{sleep, "3600"})
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
