package intake

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tpmCounter counts as a TPM does, and fails where a test says so.
type tpmCounter struct {
	n    uint64
	made bool
	cut  error // of CountTicket
	late bool  // the count rises all the same
}

func (c *tpmCounter) Tickets(context.Context) (uint64, bool, error) {
	fresh := !c.made
	if c.made = true; fresh {
		c.n++
	}
	return c.n, fresh, nil
}

func (c *tpmCounter) CountTicket(context.Context) (uint64, error) {
	if c.cut != nil {
		if c.late {
			c.n++
		}
		return 0, c.cut
	}
	c.n++
	return c.n, nil
}

// box is a printer as far as its ledger goes.
type box struct {
	t    *testing.T
	path string
	tpm  *tpmCounter
	key  [32]byte
	now  time.Time
}

func newBox(t *testing.T) *box {
	return &box{t, filepath.Join(t.TempDir(), "tickets.json"), &tpmCounter{n: 40}, [32]byte{1}, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
}

// open opens the ledger as an agent that starts does.
func (b *box) open() *Ledger {
	b.t.Helper()
	l, err := OpenLedger(b.t.Context(), b.path, b.key, b.tpm, b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

func (b *box) ticket(job byte, copies int) Ticket {
	return Ticket{Job: bytes.Repeat([]byte{job}, 16), Copies: copies, NotBefore: b.now, NotAfter: b.now.Add(24 * time.Hour)}
}

func (b *box) disk() []byte {
	text, err := os.ReadFile(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// TestRolledBackDisk puts every earlier state of the disk back (T22): no ticket is taken
// until the operator says so, and never more copies than the ticket has.
func TestRolledBackDisk(t *testing.T) {
	b := newBox(t)
	tk := b.ticket(7, 3)
	var disks [][]byte
	for range 3 {
		l := b.open()
		disks = append(disks, b.disk())
		if err := l.Take(t.Context(), tk, b.now); err != nil {
			t.Fatal(err)
		}
	}
	newest := b.disk()
	for i, old := range disks {
		os.WriteFile(b.path, old, 0o600)
		l := b.open()
		e, ok := errors.AsType[*LedgerError](l.Take(t.Context(), b.ticket(8, 1), b.now))
		if !ok || e.Count != b.tpm.n || l.Problem() == nil {
			t.Errorf("disk %d: %v", i, e)
		}
	}
	os.Remove(b.path)
	if b.open().Problem() == nil {
		t.Error("a wiped disk begins anew")
	}
	os.WriteFile(b.path, newest, 0o600)
	if err := b.open().Take(t.Context(), b.ticket(8, 1), b.now); err != nil {
		t.Errorf("control: the newest disk: %v", err)
	}
}

// TestForeignLedger is a clone's disk, an edited one, and one of a TPM that was cleared.
func TestForeignLedger(t *testing.T) {
	b := newBox(t)
	if err := b.open().Take(t.Context(), b.ticket(7, 1), b.now); err != nil {
		t.Fatal(err)
	}
	good := b.disk()
	other := newBox(t)
	other.key = [32]byte{2}
	other.open()
	os.WriteFile(other.path, good, 0o600)
	other.tpm.n = b.tpm.n
	if other.open().Problem() == nil {
		t.Error("another printer's ledger")
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		os.WriteFile(b.path, bad, 0o600)
		l := b.open()
		if err := l.Left(b.ticket(7, 1)); err == nil {
			t.Errorf("byte %d altered: the copy is there again", i)
		}
	}
	os.WriteFile(b.path, good, 0o600)
	if l := b.open(); l.Problem() != nil {
		t.Errorf("control: %v", l.Problem())
	}
	b.tpm.made = false // the counter was undefined: it begins above what it was
	os.Remove(b.path)
	b.now = b.now.Add(time.Hour)
	if err := b.open().Left(Ticket{Job: bytes.Repeat([]byte{7}, 16), Copies: 1, NotBefore: b.now.Add(-time.Hour), NotAfter: b.now.Add(time.Hour)}); err == nil {
		t.Error("a used ticket is good again once the counter was undefined")
	}
}

// TestPowerCuts cuts power before and after the counter rises: no copy is given twice,
// and at most one is lost.
func TestPowerCuts(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, restart := range []bool{false, true} {
			b := newBox(t)
			l := b.open()
			tk := b.ticket(7, 3)
			printed := 0
			take := func() {
				if l.Take(t.Context(), tk, b.now) == nil {
					printed++
				}
			}
			take()
			b.tpm.cut, b.tpm.late = errors.New("power"), late
			take()
			b.tpm.cut = nil
			if restart {
				l = b.open()
			}
			if l.Problem() != nil {
				t.Fatalf("late %t, restart %t: %v", late, restart, l.Problem())
			}
			for range 3 {
				take()
			}
			if printed < 2 || printed > 3 || (late || restart) && printed != 2 {
				t.Errorf("late %t, restart %t: %d copies of 3", late, restart, printed)
			}
			if p := b.open().Problem(); p != nil {
				t.Errorf("late %t, restart %t: %v", late, restart, p)
			}
		}
	}
}

// TestForgottenTickets sets the clock forward, so that a used ticket is forgotten, and
// back again.
func TestForgottenTickets(t *testing.T) {
	b := newBox(t)
	l := b.open()
	day := 24 * time.Hour
	ticket := func(job byte, ends time.Time) Ticket {
		return Ticket{Job: bytes.Repeat([]byte{job}, 16), Copies: 1, NotBefore: b.now, NotAfter: ends}
	}
	used := ticket(1, b.now.Add(day))
	later := b.now.Add(60 * day)
	if err := l.Take(t.Context(), used, b.now); err != nil {
		t.Fatal(err)
	}
	if err := l.Take(t.Context(), ticket(2, later.Add(day)), later); err != nil {
		t.Fatal(err)
	}
	if len(l.book.Taken) != 1 {
		t.Fatalf("control: %d counts are kept, want 1", len(l.book.Taken))
	}
	for range 2 {
		if err := l.Take(t.Context(), used, b.now); err == nil {
			t.Error("a used ticket can be used again after the clock was set back")
		}
		l = b.open() // and after a restart
	}
	if err := l.Take(t.Context(), ticket(3, b.now.Add(2*day)), b.now); err != nil {
		t.Errorf("control: a ticket that ends after the forgotten one: %v", err)
	}
}

func TestLedgerFailsClosed(t *testing.T) {
	b := newBox(t)
	b.open()
	for _, damaged := range []string{`{"book":null,"mac":""}`, `{"book":{},"mac":""}`, `{"taken":null}`, `{}]`, ``} {
		os.WriteFile(b.path, []byte(damaged), 0o600)
		if b.open().Problem() == nil {
			t.Errorf("a ledger of %q opens", damaged)
		}
	}
	b = newBox(t)
	l := b.open()
	tk := b.ticket(7, 1)
	l.path = filepath.Join(filepath.Dir(b.path), "gone", "tickets.json") // a disk that takes nothing
	if err := l.Take(t.Context(), tk, b.now); err == nil {
		t.Fatal("a copy is taken that could not be counted")
	}
	l.path = b.path
	if err := l.Take(t.Context(), tk, b.now); err != nil {
		t.Errorf("control: a copy that was not taken is gone: %v", err)
	}
}

func TestRecredit(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t)
	l := b.open()
	tk := b.ticket(7, 1)
	if err := l.Take(t.Context(), tk, b.now); err != nil {
		t.Fatal(err)
	}
	send := func(r Recredit, key ed25519.PrivateKey) error {
		env, err := r.Sign(t.Context(), key)
		if err != nil {
			return err
		}
		if r, err = OpenRecredit(t.Context(), env, []ed25519.PublicKey{pub}, "P1"); err != nil {
			return err
		}
		return l.Credit(t.Context(), r, b.now)
	}
	back := Recredit{Printer: "P1", Count: l.Count(), Job: tk.Job, Copies: 1, Issued: b.now}
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	change := func(f func(*Recredit)) Recredit { r := back; f(&r); return r }
	for name, err := range map[string]error{
		"stranger":        send(back, stranger),
		"another printer": send(change(func(r *Recredit) { r.Printer = "P2" }), priv),
		"another count":   send(change(func(r *Recredit) { r.Count++ }), priv),
		"another job":     send(change(func(r *Recredit) { r.Job = bytes.Repeat([]byte{9}, 16) }), priv),
		"too many":        send(change(func(r *Recredit) { r.Copies = 2 }), priv),
		"no copies":       send(change(func(r *Recredit) { r.Copies = 0 }), priv),
	} {
		if _, ok := errors.AsType[*RecreditError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := send(back, priv); err != nil {
		t.Fatal(err)
	}
	if err := send(back, priv); err == nil {
		t.Error("a re-credit is good twice")
	}
	l = b.open()
	if err := l.Take(t.Context(), tk, b.now); err != nil {
		t.Errorf("the copy is not back: %v", err)
	}

	// A printer whose disk was replaced begins anew, but not with old tickets.
	os.Remove(b.path)
	l = b.open()
	fresh := Recredit{Printer: "P1", Count: l.Count(), Issued: b.now.Add(time.Hour)}
	if err := send(fresh, priv); err != nil {
		t.Fatal(err)
	}
	l = b.open()
	if err := l.Take(t.Context(), tk, b.now.Add(time.Hour)); err == nil {
		t.Error("a ticket from before the new ledger is taken")
	}
	tk.NotBefore = b.now.Add(2 * time.Hour)
	if err := l.Take(t.Context(), tk, b.now.Add(2*time.Hour)); err != nil {
		t.Errorf("control: a new ticket: %v", err)
	}
}
