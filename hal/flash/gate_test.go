package flash

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"platen/updater/slot"
)

// journal writes a record into a folder.
func journal(t *testing.T, folder string, s state) {
	t.Helper()
	dir, err := slot.OpenDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := (record{state: s, release: 1}).save(dir); err != nil {
		t.Fatal(err)
	}
}

func shut(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestDriveOrFlash has sessions and whoever flashes want the same controller.
func TestDriveOrFlash(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "state", "controller")
	session, err := Drive(folder)
	if err != nil {
		t.Fatalf("never flashed: %v", err)
	}
	second, err := Drive(folder)
	if err != nil {
		t.Fatalf("a second session: %v", err)
	}
	shut(t, second)
	if _, err := Claim(t.Context(), folder); !errors.Is(err, ErrDriven) {
		t.Errorf("claimed while a session drives: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Claim(ctx, folder); !errors.Is(err, context.Canceled) {
		t.Errorf("not wanted any more: %v", err)
	}
	ended := session
	time.AfterFunc(10*claimAgain, func() { ended.Close() }) // it ends soon
	flasher, err := Claim(t.Context(), folder)
	for errors.Is(err, ErrDriven) { // on a machine that is slower than that
		flasher, err = Claim(t.Context(), folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Drive(folder); !errors.Is(err, ErrFlashing) {
		t.Errorf("driven while it is flashed: %v", err)
	}
	if _, err := Claim(t.Context(), folder); !errors.Is(err, ErrFlashing) {
		t.Errorf("claimed twice: %v", err)
	}
	journal(t, folder, writing)
	shut(t, flasher)
	if _, err := Drive(folder); !errors.Is(err, ErrPending) {
		t.Errorf("driven though it is not confirmed: %v", err)
	}
	flasher, err = Claim(t.Context(), folder) // a session that was refused holds nothing
	if err != nil {
		t.Fatal(err)
	}
	journal(t, folder, confirmed)
	shut(t, flasher)
	if session, err = Drive(folder); err != nil {
		t.Errorf("after it was confirmed: %v", err)
	} else {
		shut(t, session)
	}
}

func TestNoFolder(t *testing.T) {
	if err := Ready(""); err == nil {
		t.Error("ready without a journal to look at")
	}
	if _, err := Drive(""); err == nil {
		t.Error("driven without a journal to look at")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Drive(file); err == nil {
		t.Error("driven with a journal in what is no folder")
	}
	if _, err := Claim(t.Context(), file); err == nil {
		t.Error("claimed with a journal in what is no folder")
	}
}

// TestJournalOfAnotherSize: whatever lies there, an installation starts afresh.
func TestJournalOfAnotherSize(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, recordName)
	for _, size := range []int{0, recordSize - 1, recordSize + 1, 4096} {
		if err := os.WriteFile(path, bytes.Repeat([]byte{7}, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Ready(folder); !errors.Is(err, ErrPending) || !errors.Is(err, ErrJournal) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
