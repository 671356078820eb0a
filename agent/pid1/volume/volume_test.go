package volume

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"platen/agent/attest"
	"platen/agent/pid1/dm"
	"platen/cross/rig/rigtest"
	"platen/updater/approval"
)

const testSize = DataOffset + 64<<10

// desk stands for the kernel: it "maps" by remembering the key, and copies back what was
// written in clear, encrypted.
type desk struct {
	t         *testing.T
	key       []byte
	partition string
	clear     string
	wrong     bool // it decrypts one bit otherwise
	wrongly   bool // it encrypts one bit of each sector otherwise
	full      bool // nothing can be written
	maps      int  // devices that are there
}

// config is that of a new printer with this kernel.
func (d *desk) config() Config {
	d.t.Helper()
	return Config{Device: partition(d.t), TPM: rigtest.Swtpm(d.t).Path(), Template: template(d.t), Map: d.mapped,
		Unmap: func(string) error { d.maps--; return nil },
		open: func(path string) (device, error) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			return through{f, d}, err
		}}
}

// through brings what was written to the partition.
type through struct {
	*os.File
	d *desk
}

func (t through) WriteAt(p []byte, off int64) (int, error) {
	if t.d.full && off < testSize-DataOffset-tried {
		return 0, errCut
	}
	return t.File.WriteAt(p, off)
}

func (t through) Sync() error {
	t.d.flush(t.d.partition)
	return nil
}

func (d *desk) mapped(c dm.Crypt) (string, error) {
	d.key, d.partition = bytes.Clone(c.Key), c.Device
	d.maps++
	d.clear = filepath.Join(d.t.TempDir(), "clear")
	b, err := os.ReadFile(c.Device)
	if err != nil {
		return "", err
	}
	b = b[c.Offset:][:c.Size]
	x, err := newXTS(c.Key)
	if err != nil {
		return "", err
	}
	for i := 0; i < len(b); i += dm.Sector {
		x.sector(b[i:i+dm.Sector], uint64(i/dm.Sector), x.data.Decrypt)
	}
	if d.wrong {
		b[300] ^= 1
	}
	return d.clear, os.WriteFile(d.clear, b, 0o600)
}

// flush brings what was written to the mapped device to the partition.
func (d *desk) flush(path string) {
	d.t.Helper()
	b, err := os.ReadFile(d.clear)
	if err != nil {
		d.t.Fatal(err)
	}
	x, err := newXTS(d.key)
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(b); i += dm.Sector {
		x.sector(b[i:i+dm.Sector], uint64(i/dm.Sector), x.data.Encrypt)
		if d.wrongly {
			b[i+300] ^= 1
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(b, DataOffset)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func template(t *testing.T) []byte {
	t.Helper()
	fs := bytes.Repeat([]byte{0xa5}, 32<<10)
	copy(fs[1024:], "a superblock")
	clear(fs[8192:24576])
	b, err := MakeTemplate(bytes.NewReader(fs), int64(len(fs)), 1024, 0xa5)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 2048 {
		t.Errorf("the template has %d bytes: zeros are in it", len(b))
	}
	return b
}

func partition(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "partition")
	if err := os.WriteFile(path, make([]byte, testSize), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOpen formats a new partition, opens it again with the same key, and reads it without
// the kernel. With a kernel that decrypts otherwise it does neither.
func TestOpen(t *testing.T) {
	d := &desk{t: t}
	cfg := d.config()
	tpm := cfg.TPM
	d.wrong = true
	if _, _, err := Open(cfg); !errors.Is(err, ErrCipher) || d.maps != 0 {
		t.Errorf("new, with a wrong cipher: %v, %d devices are there", err, d.maps)
	}
	if raw, err := os.ReadFile(cfg.Device); err != nil || len(bytes.TrimLeft(raw, "\x00")) != 0 {
		t.Errorf("with a wrong cipher something was written: %v", err)
	}
	d.wrong, d.wrongly = false, true
	if _, _, err := Open(cfg); !errors.Is(err, ErrCipher) || d.maps != 0 {
		t.Errorf("new, with a cipher that encrypts wrongly: %v, %d devices are there", err, d.maps)
	}
	d.wrongly, d.full = false, true
	if _, _, err := Open(cfg); !errors.Is(err, errCut) || d.maps != 0 {
		t.Errorf("new, and the file system cannot be written: %v, %d devices are there", err, d.maps)
	}
	d.full = false
	if _, fresh, err := Open(cfg); err != nil || !fresh || d.maps != 1 {
		t.Fatalf("new: %v, %v, %d devices are there", fresh, err, d.maps)
	}
	first := d.key
	if _, fresh, err := Open(cfg); err != nil || fresh || !bytes.Equal(first, d.key) {
		t.Fatalf("again: %v, %v, same key %v", fresh, err, bytes.Equal(first, d.key))
	}
	d.wrong = true
	if _, _, err := Open(cfg); !errors.Is(err, ErrCipher) || d.maps != 2 {
		t.Errorf("again, with a wrong cipher: %v, %d devices are there", err, d.maps)
	}
	raw, err := os.ReadFile(cfg.Device)
	if err != nil || bytes.Contains(raw, first[:16]) || bytes.Contains(raw, []byte("a superblock")) {
		t.Fatalf("key or contents lie in clear: %v", err)
	}
	r, err := Reader(bytes.NewReader(raw), tpm, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 12)
	if _, err := r.ReadAt(got, 1024); err != nil || string(got) != "a superblock" {
		t.Errorf("control: %q, %v", got, err)
	}
	if n, err := r.ReadAt(make([]byte, 1024), testSize-DataOffset-512); n != 512 || !errors.Is(err, io.EOF) {
		t.Errorf("over the end: %d, %v", n, err)
	}
	d.wrong = false
	if testing.Short() {
		return // a second TPM takes long to make; agent/attest has this, too
	}
	cfg.TPM = rigtest.Swtpm(t).Path()
	if _, _, err := Open(cfg); err == nil {
		t.Error("another TPM opens it")
	}
}

// TestFormatOpens: without an approval of what has booted nothing is formatted.
func TestFormatOpens(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t}
	cfg := d.config()
	cfg.Approver = &key.PublicKey
	_, _, err = Open(cfg)
	if _, ok := errors.AsType[*attest.SealedError](err); !ok || d.key != nil {
		t.Errorf("without an approval: %v, mapped %v", err, d.key != nil)
	}
	if raw, err := os.ReadFile(cfg.Device); err != nil || len(bytes.TrimLeft(raw, "\x00")) != 0 {
		t.Errorf("something was written: %v", err)
	}
	state := approval.Approval{PCRs: []approval.PCR{{Index: 8}, {Index: approval.AgentPCR}}}
	if state, err = state.SignFor(approval.StateRef, key); err != nil {
		t.Fatal(err)
	}
	cfg.Approvals = []approval.Approval{state}
	if _, fresh, err := Open(cfg); err != nil || !fresh || d.key == nil {
		t.Errorf("control: %v, %v", fresh, err)
	}
}

// cutDisk loses what is written after a number of bytes.
type cutDisk struct {
	b    []byte
	left int
}

var errCut = errors.New("power cut")

func (c *cutDisk) WriteAt(p []byte, off int64) (int, error) {
	n := copy(c.b[off:], p[:min(len(p), c.left)])
	if c.left -= n; n < len(p) {
		return n, errCut
	}
	return n, nil
}

func (c *cutDisk) Sync() error { return nil }

// TestHeaderCuts cuts the power at every 23rd byte of writing the header: the next start finds
// it, or a partition that is new.
func TestHeaderCuts(t *testing.T) {
	blob := bytes.Repeat([]byte{9}, 200)
	var none, found int
	for left := 0; left <= headLength; left += 23 {
		disk := &cutDisk{make([]byte, headLength), left}
		if err := writeHeader(disk, blob); err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		got, err := readHeader(bytes.NewReader(disk.b))
		switch {
		case err != nil || got != nil && !bytes.Equal(got, blob):
			t.Fatalf("cut after %d bytes: %v", left, err)
		case got == nil:
			none++
		default:
			found++
		}
	}
	if none == 0 || found == 0 {
		t.Errorf("%d new, %d found", none, found)
	}
}

// TestHeaderDamage: one damaged copy is survived, two are told and not formatted over.
func TestHeaderDamage(t *testing.T) {
	whole := &cutDisk{make([]byte, headLength), headLength}
	if err := writeHeader(whole, []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	for bit := range 64 {
		b := bytes.Clone(whole.b)
		at := bit * 8 * 61 % (copySize * 8)
		b[at/8] ^= 1 << (bit % 8)
		if got, err := readHeader(bytes.NewReader(b)); err != nil || string(got) != "sealed" {
			t.Fatalf("one copy: %v", err)
		}
		b[copySize+at/8] ^= 1 << (bit % 8)
		if _, err := readHeader(bytes.NewReader(b)); !errors.Is(err, ErrHeader) {
			t.Fatalf("both copies: %v", err)
		}
	}
}

func (c *cutDisk) ReadAt(p []byte, off int64) (int, error) { return copy(p, c.b[off:]), nil }

// TestMend: a header that lacks a copy gets it once it has opened, so that damage to the first
// one does not make a new partition of it.
func TestMend(t *testing.T) {
	blob := []byte("sealed")
	disk := &cutDisk{make([]byte, headLength), copySize}
	if err := writeHeader(disk, blob); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	disk.left = headLength
	if mend(disk, blob); disk.left != headLength-copySize {
		t.Errorf("%d bytes were written", headLength-disk.left)
	}
	clear(disk.b[:copySize])
	if got, err := readHeader(disk); err != nil || !bytes.Equal(got, blob) {
		t.Fatalf("the first copy is lost: %q, %v", got, err)
	}
	mend(disk, blob)
	clear(disk.b[copySize:])
	if got, err := readHeader(disk); err != nil || !bytes.Equal(got, blob) {
		t.Errorf("the second copy is lost: %q, %v", got, err)
	}
}

// TestOpenMends: opening is what writes the missing copy.
func TestOpenMends(t *testing.T) {
	d := &desk{t: t}
	cfg := d.config()
	if _, _, err := Open(cfg); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(cfg.Device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := range int64(copies) {
		if _, err := f.WriteAt(make([]byte, copySize), at*copySize); err != nil {
			t.Fatal(err)
		}
		if _, fresh, err := Open(cfg); err != nil || fresh {
			t.Fatalf("without copy %d: fresh %v, %v", at, fresh, err)
		}
	}
}

// badSector cannot be read at its beginning.
type badSector struct{ *bytes.Reader }

func (b badSector) ReadAt(p []byte, off int64) (int, error) {
	if off < copySize {
		return 0, io.ErrUnexpectedEOF
	}
	return b.Reader.ReadAt(p, off)
}

// TestHeaderUnreadable: the other copy does, and without it nothing is taken for new.
func TestHeaderUnreadable(t *testing.T) {
	disk := &cutDisk{make([]byte, headLength), headLength}
	if _, err := readHeader(badSector{bytes.NewReader(disk.b)}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("zeros behind it: %v", err)
	}
	if err := writeHeader(disk, []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	if got, err := readHeader(badSector{bytes.NewReader(disk.b)}); err != nil || string(got) != "sealed" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestXTS holds the cipher against vector 10 of IEEE 1619, annex B.
func TestXTS(t *testing.T) {
	key, _ := hex.DecodeString("2718281828459045235360287471352662497757247093699959574966967627" + "3141592653589793238462643383279502884197169399375105820974944592")
	x, err := newXTS(key)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
	for i := range b {
		b[i] = byte(i)
	}
	x.sector(b, 0xff, x.data.Encrypt)
	if got := hex.EncodeToString(b[:32]); got != "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b" {
		t.Errorf("%s", got)
	}
	x.sector(b, 0xff, x.data.Decrypt)
	if b[255] != 255 || b[256] != 0 {
		t.Error("does not decrypt")
	}
}

func TestTemplateRefuses(t *testing.T) {
	good := template(t)
	if _, err := ParseTemplate(good); err != nil {
		t.Fatalf("control: %v", err)
	}
	outside := bytes.Clone(good)
	binary.BigEndian.PutUint64(outside[16:], 1<<40)
	for name, b := range map[string][]byte{"empty": nil, "cut": good[:len(good)-1], "outside": outside, "magic": append([]byte("x"), good[1:]...)} {
		if _, err := ParseTemplate(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
