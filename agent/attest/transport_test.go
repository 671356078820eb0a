package attest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"platen/cross/rig/rigtest"
)

// packets is a pair of descriptors that keep messages apart, as the kernel's TPM
// device does. The far end is answered by answer until the near end is closed.
func packets(t *testing.T, answer func(cmd []byte) []byte) *deviceLink {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd := make([]byte, maxResponse)
		for {
			n, err := restart(func() (int, error) { return syscall.Read(pair[1], cmd) })
			if err != nil || n == 0 {
				return
			}
			if _, err := syscall.Write(pair[1], answer(cmd[:n])); err != nil {
				return
			}
		}
	}()
	link := &deviceLink{fd: pair[0]}
	t.Cleanup(func() {
		if err := errors.Join(link.Close(), wait(done), syscall.Close(pair[1])); err != nil {
			t.Error(err)
		}
	})
	return link
}

func wait(done <-chan struct{}) error {
	<-done
	return nil
}

func response(code tpm2.TPMRC, body ...byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTNoSessions))
	out = binary.BigEndian.AppendUint32(out, uint32(responseHeader+len(body)))
	out = binary.BigEndian.AppendUint32(out, uint32(code))
	return append(out, body...)
}

// TestDevice puts a device in front of a real TPM.
func TestDevice(t *testing.T) {
	s := rigtest.Swtpm(t)
	inner, err := Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	link := packets(t, func(cmd []byte) []byte {
		rsp, err := inner.Send(cmd)
		if err != nil {
			return response(tpm2.TPMRCFailure)
		}
		return rsp
	})
	rsp, err := tpm2.GetRandom{BytesRequested: 16}.Execute(link)
	if err != nil || len(rsp.RandomBytes.Buffer) != 16 {
		t.Errorf("random bytes through a device: %v", err)
	}
}

func TestBusyTPMIsAskedAgain(t *testing.T) {
	busy := []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate}
	var asked [][]byte
	link := packets(t, func(cmd []byte) []byte {
		asked = append(asked, bytes.Clone(cmd))
		if len(asked) <= len(busy) {
			return response(busy[len(asked)-1])
		}
		return response(tpm2.TPMRCLocality)
	})
	rsp, err := link.Send([]byte("the same command"))
	if err != nil || !bytes.Equal(rsp, response(tpm2.TPMRCLocality)) {
		t.Errorf("answered %x, %v", rsp, err)
	}
	if len(asked) != len(busy)+1 {
		t.Errorf("asked %d times", len(asked))
	}
	for _, cmd := range asked {
		if string(cmd) != "the same command" {
			t.Errorf("asked %q", cmd)
		}
	}
}

// TestBrokenResponses: what is not a response is an error and not a crash.
func TestBrokenResponses(t *testing.T) {
	short := packets(t, func([]byte) []byte { return []byte{0x80} })
	if _, err := short.Send([]byte("command")); err == nil {
		t.Error("a response of one byte was taken")
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, raw := range map[string][]byte{
		"cut short": response(0, 1, 2, 3)[:12],
		"huge":      {0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"tiny":      {0x80, 1, 0, 0, 0, 1, 0, 0, 0, 0},
		"nothing":   {},
	} {
		done := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, rerr := conn.Read(make([]byte, 64))
				_, werr := conn.Write(raw)
				err = errors.Join(rerr, werr, conn.Close())
			}
			done <- err
		}()
		link, err := Open(SwtpmPrefix + path)
		if err != nil {
			t.Fatal(err)
		}
		if rsp, err := link.Send([]byte("command")); err == nil {
			t.Errorf("%s: took %x", name, rsp)
		}
		if err := errors.Join(link.Close(), <-done); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
