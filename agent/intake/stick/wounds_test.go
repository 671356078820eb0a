package stick_test

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"platen/agent/intake/stick/sticktest"
)

const end = 0x0FFFFFFF // of a chain

// wound is one lie on a stick, and what is said of it: the code of the error that refuses
// the stick, or "job: …" for what is said of its job, where the stick is read, or "lost" if
// the job is not found, as its name is none.
type wound struct {
	fs    sticktest.FS
	table sticktest.Table
	name  string
	want  string
	do    func(m *sticktest.Image)
}

// woundFiles are one job, in a folder, and what else the wounds need.
func woundFiles() []sticktest.File {
	return []sticktest.File{
		{Path: "other.bin", Data: noise(3000, 1)},
		{Path: "folder/a long name of a job.ticket", Data: noise(900, 3)},
		{Path: "folder/a long name of a job.age", Data: noise(9001, 2)},
	}
}

const (
	theTicket = "folder/a long name of a job.ticket"
	theFile   = "folder/a long name of a job.age"
)

// put8 writes one byte into the header.
func put8(at int64, v byte) func(*sticktest.Image) {
	return func(m *sticktest.Image) { m.Put(m.Base+at, v); m.Seal() }
}

func put16(at int64, v uint16) func(*sticktest.Image) {
	return func(m *sticktest.Image) { m.Put16(m.Base+at, v); m.Seal() }
}

func put32(at int64, v uint32) func(*sticktest.Image) {
	return func(m *sticktest.Image) { m.Put32(m.Base+at, v); m.Seal() }
}

func put64(at int64, v uint64) func(*sticktest.Image) {
	return func(m *sticktest.Image) { m.Put64(m.Base+at, v); m.Seal() }
}

// link sets what comes after the cluster of a file, counted from 0.
func link(path string, n int, to func(m *sticktest.Image) uint32) func(*sticktest.Image) {
	return func(m *sticktest.Image) { m.Link(m.At(path).Clusters[n], to(m)) }
}

func value(v uint32) func(*sticktest.Image) uint32 { return func(*sticktest.Image) uint32 { return v } }

func clusterOf(path string, n int) func(*sticktest.Image) uint32 {
	return func(m *sticktest.Image) uint32 { return m.At(path).Clusters[n] }
}

// first sets where an entry says that its file begins.
func first(path string, to func(m *sticktest.Image) uint32) func(*sticktest.Image) {
	return func(m *sticktest.Image) {
		e := m.At(path).Entry
		if m.Plan.FS == sticktest.ExFAT {
			m.Put32(e+20, to(m))
			m.Seal()
			return
		}
		m.Put16(e+26, uint16(to(m)))
		m.Put16(e+20, uint16(to(m)>>16))
	}
}

// fatWounds are those of FAT12, FAT16 and FAT32.
var fatWounds = []wound{
	{name: "sector of 0", want: "volume", do: put16(11, 0)},
	{name: "sector of 513", want: "volume", do: put16(11, 513)},
	{name: "sector of 8192", want: "volume", do: put16(11, 8192)},
	{name: "cluster of 0", want: "volume", do: put8(13, 0)},
	{name: "cluster of 3", want: "volume", do: put8(13, 3)},
	{name: "no reserved sector", want: "volume", do: put16(14, 0)},
	{name: "no table", want: "volume", do: put8(16, 0)},
	{name: "nine tables", want: "volume", do: put8(16, 9)},
	{name: "size twice", want: "volume", do: func(m *sticktest.Image) { m.Put16(m.Base+19, 77); m.Put32(m.Base+32, 78) }},
	{name: "size of 0", want: "size", do: func(m *sticktest.Image) { m.Put16(m.Base+19, 0); m.Put32(m.Base+32, 0) }},
	{name: "larger than the stick", want: "size", do: func(m *sticktest.Image) { m.Put16(m.Base+19, 0); m.Put32(m.Base+32, 0xFFFFFFFF) }},
	{name: "kind of medium", want: "volume", do: put8(21, 0x12)},
	{name: "medium in the table", want: "volume", do: func(m *sticktest.Image) { m.Put(m.FAT, 0xF0) }},
	{name: "no signature", want: "none", do: put16(510, 0)},
	{name: "reserved beyond the end", want: "volume", do: put16(14, 0xFFFF)},
	{name: "chain of the folder loops", want: "chain", do: link("folder", 0, clusterOf("folder", 0))},
	{name: "chain of the folder leads out", want: "chain", do: link("folder", 0, value(0x0FFFF0))},
	{name: "folder begins out of the stick", want: "chain", do: first("folder", value(60_000_000))},
	{name: "folder in a file's place", want: "folder", do: first("folder", clusterOf("other.bin", 0))},
	{name: "folder without a place", want: "folder", do: first("folder", value(0))},
	{name: "folder with a size", want: "folder", do: func(m *sticktest.Image) { m.Put32(m.At("folder").Entry+28, 512) }},
	{name: "folder that is a volume", want: "folder", do: func(m *sticktest.Image) { m.Put(m.At("folder").Entry+11, 0x18) }},
	{name: "folder without itself", want: "folder", do: func(m *sticktest.Image) { m.Put(m.Cluster(m.At("folder").Clusters[0])+26, 99) }},
	{name: "folder without the one above", want: "folder", do: func(m *sticktest.Image) { m.Put(m.Cluster(m.At("folder").Clusters[0])+32+26, 99) }},
	{name: "file loops", want: "job: chain", do: link(theFile, 3, clusterOf(theFile, 1))},
	{name: "file ends early", want: "job: chain", do: link(theFile, 3, value(end))},
	{name: "file goes on", want: "job: chain", do: func(m *sticktest.Image) { m.Link(m.At(theFile).Clusters[17], m.Clusters+1); m.Link(m.Clusters+1, end) }},
	{name: "file in free clusters", want: "job: chain", do: link(theFile, 3, value(0))},
	{name: "file in a bad cluster", want: "job: chain", do: link(theFile, 3, value(0x0FFFFFF7))},
	{name: "file leads out", want: "job: chain", do: func(m *sticktest.Image) { m.Link(m.At(theFile).Clusters[3], m.Clusters+2) }},
	{name: "file in the table", want: "job: chain", do: first(theFile, value(1))},
	{name: "file of another's clusters", want: "job: crossed", do: func(m *sticktest.Image) {
		m.Put32(m.At(theFile).Entry+28, 900)
		first(theFile, clusterOf(theTicket, 0))(m)
	}},
	{name: "file in the folder's cluster", want: "job: crossed", do: func(m *sticktest.Image) {
		m.Put32(m.At(theFile).Entry+28, uint32(512*len(m.At("folder").Clusters)))
		first(theFile, clusterOf("folder", 0))(m)
	}},
	{name: "file larger than the stick", want: "job: size", do: func(m *sticktest.Image) { m.Put32(m.At(theFile).Entry+28, 0xFFFFFFFF) }},
	{name: "file of 0", want: "job: size", do: func(m *sticktest.Image) { m.Put32(m.At(theFile).Entry+28, 0) }},
	{name: "file without a place", want: "job: chain", do: first(theFile, value(0))},
	{name: "checksum of a long name", want: "job: absent", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set+13, m.Bytes(m.At(theFile).Set+13, 1)[0]+1) }},
	{name: "parts of a long name in the wrong order", want: "job: absent", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set+32, 3) }},
	{name: "first part of a long name missing", want: "job: absent", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set, 3) }},
	{name: "long name that goes on behind its end", want: "job: absent", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set+30, 'x', 0) }},
	{name: "long name with a slash", want: "job: absent", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set+32+1, '/', 0) }},
	{name: "long name of 40 parts", want: "job: absent", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set, 0x40|40) }},
	{name: "ticket's name is none", want: "lost", do: func(m *sticktest.Image) {
		m.Put(m.At(theTicket).Set+13, 0)
		m.Put(m.At(theTicket).Entry, '*')
	}},
	{name: "two of one name", want: "job: name", do: twin},
}

// twin lets the folder's end be another copy of the job's file.
func twin(m *sticktest.Image) {
	p := m.At(theFile)
	m.WriteAt(m.Bytes(p.Set, 32*p.Slots), p.Set+32*int64(p.Slots))
}

// fat32Wounds are those that only a FAT32 has.
var fat32Wounds = []wound{
	{name: "version", want: "volume", do: put16(42, 1)},
	{name: "root out of the stick", want: "volume", do: put32(44, 0x0FFFFFF0)},
	{name: "root in the table", want: "volume", do: put32(44, 1)},
	{name: "root with a fixed size", want: "volume", do: put16(17, 512)},
	{name: "table too small", want: "volume", do: put32(36, 100)},
	{name: "table larger than the stick", want: "volume", do: put32(36, 0xFFFFFFFF)},
	{name: "table that counts is not there", want: "volume", do: put16(40, 0x85)},
	{name: "too few clusters for its kind", want: "volume", do: put32(32, 20_000)},
	{name: "root loops", want: "chain", do: func(m *sticktest.Image) { m.Link(2, 2) }},
	{name: "root is the folder", want: "crossed", do: func(m *sticktest.Image) { m.Link(2, m.At("folder").Clusters[0]) }},
}

// exfatWounds are those of exFAT.
var exfatWounds = []wound{
	{name: "jump", want: "none", do: put8(0, 0)},
	{name: "jump elsewhere", want: "volume", do: put8(1, 0x75)},
	{name: "no signature", want: "none", do: put16(510, 0)},
	{name: "old header", want: "volume", do: put8(20, 1)},
	{name: "checksum of the header", want: "volume", do: func(m *sticktest.Image) { m.Put(m.Base+1000, 1) }},
	{name: "sector of 256", want: "volume", do: put8(108, 8)},
	{name: "sector of 2^200", want: "volume", do: put8(108, 200)},
	{name: "cluster of 64 MiB", want: "volume", do: put8(109, 17)},
	{name: "cluster of 2^200", want: "volume", do: put8(109, 200)},
	{name: "version", want: "volume", do: put8(105, 2)},
	{name: "two tables", want: "volume", do: put8(110, 2)},
	{name: "second table counts", want: "volume", do: put8(106, 1)},
	{name: "larger than the stick", want: "size", do: put64(72, 1<<63)},
	{name: "smaller than 1 MiB", want: "volume", do: put64(72, 100)},
	{name: "table in the header", want: "volume", do: put32(80, 12)},
	{name: "table in the heap", want: "volume", do: put32(80, 0xFFFFFFFF)},
	{name: "table too small", want: "volume", do: put32(84, 1)},
	{name: "heap out of the stick", want: "volume", do: put32(88, 0xFFFFFFFF)},
	{name: "too many clusters", want: "volume", do: put32(92, 0xFFFFFFFF)},
	{name: "no clusters", want: "volume", do: put32(92, 0)},
	{name: "root out of the stick", want: "volume", do: put32(96, 0xFFFFFFF0)},
	{name: "root in the table", want: "volume", do: put32(96, 1)},
	{name: "first entry of the table", want: "volume", do: func(m *sticktest.Image) { m.Put32(m.FAT, 0) }},
	{name: "root loops", want: "chain", do: func(m *sticktest.Image) { c := rootOf(m); m.Link(c, c) }},
	{name: "no bitmap", want: "folder", do: func(m *sticktest.Image) { m.Put(m.Root+32, 0x01) }},
	{name: "two bitmaps", want: "folder", do: func(m *sticktest.Image) { m.Put(m.Root, 0x81) }},
	{name: "bitmap too small", want: "size", do: func(m *sticktest.Image) { m.Put64(m.Root+32+24, 5) }},
	{name: "no table of letters", want: "folder", do: func(m *sticktest.Image) { m.Put(m.Root+64, 0x02) }},
	{name: "huge table of letters", want: "size", do: func(m *sticktest.Image) { m.Put64(m.Root+64+24, 1<<62) }},
	{name: "table of letters altered", want: "volume", do: func(m *sticktest.Image) { m.Put(m.Root+64+4, 1, 2, 3) }},
	{name: "root free in the bitmap", want: "crossed", do: func(m *sticktest.Image) { unused(m, rootOf(m)) }},
	{name: "folder free in the bitmap", want: "crossed", do: func(m *sticktest.Image) { unused(m, m.At("folder").Clusters[0]) }},
	{name: "unknown entry that matters", want: "folder", do: func(m *sticktest.Image) { m.Put(m.Root, 0x9F) }},
	{name: "part of an entry alone", want: "folder", do: func(m *sticktest.Image) { m.Put(m.At("other.bin").Set, 0xC0) }},
	{name: "entry with one part", want: "folder", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set+1, 1) }},
	{name: "entry with 255 parts", want: "folder", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set+1, 255) }},
	{name: "entry that is cut off", want: "folder", do: func(m *sticktest.Image) { p := m.At(theFile); m.Put(p.Set+32, 0x40) }},
	{name: "checksum of an entry", want: "folder", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Set+8, 0xAA) }},
	{name: "hash of a name", want: "name", do: func(m *sticktest.Image) { m.Put16(m.At(theFile).Entry+4, 1); m.Seal() }},
	{name: "name of 0", want: "folder", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Entry+3, 0); m.Seal() }},
	{name: "name longer than its parts", want: "name", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Entry+3, 200); m.Seal() }},
	{name: "name with a slash", want: "name", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Entry+32+2, '/'); m.Seal() }},
	{name: "folder of half a cluster", want: "size", do: func(m *sticktest.Image) {
		e := m.At("folder").Entry
		m.Put64(e+8, 100)
		m.Put64(e+24, 100)
		m.Seal()
	}},
	{name: "folder that ends beyond the stick", want: "chain", do: func(m *sticktest.Image) {
		e := m.At("folder").Entry
		m.Put64(e+8, 2<<20)
		m.Put64(e+24, 2<<20)
		m.Seal()
	}},
	{name: "folder out of the stick", want: "chain", do: first("folder", value(0xFFFFFFF0))},
	{name: "folder in the root's cluster", want: "crossed", do: first("folder", rootOf)},
	{name: "more in a file than its size", want: "size", do: func(m *sticktest.Image) { m.Put64(m.At(theFile).Entry+8, 1<<40); m.Seal() }},
	{name: "file not written to its end", want: "job: size", do: func(m *sticktest.Image) { m.Put64(m.At(theFile).Entry+8, 500); m.Seal() }},
	{name: "file that ends beyond the stick", want: "job: chain", do: func(m *sticktest.Image) { first(theFile, value(m.Clusters))(m) }},
	{name: "file in a bad cluster", want: "job: chain", do: func(m *sticktest.Image) { chained(m); m.Link(m.At(theFile).Clusters[2], 0xFFFFFFF7) }},
	{name: "file larger than the stick", want: "job: size", do: func(m *sticktest.Image) {
		e := m.At(theFile).Entry
		m.Put64(e+8, 1<<62)
		m.Put64(e+24, 1<<62)
		m.Seal()
	}},
	{name: "file without a place", want: "job: size", do: func(m *sticktest.Image) { m.Put(m.At(theFile).Entry+1, 0); m.Seal() }},
	{name: "file loops", want: "job: chain", do: func(m *sticktest.Image) { chained(m); link(theFile, 3, clusterOf(theFile, 1))(m) }},
	{name: "file ends early", want: "job: chain", do: func(m *sticktest.Image) { chained(m); link(theFile, 3, value(end))(m) }},
	{name: "file in another's clusters", want: "job: crossed", do: first(theFile, clusterOf(theTicket, 0))},
	{name: "file free in the bitmap", want: "job: crossed", do: func(m *sticktest.Image) { unused(m, m.At(theFile).Clusters[7]) }},
	{name: "two of one name", want: "job: name", do: twin},
}

// rootOf is the first cluster of the root folder.
func rootOf(m *sticktest.Image) uint32 {
	return uint32((m.Root-m.Heap)/int64(m.Plan.Sector*m.Plan.Cluster)) + 2
}

// unused clears a cluster in the bitmap, which begins in cluster 2.
func unused(m *sticktest.Image, c uint32) {
	at := m.Cluster(2) + int64(c-2)/8
	m.Put(at, m.Bytes(at, 1)[0]&^(1<<((c-2)%8)))
}

// chained makes the job's file one that is chained.
func chained(m *sticktest.Image) { m.Put(m.At(theFile).Entry+1, 1); m.Seal() }

// tableWounds are those of tables of partitions.
var tableWounds = []wound{
	{table: sticktest.MBR, name: "no signature", want: "none", do: func(m *sticktest.Image) { m.Put(510, 0) }},
	{table: sticktest.MBR, name: "state of a partition", want: "table", do: func(m *sticktest.Image) { m.Put(446, 0x33) }},
	{table: sticktest.MBR, name: "no partition", want: "table", do: func(m *sticktest.Image) { m.Put(446+4, 0) }},
	{table: sticktest.MBR, name: "kind of another system", want: "none", do: func(m *sticktest.Image) { m.Put(446+4, 0x83) }},
	{table: sticktest.MBR, name: "partition at 0", want: "table", do: func(m *sticktest.Image) { m.Put32(446+8, 0) }},
	{table: sticktest.MBR, name: "partition out of the stick", want: "table", do: func(m *sticktest.Image) { m.Put32(446+12, 0xFFFFFFFF) }},
	{table: sticktest.MBR, name: "partition beyond the stick", want: "table", do: func(m *sticktest.Image) { m.Put32(446+8, 0xFFFFFFF0) }},
	{table: sticktest.MBR, name: "partitions overlap", want: "table", do: func(m *sticktest.Image) { m.WriteAt(m.Bytes(446, 16), 446+16) }},
	{table: sticktest.MBR, name: "partition smaller than its volume", want: "size", do: func(m *sticktest.Image) { m.Put32(446+12, 100) }},
	{table: sticktest.MBR, name: "partition with nothing", want: "none", do: func(m *sticktest.Image) { m.Put32(446+8, 1); m.Put32(446+12, 4) }},
	{table: sticktest.GPT, name: "no table", want: "table", do: func(m *sticktest.Image) { m.Put(512, 'X') }},
	{table: sticktest.GPT, name: "checksum of the header", want: "table", do: func(m *sticktest.Image) { m.Put(512+60, 1) }},
	{table: sticktest.GPT, name: "checksum of the table", want: "table", do: func(m *sticktest.Image) { m.Put(1024+60, 1) }},
	{table: sticktest.GPT, name: "header of 0", want: "table", do: gpt(func(m *sticktest.Image) { m.Put32(512+12, 0) })},
	{table: sticktest.GPT, name: "header of 4 GiB", want: "table", do: gpt(func(m *sticktest.Image) { m.Put32(512+12, 0xFFFFFFFF) })},
	{table: sticktest.GPT, name: "header of elsewhere", want: "table", do: gpt(func(m *sticktest.Image) { m.Put64(512+24, 9) })},
	{table: sticktest.GPT, name: "entries of 4 GiB", want: "table", do: gpt(func(m *sticktest.Image) { m.Put32(512+80, 0xFFFFFFFF) })},
	{table: sticktest.GPT, name: "entries of 7 bytes", want: "table", do: gpt(func(m *sticktest.Image) { m.Put32(512+84, 7) })},
	{table: sticktest.GPT, name: "entries out of the stick", want: "table", do: gpt(func(m *sticktest.Image) { m.Put64(512+72, 1<<60) })},
	{table: sticktest.GPT, name: "usable beyond the stick", want: "table", do: gpt(func(m *sticktest.Image) { m.Put64(512+48, 1<<60) })},
	{table: sticktest.GPT, name: "partition ends before it begins", want: "table", do: gpt(func(m *sticktest.Image) { m.Put64(1024+40, 50) })},
	{table: sticktest.GPT, name: "partition beyond the stick", want: "table", do: gpt(func(m *sticktest.Image) { m.Put64(1024+40, 1<<62) })},
	{table: sticktest.GPT, name: "partitions overlap", want: "table", do: gpt(func(m *sticktest.Image) { m.WriteAt(m.Bytes(1024, 128), 1024+128) })},
	{table: sticktest.GPT, name: "partition of another system", want: "none", do: gpt(func(m *sticktest.Image) { m.Put(1024, 0x11) })},
}

// gpt seals the checksums over a lie.
func gpt(do func(*sticktest.Image)) func(*sticktest.Image) {
	return func(m *sticktest.Image) { do(m); m.SealGPT() }
}

// wounds are all of them.
func wounds() (all []wound) {
	for _, fs := range []sticktest.FS{sticktest.FAT12, sticktest.FAT16, sticktest.FAT32} {
		for _, w := range fatWounds {
			w.fs = fs
			all = append(all, w)
		}
	}
	add := func(fs sticktest.FS, list []wound) {
		for _, w := range list {
			w.fs = fs
			all = append(all, w)
		}
	}
	add(sticktest.FAT32, fat32Wounds)
	add(sticktest.ExFAT, exfatWounds)
	add(sticktest.FAT16, tableWounds)
	add(sticktest.ExFAT, tableWounds)
	return all
}

// verdict is what is said of an image, as in wound.
func verdict(m *sticktest.Image) string {
	s, err := open(m)
	if err != nil {
		return code(err)
	}
	got := content(s)
	switch {
	case len(got) == 0:
		return "lost"
	case len(got) > 1:
		return strings.Join(got, ", ")
	case len(strings.Fields(got[0])) > 2:
		return "sound"
	}
	f := strings.Fields(got[0])
	return "job: " + f[len(f)-1]
}

// sound is an image without wounds, of which each gets a copy.
func sound(t *testing.T, made map[[2]string]*sticktest.Image, w wound) *sticktest.Image {
	key := [2]string{string(w.fs), string(w.table)}
	m := made[key]
	if m == nil {
		m = sticktest.Make(sticktest.Plan{FS: w.fs, Table: w.table, Files: woundFiles()})
		made[key] = m
		if got := verdict(m); got != "sound" {
			t.Fatalf("control: %v without a wound: %s", key, got)
		}
	}
	return m.Clone()
}

// TestWounds refuses each lie for what it is, and with no more memory than is stated.
func TestWounds(t *testing.T) {
	made := map[[2]string]*sticktest.Image{}
	for _, w := range wounds() {
		m := sound(t, made, w)
		w.do(m)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := verdict(m)
		runtime.ReadMemStats(&after)
		if got != w.want {
			t.Errorf("%s %s: %s: %s, want %s", w.fs, w.table, w.name, got, w.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Errorf("%s %s: %s: %d bytes", w.fs, w.table, w.name, n)
		}
	}
	if n := len(wounds()); n < 200 {
		t.Errorf("%d wounds", n)
	}
}

// TestTruncated cuts a stick off everywhere in what matters: it is refused, and never read
// as if it were whole.
func TestTruncated(t *testing.T) {
	for _, fs := range []sticktest.FS{sticktest.FAT12, sticktest.FAT16, sticktest.FAT32, sticktest.ExFAT} {
		for _, table := range []sticktest.Table{sticktest.Bare, sticktest.MBR, sticktest.GPT} {
			m := sticktest.Make(sticktest.Plan{FS: fs, Table: table, Files: woundFiles()})
			whole := m.Size
			for n := int64(1); n < whole; n = n*3/2 + 7 {
				m.Size = n
				if got := verdict(m); !slices.Contains([]string{"size", "none", "table", "volume"}, got) {
					t.Errorf("%s %s: %d of %d bytes: %s", fs, table, n, whole, got)
				}
			}
			if m.Size = whole; verdict(m) != "sound" {
				t.Errorf("control: %s %s: %s", fs, table, verdict(m))
			}
		}
	}
}
