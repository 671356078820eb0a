package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"platen/updater/publish"
)

// shop is a repository behind a web server.
type shop struct {
	dir  string
	repo *publish.Repo
	srv  *httptest.Server
	slow time.Duration // between two pieces of a release
	late time.Duration // kills at random moments come no later after the start
	hold atomic.Int64  // a response stops at so many bytes of a file, if not 0, until who asked is gone
	kind atomic.Value  // string: of what is held; nil: of anything
}

// heldBytes are more than an update writes between two notes of how far it has got.
const heldBytes = 256 << 10

// newShop is a shop with release 2.
func newShop(dir string) (*shop, error) {
	s, err := openShop(dir)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "release-2")
	if err := os.WriteFile(file, program(2), 0o755); err != nil {
		return nil, err
	}
	return s, s.release(publish.Item{Release: 2, Board: "sim", File: file})
}

// release publishes.
func (s *shop) release(items ...publish.Item) error {
	now := time.Now()
	for _, item := range items {
		if _, err := s.repo.Add(item, nil, now); err != nil {
			return err
		}
	}
	_, err := s.repo.Publish(now)
	return err
}

// openShop is a shop that has nothing yet.
func openShop(dir string) (*shop, error) {
	repo, err := publish.Init(filepath.Join(dir, "repo"), filepath.Join(dir, "keys"), "", publish.DefaultPolicy(), time.Now())
	if err != nil {
		return nil, err
	}
	s := &shop{dir: dir, repo: repo, slow: 300 * time.Microsecond, late: 120 * time.Millisecond}
	files := http.FileServer(http.Dir(filepath.Join(dir, "repo")))
	s.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _ := s.kind.Load().(string)
		p := &paced{ResponseWriter: w, shop: s, gone: r.Context().Done(), free: !strings.Contains(r.URL.Path, "/"+kind)}
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &p.sent) // else it begins at 0
		files.ServeHTTP(p, r)
	}))
	return s, nil
}

func (s *shop) close() {
	s.srv.Close()
	s.repo.Close()
}

// paced writes in pieces with pauses.
type paced struct {
	http.ResponseWriter
	shop *shop
	gone <-chan struct{}
	free bool  // it is not held
	sent int64 // how far it has got in the file
}

func (p *paced) Write(data []byte) (n int, err error) {
	for piece := range slices.Chunk(data, 16<<10) {
		if at := p.shop.hold.Load(); at > 0 && !p.free && p.sent >= at {
			<-p.gone
		}
		m, err := p.ResponseWriter.Write(piece)
		n, p.sent = n+m, p.sent+int64(m)
		if err != nil {
			return n, err
		}
		if p.shop.slow > 0 {
			time.Sleep(p.shop.slow)
		}
	}
	return n, nil
}
