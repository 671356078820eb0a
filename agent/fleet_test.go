package agent

import (
	"testing"

	"platen/agent/config"
	"platen/agent/consent"
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

// TestRecipientsAreApart: each fleet is found by its own name, and none takes the id of
// another, which would bring it what the owner has granted to that.
func TestRecipientsAreApart(t *testing.T) {
	vendor := &fleetLink{cfg: &config.Fleet{}, res: &evidence.EnrolResult{Recipient: evidence.RecipientID{1}}}
	service := &fleetLink{cfg: &config.Fleet{Name: "service"}}
	a := &Agent{fleets: []*fleetLink{vendor, service}}
	for name, want := range map[string]*fleetLink{"": vendor, "service": service, "other": nil} {
		if got, err := a.fleetNamed(name); got != want || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for r, want := range map[byte]bool{1: false, 2: true} {
		if err := a.soleRecipient(service, evidence.RecipientID{r}); (err == nil) != want {
			t.Errorf("recipient %d: %v", r, err)
		}
	}
	if err := a.soleRecipient(vendor, evidence.RecipientID{1}); err != nil {
		t.Errorf("a fleet's own id again: %v", err)
	}
	if _, err := a.dial(consent.Grant{Recipient: evidence.RecipientID{9}}); err == nil {
		t.Error("dialled somebody who is none of them")
	}
}
