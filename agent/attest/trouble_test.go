package attest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"platen/agent/attest"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// command sends a command that go-tpm has none for, authorized by an empty password.
func command(t *testing.T, link transport.TPM, code tpm2.TPMCC, handle tpm2.TPMHandle, params ...any) {
	t.Helper()
	var b bytes.Buffer
	for _, v := range append([]any{handle, uint32(9), tpm2.TPMRSPW, [5]byte{}}, params...) {
		if err := binary.Write(&b, binary.BigEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	cmd := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTSessions))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(10+b.Len()))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(code))
	rsp, err := link.Send(append(cmd, b.Bytes()...))
	if err != nil || len(rsp) < 10 || binary.BigEndian.Uint32(rsp[6:]) != 0 {
		t.Fatalf("command %#x: %x %v", code, rsp, err)
	}
}

// lockOut has a TPM locked by wrong passwords for an index that is guarded against guesses.
func lockOut(t *testing.T, link transport.TPM) {
	t.Helper()
	command(t, link, 0x13a, tpm2.TPMRHLockout, uint32(1), uint32(3600), uint32(7200)) // DictionaryAttackParameters
	at := tpm2.TPMHandle(0x01800077)
	_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, Auth: tpm2.TPM2BAuth{Buffer: []byte("right")},
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: tpm2.TPMIRHNVIndex(at), NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
			Attributes: tpm2.TPMANV{NT: tpm2.TPMNTOrdinary, AuthRead: true, AuthWrite: true}})}.Execute(link)
	if err != nil {
		t.Fatal(err)
	}
	public, err := tpm2.NVReadPublic{NVIndex: at}.Execute(link)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		index := tpm2.AuthHandle{Handle: at, Name: public.NVName, Auth: tpm2.PasswordAuth([]byte("wrong"))}
		_, err = tpm2.NVWrite{AuthHandle: index, NVIndex: index, Data: tpm2.TPM2BMaxNVBuffer{Buffer: make([]byte, 8)}}.Execute(link)
	}
	if !errors.Is(err, tpm2.TPMRCLockout) {
		t.Fatalf("the TPM is not locked out: %v", err)
	}
}

// fill takes all of a TPM's memory for indices.
func fill(t *testing.T, link transport.TPM) {
	t.Helper()
	at := uint32(0x01801000)
	for size := uint16(2048); size > 0; size /= 2 {
		for {
			_, err := tpm2.NVDefineSpace{AuthHandle: tpm2.TPMRHOwner, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: tpm2.TPMIRHNVIndex(at),
				NameAlg: tpm2.TPMAlgSHA256, DataSize: size, Attributes: tpm2.TPMANV{NT: tpm2.TPMNTOrdinary, AuthRead: true, AuthWrite: true}})}.Execute(link)
			at++
			if errors.Is(err, tpm2.TPMRCNVSpace) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func setPassword(t *testing.T, link transport.TPM, h tpm2.TPMHandle, from, to string) {
	t.Helper()
	_, err := tpm2.HierarchyChangeAuth{AuthHandle: tpm2.AuthHandle{Handle: h, Auth: tpm2.PasswordAuth([]byte(from))},
		NewAuth: tpm2.TPM2BAuth{Buffer: []byte(to)}}.Execute(link)
	if err != nil {
		t.Fatal(err)
	}
}

// disable switches a hierarchy off until the next reset, as firmware may.
func disable(t *testing.T, link transport.TPM, h tpm2.TPMHandle) {
	t.Helper()
	command(t, link, 0x121, tpm2.TPMRHPlatform, h, uint8(0)) // HierarchyControl
}

// TestTroublesOfStart: what keeps New from a TPM is said in words, with a code, and Look
// says before what can be seen.
func TestTroublesOfStart(t *testing.T) {
	s := rigtest.Swtpm(t)
	off := func(h tpm2.TPMHandle) func(transport.TPM) { return func(l transport.TPM) { disable(t, l, h) } }
	locked := func(h tpm2.TPMHandle) func(transport.TPM) {
		return func(l transport.TPM) { setPassword(t, l, h, "", "secret") }
	}
	open := func(h tpm2.TPMHandle) func(transport.TPM) {
		return func(l transport.TPM) { setPassword(t, l, h, "secret", "") }
	}
	for _, c := range []struct {
		name     string
		do, undo func(transport.TPM)
		code     string
		says     []string
	}{
		{"owner off", off(tpm2.TPMRHOwner), nil, "tpm-hierarchy", []string{"switched off", "firmware"}},
		{"endorsement off", off(tpm2.TPMRHEndorsement), nil, "tpm-hierarchy", []string{"switched off"}},
		{"owner password", locked(tpm2.TPMRHOwner), open(tpm2.TPMRHOwner), "tpm-password", []string{"password", "tpm2_changeauth"}},
		{"endorsement password", locked(tpm2.TPMRHEndorsement), open(tpm2.TPMRHEndorsement), "tpm-password", []string{"password"}},
	} {
		during(t, s, c.do)
		h, err := attest.Look(s.Path())
		if err != nil {
			t.Fatal(err)
		}
		if list := h.Troubles(); len(list) != 1 || list[0].Code != c.code {
			t.Errorf("%s: Look says %v", c.name, list)
		}
		_, err = attest.New(t.Context(), attest.Config{Path: s.Path()})
		expect(t, err, c.code, c.says...)
		if c.undo != nil {
			during(t, s, c.undo)
		}
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFull(t *testing.T) {
	s := rigtest.Swtpm(t)
	during(t, s, func(link transport.TPM) { fill(t, link) })
	_, err := attest.New(t.Context(), attest.Config{Path: s.Path()})
	expect(t, err, "tpm-full", "memory is full", "tpm2_nvundefine")
}

// during opens a TPM for as long as do takes.
func during(t *testing.T, s *rig.Swtpm, do func(transport.TPM)) {
	t.Helper()
	link, err := attest.Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	do(link)
	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, err error, code string, says ...string) {
	t.Helper()
	trouble, ok := errors.AsType[*attest.TroubleError](err)
	if !ok || trouble.ErrorCode() != code {
		t.Fatalf("error %v, want %s", err, code)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

// TestLockout: a TPM that others' wrong passwords have locked goes on quoting, signing and
// opening; what does not work says how long it lasts.
func TestLockout(t *testing.T) {
	s := rigtest.Swtpm(t)
	if h, err := attest.Look(s.Path()); err != nil || h.LockedOut || len(h.Troubles()) != 0 {
		t.Fatalf("a new TPM: %+v %v", h, err)
	}
	during(t, s, func(link transport.TPM) { lockOut(t, link) })
	h, err := attest.Look(s.Path())
	if err != nil || !h.LockedOut || h.Allowed != 1 || len(h.Troubles()) != 1 {
		t.Fatalf("a locked TPM: %+v %v", h, err)
	}
	expect(t, h.Troubles()[0], "tpm-lockout", "for 60 minutes", "--clear-lockout")
	tpm := open(t, s, t.TempDir())
	if _, err := tpm.Quote(t.Context(), [32]byte{}); err != nil {
		t.Errorf("no quote: %v", err)
	}
	if _, err := tpm.Secret("test"); err != nil {
		t.Errorf("no secret: %v", err)
	}
	// The maker's P-384 key is used by a password, which counts as a guess.
	err = attest.UseEK(t.Context(), tpm)
	expect(t, err, "tpm-lockout", "for 60 minutes", "--clear-lockout")
	if h, err := tpm.Health(t.Context()); err != nil || !h.LockedOut {
		t.Errorf("health %+v %v", h, err)
	}
}

// TestResetUnderneath: a TPM that is reset while an agent has it says so.
func TestResetUnderneath(t *testing.T) {
	s := rigtest.Swtpm(t)
	tpm := open(t, s, t.TempDir())
	if err := attest.Replug(context.Background(), tpm, s.Path(), func() error { return s.ResetUnstarted(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	_, err := tpm.Quote(t.Context(), [32]byte{})
	expect(t, err, "tpm-reset", "restart the machine")
}
