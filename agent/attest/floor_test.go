package attest_test

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"platen/agent/attest"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

func filled(b byte) []byte { return bytes.Repeat([]byte{b}, attest.FloorSize) }

func setFloor(t *testing.T, tpm *attest.TPM, b byte) {
	t.Helper()
	if err := tpm.SetFloor(t.Context(), filled(b)); err != nil {
		t.Fatal(err)
	}
}

func wantFloor(t *testing.T, tpm *attest.TPM, want []byte) {
	t.Helper()
	got, err := tpm.Floor(t.Context())
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the floor is %x, %v; want %x", got, err, want)
	}
}

// TestFloor: what was kept last is there after restarts, and after the printer's
// identity is gone.
func TestFloor(t *testing.T) {
	s := rigtest.Swtpm(t)
	tpm := open(t, s, "")
	wantFloor(t, tpm, nil)
	if err := tpm.SetFloor(t.Context(), []byte("short")); err == nil {
		t.Error("a floor of another size was kept")
	}
	for b := range byte(5) {
		setFloor(t, tpm, b+1)
		wantFloor(t, tpm, filled(b+1))
	}
	first, err := tpm.Ticks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeTPM(t, tpm)
	tpm = open(t, s, "")
	wantFloor(t, tpm, filled(5))
	if second, err := tpm.Ticks(t.Context()); err != nil || second < first {
		t.Errorf("the TPM's clock says %d after %d, %v", second, first, err)
	}
	setFloor(t, tpm, 6)
	if err := tpm.Forget(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	closeTPM(t, tpm)
	wantFloor(t, open(t, s, ""), filled(6))
}

// overwrite writes over a part of the floor's index behind the agent's back.
func overwrite(t *testing.T, s *rig.Swtpm, offset uint16, data []byte) {
	t.Helper()
	during(t, s, func(link transport.TPM) {
		const at = tpm2.TPMHandle(0x0180504e)
		public, err := tpm2.NVReadPublic{NVIndex: at}.Execute(link)
		if err != nil {
			t.Fatal(err)
		}
		index := tpm2.AuthHandle{Handle: at, Name: public.NVName, Auth: tpm2.PasswordAuth(nil)}
		_, err = tpm2.NVWrite{AuthHandle: index, NVIndex: index, Data: tpm2.TPM2BMaxNVBuffer{Buffer: data}, Offset: offset}.Execute(link)
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestFloorTorn: power lost while a copy was written leaves the other one, wherever it
// was cut, and the next write goes to the torn one.
func TestFloorTorn(t *testing.T) {
	const size = 8 + attest.FloorSize + 8
	s := rigtest.Swtpm(t)
	tpm := open(t, s, "")
	setFloor(t, tpm, 1) // first copy
	setFloor(t, tpm, 2) // second copy
	closeTPM(t, tpm)
	overwrite(t, s, 0, bytes.Repeat([]byte{0xff}, 30))
	tpm = open(t, s, "")
	wantFloor(t, tpm, filled(2))
	setFloor(t, tpm, 3)
	closeTPM(t, tpm)
	overwrite(t, s, size+40, bytes.Repeat([]byte{0xff}, 40))
	tpm = open(t, s, "")
	wantFloor(t, tpm, filled(3))
	closeTPM(t, tpm)
	overwrite(t, s, 0, []byte{0xff}) // the control: a copy that is not whole does not count
	tpm = open(t, s, "")
	wantFloor(t, tpm, nil)
	setFloor(t, tpm, 4)
	wantFloor(t, tpm, filled(4))
}
