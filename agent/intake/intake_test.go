package intake

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/tag"
	"golang.org/x/sys/unix"
)

// jobKEM is an ML-KEM key, always the same.
func jobKEM() *mlkem.DecapsulationKey768 {
	k, err := mlkem.NewDecapsulationKey768(bytes.Repeat([]byte{5}, mlkem.SeedSize))
	if err != nil {
		panic(err)
	}
	return k
}

func jobKey(t *testing.T) (*ecdh.PrivateKey, *Identity) {
	t.Helper()
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := NewIdentity(k, jobKEM())
	if err != nil {
		t.Fatal(err)
	}
	return k, id
}

// seal makes an age file as stock age does.
func seal(t *testing.T, plain []byte, to ...*ecdh.PrivateKey) []byte {
	t.Helper()
	var rs []age.Recipient
	for _, k := range to {
		text, err := Recipient(k.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		r, err := tag.ParseRecipient(text)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, rs...)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(plain)
	w.Close()
	return out.Bytes()
}

// TestHybridFileOpens seals to P-256 and ML-KEM-768 together, for two printers.
func TestHybridFileOpens(t *testing.T) {
	own, id := jobKey(t)
	other, otherID := jobKey(t)
	plain := []byte("solid")
	var rs []age.Recipient
	for _, k := range []*ecdh.PrivateKey{other, own} {
		text := HybridRecipient(k.PublicKey(), jobKEM().EncapsulationKey())
		r, err := tag.ParseRecipient(text)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Hybrid() || r.String() != text {
			t.Errorf("%.20s is another recipient", text)
		}
		rs = append(rs, r)
	}
	seal := func(to ...age.Recipient) *Held {
		var out bytes.Buffer
		w, err := age.Encrypt(&out, to...)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(plain)
		w.Close()
		h, err := Hold(&out, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	h := seal(rs...)
	for _, id := range []*Identity{id, otherID} {
		if err := id.Sealed(h.Header); err != nil {
			t.Error(err)
		}
		opens(t, h, id, plain)
	}
	h = seal(rs[0])
	if err := id.Sealed(h.Header); !errors.Is(err, ErrNotSealedHere) {
		t.Errorf("sealed to another: %v", err)
	}
	if _, err := FileKey(h.Header, id); !errors.Is(err, ErrNotSealedHere) {
		t.Errorf("sealed to another: %v", err)
	}
	wrong, err := mlkem.GenerateKey768() // the P-256 key alone opens nothing
	if err != nil {
		t.Fatal(err)
	}
	half, err := NewIdentity(other, wrong)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FileKey(h.Header, half); err == nil {
		t.Error("opened without its ML-KEM key")
	}
}

func TestSealedFileOpens(t *testing.T) {
	other, _ := jobKey(t)
	own, id := jobKey(t)
	plain := bytes.Repeat([]byte("solid"), 50_000)
	h, err := Hold(bytes.NewReader(seal(t, plain, other, own)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	opens(t, h, id, plain)
}

// opens decrypts a held file with what id makes of its header.
func opens(t *testing.T, h *Held, id *Identity, plain []byte) {
	t.Helper()
	key, err := FileKey(h.Header, id)
	if err != nil {
		t.Fatal(err)
	}
	f, err := h.File()
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(f, age.NewInjectedFileKeyIdentity(key[:]))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestPlainSize(t *testing.T) {
	own, _ := jobKey(t)
	for _, n := range []int{0, 1, 65535, 65536, 65537, 200_000} {
		h, err := Hold(bytes.NewReader(seal(t, make([]byte, n), own)), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.PlainSize(); got != int64(n) {
			t.Errorf("%d bytes: PlainSize %d", n, got)
		}
		h.Close()
	}
}

func TestSealedFileRefused(t *testing.T) {
	own, id := jobKey(t)
	other, _ := jobKey(t)
	h, err := Hold(bytes.NewReader(seal(t, []byte("x"), other)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FileKey(h.Header, id); !errors.Is(err, ErrNotSealedHere) {
		t.Errorf("sealed to another: %v", err)
	}
	sealed := seal(t, []byte("x"), own)
	if _, err := Hold(bytes.NewReader(sealed), int64(len(sealed))-1); !errors.Is(err, ErrTooBig) {
		t.Errorf("too big: %v", err)
	}
	if _, err := Hold(bytes.NewReader([]byte("solid cube")), 1<<20); err == nil {
		t.Error("a file in clear is held as sealed")
	}
	i := bytes.Index(sealed, []byte("\n--- ")) - 5
	sealed[i] ^= 1
	if h, err := Hold(bytes.NewReader(sealed), 1<<20); err == nil {
		if _, err := FileKey(h.Header, id); err == nil {
			t.Error("an altered stanza opens")
		}
	}
}

func TestHeldCannotChange(t *testing.T) {
	own, _ := jobKey(t)
	h, err := Hold(bytes.NewReader(seal(t, []byte("x"), own)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := h.File()
	if _, err := f.WriteAt([]byte("y"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing to a held file: %v", err)
	}
	if err := f.Truncate(0); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncating a held file: %v", err)
	}
}

func TestTicket(t *testing.T) {
	ctx := context.Background()
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	otherPub, otherPriv, _ := ed25519.GenerateKey(rand.Reader)
	own, _ := jobKey(t)
	h, err := Hold(bytes.NewReader(seal(t, []byte("x"), own)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	good := NewTicket(h, "stl", []string{"P1"}, 2, now, time.Hour)
	env, err := good.Sign(ctx, priv)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenTicket(ctx, env, []ed25519.PublicKey{otherPub, pub}); err != nil {
		t.Fatalf("good ticket: %v", err)
	} else if err := got.Check("P1", h, now.Add(time.Minute)); err != nil {
		t.Fatalf("good ticket: %v", err)
	}
	code := func(err error) string {
		if e, ok := errors.AsType[*TicketError](err); ok {
			return e.Code
		}
		return "none"
	}
	forged, _ := good.Sign(ctx, otherPriv)
	for name, c := range map[string]struct {
		env  []byte
		want string
	}{
		"forged": {forged, "signature"}, "garbage": {[]byte("{}x"), "form"}, "huge": {make([]byte, MaxTicket+1), "form"},
		"altered": {bytes.Replace(env, []byte(`"payload":"`), []byte(`"payload":"AAAA`), 1), "signature"},
	} {
		if _, err := OpenTicket(ctx, c.env, []ed25519.PublicKey{pub}); code(err) != c.want {
			t.Errorf("%s: %v, want code %s", name, err, c.want)
		}
	}
	if _, err := OpenTicket(ctx, env, nil); code(err) != "signature" {
		t.Errorf("no operator: %v", err)
	}
	other := *h
	other.Digest = sha256.Sum256([]byte("other"))
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"printer": {good.Check("P2", h, now), "printer"},
		"file":    {good.Check("P1", &other, now), "file"},
		"early":   {good.Check("P1", h, now.Add(-time.Second)), "time"},
		"late":    {good.Check("P1", h, now.Add(2*time.Hour)), "time"},
	} {
		if code(c.err) != c.want {
			t.Errorf("%s: %v, want code %s", name, c.err, c.want)
		}
	}
}

func TestLedger(t *testing.T) {
	b := newBox(t)
	tk := Ticket{Job: bytes.Repeat([]byte{7}, 16), Copies: 2, NotBefore: b.now, NotAfter: b.now}
	for i := range 3 {
		if err := b.open().Take(t.Context(), tk, b.now); (err == nil) != (i < 2) { // each copy after a restart
			t.Errorf("copy %d: %v", i+1, err)
		}
	}
	os.WriteFile(b.path, []byte("{"), 0o600)
	if b.open().Problem() == nil {
		t.Error("a torn ledger opens")
	}
}

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a second agent can listen")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- s.Serve(ctx, func(ctx context.Context, req Request, f *os.File, reply func(Reply) error) error {
			switch req.Op {
			case OpPrint:
				b := make([]byte, 5)
				f.ReadAt(b, 0)
				reply(Reply{Event: "read", Text: string(b)})
				return refuse("copies", "all were printed")
			case OpHalt:
				<-ctx.Done() // until the client goes
				return ctx.Err()
			}
			return reply(Reply{Status: &Status{Printer: "P1"}})
		})
	}()
	file, _ := os.CreateTemp(t.TempDir(), "")
	file.WriteString("hello")
	var events []string
	last, err := Ask(ctx, path, Request{Op: OpPrint}, file, func(r Reply) { events = append(events, r.Event+" "+r.Text) })
	if err == nil || last.Code != "ticket-copies" || len(events) != 1 || events[0] != "read hello" {
		t.Errorf("print: %+v, %v, events %v", last, err, events)
	}
	var printer string
	if _, err := Ask(ctx, path, Request{Op: OpStatus}, nil, func(r Reply) { printer = r.Status.Printer }); err != nil || printer != "P1" {
		t.Errorf("status: %q, %v", printer, err)
	}
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if _, err := Ask(short, path, Request{Op: OpHalt}, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("client that goes: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := Ask(t.Context(), path, Request{Op: OpStatus}, nil, nil); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no agent: %v", err)
	}
}
