package cutdisk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// blank makes a disk of n sectors, whose first sector is "first".
func blank(t *testing.T, n int) *Disk {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	p := make([]byte, n*sector)
	copy(p, "first")
	if err := os.WriteFile(image, p, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(image, filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// machine speaks NBD to a disk as a virtual machine does.
type machine struct {
	t *testing.T
	c net.Conn
}

func boot(t *testing.T, d *Disk, opt uint32) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "plnbd")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t, c}
	t.Cleanup(func() { c.Close() })
	hello := m.get(18)
	if string(hello[:16]) != "NBDMAGICIHAVEOPT" {
		t.Fatalf("hello is %q", hello)
	}
	m.put(uint32(flagFixed | flagNoZeroes))
	m.put(uint64(nbdOption), uint32(8), uint32(0)) // structured replies, which it does not have
	if r := m.get(20); binary.BigEndian.Uint32(r[12:]) != repUnsupported {
		t.Fatalf("an unknown option: % x", r)
	}
	m.put(uint64(nbdOption), opt, uint32(4), uint32(0))
	size := m.get(10)
	if opt != optExport {
		size = append(size, m.get(12+20+2+10-2)...)[22:32] // past the header and its kind
	}
	if got := binary.BigEndian.Uint64(size); got != uint64(d.Size()) {
		t.Fatalf("it says %d bytes", got)
	}
	return m
}

func (m *machine) put(vs ...any) {
	m.t.Helper()
	var b bytes.Buffer
	for _, v := range vs {
		binary.Write(&b, binary.BigEndian, v)
	}
	if _, err := m.c.Write(b.Bytes()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) get(n int) []byte {
	m.t.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(m.c, p); err != nil {
		m.t.Fatal(err)
	}
	return p
}

// do sends one request and returns the code and data of its answer.
func (m *machine) do(kind, flags uint16, off uint64, n uint32, data []byte) (uint32, []byte) {
	m.t.Helper()
	m.put(uint32(nbdRequest), flags, kind, uint64(77), off, n, data)
	r := m.get(16)
	if binary.BigEndian.Uint32(r) != nbdAnswer || binary.BigEndian.Uint64(r[8:]) != 77 {
		m.t.Fatalf("answered % x", r)
	}
	code := binary.BigEndian.Uint32(r[4:])
	if kind == cmdRead && code == 0 {
		return code, m.get(int(n))
	}
	return code, nil
}

func (m *machine) write(flags uint16, sec int, with byte, n int) {
	m.t.Helper()
	if code, _ := m.do(cmdWrite, flags, uint64(sec*sector), uint32(n*sector), bytes.Repeat([]byte{with}, n*sector)); code != 0 {
		m.t.Fatalf("writing: code %d", code)
	}
}

func (m *machine) flush() {
	m.t.Helper()
	if code, _ := m.do(cmdFlush, 0, 0, 0, nil); code != 0 {
		m.t.Fatalf("flushing: code %d", code)
	}
}

func TestNBD(t *testing.T) {
	for _, opt := range []uint32{optExport, optGo} {
		d := blank(t, 64)
		m := boot(t, d, opt)
		m.write(0, 5, 'x', 2)
		if code, p := m.do(cmdRead, 0, 4*sector, 4*sector, nil); code != 0 || !bytes.Equal(p[sector:3*sector], bytes.Repeat([]byte{'x'}, 2*sector)) || p[0] != 0 || p[3*sector] != 0 {
			t.Errorf("read: code %d", code)
		}
		if code, p := m.do(cmdRead, 0, 0, 5, nil); code != 0 || string(p) != "first" {
			t.Errorf("the image's own: %q, code %d", p, code)
		}
		for _, off := range []uint64{63*sector + 1, 64 * sector, 1 << 63, 1<<64 - 1} {
			if code, _ := m.do(cmdWrite, 0, off, sector, make([]byte, sector)); code == 0 {
				t.Errorf("a write beyond the end, at %d, was taken", off)
			}
		}
		if code, _ := m.do(4, 0, 0, sector, nil); code != nbdEINVAL {
			t.Errorf("trim: code %d", code)
		}
		if d.Events() != 1 || d.Written() != 2*sector {
			t.Errorf("%d events, %d bytes", d.Events(), d.Written())
		}
		m.put(uint32(nbdRequest), uint16(0), uint16(cmdDisconnect), uint64(0), uint64(0), uint32(0))
	}
}

// TestState holds what cuts leave against what may be lost: all that was flushed and all that was
// written through is there, and what was neither may be gone.
func TestState(t *testing.T) {
	d := blank(t, 64)
	m := boot(t, d, optGo)
	m.write(0, 1, 'a', 8)        // 1
	m.flush()                    // 2
	m.write(0, 16, 'b', 8)       // 3
	m.write(flagFUA, 32, 'c', 8) // 4
	m.write(0, 1, 'd', 8)        // 5
	const all = 5
	lost := map[Loss]map[string]int{}
	rng := rand.New(rand.NewPCG(1, 2))
	for loss := LoseNone; loss <= LoseSectors; loss++ {
		lost[loss] = map[string]int{}
		for i := range 40 {
			path := filepath.Join(t.TempDir(), "state")
			if err := d.State(path, all, loss, rng); err != nil {
				t.Fatal(err)
			}
			p, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				if _, err := os.Stat(path); err != nil {
					t.Fatal(err)
				}
			}
			for s := 32; s < 40; s++ {
				if p[s*sector] != 'c' {
					t.Fatalf("%d: what was written through is lost", loss)
				}
			}
			torn := 0
			for s := 1; s < 9; s++ {
				switch p[s*sector] {
				case 'a':
					lost[loss]["d"]++
				case 'd':
				default:
					t.Fatalf("%d: what was flushed is lost", loss)
				}
				if p[(15+s)*sector] != 'b' {
					lost[loss]["b"]++
					torn++
				}
			}
			if torn%8 != 0 {
				lost[loss]["torn"]++
			}
			if string(p[:5]) != "first" {
				t.Fatal("the image's own is lost")
			}
		}
	}
	const sectors = 40 * 8
	for loss, want := range map[Loss]func(lost, torn int) bool{
		LoseNone:    func(n, torn int) bool { return n == 0 },
		LoseAll:     func(n, torn int) bool { return n == sectors },
		LoseSome:    func(n, torn int) bool { return n > 0 && n < sectors && torn == 0 },
		LoseSectors: func(n, torn int) bool { return n > 0 && n < sectors && torn > 0 },
	} {
		if !want(lost[loss]["b"], lost[loss]["torn"]) {
			t.Errorf("way %d lost %v of %d", loss, lost[loss], sectors)
		}
	}
}

// TestEarlier: a cut before the end of the log leaves nothing of what followed, and one that
// comes with a flush loses nothing.
func TestEarlier(t *testing.T) {
	d := blank(t, 16)
	m := boot(t, d, optGo)
	m.write(0, 1, 'a', 1)
	m.flush()
	m.write(0, 1, 'b', 1)
	m.flush()
	rng := rand.New(rand.NewPCG(1, 2))
	for n, want := range []byte{0, 0, 'a', 'a', 'b'} {
		path := filepath.Join(t.TempDir(), "state")
		if err := d.State(path, n, LoseAll, rng); err != nil {
			t.Fatal(err)
		}
		p, err := os.ReadFile(path)
		if err != nil || len(p) != 16*sector || p[sector] != want {
			t.Errorf("after %d events there is %q, %v; want %q", n, p[sector], err, want)
		}
	}
	log, err := os.ReadFile(d.LogPath())
	if err != nil || len(log) != 2*sector || log[0] != 'a' || log[sector] != 'b' {
		t.Errorf("the log has %d bytes, %v", len(log), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd")
	if err := os.WriteFile(odd, make([]byte, 513), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{odd, filepath.Join(dir, "missing")} {
		if _, err := Open(image, filepath.Join(dir, "disk")); err == nil {
			t.Errorf("%s was taken", filepath.Base(image))
		}
	}
	even := filepath.Join(dir, "even")
	if err := os.WriteFile(even, make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(even, dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("a folder that is there: %v", err)
	}
}
