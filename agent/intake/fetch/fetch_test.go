package fetch

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/fleet/ca"
	"platen/agent/intake"
)

// content is a file that is longer than a few buffers.
var content = func() []byte {
	b := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// secret is what must not be seen in any error: the path of a source, and what servers say.
const secret = "turbine-blade"

// site is a source in a test.
type site struct {
	*httptest.Server
	asked atomic.Int32
}

func (s *site) url() string { return s.URL + "/" + secret + ".age" }

// authority is one that certifies sources.
type authority struct {
	*ca.CA
	certs map[string]tls.Certificate // by host
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &authority{a, map[string]tls.Certificate{}}
}

// serve makes a source whose certificate is a's, for host.
func serve(t *testing.T, a *authority, host string, h http.HandlerFunc) *site {
	t.Helper()
	cert, ok := a.certs[host]
	if !ok {
		var err error
		if cert, err = a.Server([]string{host}); err != nil {
			t.Fatal(err)
		}
		a.certs[host] = cert
	}
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		h(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	return s
}

func (s *site) start(t *testing.T) *site {
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// whole serves the file as a good server does, by ranges.
func whole(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"one"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// torn serves n bytes of what is asked for, and then ends the connection.
func torn(n int, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h(&cut{w, n}, r)
		panic(http.ErrAbortHandler)
	}
}

// cut is a writer that ends.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	p = p[:min(len(p), c.left)]
	c.left -= len(p)
	n, err := c.ResponseWriter.Write(p)
	c.ResponseWriter.(http.Flusher).Flush()
	if err == nil && c.left == 0 {
		err = io.ErrShortWrite
	}
	return n, err
}

// part answers with a part, whatever was asked for.
func part(header, etag string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set("Content-Range", header)
		}
		w.Header().Set("ETag", etag)
		w.WriteHeader(http.StatusPartialContent)
		w.Write(body)
	}
}

// turns serves each request by the next of hs, the last of them for ever.
func turns(hs ...http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		hs[min(int(n.Add(1)), len(hs))-1](w, r)
	}
}

// download of the content into a new memory file.
func download(t *testing.T, sources ...string) (*Download, *intake.Filling) {
	t.Helper()
	sink, err := intake.NewFilling()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return NewDownload(File{sources, int64(len(content)), sha256.Sum256(content)}, sink), sink
}

// attempts makes attempts until there is an end, and returns the code of each.
func attempts(t *testing.T, c *Client, d *Download, sink *intake.Filling) (codes []string) {
	t.Helper()
	for range 5 {
		err := c.Attempt(t.Context(), d)
		if sink.Len() > int64(len(content)) {
			t.Fatalf("%d bytes are kept of a file of %d", sink.Len(), len(content))
		}
		if err == nil {
			if sink.Digest() != sha256.Sum256(content) {
				t.Error("another file was taken")
			}
			return append(codes, "ok")
		}
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("attempt: %v", err)
		}
		if strings.Contains(e.What, secret) || strings.Contains(err.Error(), "127.0.0.1:") && e.Code != "unreachable" {
			t.Errorf("the error says too much: %v", err)
		}
		if codes = append(codes, e.Code); e.Final {
			return append(codes, "final")
		}
	}
	return append(codes, "again")
}

// TestHostileSources is T01 and the network of T03: what one source alone can do. Each row says how its
// attempts end.
func TestHostileSources(t *testing.T) {
	size := len(content)
	rest := func(from int) string { return fmt.Sprintf("bytes %d-%d/%d", from, size-1, size) }
	half := torn(size/2, whole)
	a := newAuthority(t)
	other := bytes.Repeat([]byte{7}, size)
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"control":                       {whole, "ok"},
		"control: breaks off once":      {turns(half, whole), "broken ok"},
		"control: breaks off thrice":    {turns(torn(100_000, whole), torn(100_000, whole), torn(50_000, whole), whole), "broken broken broken ok"},
		"control: short parts":          {turns(half, part(fmt.Sprintf("bytes %d-%d/%d", size/2, size/2+9, size), `"one"`, content[size/2:size/2+10]), whole), "broken broken ok"},
		"no ranges":                     {turns(half, func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }), "broken ok"},
		"no ranges, and always broken":  {func(w http.ResponseWriter, _ *http.Request) { half(w, &http.Request{Method: "GET"}) }, "broken broken broken broken unsteady final"},
		"a part that begins elsewhere":  {turns(half, part(rest(1), `"one"`, content[1:])), "broken range final"},
		"a part before what is there":   {turns(half, part(rest(size/2-1), `"one"`, content[size/2-1:])), "broken range final"},
		"a part that does not say what": {turns(half, part("", `"one"`, content[size/2:])), "broken range final"},
		"a part that lies with words":   {turns(half, part(rest(size/2)+" "+secret, `"one"`, content[size/2:])), "broken range final"},
		"a part of unknown size":        {turns(half, part(fmt.Sprintf("bytes %d-%d/*", size/2, size-1), `"one"`, content[size/2:])), "broken range final"},
		"a part of a longer file":       {turns(half, part(fmt.Sprintf("bytes %d-%d/%d", size/2, size-1, size+1), `"one"`, content[size/2:])), "broken size final"},
		"a part that ends before":       {turns(half, part(fmt.Sprintf("bytes %d-%d/%d", size/2, size/2-1, size), `"one"`, nil)), "broken range final"},
		"a part nobody asked for":       {part(rest(0), `"one"`, content), "range final"},
		"a part of another file":        {turns(half, part(rest(size/2), `"two"`, content[size/2:]), whole), "broken broken ok"},
		"a file that changes":           {turns(half, func(w http.ResponseWriter, _ *http.Request) { w.Write(other) }), "broken digest final"},
		"another file":                  {func(w http.ResponseWriter, _ *http.Request) { w.Write(other) }, "digest final"},
		"one bit":                       {func(w http.ResponseWriter, _ *http.Request) { b := bytes.Clone(content); b[9] ^= 1; w.Write(b) }, "digest final"},
		"a short file": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Write(content[:5])
		}, "size final"},
		"a longer file": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999999")
			w.Write(content)
		}, "size final"},
		"an endless file":              {endless, "digest final"},
		"endless headers":              {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat(secret, 1<<16)) }, "broken again"},
		"an encoding":                  {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Encoding", "gzip"); whole(w, r) }, "status final"},
		"not there":                    {http.NotFound, "status final"},
		"a login page":                 {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>"+secret) }, "size final"}, // captive portal
		"overload":                     {turns(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, http.StatusServiceUnavailable) }, whole), "busy ok"},
		"a redirect without end":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, "moved final"},
		"a redirect to nowhere":        {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusFound) }, "status final"},
		"a redirect in the same place": {turns(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusFound) }, whole), "ok"},
		"a range it does not have":     {turns(half, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) }), "broken size final"},
		"a new protocol":               {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUpgradeRequired) }, "status final"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, a, "127.0.0.1", c.h).start(t)
			d, sink := download(t, s.url())
			codes := attempts(t, New(a.Pool()), d, sink)
			got := strings.Join(codes, " ")
			if n := len(codes); codes[n-1] == "again" { // for ever: each the same
				got = codes[0] + " again"
			}
			if got != c.want {
				t.Errorf("attempts: %s, want %s", got, c.want)
			}
		})
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	for junk := make([]byte, 1<<16); r.Context().Err() == nil; {
		if _, err := w.Write(junk); err != nil {
			return
		}
	}
}

// TestResumesWhereItWas looks at what is asked for after a break: the rest, of the same file.
func TestResumesWhereItWas(t *testing.T) {
	a := newAuthority(t)
	var asked []string
	note := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
			h(w, r)
		}
	}
	s := serve(t, a, "127.0.0.1", note(turns(torn(70_000, whole), torn(100_000, whole), whole))).start(t)
	d, sink := download(t, s.url())
	if got := strings.Join(attempts(t, New(a.Pool()), d, sink), " "); got != "broken broken ok" {
		t.Fatalf("attempts: %s", got)
	}
	if want := []string{" ", `bytes=70000- "one"`, `bytes=170000- "one"`}; fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// TestNobodyElseIsAsked: T01. Not a byte goes to who cannot prove to be the source, or to a
// place that the ticket does not name.
func TestNobodyElseIsAsked(t *testing.T) {
	good, rogue := newAuthority(t), newAuthority(t)
	elsewhere := serve(t, good, "127.0.0.1", whole).start(t)
	old := serve(t, good, "127.0.0.1", whole)
	old.TLS.MaxVersion = tls.VersionTLS12
	plain := httptest.NewServer(http.HandlerFunc(whole))
	defer plain.Close()
	to := func(url string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusTemporaryRedirect) }
	}
	for name, c := range map[string]struct {
		s     *site
		asked int32
		want  string
	}{
		"rogue CA":           {serve(t, rogue, "127.0.0.1", whole).start(t), 0, "certificate"},
		"another name":       {serve(t, good, "jobs.example", whole).start(t), 0, "certificate"},
		"TLS 1.2":            {old.start(t), 0, "broken"},
		"redirect":           {serve(t, good, "127.0.0.1", to(elsewhere.url())).start(t), 1, "moved"},
		"redirect to http":   {serve(t, good, "127.0.0.1", to(plain.URL)).start(t), 1, "moved"},
		"redirect to a file": {serve(t, good, "127.0.0.1", to("file:///etc/passwd")).start(t), 1, "moved"},
	} {
		d, sink := download(t, c.s.url())
		if got := attempts(t, New(good.Pool()), d, sink); got[0] != c.want || sink.Len() != 0 {
			t.Errorf("%s: %s with %d bytes, want %s", name, got[0], sink.Len(), c.want)
		}
		if n := c.s.asked.Load(); c.asked == 0 && n != 0 || c.asked != 0 && n != c.asked {
			t.Errorf("%s: it was asked %d times", name, n)
		}
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("another place was asked %d times", n)
	}
	d, sink := download(t, elsewhere.url())
	if got := attempts(t, New(good.Pool()), d, sink); got[0] != "ok" || elsewhere.asked.Load() != 1 {
		t.Errorf("control: %s", got)
	}
}

// TestSlowSources: one that drips and one that is silent hold nothing up for longer than they may.
func TestSlowSources(t *testing.T) {
	a := newAuthority(t)
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	for name, h := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-gone:
			}
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		c := New(a.Pool())
		c.stall = 300 * time.Millisecond // a byte each 10 ms is far too little at any speed of this machine
		s := serve(t, a, "127.0.0.1", h).start(t)
		d, _ := download(t, s.url())
		e, ok := errors.AsType[*Error](c.Attempt(t.Context(), d))
		if !ok || e.Code != "slow" || e.Final {
			t.Errorf("%s: %v", name, e)
		}
		if wait := time.Until(d.Due()); wait > backoffMax {
			t.Errorf("%s: the next attempt is in %v", name, wait)
		}
	}
}

// TestSourcesInTurn asks the second source when the first fails, and comes back to what the first
// has begun.
func TestSourcesInTurn(t *testing.T) {
	a := newAuthority(t)
	missing := serve(t, a, "127.0.0.1", http.NotFound).start(t)
	wrong := serve(t, a, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, len(content))) }).start(t)
	good := serve(t, a, "127.0.0.1", whole).start(t)
	d, sink := download(t, missing.url(), wrong.url(), good.url())
	if got := strings.Join(attempts(t, New(a.Pool()), d, sink), " "); got != "status digest ok" {
		t.Errorf("attempts: %s", got)
	}
	down := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	first := serve(t, a, "127.0.0.1", turns(torn(200_000, whole), down, whole)).start(t)
	second := serve(t, a, "127.0.0.1", down).start(t)
	d, sink = download(t, first.url(), second.url())
	if got := strings.Join(attempts(t, New(a.Pool()), d, sink), " "); got != "broken broken broken ok" || second.asked.Load() != 1 {
		t.Errorf("attempts: %s, the second was asked %d times", got, second.asked.Load())
	}
	short := torn(10_000, whole)
	first = serve(t, a, "127.0.0.1", turns(short, short, short, short, short, whole)).start(t)
	second = serve(t, a, "127.0.0.1", short).start(t)
	d, sink = download(t, first.url(), second.url())
	codes := append(attempts(t, New(a.Pool()), d, sink), attempts(t, New(a.Pool()), d, sink)...) // on a bad network neither is at fault
	if got, want := strings.Join(append(codes, attempts(t, New(a.Pool()), d, sink)...), " "), strings.Repeat("broken broken broken broken broken again ", 2)+"ok"; got != want {
		t.Errorf("attempts: %s, want %s", got, want)
	}
	d, sink = download(t)
	if got := strings.Join(attempts(t, New(a.Pool()), d, sink), " "); got != "status final" {
		t.Errorf("without sources: %s", got)
	}
}

// TestBackoff bounds the wait between attempts, whose growth the network cannot stop.
func TestBackoff(t *testing.T) {
	for n := range 100 {
		if d := backoff(n); d < backoffMin/2 || d > backoffMax || n >= 10 && d < backoffMax/2 {
			t.Errorf("after %d failures %v", n, d)
		}
	}
}

// TestNetworkDown is T03: a week without a network, in the middle of a file. What was there is kept, and the
// attempts are few.
func TestNetworkDown(t *testing.T) {
	a := newAuthority(t)
	cert, err := a.Server([]string{"jobs.example"})
	if err != nil {
		t.Fatal(err)
	}
	span := 7 * 24 * time.Hour
	if testing.Short() {
		span /= 7
	}
	now := time.Now() // in a bubble it is another time, for which no certificate is valid
	synctest.Test(t, func(t *testing.T) {
		d, sink := download(t, "https://jobs.example/x")
		n, down := len(content)/2, false
		c := New(a.Pool())
		tr := c.http.Transport.(*http.Transport)
		tr.TLSClientConfig.Time = func() time.Time { return now }
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			if down {
				return nil, &net.OpError{Op: "dial", Err: errors.New("network is unreachable")}
			}
			near, far := net.Pipe()
			go func() {
				answer(tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}}), n)
				far.Close()
			}()
			return near, nil
		}
		if e, ok := errors.AsType[*Error](c.Attempt(t.Context(), d)); !ok || e.Code != "broken" || sink.Len() != int64(n) {
			t.Fatalf("control: %v with %d bytes", e, sink.Len())
		}
		down = true
		tries := 0
		for back := time.Now().Add(span); time.Now().Before(back); tries++ {
			time.Sleep(time.Until(d.Due()))
			if e, ok := errors.AsType[*Error](c.Attempt(t.Context(), d)); !ok || e.Code != "unreachable" || e.Final {
				t.Fatalf("attempt %d: %v", tries, e)
			}
		}
		if most := int(span / (backoffMax / 2)); tries < most/3 || tries > most+20 {
			t.Errorf("%d attempts in %v", tries, span)
		}
		down, n = false, len(content)
		time.Sleep(time.Until(d.Due()))
		if err := c.Attempt(t.Context(), d); err != nil {
			t.Errorf("when the network is back: %v", err)
		}
	})
}

// answer is a source over one connection: it sends the file up to its nth byte.
func answer(conn net.Conn, n int) {
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	var from int
	status, size := "200 OK", len(content)
	if _, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		status = fmt.Sprintf("206 Partial Content\r\nContent-Range: bytes %d-%d/%d", from, size-1, size)
	}
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n", status, size-from)
	conn.Write(content[from:n])
}
