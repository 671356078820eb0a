package fleet

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"platen/agent/consent"
	"platen/agent/fleet/store"
	"platen/agent/telemetry"
	"platen/agent/uplink"
	"platen/cross/rig/rigtest"
)

var agentDigest = sha256.Sum256([]byte("release 1 of the agent"))

// The whole way: a printer with a real TPM enrols, is granted, is verified, is
// restarted, is replayed, and falls silent within a second of being revoked.
func TestFromEnrolmentToRevocation(t *testing.T) {
	tpm := rigtest.Swtpm(t)
	p := newPrinter(t, tpm)
	dir := t.TempDir()
	cfg := Config{Dir: dir, Name: "Test operator", EKCAs: tpm.CAs, Agents: map[[32]byte]uint64{agentDigest: 1}, NonceEvery: time.Second}
	l, ready, stop := up(t, cfg)

	refused := &uplink.RefusedError{}
	if err := p.enrol(t, ready, ""); !errors.As(err, &refused) {
		t.Fatalf("enrolled without a claim code: %v", err)
	}
	code, _, err := store.NewClaim(dir, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, code); err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, code); !errors.As(err, &refused) {
		t.Fatalf("a claim code was good twice: %v", err)
	}
	if err := p.enrol(t, ready, ""); err != nil {
		t.Fatalf("renewal: %v", err)
	}
	if p.result.Name != "Test operator" || p.result.Printer != p.tpm.ID() {
		t.Errorf("enrolled as %+v", p.result.Name)
	}

	state := t.TempDir()
	halt := p.run(t, state)
	p.grant(t)
	e := l.wait(t, store.Batch, func(e store.Event) bool { return e.Seq == 3 })
	if e.Release != 1 || !e.Fresh || e.Printer != p.tpm.ID().String() || e.Values["temp.bed"] != 23_000 || e.Values["agent.release"] != 1 {
		t.Errorf("batch: %+v", e)
	}

	// An agent that restarts goes on with its chain.
	halt()
	halt = p.run(t, state)
	next := l.wait(t, store.Batch, func(e store.Event) bool { return e.Seq >= 6 })
	if next.NewChain {
		t.Error("the restarted agent began a new chain")
	}

	// So does the fleet's side: what it has seen is not believed again.
	first := <-p.frames
	stop()
	cfg.ListenMQTT, cfg.ListenHTTPS = ready.MQTT, ready.HTTPS[len("https://"):]
	l, _, _ = up(t, cfg)
	l.wait(t, store.Batch, any1)
	link, err := p.dial(consent.Grant{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	halt() // one connection a printer
	if _, err := link.Nonce(ctx); err != nil {
		t.Fatal(err)
	}
	if err := link.Publish(ctx, first); err != nil {
		t.Fatal(err)
	}
	// (A frame whose acknowledgement the restart cut off may have come twice as well.)
	if e := l.wait(t, store.Refused, func(e store.Event) bool { return e.Seq == 1 }); e.Reason != "replayed" {
		t.Errorf("the replayed frame: %+v", e)
	}
	first[500] ^= 1
	if err := link.Publish(ctx, first); err != nil {
		t.Fatal(err)
	}
	l.wait(t, store.Refused, func(e store.Event) bool { return e.Reason != "replayed" })
	if err := link.Close(); err != nil {
		t.Error(err)
	}

	p.run(t, state)
	n := len(l.all(store.Batch))
	l.wait(t, store.Batch, func(e store.Event) bool { return len(l.all(store.Batch)) > n })
	if m := l.all(store.Missing); len(m) != 0 {
		t.Errorf("missing: %+v", m)
	}
	revoked := time.Now()
	if err := p.grants.Revoke(p.result.Recipient, revoked); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	n = len(l.all(store.Batch))
	time.Sleep(3 * time.Second)
	if more := len(l.all(store.Batch)); more != n {
		t.Errorf("%d batches later than a second after revoking", more-n)
	}
	// Control: it was not the network that fell silent.
	p.grant(t)
	l.wait(t, store.Batch, func(e store.Event) bool { return e.At.After(revoked.Add(3 * time.Second)) })
}

// A dropped batch is noticed, an unknown agent is not let in.
func TestDroppedBatchIsNoticed(t *testing.T) {
	tpm := rigtest.Swtpm(t)
	p := newPrinter(t, tpm)
	dir := t.TempDir()
	l, ready, _ := up(t, Config{Dir: dir, EKCAs: tpm.CAs, Agents: map[[32]byte]uint64{agentDigest: 1}, NonceEvery: time.Second})
	code, _, err := store.NewClaim(dir, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.enrol(t, ready, code); err != nil {
		t.Fatal(err)
	}
	// A broker between them swallows the third and fourth batch.
	inner := p.dial
	n := 0
	col, err := telemetry.New(telemetry.Config{Grants: p.grants, Quoter: p.tpm, Dial: func(g consent.Grant) (telemetry.Link, error) {
		link, err := inner(g)
		return &thief{Link: link, n: &n}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- col.Run(ctx) }()
	p.grant(t)
	e := l.wait(t, store.Missing, any1)
	if e.From != 3 || e.To != 4 {
		t.Errorf("missing %d to %d", e.From, e.To)
	}
	l.wait(t, store.Batch, func(e store.Event) bool { return e.Seq == 5 })
	cancel()
	<-done

	// The log on disk tells the same story.
	var kinds []store.Kind
	for e, err := range store.Events(dir) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Event)
		if e.Event == store.Batch && len(e.Frame) < 300 {
			t.Errorf("batch %d is in the log without its evidence", e.Seq)
		}
	}
	if !slices.Contains(kinds, store.Missing) || !slices.Contains(kinds, store.Enrolled) {
		t.Errorf("log: %v", kinds)
	}
}

// thief acknowledges some frames that it does not pass on.
type thief struct {
	telemetry.Link
	n *int
}

func (l *thief) Publish(ctx context.Context, f []byte) error {
	if *l.n++; *l.n == 3 || *l.n == 4 {
		return nil
	}
	return l.Link.Publish(ctx, f)
}

func TestUnknownAgentIsNotLetIn(t *testing.T) {
	tpm := rigtest.Swtpm(t)
	p := newPrinter(t, tpm)
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"unknown agent":     {Config{EKCAs: tpm.CAs}, "unknown_release"},
		"maker not trusted": {Config{Agents: map[[32]byte]uint64{agentDigest: 1}}, "untrusted_tpm"},
	} {
		c.cfg.Dir = t.TempDir()
		l, ready, stop := up(t, c.cfg)
		code, _, err := store.NewClaim(c.cfg.Dir, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		refused := &uplink.RefusedError{}
		if err := p.enrol(t, ready, code); !errors.As(err, &refused) || refused.Reason != c.want {
			t.Errorf("%s: %v", name, err)
		}
		l.wait(t, store.Refused, func(e store.Event) bool { return e.Reason == "enrol: "+c.want })
		stop()
	}
}

func TestUpdateFiles(t *testing.T) {
	repo := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	for path, text := range map[string]string{
		filepath.Join(repo, "timestamp.json"): "0123456789", filepath.Join(repo, ".hidden"): "x", secret: "secret"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(secret, filepath.Join(repo, "link")); err != nil {
		t.Fatal(err)
	}
	_, ready, _ := up(t, Config{Dir: t.TempDir(), TUF: repo})
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(t, ready)}}
	defer c.CloseIdleConnections()
	get := func(method, path, rng string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, ready.HTTPS+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rng != "" {
			req.Header.Set("Range", rng)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, body := get("GET", "/tuf/timestamp.json", ""); code != 200 || body != "0123456789" {
		t.Errorf("control: %d %q", code, body)
	}
	if code, body := get("GET", "/tuf/timestamp.json", "bytes=4-"); code != 206 || body != "456789" {
		t.Errorf("range: %d %q", code, body)
	}
	for _, path := range []string{"/tuf/", "/tuf/.hidden", "/tuf/link", "/tuf/none", "/tuf/../ca/ca.key", "/tuf/%2e%2e/ca.key", "/"} {
		if code, body := get("GET", path, ""); code == 200 {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, _ := get("PUT", "/tuf/timestamp.json", ""); code != 405 {
		t.Errorf("PUT: %d", code)
	}
}
