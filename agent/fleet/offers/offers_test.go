package offers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/evidence"
	"platen/agent/fleet/store"
)

var (
	one = evidence.PrinterID{1}
	two = evidence.PrinterID{2}
)

// broker takes offers for printers that are there.
type broker struct {
	mu    sync.Mutex
	there map[evidence.PrinterID]bool
	said  []string
	tries int
}

func (b *broker) Offer(_ context.Context, to evidence.PrinterID, envelope []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if !b.there[to] {
		return errors.New("away")
	}
	b.said = append(b.said, fmt.Sprintf("%d:%s", to[0], envelope))
	return nil
}

func (b *broker) come(id evidence.PrinterID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.there[id] = true
}

func (b *broker) state() (string, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.said, " "), b.tries
}

// TestDesk in a bubble: each printer gets its offers once, when it is there, and none that has ended.
func TestDesk(t *testing.T) {
	dir := t.TempDir()
	put := func(to evidence.PrinterID, job, text string, life time.Duration) {
		t.Helper()
		if err := Put(dir, to, Offer{Job: job, Until: time.Now().Add(life), Envelope: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		b := &broker{there: map[evidence.PrinterID]bool{one: true}}
		var events []string
		d := NewDesk(dir, time.Hour, func(e store.Event) { events = append(events, string(e.Event)+" "+e.Job) }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { d.Run(ctx, b) })
		step := func(after time.Duration, want string, tries int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if said, n := b.state(); said != want || n > tries {
				t.Errorf("the printers got %q in %d attempts, want %q in at most %d", said, n, want, tries)
			}
		}
		put(one, "01", "a", time.Hour)
		unread := filepath.Join(dir, "offers", one.String(), "00.json")
		if err := os.WriteFile(unread, []byte("{"), 0o600); err != nil { // which keeps no other back
			t.Fatal(err)
		}
		put(two, "02", "b", time.Hour)
		put(two, "03", "c", 10*time.Minute)
		step(2*time.Second, "1:a", 3)
		step(20*time.Minute, "1:a", 90) // for the other it is tried now and then, until the ticket ends
		b.come(two)
		d.Listens(two)
		step(time.Millisecond, "1:a 2:b", 91)
		step(time.Hour, "1:a 2:b", 91) // and never again
		if fmt.Sprint(events) != "[offered 01 offered 02]" {
			t.Errorf("events: %v", events)
		}
		cancel()
		run.Wait()
		if err := os.Remove(unread); err != nil {
			t.Error(err)
		}
	})
	left, err := filepath.Glob(filepath.Join(dir, "offers", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != one.String() { // where the other file was until the end
		t.Errorf("kept: %v, %v", left, err)
	}
	for _, job := range []string{"", "../x", "zz"} {
		if err := Put(dir, one, Offer{Job: job}); err == nil {
			t.Errorf("an offer of job %q is kept", job)
		}
	}
}

// TestHold keeps a sealed file under its digest until it is old.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	name, err := Hold(dir, strings.NewReader("abc"))
	if err != nil || name != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Fatalf("%s, %v", name, err)
	}
	if again, err := Hold(dir, strings.NewReader("abc")); err != nil || again != name {
		t.Errorf("twice: %s, %v", again, err)
	}
	old, err := Hold(dir, strings.NewReader("old"))
	if err == nil {
		then := time.Now().Add(-2 * time.Hour)
		err = os.Chtimes(filepath.Join(Held(dir), old), then, then)
	}
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := Hold(dir, strings.NewReader("wanted"))
	if err == nil {
		err = Needed(dir, wanted, time.Now().Add(2*time.Hour)) // by a ticket
	}
	if err == nil {
		err = Needed(dir, wanted, time.Now()) // and by a shorter one, which takes nothing away
	}
	if err != nil {
		t.Fatal(err)
	}
	there := func() (names []string) {
		files, err := os.ReadDir(Held(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			names = append(names, f.Name())
		}
		return names
	}
	desk := NewDesk(dir, time.Hour, nil, slog.New(slog.DiscardHandler))
	desk.sweep()
	if names := there(); len(names) != 2 || slices.Contains(names, old) {
		t.Errorf("after a while: %v", names)
	}
	desk.keep = -time.Minute // what was not there for a minute yet, and what no ticket needs
	desk.sweep()
	if names := there(); len(names) != 1 || names[0] != wanted {
		t.Errorf("before the end of its ticket: %v", names)
	}
	if err := Needed(dir, "none", time.Now()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
