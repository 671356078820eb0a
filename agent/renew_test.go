package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"platen/agent/config"
	"platen/agent/evidence"
)

// TestRenewal lives through two months: certificates are renewed on their own before they
// end, and after an outage of a month, in which the last one ended, within an hour.
func TestRenewal(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		const life = 7 * 24 * time.Hour
		issue := func() *evidence.EnrolResult {
			tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
			der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			return &evidence.EnrolResult{Certs: [][]byte{der}}
		}
		left := func(f *fleetLink) time.Duration {
			c, err := x509.ParseCertificate(f.result().Certs[0])
			if err != nil {
				t.Fatal(err)
			}
			return time.Until(c.NotAfter)
		}
		far := &fleetLink{cfg: &config.Fleet{Name: "far"}} // was never enrolled with
		ours := &fleetLink{cfg: &config.Fleet{}, res: issue()}
		a := &Agent{log: slog.New(slog.DiscardHandler), fleets: []*fleetLink{ours, far}}
		var away atomic.Bool
		var renewed, asked atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.keepRenewed(ctx, func(_ context.Context, f *fleetLink) error {
				asked.Add(1)
				if f != ours {
					t.Error("a fleet is asked that the printer is not of")
				}
				if away.Load() {
					return errors.New("no network")
				}
				renewed.Add(1)
				res := issue()
				f.mu.Lock()
				f.res = res
				f.mu.Unlock()
				return nil
			})
		}()
		for range 30 * 24 {
			time.Sleep(time.Hour)
			synctest.Wait()
			if left(ours) < life/4 {
				t.Fatalf("%v left of a certificate", left(ours))
			}
		}
		if n := renewed.Load(); n < 5 || n > 7 || asked.Load() != n { // each after two thirds of a week
			t.Errorf("renewed %d times in 30 days, asked %d times", n, asked.Load())
		}
		away.Store(true)
		asked.Store(0)
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		if left(ours) > 0 { // the control: the outage was long enough
			t.Errorf("%v left after the outage", left(ours))
		}
		if n := asked.Load(); n < 24*20 || n > 24*30 {
			t.Errorf("asked %d times in 30 days without network", n)
		}
		away.Store(false)
		time.Sleep(renewEvery)
		synctest.Wait()
		if left(ours) < life-2*renewEvery {
			t.Errorf("%v left an hour after the outage", left(ours))
		}
		stop()
		<-done
	})
}
