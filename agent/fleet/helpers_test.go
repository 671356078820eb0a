package fleet

import (
	"crypto/tls"
	"testing"

	"platen/agent/fleet/store"
)

func clientTLS(t *testing.T, ready store.Event) *tls.Config {
	t.Helper()
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots(t, ready.CA)}
}
