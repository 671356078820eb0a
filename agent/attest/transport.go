package attest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// SwtpmPrefix marks a path as the unix socket of a software TPM.
const SwtpmPrefix = "swtpm:"

const (
	// maxResponse is the largest response in bytes; TPMs on PCs stay below 4 KiB.
	maxResponse = 4096
	// responseHeader is tag, size and code: part 1 of the specification, section 18.
	responseHeader = 10
	// commandTime bounds one command on a socket. The slowest, an RSA key, takes a
	// few seconds on hardware.
	commandTime = 30 * time.Second
	// dialTime bounds how long a software TPM is waited for that serves somebody else.
	dialTime = 5 * time.Second
	// maxUnixPath is the longest path of a unix socket: sun_path without its zero.
	maxUnixPath = 107
	// retryTime bounds how long a busy TPM is asked again.
	retryTime = 10 * time.Second
)

// Open connects to the TPM at path: "swtpm:" and the path of a unix socket, or a
// device. Most callers want [New]; Open is for those that speak go-tpm themselves.
// A busy TPM's retry codes are handled inside.
func Open(path string) (transport.TPMCloser, error) {
	if socket, ok := strings.CutPrefix(path, SwtpmPrefix); ok {
		return openSocket(socket)
	}
	// Not os.OpenFile: it would make the descriptor non-blocking, and a slow
	// command's response would then be read as an end of file.
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open TPM %s: %w (is the agent's user in group tss?)", path, err)
	}
	return &deviceLink{fd: fd}, nil
}

func openSocket(socket string) (transport.TPMCloser, error) {
	if len(socket) > maxUnixPath {
		return nil, fmt.Errorf("open TPM: the socket's path has %d bytes, at most %d work: use a shorter folder", len(socket), maxUnixPath)
	}
	conn, err := net.Dial("unix", socket)
	for end := time.Now().Add(dialTime); errors.Is(err, syscall.EAGAIN) && time.Now().Before(end); conn, err = net.Dial("unix", socket) {
		time.Sleep(10 * time.Millisecond) // it has not yet seen that the one before has gone
	}
	if err != nil {
		return nil, fmt.Errorf("open TPM: %w (is swtpm running?)", err)
	}
	return &socketLink{conn: conn}, nil
}

// deviceLink is a TPM device in blocking mode: one write is one command, one read
// is its response.
type deviceLink struct{ fd int }

// Send runs one command.
func (l *deviceLink) Send(cmd []byte) ([]byte, error) { return withRetry(l, cmd) }

func (l *deviceLink) exchange(cmd []byte) ([]byte, error) {
	if _, err := restart(func() (int, error) { return syscall.Write(l.fd, cmd) }); err != nil {
		return nil, fmt.Errorf("write to the TPM: %w", err)
	}
	rsp := make([]byte, maxResponse)
	n, err := restart(func() (int, error) { return syscall.Read(l.fd, rsp) })
	if err != nil {
		return nil, fmt.Errorf("read from the TPM: %w", err)
	}
	return rsp[:n], nil
}

func restart(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}

// Close lets go of the device.
func (l *deviceLink) Close() error { return syscall.Close(l.fd) }

// socketLink is swtpm's data socket: raw commands and responses over one
// connection, told apart by the size in their headers.
type socketLink struct{ conn net.Conn }

// Send runs one command.
func (l *socketLink) Send(cmd []byte) ([]byte, error) { return withRetry(l, cmd) }

func (l *socketLink) exchange(cmd []byte) ([]byte, error) {
	if err := l.conn.SetDeadline(time.Now().Add(commandTime)); err != nil {
		return nil, fmt.Errorf("talk to the TPM: %w", err)
	}
	if _, err := l.conn.Write(cmd); err != nil {
		return nil, fmt.Errorf("write to the TPM: %w", err)
	}
	rsp := make([]byte, maxResponse)
	if _, err := io.ReadFull(l.conn, rsp[:responseHeader]); err != nil {
		return nil, fmt.Errorf("read from the TPM: %w", err)
	}
	size := binary.BigEndian.Uint32(rsp[2:])
	if size < responseHeader || size > maxResponse {
		return nil, fmt.Errorf("read from the TPM: a response of %d bytes", size)
	}
	if _, err := io.ReadFull(l.conn, rsp[responseHeader:size]); err != nil {
		return nil, fmt.Errorf("read from the TPM: %w", err)
	}
	return rsp[:size], nil
}

// Close closes the connection.
func (l *socketLink) Close() error { return l.conn.Close() }

type exchanger interface {
	exchange(cmd []byte) ([]byte, error)
}

// withRetry sends cmd again while the TPM asks for that: the codes below say that
// nothing was done yet (part 2 of the specification, section 6.6.3).
func withRetry(l exchanger, cmd []byte) ([]byte, error) {
	deadline := time.Now().Add(retryTime)
	for wait := time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		rsp, err := l.exchange(cmd)
		if err != nil {
			return nil, err
		}
		if len(rsp) < responseHeader {
			return nil, fmt.Errorf("read from the TPM: a response of %d bytes", len(rsp))
		}
		switch tpm2.TPMRC(binary.BigEndian.Uint32(rsp[6:])) {
		case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate:
		default:
			return rsp, nil
		}
		if time.Now().Add(wait).After(deadline) {
			return rsp, nil
		}
		time.Sleep(wait)
	}
}
