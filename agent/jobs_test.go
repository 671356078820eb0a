package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"platen/agent/config"
	"platen/agent/intake"
)

// operator makes an agent that trusts an operator, with a ticket from it for any file.
func operator(t *testing.T) (*Agent, []byte) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	env, err := intake.NewTicket(&intake.Held{}, "stl", []string{"P1"}, 1, time.Now(), time.Hour).Sign(t.Context(), priv)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	cfg := &config.Config{MaxJob: 1 << 20, OperatorKeys: []ed25519.PublicKey{pub}}
	return &Agent{cfg: cfg, log: log, sup: &supervisor{log: log}, ledger: ledger(t, true), opened: true, recovery: newRecovery(log)}, env
}

// ledger is a new one, or one that takes no ticket.
func ledger(t *testing.T, sound bool) *intake.Ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tickets.json")
	if !sound {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := intake.OpenLedger(t.Context(), path, [32]byte{}, new(counter), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// counter stands for the TPM's.
type counter uint64

func (c *counter) Tickets(context.Context) (uint64, bool, error) { return uint64(*c), *c == 0, nil }

func (c *counter) CountTicket(context.Context) (uint64, error) {
	*c++
	return uint64(*c), nil
}

// TestPrintEndlessFile passes a pipe that nobody writes to: reading it would keep
// the agent from ever stopping.
func TestPrintEndlessFile(t *testing.T) {
	a, env := operator(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fifo, unix.O_RDWR, 0) // blocking, as a client would pass it
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "fifo")
	refused := make(chan error, 1)
	go func() {
		refused <- a.print(t.Context(), intake.Request{Op: intake.OpPrint, Envelope: env}, f, nil)
	}()
	select {
	case err := <-refused:
		if e, ok := errors.AsType[*intake.FileError](err); !ok || e.Code != "irregular" {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the agent reads from a pipe")
	}
}

// TestSealedFileTakesNoMemory passes a file far over the limit, one while another is
// held, and one whose copies cannot be counted: none is copied.
func TestSealedFileTakesNoMemory(t *testing.T) {
	a, env := operator(t)
	path := filepath.Join(t.TempDir(), "sparse")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ask := func() error { return a.print(t.Context(), intake.Request{Op: intake.OpPrint, Envelope: env}, f, nil) }
	offset := func() int64 {
		n, err := f.Seek(0, 1)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := ask(); !errors.Is(err, intake.ErrTooBig) || offset() != 0 {
		t.Errorf("too large: %v after %d bytes", err, offset())
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	a.holding.Lock()
	if err := ask(); !errors.Is(err, errBusy) || offset() != 0 {
		t.Errorf("another is held: %v after %d bytes", err, offset())
	}
	a.holding.Unlock()
	good := a.ledger
	a.ledger = ledger(t, false)
	if e, ok := errors.AsType[*intake.LedgerError](ask()); !ok || offset() != 0 {
		t.Errorf("copies cannot be counted: %v after %d bytes", e, offset())
	}
	a.ledger = good
	if e, ok := errors.AsType[*intake.FileError](ask()); !ok || e.Code != "not-sealed" || offset() != 1000 {
		t.Errorf("control: %v after %d bytes", e, offset())
	}
}
