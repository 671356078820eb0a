package agent

import (
	"testing"

	"platen/agent/evidence"
)

// TestChainStaysInItsFleet renews a certificate and then moves to another fleet: the
// link to the first sees the renewed one and never the second fleet's.
func TestChainStaysInItsFleet(t *testing.T) {
	result := func(fleet byte, broker, cert string) *evidence.EnrolResult {
		return &evidence.EnrolResult{Recipient: evidence.RecipientID{fleet}, Broker: broker, Certs: [][]byte{[]byte(cert)}}
	}
	first := result(1, "a:8883", "first")
	f := &fleetLink{res: first}
	for _, c := range []struct {
		now  *evidence.EnrolResult
		want string
	}{
		{first, "first"}, {result(1, "a:8883", "renewed"), "renewed"},
		{result(2, "a:8883", "other"), "first"}, {result(1, "b:8883", "moved"), "first"},
	} {
		f.res = c.now
		if got := string(f.chain(first)[0]); got != c.want {
			t.Errorf("shown %s, want %s", got, c.want)
		}
	}
}
