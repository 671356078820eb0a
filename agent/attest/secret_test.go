package attest_test

import (
	"testing"

	"platen/cross/rig/rigtest"
)

func TestSecret(t *testing.T) {
	s := rigtest.Swtpm(t)
	first := open(t, s, "")
	one, err := first.Secret("one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := first.Secret("two")
	if err != nil || one == two || one == [32]byte{} {
		t.Errorf("secrets of two purposes are alike: %v", err)
	}
	closeTPM(t, first)
	again, err := open(t, s, "").Secret("one")
	if err != nil || again != one {
		t.Errorf("another secret after a restart: %v", err)
	}
	other, err := open(t, rigtest.Swtpm(t), "").Secret("one")
	if err != nil || other == one {
		t.Errorf("another TPM has the same secret: %v", err)
	}
}

func TestTicketCounter(t *testing.T) {
	s := rigtest.Swtpm(t)
	tpm := open(t, s, "")
	n, fresh, err := tpm.Tickets(t.Context())
	if err != nil || !fresh {
		t.Fatalf("a new TPM has counted: %t, %v", fresh, err)
	}
	for i := uint64(1); i <= 3; i++ {
		if got, err := tpm.CountTicket(t.Context()); err != nil || got != n+i {
			t.Fatalf("counted to %d, %v; want %d", got, err, n+i)
		}
		if got, fresh, err := tpm.Tickets(t.Context()); err != nil || fresh || got != n+i {
			t.Fatalf("reads %d, %v; want %d", got, err, n+i)
		}
	}
	closeTPM(t, tpm)
	if got, fresh, err := open(t, s, "").Tickets(t.Context()); err != nil || fresh || got != n+3 {
		t.Errorf("%d after a restart, %v; want %d", got, err, n+3)
	}
}
