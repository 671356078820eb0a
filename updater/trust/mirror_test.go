package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"platen/updater"
)

func TestEndlessData(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	rel := l.release(2)
	forever := func(w http.ResponseWriter, r *http.Request) {
		junk := bytes.Repeat([]byte("x"), 1<<16)
		for r.Context().Err() == nil {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, path := range []string{"2.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json"} {
		l.hook(path, forever)
		refused(t, c, updater.ErrTooLong)
		l.heal()
	}
	target := mustRefresh(t, c, 2)
	l.hook("targets/sim/agent/2/"+rel.SHA256+".platen", forever)
	var n counter
	if err := c.Download(context.Background(), target, &n); !errors.Is(err, updater.ErrTooLong) {
		t.Errorf("download: %v", err)
	}
	if int64(n) > target.Size {
		t.Errorf("%d bytes of a target of %d were written", n, target.Size)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("%d bytes were allocated for endless files", grown)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func TestSlowData(t *testing.T) {
	l := newLab(t)
	l.release(1)
	cfg := l.config(t.TempDir())
	cfg.Stall = 200 * time.Millisecond
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, hook := range map[string]http.HandlerFunc{"drip": drip, "silent": silent} {
		l.hook("timestamp.json", hook)
		begun := time.Now()
		refused(t, c, updater.ErrSlow)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: held for %v", name, took)
		}
	}
	l.heal()
	target := mustRefresh(t, l.client(), 1)
	l.hook("targets/sim/agent/1/"+hexOf(target)+".platen", drip)
	if _, err := fetched(t, c, target); !errors.Is(err, updater.ErrSlow) {
		t.Errorf("download: %v", err)
	}
}

func hexOf(t updater.Target) string { return fmt.Sprintf("%x", t.SHA256) }

// lying serves a part of a file as if it were all of it.
func lying(data []byte, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data[:n])
	}
}

func TestTruncation(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	rel := l.release(2)
	for _, path := range []string{"timestamp.json", "3.snapshot.json", "3.targets.json"} {
		data := l.read(path)
		l.hook(path, lying(data, len(data)/2))
		refused(t, c, updater.ErrTruncated)
		l.heal()
	}
	l.serve("3.targets.json", l.read("3.targets.json")[:100]) // honest length, half a file
	refused(t, c, updater.ErrMixed)
	l.heal()
	target := mustRefresh(t, c, 2)
	path := "targets/sim/agent/2/" + rel.SHA256 + ".platen"
	l.hook(path, func(w http.ResponseWriter, _ *http.Request) { w.Write(image(2)[:1000]) })
	got, err := fetched(t, c, target)
	if !errors.Is(err, updater.ErrTruncated) || len(got) != 1000 {
		t.Errorf("download of a mirror that always stops: %d bytes, %v", len(got), err)
	}
}

func TestResume(t *testing.T) {
	l := newLab(t)
	rel := l.release(1)
	c := l.client()
	target := mustRefresh(t, c, 1)
	path := "targets/sim/agent/1/" + rel.SHA256 + ".platen"
	l.requests()
	l.hook(path, func(w http.ResponseWriter, r *http.Request) {
		l.hook(path, nil) // breaks once
		lying(image(1), 70000)(w, r)
	})
	got, err := fetched(t, c, target)
	if err != nil || !bytes.Equal(got, image(1)) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	reqs := l.requests()
	if len(reqs) != 2 || reqs[0] != path || reqs[1] == path {
		t.Errorf("requests %q; want a whole one and a range", reqs)
	}
	// A server that does not know ranges sends everything again.
	l.hook(path, func(w http.ResponseWriter, r *http.Request) {
		l.hook(path, func(w http.ResponseWriter, _ *http.Request) { w.Write(image(1)) })
		lying(image(1), 70000)(w, r)
	})
	if got, err := fetched(t, c, target); err != nil || !bytes.Equal(got, image(1)) {
		t.Fatalf("without ranges: %d bytes, %v", len(got), err)
	}
}

func TestTamperedTarget(t *testing.T) {
	l := newLab(t)
	rel := l.release(1)
	c := l.client()
	target := mustRefresh(t, c, 1)
	bad := image(1)
	bad[len(bad)/2] ^= 1
	l.serve("targets/sim/agent/1/"+rel.SHA256+".platen", bad)
	if _, err := fetched(t, c, target); !errors.Is(err, updater.ErrTarget) || updater.Code(err) != "target" {
		t.Errorf("a flipped bit: %v", err)
	}
}

// endless is a repository of one file of a given length, made as it is read.
type endless int64

func (e endless) open(_ context.Context, _ string, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeros{}, int64(e)-offset)), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestConstantMemory downloads a target much larger than the memory it may take.
func TestConstantMemory(t *testing.T) {
	const size = 64 << 20
	l := newLab(t)
	c := l.client()
	c.mirrors = []mirror{{files: endless(size)}}
	sum := sha256.New()
	if _, err := io.CopyN(sum, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	target := updater.Target{Path: "x/y", Release: 1, Size: size, SHA256: [32]byte(sum.Sum(nil))}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var n counter
	if err := c.Download(context.Background(), target, &n); err != nil || n != size {
		t.Fatalf("%d bytes, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 10<<20 {
		t.Errorf("a download of %d bytes allocated %d", size, got)
	}
}
