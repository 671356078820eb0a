package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"platen/agent/fleet/ca"
	"platen/agent/intake"
	"platen/agent/intake/fetch"
)

// sealed is a sealed file of some length.
func sealed(t *testing.T, n int) []byte {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, id.Recipient())
	if err == nil {
		_, err = w.Write(make([]byte, n))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ticket is one for a file, with the job id 0101…, 0202… and so on.
func ticket(n byte, file []byte, sources ...string) intake.Ticket {
	sum := sha256.Sum256(file)
	now := time.Now()
	return intake.Ticket{Job: bytes.Repeat([]byte{n}, 16), Digest: sum[:], Size: int64(len(file)), Format: "stl", Printers: []string{"P"},
		Copies: 1, NotBefore: now, NotAfter: now.Add(time.Hour), Sources: sources}
}

func hold(t *testing.T, file []byte) *intake.Held {
	t.Helper()
	h, err := intake.Hold(bytes.NewReader(file), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func quiet(l Limits) *Queue { return New(l, slog.New(slog.DiscardHandler)) }

// code is the code of an error, "" for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	if c, ok := err.(intake.Coded); ok {
		return c.ErrorCode()
	}
	return err.Error()
}

// shown is the queue in short.
func shown(q *Queue) string {
	var s []string
	for _, j := range q.List() {
		s = append(s, strings.TrimSuffix(fmt.Sprintf("%s %s %s", j.ID[:2], j.State, j.Why), " "))
	}
	return strings.Join(s, ", ")
}

// held is how many sealed jobs this process has in memory files.
func held(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		t.Skip("needs /proc")
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, "sealed-job") {
			n++
		}
	}
	return n
}

func TestQueueIsBounded(t *testing.T) {
	before := held(t)
	file := sealed(t, 1000)
	q := quiet(Limits{Jobs: 3, Bytes: int64(len(file))*2 + 10, Each: int64(len(file))})
	add := func(n byte, f []byte) string {
		h := hold(t, f)
		err := q.Add(ticket(n, f), h)
		if err != nil {
			h.Close()
		}
		return code(err)
	}
	for i, c := range []struct{ got, want string }{
		{add(1, file), ""},
		{add(1, file), "queue-known"},
		{code(q.Offer(ticket(1, file, "https://a/b"))), "queue-known"},
		{code(q.Offer(ticket(2, file, "https://a/b"))), ""},
		{code(q.Offer(ticket(2, file, "https://a/b"))), "queue-known"},
		{add(3, file), "queue-full"},                                      // bytes
		{code(q.Room(ticket(9, nil), 11)), "queue-full"},                  //
		{code(q.Room(ticket(9, nil), 10)), ""},                            // control
		{add(3, sealed(t, 2000)), "queue-large"},                          //
		{code(q.Room(ticket(9, nil), int64(len(file))+1)), "queue-large"}, //
		{code(q.Offer(ticket(3, file))), "queue-source"},                  //
		{code(q.Offer(ticket(3, nil, "https://a/b"))), "file-not-sealed"}, //
		{code(q.Drop("02")), ""},
		{add(3, file), ""}, // control: there is room again
		{code(q.Drop("03")), ""},
	} {
		if c.got != c.want {
			t.Errorf("step %d: %q, want %q", i, c.got, c.want)
		}
	}
	q.Close()
	small := sealed(t, 1)
	q = quiet(Limits{Jobs: 2, Bytes: 1 << 20, Each: 1 << 20})
	if got := add(1, small) + add(2, small) + add(3, small) + code(q.Room(ticket(9, nil), 1)); got != "queue-fullqueue-full" {
		t.Errorf("by number: %q", got)
	}
	if n := held(t); n < before+2 {
		t.Errorf("control: %d memory files, %d before", n, before)
	}
	q.Close()
	if s := shown(q); s != "" {
		t.Errorf("after the end: %s", s)
	}
}

// TestReplacedInPlace: a job takes the room of the one that it replaces, and where there is not
// enough even then, that one stays.
func TestReplacedInPlace(t *testing.T) {
	file, larger := sealed(t, 1000), sealed(t, 2000)
	q := quiet(Limits{Jobs: 2, Bytes: int64(len(file)) * 2, Each: int64(len(larger))})
	defer q.Close()
	for n := byte(1); n <= 2; n++ { // by number and by bytes, the queue is full
		if err := q.Offer(ticket(n, file, "https://a/b")); err != nil {
			t.Fatal(err)
		}
	}
	h := hold(t, larger)
	defer h.Close()
	if err := q.Add(ticket(1, larger), h); code(err) != "queue-full" || shown(q) != "01 waiting, 02 waiting" {
		t.Errorf("one that is too large: %v; left are %s", err, shown(q))
	}
	tk := ticket(1, file)
	if err := q.Room(tk, int64(len(file))); err != nil {
		t.Errorf("room in its own place: %v", err)
	}
	if err := q.Room(ticket(3, file), 1); code(err) != "queue-full" {
		t.Errorf("control: another one finds room: %v", err)
	}
	if err := q.Add(tk, hold(t, file)); err != nil || shown(q) != "02 waiting, 01 ready" {
		t.Errorf("in its own place: %v; there are %s", err, shown(q))
	}
}

// TestQueueLetsMemoryGo counts memory files.
func TestQueueLetsMemoryGo(t *testing.T) {
	before := held(t)
	file := sealed(t, 1000)
	q := quiet(Limits{Jobs: 8, Bytes: 1 << 20, Each: 1 << 20})
	for n := range byte(4) {
		if err := q.Add(ticket(n+1, file), hold(t, file)); err != nil {
			t.Fatal(err)
		}
	}
	if n := held(t); n != before+4 {
		t.Fatalf("control: %d memory files, want %d", n, before+4)
	}
	id, _, _, err := q.Take("02")
	if err = errors.Join(err, q.Drop("01")); err != nil {
		t.Fatal(err)
	}
	q.Give(id, Over)
	if n := held(t); n != before+2 {
		t.Errorf("one dropped and one printed: %d memory files, want %d", n, before+2)
	}
	q.Close()
	if n := held(t); n != before {
		t.Errorf("after the end: %d memory files, want %d", n, before)
	}
}

func TestTakeAndGive(t *testing.T) {
	file := sealed(t, 10)
	q := quiet(Limits{Jobs: 8, Bytes: 1 << 20, Each: 1 << 20})
	defer q.Close()
	early := ticket(1, file)
	early.NotBefore = time.Now().Add(30 * time.Minute)
	for _, tk := range []intake.Ticket{early, ticket(2, file), ticket(3, file)} {
		if err := q.Add(tk, hold(t, file)); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Offer(ticket(4, file, "https://a/b")); err != nil {
		t.Fatal(err)
	}
	take := func(id string) string {
		full, tk, h, err := q.Take(id)
		if err == nil && (h == nil || len(full) != 32 || !strings.HasPrefix(full, fmt.Sprintf("%02x", tk.Job[0]))) {
			t.Errorf("%s: took %q, %v", id, full, h)
		}
		if err != nil {
			return code(err)
		}
		return full[:2]
	}
	step := func(got, want, now string) {
		t.Helper()
		if s := shown(q); got != want || s != now {
			t.Errorf("%q, want %q; the queue is %s, want %s", got, want, s, now)
		}
	}
	step(take("01"), "queue-early", "01 ready, 02 ready, 03 ready, 04 waiting")
	step(take("04"), "queue-waiting", "01 ready, 02 ready, 03 ready, 04 waiting")
	step(take("0"), "queue-many", "01 ready, 02 ready, 03 ready, 04 waiting")
	step(take("")+take("x"), "queue-nonequeue-none", "01 ready, 02 ready, 03 ready, 04 waiting")
	step(take("next"), "02", "01 ready, 02 printing, 03 ready, 04 waiting")
	step(take("02"), "queue-printing", "01 ready, 02 printing, 03 ready, 04 waiting")
	step(code(q.Drop("02"))+code(q.Drop("next")), "queue-printingqueue-none", "01 ready, 02 printing, 03 ready, 04 waiting")
	step(take("next"), "03", "01 ready, 02 printing, 03 printing, 04 waiting")
	full := func(n byte) string { return fmt.Sprintf("%x", bytes.Repeat([]byte{n}, 16)) }
	q.Give(full(2), Broke)
	step(take("next"), "queue-none", "01 ready, 02 stopped, 03 printing, 04 waiting")
	step(take("02"), "02", "01 ready, 02 printing, 03 printing, 04 waiting")
	q.Give(full(2), Over)
	q.Give(full(3), Again)
	q.Give(full(1), Over) // it was not taken
	q.Give(full(9), Over)
	step(take("next"), "03", "01 ready, 03 printing, 04 waiting")
}

// TestTicketsEnd in a bubble: jobs leave when their tickets end, but not in the middle of their print.
func TestTicketsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := sealed(t, 10)
		q := quiet(Limits{Jobs: 8, Bytes: 1 << 20, Each: 1 << 20})
		for n := range byte(2) {
			if err := q.Add(ticket(n+1, file), hold(t, file)); err != nil {
				t.Fatal(err)
			}
		}
		id, _, _, err := q.Take("02")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		if s := shown(q); s != "01 ready, 02 printing" {
			t.Errorf("control: %s", s)
		}
		time.Sleep(2 * time.Minute)
		if s := shown(q); s != "02 printing" {
			t.Errorf("after an hour: %s", s)
		}
		q.Give(id, Again)
		if s := shown(q); s != "" {
			t.Errorf("after its print: %s", s)
		}
	})
}

// store is a source that serves a file, and what it is told to do instead.
type store struct {
	*httptest.Server
	mu   sync.Mutex
	hook http.HandlerFunc
}

func (s *store) do(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

func serve(t *testing.T, file []byte) (*store, *fetch.Client) {
	t.Helper()
	a, err := ca.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Server([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		hook := s.hook
		s.mu.Unlock()
		if hook != nil {
			hook(w, r)
			return
		}
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s, fetch.New(a.Pool())
}

// running runs a queue until the function it returns is called.
func running(t *testing.T, q *Queue, c *fetch.Client) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { q.Run(ctx, c) })
	return func() { cancel(); run.Wait() }
}

// until waits until the queue is as wanted.
func until(t *testing.T, q *Queue, want string) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		changed := q.Changed()
		if shown(q) == want {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("the queue is %s, want %s", shown(q), want)
		}
	}
}

// TestFetching takes jobs from their offers to where they can be printed: by way of a
// break, of a source that does not have the file, and of being dropped meanwhile.
func TestFetching(t *testing.T) {
	before := held(t)
	file := sealed(t, 200_000)
	s, c := serve(t, file)
	q := quiet(Limits{Jobs: 8, Bytes: 1 << 20, Each: 1 << 20})
	defer running(t, q, c)()
	broken := make(chan struct{}, 1)
	s.do(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		w.Write(file[:100_000])
		s.do(nil)
		broken <- struct{}{}
		panic(http.ErrAbortHandler)
	})
	if err := q.Offer(ticket(1, file, s.URL)); err != nil {
		t.Fatal(err)
	}
	<-broken
	until(t, q, "01 ready")
	_, tk, h, err := q.Take("01")
	if err != nil || tk.IsFor(h) != nil {
		t.Fatalf("%v, %v", err, tk.IsFor(h))
	}
	s.do(http.NotFound)
	if err := q.Offer(ticket(2, file, s.URL)); err != nil {
		t.Fatal(err)
	}
	until(t, q, "01 printing, 02 failed status")
	if _, _, _, err := q.Take("02"); code(err) != "queue-waiting" {
		t.Errorf("a file that is nowhere is printed: %v", err)
	}
	s.do(nil)
	if err := q.Offer(ticket(2, file, s.URL)); err != nil { // offered again
		t.Fatal(err)
	}
	until(t, q, "01 printing, 02 ready")
	entered, left := make(chan struct{}), make(chan struct{})
	s.do(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(left)
	})
	if err := q.Offer(ticket(3, file, s.URL)); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := q.Drop("03"); err != nil || shown(q) != "01 printing, 02 ready" {
		t.Errorf("dropped in the middle: %v, %s", err, shown(q))
	}
	<-left // the request has ended with its job
	junk := []byte("no sealed file")
	s.do(func(w http.ResponseWriter, _ *http.Request) { w.Write(junk) })
	if err := q.Offer(ticket(4, junk, s.URL)); err != nil {
		t.Fatal(err)
	}
	until(t, q, "01 printing, 02 ready, 04 failed file-not-sealed")
	q.Close()
	if n := held(t); n != before {
		t.Errorf("after the end: %d memory files, want %d", n, before)
	}
}

// TestReplacedBeforeItsAttempt: a job whose file was added in the moment before its turn is not fetched
// any more.
func TestReplacedBeforeItsAttempt(t *testing.T) {
	file := sealed(t, 1000)
	s, c := serve(t, file)
	q := quiet(Limits{Jobs: 8, Bytes: 1 << 20, Each: 1 << 20})
	defer q.Close()
	var asked atomic.Int32
	s.do(func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	if err := q.Offer(ticket(1, file, s.URL)); err != nil {
		t.Fatal(err)
	}
	old, _ := q.due()
	if err := q.Add(ticket(1, file), hold(t, file)); err != nil {
		t.Fatal(err)
	}
	q.attempt(t.Context(), c, old)
	if s := shown(q); asked.Load() != 0 || old.state != Waiting || s != "01 ready" {
		t.Errorf("asked %d times for a job that is %s; the queue is %s", asked.Load(), old.state, s)
	}
	if err := q.Offer(ticket(2, file, s.URL)); err != nil {
		t.Fatal(err)
	}
	other, _ := q.due()
	if q.attempt(t.Context(), c, other); asked.Load() != 1 {
		t.Errorf("control: asked %d times", asked.Load())
	}
}

// TestOneJobHoldsNoneUp: while the source of one job cannot be trusted, the next one's file comes.
func TestOneJobHoldsNoneUp(t *testing.T) {
	file := sealed(t, 1000)
	s, c := serve(t, file)
	down, _ := serve(t, file)
	q := quiet(Limits{Jobs: 8, Bytes: 1 << 20, Each: 1 << 20})
	defer q.Close()
	defer running(t, q, c)()
	if err := errors.Join(q.Offer(ticket(1, file, down.URL)), q.Offer(ticket(2, file, s.URL))); err != nil {
		t.Fatal(err)
	}
	until(t, q, "01 waiting certificate, 02 ready") // its CA is another one: it is asked again and again
}
