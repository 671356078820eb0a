package intake

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/sys/unix"

	"platen/cross/rig/rigtest"
)

// descriptors counts the open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// serve runs a server with h until the test ends and returns its socket.
func serve(t *testing.T, h Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	s, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

// client is a raw connection that sent one packet with descriptors beside it.
func client(t *testing.T, fd int, path, packet string, beside ...int) {
	t.Helper()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(fd, []byte(packet), unix.UnixRights(beside...), nil, 0); err != nil {
		t.Fatal(err)
	}
}

func rawSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	tv := unix.NsecToTimeval(int64(5 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	return fd
}

// answer reads packets until the server has closed the connection.
func answer(t *testing.T, fd int) (all string) {
	t.Helper()
	defer unix.Close(fd)
	buf := make([]byte, maxPacket)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil || n == 0 {
			return all
		}
		all += string(buf[:n])
	}
}

func TestManyDescriptors(t *testing.T) {
	if rigtest.Emulated() {
		t.Skip("user-mode emulation keeps the descriptors that it does not pass on")
	}
	got := make(chan bool, 1)
	path := serve(t, func(_ context.Context, _ Request, f *os.File, _ func(Reply) error) error {
		got <- f != nil
		return nil
	})
	before := descriptors(t)
	for range 20 {
		fd := rawSocket(t)
		client(t, fd, path, `{"op":"status"}`, 0, 0, 0)
		if all := answer(t, fd); !strings.Contains(all, `"final":true`) {
			t.Fatalf("answer %q", all)
		}
		if !<-got {
			t.Fatal("control: no descriptor arrived")
		}
	}
	time.Sleep(50 * time.Millisecond) // the last connection closes
	if after := descriptors(t); after > before+2 {
		t.Errorf("%d descriptors before and %d after", before, after)
	}
}

func TestOutOfDescriptors(t *testing.T) {
	path := serve(t, func(context.Context, Request, *os.File, func(Reply) error) error { return nil })
	fd := rawSocket(t)
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	low := lim
	low.Cur = uint64(fd) // no new one fits below
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	client(t, fd, path, `{"op":"status"}`)
	time.Sleep(100 * time.Millisecond)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if all := answer(t, fd); !strings.Contains(all, `"final":true`) {
		t.Errorf("answer %q once there are descriptors again", all)
	}
}

func TestListenLeavesABusySocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd := rawSocket(t)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; { // until its queue is full
		c := rawSocket(t)
		defer unix.Close(c)
		unix.SetNonblock(c, true)
		err = unix.Connect(c, &unix.SockaddrUnix{Name: path})
	}
	if _, err := Listen(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("the socket of a busy agent is taken away")
	}
	unix.Close(fd)
	s, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("control: a socket that nobody serves: %v", err)
	}
	s.l.Close()
}

func TestRegular(t *testing.T) {
	dir := t.TempDir()
	fifo, sparse := filepath.Join(dir, "fifo"), filepath.Join(dir, "sparse")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sparse, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(sparse, 1<<40); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	open := func(path string, flags int) *os.File {
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for name, c := range map[string]struct {
		f    *os.File
		code string
	}{
		"fifo": {open(fifo, os.O_RDWR), "file-irregular"}, "folder": {open(dir, os.O_RDONLY), "file-irregular"},
		"device": {open("/dev/zero", os.O_RDONLY), "file-irregular"}, "writable": {open(sparse, os.O_RDWR), "file-writable"},
	} {
		e, ok := errors.AsType[*FileError](func() error { _, err := Regular(c.f); return err }())
		if !ok || e.ErrorCode() != c.code {
			t.Errorf("%s: %v, want %s", name, e, c.code)
		}
	}
	if n, err := Regular(open(sparse, os.O_RDONLY)); err != nil || n != 1<<40 {
		t.Errorf("control: %d bytes, %v", n, err)
	}
}

func TestTicketIsCanonical(t *testing.T) {
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	tk := Ticket{Job: make([]byte, 16), Digest: make([]byte, 32), Format: "stl", Printers: []string{"P1"}, Copies: 1, NotBefore: now, NotAfter: now.Add(time.Hour)}
	body, err := json.Marshal(tk)
	if err != nil {
		t.Fatal(err)
	}
	open := func(body []byte) error {
		s, err := dsse.NewEnvelopeSigner(edKey{priv: priv, pub: pub})
		if err != nil {
			t.Fatal(err)
		}
		env, err := s.SignPayload(t.Context(), TicketType, body)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(env)
		_, err = OpenTicket(t.Context(), b, []ed25519.PublicKey{pub})
		return err
	}
	var spaced bytes.Buffer
	json.Indent(&spaced, body, "", " ")
	if err := errors.Join(open(body), open(spaced.Bytes())); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"twice":    {`"copies":1`, `"copies":1,"copies":9999`},
		"case":     {`"copies"`, `"COPIES"`},
		"follows":  {`Z"}`, `Z"}]`},
		"number":   {`"copies":1`, `"copies":1e99`},
		"fraction": {`"copies":1`, `"copies":1.0`},
		"year":     {`"not_after":"2026`, `"not_after":"12026`},
		"none":     {`"copies":1,`, ``},
	} {
		hostile := bytes.Replace(body, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(hostile, body) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if e, ok := errors.AsType[*TicketError](open(hostile)); !ok || e.Code != "form" {
			t.Errorf("%s: %v, want code form", name, e)
		}
	}
}
