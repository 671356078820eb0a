package stick_test

import (
	"runtime"
	"slices"
	"testing"

	"platen/agent/intake/stick"
	"platen/agent/intake/stick/sticktest"
)

// TestSeveralPartitions reads every partition that holds a file system it knows, and passes
// over others, up to four.
func TestSeveralPartitions(t *testing.T) {
	m := sticktest.Make(sticktest.Plan{FS: sticktest.FAT16, Table: sticktest.MBR, Files: woundFiles()})
	sectors := uint32(m.Length / 512)
	volume := m.Bytes(m.Base, int(m.Length))
	second := m.Size
	m.Size += m.Length
	entry := func(kind byte) {
		m.Put(446+16+4, kind)
		m.Put32(446+16+8, uint32(second/512))
		m.Put32(446+16+12, sectors)
	}
	jobs := func() []string {
		t.Helper()
		s, err := open(m)
		if err != nil {
			return []string{code(err)}
		}
		return content(s)
	}
	one := jobs()
	if len(one) != 1 {
		t.Fatalf("control: %v", one)
	}
	entry(0x83)
	if got := jobs(); !slices.Equal(got, one) {
		t.Errorf("beside a partition of another system: %v", got)
	}
	entry(0x07)
	if got := jobs(); !slices.Equal(got, one) {
		t.Errorf("beside a partition without a file system: %v", got)
	}
	m.Put(second, []byte("\xEB\x52\x90NTFS    ")...)
	m.Put(second+510, 0x55, 0xAA)
	if got := jobs(); !slices.Equal(got, one) {
		t.Errorf("beside an NTFS: %v", got)
	}
	m.WriteAt(volume, second)
	if got := jobs(); !slices.Equal(got, append(one, one...)) {
		t.Errorf("two partitions of one kind: %v", got)
	}
	m.Put(second+13, 3) // one that is damaged is not passed over
	if got := jobs(); !slices.Equal(got, []string{"volume"}) {
		t.Errorf("beside a damaged one: %v", got)
	}
}

// TestPieces opens files in as many pieces as are followed, and refuses one in more, with
// no more memory than is stated for either.
func TestPieces(t *testing.T) {
	for fs, room := range map[sticktest.FS]int{sticktest.FAT16: 30_000, sticktest.FAT32: 70_000, sticktest.ExFAT: 30_000} {
		if testing.Short() && fs != sticktest.FAT16 {
			continue
		}
		for pieces, want := range map[int]string{8_000: "", 8_400: "limit"} {
			m := sticktest.Make(sticktest.Plan{FS: fs, Scatter: true, Room: room, Files: []sticktest.File{
				{Path: "j.ticket", Data: noise(100, 1)}, {Path: "j.age", Data: make([]byte, 512*pieces)}}})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, err := stick.Open(t.Context(), m, m.Size, 512)
			if err == nil {
				_, err = s.Sealed(s.Jobs()[0], int64(512*pieces))
			}
			runtime.ReadMemStats(&after)
			if code(err) != want {
				t.Errorf("%s: %d pieces: %v", fs, pieces, err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
				t.Errorf("%s: %d pieces: %d bytes", fs, pieces, n)
			}
		}
	}
}
