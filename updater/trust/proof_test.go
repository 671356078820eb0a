package trust

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"platen/updater"
	"platen/updater/translog"
)

// logged is a lab whose repository has a transparency log, and the policy of printers
// that ask for it.
func logged(t *testing.T) (*lab, *translog.Policy) {
	t.Helper()
	l := newLab(t)
	key, err := l.repo.InitLog("example.org/releases")
	if err != nil {
		t.Fatal(err)
	}
	p, err := translog.NewPolicy(key, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l, p
}

func (l *lab) logClient(p *translog.Policy) *Client {
	l.t.Helper()
	cfg := l.config(l.t.TempDir())
	cfg.Log = p
	c, err := New(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func proofPath(t updater.Target) string {
	return "targets/" + filepath.Dir(t.Path) + "/" + hex.EncodeToString(t.SHA256[:]) + "." + filepath.Base(t.Path) + ".tlog-proof"
}

// TestSecretRelease: whoever holds enough release keys, and the online ones, makes a
// release for one printer alone. It is signed, and refused: no log has it.
func TestSecretRelease(t *testing.T) {
	l, p := logged(t)
	l.release(1)
	c := l.logClient(p)
	one := mustRefresh(t, c, 1)
	if err := c.Logged(context.Background(), one); err != nil {
		t.Fatalf("a release that the log has: %v", err)
	}
	honest := l.read(proofPath(one))
	md := evil(t, l, "sim/agent/2/platen", 3)
	l.forge(sign(t, md, l.signers("targets")...), 3)
	secret := mustRefresh(t, c, 2)
	for how, serve := range map[string]func(){
		"no proof":          func() {},
		"another release's": func() { l.serve(proofPath(secret), honest) },
		"of a log of his own": func() {
			other, _ := logged(t)
			other.release(1)
			other.release(2)
			two := mustRefresh(t, other.client(), 2)
			l.serve(proofPath(secret), other.read(proofPath(two)))
		},
		"a torn one": func() { l.serve(proofPath(secret), honest[:len(honest)/2]) },
		"an endless one": func() {
			l.hook(proofPath(secret), func(w http.ResponseWriter, r *http.Request) {
				for junk := make([]byte, 1<<16); r.Context().Err() == nil; {
					if _, err := w.Write(junk); err != nil {
						return
					}
				}
			})
		},
	} {
		serve()
		if err := c.Logged(context.Background(), secret); !errors.Is(err, updater.ErrLog) {
			t.Errorf("%s: %v", how, err)
		}
		l.hook(proofPath(secret), nil)
	}
	if err := l.client().Logged(context.Background(), secret); err != nil {
		t.Errorf("a printer that asks for no log: %v", err) // the control
	}
}

// TestProofOfAnotherMirror: what one mirror does not have, the next one may.
func TestProofOfAnotherMirror(t *testing.T) {
	l, p := logged(t)
	l.release(1)
	cfg := l.config(t.TempDir())
	cfg.Log, cfg.Mirrors = p, []string{l.dir}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	one := mustRefresh(t, c, 1)
	l.hook(proofPath(one), http.NotFound)
	if err := c.Logged(context.Background(), one); err != nil {
		t.Errorf("with a second mirror: %v", err)
	}
}

// TestLogGrows: tiles and bundles fill up over many releases, every release stays
// proved, and the log is read back by who goes on with it.
func TestLogGrows(t *testing.T) {
	l, p := logged(t)
	most := 12
	if testing.Short() {
		most = 2
	}
	for n := 1; n <= most; n++ {
		l.release(n)
		c := l.logClient(p)
		if err := c.Logged(context.Background(), mustRefresh(t, c, uint64(n))); err != nil {
			t.Fatalf("release %d: %v", n, err)
		}
	}
	for _, name := range []string{"log/checkpoint", fmt.Sprintf("log/tile/0/000.p/%d", most), fmt.Sprintf("log/tile/entries/000.p/%d", most), "log/log.pub"} {
		if _, err := os.Stat(filepath.Join(l.dir, name)); err != nil {
			t.Error(err)
		}
	}
	before := l.read("log/checkpoint")
	l.publish()
	if string(l.read("log/checkpoint")) != string(before) {
		t.Error("a publication without news changed the log")
	}
	// A log that was changed is not gone on with.
	path := filepath.Join(l.dir, fmt.Sprintf("log/tile/entries/000.p/%d", most))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[20] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.repo.Publish(l.now); err == nil {
		t.Error("a changed log is published")
	}
	if _, err := l.repo.InitLog("example.org/releases"); err == nil {
		t.Error("a second log was made")
	}
}
