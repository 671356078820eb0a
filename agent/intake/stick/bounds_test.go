package stick_test

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"platen/agent/intake"
	"platen/agent/intake/stick"
	"platen/agent/intake/stick/sticktest"
)

var kinds = []sticktest.FS{sticktest.FAT12, sticktest.FAT16, sticktest.FAT32, sticktest.ExFAT}

// counter counts what is read.
type counter struct {
	r     io.ReaderAt
	bytes int64
	then  func(n int64) // after each read
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.bytes += int64(n)
	if c.then != nil {
		c.then(c.bytes)
	}
	return n, err
}

// TestWalkIsBounded looks through sticks with more on them than is looked at: what lies
// high is found, the rest is said to be missing.
func TestWalkIsBounded(t *testing.T) {
	job := func(dir string, n byte) []sticktest.File {
		return []sticktest.File{{Path: dir + "job.ticket", Data: noise(200, uint64(n))}, {Path: dir + "job.age", Data: noise(300, 1)}}
	}
	var wide, many, deep []sticktest.File
	for i := range 600 {
		wide = append(wide, sticktest.File{Path: fmt.Sprintf("folder %d/x", i), Data: []byte{1}})
	}
	for i := range 300 {
		many = append(many, sticktest.File{Path: fmt.Sprintf("%d.ticket", i), Data: []byte{1}})
	}
	deep = job("1/2/3/4/", 9)
	for _, c := range []struct {
		name  string
		files []sticktest.File
		jobs  int
		more  bool
	}{
		{"deep enough", deep, 2, false},
		{"too deep", append(job("1/2/3/4/5/", 8), deep...), 2, true},
		{"many folders", wide, 1, true},
		{"many tickets", many, 255, true},
	} {
		m := sticktest.Make(sticktest.Plan{FS: sticktest.FAT32, Cluster: 8, Files: append(job("", 7), c.files...)})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := open(m)
		runtime.ReadMemStats(&after)
		if err != nil || s.More != c.more || len(s.Jobs()) != c.jobs {
			t.Errorf("%s: %v, more: %t, want %t", c.name, err, err == nil && s.More, c.more)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Errorf("%s: %d bytes", c.name, n)
		}
	}
}

// TestEntriesAreBounded gives a folder no end but that of the bound: folders that lie full
// of deleted entries.
func TestEntriesAreBounded(t *testing.T) {
	m := sticktest.Make(sticktest.Plan{FS: sticktest.FAT32, Cluster: 64, Files: woundFiles()})
	for c := uint32(10_000); c < 10_000+63; c++ { // a root of 2 MiB
		for at := int64(0); at < 64*512; at += 32 {
			m.Put(m.Cluster(c)+at, 0xE5)
		}
		m.Link(c, c+1)
	}
	m.Link(10_063, end)
	for at := int64(0); at < 64*512; at += 32 {
		m.Put(m.Cluster(10_063)+at, 0xE5)
	}
	folder := m.At("folder").Entry
	m.Put(folder+32, []byte("FULL       \x10")...)
	m.Put16(folder+32+20, 0)
	m.Put16(folder+32+26, 10_000)
	m.Put(m.Cluster(10_000), append([]byte(".          \x10"), make([]byte, 20)...)...)
	m.Put16(m.Cluster(10_000)+26, 10_000)
	m.Put(m.Cluster(10_000)+32, append([]byte("..         \x10"), make([]byte, 20)...)...)
	c := &counter{r: m}
	s, err := stick.Open(t.Context(), c, m.Size, 512)
	if err != nil || !s.More {
		t.Fatalf("%v", err)
	}
	if c.bytes > 4<<20 {
		t.Errorf("%d bytes were read", c.bytes)
	}
}

// TestSlowStick ends what takes too long, in the walk and in a file.
func TestSlowStick(t *testing.T) {
	for _, fs := range kinds {
		m := sticktest.Make(sticktest.Plan{FS: fs, Files: jobFiles()})
		c := &counter{r: m}
		if _, err := stick.Open(t.Context(), c, m.Size, 512); err != nil {
			t.Fatalf("control: %v", err)
		}
		whole := c.bytes
		for _, at := range []int64{1, whole / 3, whole - 1} {
			ctx, cancel := context.WithCancel(t.Context())
			c := &counter{r: m, then: func(n int64) {
				if n >= at {
					cancel()
				}
			}}
			if _, err := stick.Open(ctx, c, m.Size, 512); code(err) != "read" && at < whole-512 {
				t.Errorf("%s: after %d of %d bytes: %v", fs, at, whole, err)
			}
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		s, err := stick.Open(ctx, m, m.Size, 512)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Sealed(s.Jobs()[0], s.Jobs()[0].Size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
			t.Errorf("control: %v", err)
		}
		cancel()
		if _, err := io.ReadAll(r); code(err) != "read" {
			t.Errorf("%s: a stick that is not waited for: %v", fs, err)
		}
	}
}

// scratched cannot read one block.
type scratched struct {
	r     io.ReaderAt
	block int64
}

func (s scratched) ReadAt(p []byte, off int64) (int, error) {
	if at := s.block * 512; at < off+int64(len(p)) && at+512 > off {
		return 0, errors.New("input/output error")
	}
	return s.r.ReadAt(p, off)
}

// TestBadBlocks scratches each block that is read of a sound stick: it is refused, or its
// job is, and never read as if it were whole.
func TestBadBlocks(t *testing.T) {
	for _, fs := range kinds {
		m := sticktest.Make(sticktest.Plan{FS: fs, Files: woundFiles()})
		look := func(r io.ReaderAt) string {
			s, err := stick.Open(t.Context(), r, m.Size, 512)
			if err != nil {
				return code(err)
			}
			return strings.Join(content(s), ", ")
		}
		watch := &spy{m, map[int64]bool{}}
		if got := look(watch); len(strings.Fields(got)) != 3 || len(watch.read) < 20 {
			t.Fatalf("control: %s: %s, %d blocks", fs, got, len(watch.read))
		}
		for block := range watch.read {
			if got := look(scratched{m, block}); !strings.HasSuffix(got, "read") {
				t.Errorf("%s: block %d: %s", fs, block, got)
			}
		}
	}
}

// fickle answers otherwise from its second reading of a block on.
type fickle struct {
	r    io.ReaderAt
	seen map[int64]bool
	from int64 // what lies before is steady
}

func (f *fickle) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.r.ReadAt(p, off)
	for at := off / 512; at <= (off+int64(n)-1)/512; at++ {
		if f.seen[at] && at*512 >= f.from {
			for i := max(off, at*512); i < min(off+int64(n), at*512+512); i++ {
				p[i-off] ^= 1
			}
		}
		f.seen[at] = true
	}
	return n, err
}

// TestSwappedBetweenReads lets a stick show one sealed file when it is looked at and another
// when it is printed: what is held in memory is held against the ticket, and nothing else
// is.
func TestSwappedBetweenReads(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed := append([]byte("age-encryption.org/v1\n-> X25519 AAAA\nAAAA\n--- "+strings.Repeat("A", 43)+"\n"), noise(5000, 4)...)
	held, err := intake.Hold(strings.NewReader(string(sealed)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	now := time.Now()
	env, err := intake.NewTicket(held, "stl", []string{"P1"}, 1, now.Add(-time.Minute), time.Hour).Sign(t.Context(), priv)
	if err != nil {
		t.Fatal(err)
	}
	for _, fs := range kinds {
		m := sticktest.Make(sticktest.Plan{FS: fs, Files: []sticktest.File{{Path: "j.age", Data: sealed}, {Path: "j.ticket", Data: env}}})
		f := &fickle{r: m, seen: map[int64]bool{}, from: m.Size}
		s, err := stick.Open(t.Context(), f, m.Size, 512)
		if err != nil {
			t.Fatal(err)
		}
		take := func() error {
			got, err := s.Envelope(s.Jobs()[0], intake.MaxTicket)
			if err != nil {
				return err
			}
			ticket, err := intake.OpenTicket(t.Context(), got, []ed25519.PublicKey{pub})
			if err != nil {
				return err
			}
			r, err := s.Sealed(s.Jobs()[0], ticket.Size)
			if err != nil {
				return err
			}
			h, err := intake.Hold(r, 1<<20)
			if err != nil {
				return err
			}
			defer h.Close()
			return ticket.Check("P1", h, now)
		}
		if err := take(); err != nil {
			t.Fatalf("control: %s: %v", fs, err)
		}
		f.from = m.Cluster(m.At("j.age").Clusters[9]) // and what lies behind it, which may be the ticket
		if e, ok := errors.AsType[*intake.TicketError](take()); !ok || e.Code != "file" && e.Code != "form" && e.Code != "signature" {
			t.Errorf("%s: a stick that changes its mind: %v", fs, e)
		}
	}
}

// TestMessagesNameNothing reads every reason that wounds bring about: none has a name that
// is on the stick.
func TestMessagesNameNothing(t *testing.T) {
	made := map[[2]string]*sticktest.Image{}
	seen := 0
	for _, w := range wounds() {
		m := sound(t, made, w)
		w.do(m)
		s, err := open(m)
		if err == nil && len(s.Jobs()) > 0 {
			_, err = s.Sealed(s.Jobs()[0], s.Jobs()[0].Size)
		}
		if err == nil {
			continue
		}
		seen++
		if text := err.Error(); strings.Contains(text, "long name of a job") || strings.Contains(text, "other.bin") || len(text) < 20 {
			t.Errorf("%s: %q", w.name, text)
		}
	}
	if seen < 150 {
		t.Errorf("control: %d messages", seen)
	}
}

// edits are alterations of an image: each is a place of 3 bytes, in 512ths of the stick or
// by the byte near its beginning, and a value of 2.
func edits(m *sticktest.Image, data []byte) {
	for ; len(data) >= 5; data = data[5:] {
		at := int64(data[0]) | int64(data[1])<<8 | int64(data[2])<<16
		switch data[2] >> 6 {
		case 0:
			at = m.Base + at%2048
		case 1:
			at = m.FAT + at%4096
		default:
			at = m.Root + at%8192
		}
		if at < m.Size-2 {
			m.Put16(at, binary.LittleEndian.Uint16(data[3:]))
		}
	}
}

// FuzzStick alters sticks, with checksums that agree and without. Whatever comes of it ends
// within its bounds, and what is read is a stick's own.
func FuzzStick(f *testing.F) {
	var made []*sticktest.Image
	for _, fs := range kinds {
		for _, table := range []sticktest.Table{sticktest.Bare, sticktest.GPT} {
			made = append(made, sticktest.Make(sticktest.Plan{FS: fs, Table: table, Scatter: table == sticktest.GPT, Files: woundFiles()}))
		}
	}
	f.Add([]byte{0})
	f.Add([]byte{1, 0, 0, 0xC0, 0x0F, 0xE5})
	f.Add([]byte{6, 13, 0, 0, 3, 3, 17, 0, 0x40, 1, 1})
	f.Add([]byte{0x8F, 96, 0, 0xC0, 0x85, 0x12})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 400 {
			return
		}
		m := made[int(data[0]&0x7F)%len(made)].Clone()
		edits(m, data[1:])
		if data[0]&0x80 != 0 {
			m.Seal()
		}
		c := &counter{r: m}
		s, err := stick.Open(t.Context(), c, m.Size, int64(m.Plan.Sector))
		if code(err) != "" && strings.HasPrefix(code(err), "no code") {
			t.Fatal(err)
		}
		if c.bytes > 64<<20 {
			t.Fatalf("%d bytes were read", c.bytes)
		}
		if err != nil {
			return
		}
		if got := content(s); slices.ContainsFunc(got, func(text string) bool { return strings.Contains(text, "no code") }) {
			t.Fatal(got)
		}
	})
}
