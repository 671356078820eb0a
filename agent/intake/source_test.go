package intake

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSources signs tickets that say where their file is. None but plain https URLs are signed, or read.
func TestSources(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		sources []string
		ok      bool
	}{
		"none":              {nil, true},
		"one":               {[]string{"https://jobs.example/x?a=1&b=<2>"}, true},
		"eight":             {slices.Repeat([]string{"https://jobs.example:8443/x"}, 8), true},
		"nine":              {slices.Repeat([]string{"https://jobs.example/x"}, 9), false},
		"http":              {[]string{"http://jobs.example/x"}, false},
		"a file":            {[]string{"file:///etc/passwd"}, false},
		"no host":           {[]string{"https:///x"}, false},
		"no URL":            {[]string{"https://[::1"}, false},
		"opaque":            {[]string{"https:jobs.example"}, false},
		"a name and a word": {[]string{"https://user:word@jobs.example/x"}, false},
		"a fragment":        {[]string{"https://jobs.example/x#y"}, false},
		"too long":          {[]string{"https://jobs.example/" + strings.Repeat("x", maxSource)}, false},
		"empty":             {[]string{""}, false},
		"a line break":      {[]string{"https://jobs.example/x\nHost: y"}, false},
	} {
		tk := NewTicket(&Held{Size: 5}, "stl", []string{"P1"}, 1, time.Now(), time.Hour)
		tk.Sources = c.sources
		env, err := tk.Sign(t.Context(), priv)
		if (err == nil) != c.ok {
			t.Errorf("%s: signed: %v", name, err)
			continue
		}
		if !c.ok { // by an operator with other tools
			body, err := json.Marshal(tk)
			if err != nil {
				t.Fatal(err)
			}
			if env, err = signEnvelope(t.Context(), TicketType, body, priv); err != nil {
				t.Fatal(err)
			}
			if e, ok := errors.AsType[*TicketError](second(OpenTicket(t.Context(), env, []ed25519.PublicKey{pub}))); !ok || e.Code != "form" {
				t.Errorf("%s: opened: %v", name, e)
			}
			continue
		}
		got, err := OpenTicket(t.Context(), env, []ed25519.PublicKey{pub})
		if err != nil || !slices.Equal(got.Sources, c.sources) {
			t.Errorf("%s: %q, %v", name, got.Sources, err)
		}
		if peeked, err := PeekTicket(append(env, '\n')); err != nil || !slices.Equal(peeked.Job, got.Job) {
			t.Errorf("%s: unverified: %v", name, err)
		}
	}
	for _, bad := range []string{"", "{}", `{"payloadType":"` + TicketType + `","payload":"?","signatures":[]}`, strings.Repeat(" ", MaxTicket+1)} {
		if _, err := PeekTicket([]byte(bad)); err == nil {
			t.Errorf("%.40q is a ticket", bad)
		}
	}
}

func second(_ Ticket, err error) error { return err }

// TestOffered: a ticket whose file is not there yet is held against the printer and the time.
func TestOffered(t *testing.T) {
	now := time.Now()
	tk := NewTicket(&Held{}, "stl", []string{"P1"}, 1, now, time.Hour)
	for name, c := range map[string]struct {
		printer string
		at      time.Duration
		want    string
	}{
		"control": {"P1", time.Minute, ""}, "early": {"P1", -time.Minute, ""}, "ended": {"P1", 2 * time.Hour, "time"}, "another": {"P2", 0, "printer"},
	} {
		got := ""
		if e, ok := errors.AsType[*TicketError](tk.Offered(c.printer, now.Add(c.at))); ok {
			got = e.Code
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestFilling writes a file in pieces, begins anew, and cannot change it after it is held.
func TestFilling(t *testing.T) {
	key, _ := jobKey(t)
	file := seal(t, []byte("model"), key)
	want, err := Hold(bytes.NewReader(file), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	f, err := NewFilling()
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		t.Helper()
		if n, err := f.Write(b); err != nil || n != len(b) {
			t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
		}
	}
	write([]byte("something else, which is longer than the file that comes, or so it seems"))
	if err := f.Reset(); err != nil || f.Len() != 0 {
		t.Fatalf("%d bytes after a new beginning: %v", f.Len(), err)
	}
	write(file[:10])
	write(file[10:])
	if f.Len() != want.Size || f.Digest() != want.Digest {
		t.Errorf("%d bytes with digest %x, want %d with %x", f.Len(), f.Digest(), want.Size, want.Digest)
	}
	h, err := f.Held()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r, err := h.File()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, file) || h.Digest != want.Digest || h.Size != want.Size {
		t.Errorf("%d bytes are held of %d: %v", len(got), len(file), err)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("what is held was changed")
	}
}
