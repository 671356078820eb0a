package bootloader

import (
	"context"
	"os"
	"testing"
	"time"

	"platen/hal/sim"
)

// TestDeafHost has a host that asks and asks and reads no answer: the end is not held up.
func TestDeafHost(t *testing.T) {
	t.Parallel()
	chip, err := New(Defaults(STK500v2))
	if err != nil {
		t.Fatal(err)
	}
	master, path, err := sim.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- chip.ServePTY(ctx, master, false) }()
	host, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	// Each question has an answer of more than twice its size. Once neither goes on, all
	// buffers are full.
	asked := 0
	for {
		host.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := host.Write([]byte("\x1b\x01\x00\x01\x0e\x01\x14"))
		asked += n
		if err != nil {
			break
		}
	}
	t.Logf("%d bytes of questions", asked)
	stop()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}
