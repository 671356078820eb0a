package sticktest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

var le = binary.LittleEndian

// FS is a file system.
type FS string

// The file systems.
const (
	FAT12 FS = "fat12"
	FAT16 FS = "fat16"
	FAT32 FS = "fat32"
	ExFAT FS = "exfat"
)

// Table is a table of partitions.
type Table string

// The tables.
const (
	Bare Table = "bare" // none: the file system begins with the stick
	MBR  Table = "mbr"
	GPT  Table = "gpt"
)

// File is a file that is put on a stick. Folders of its path, which is separated by
// slashes, are made.
type File struct {
	Path string
	Data []byte
}

// Plan says what a stick is to be.
type Plan struct {
	FS      FS
	Table   Table
	Sector  int  // bytes: 512 to 4096; 0 is 512
	Cluster int  // sectors of a cluster; 0 is 1
	Room    int  // clusters; 0 is as few as the file system has
	Scatter bool // files in many pieces, their last one first
	Files   []File
}

// node is a file or a folder.
type node struct {
	name     string
	path     string
	data     []byte
	folder   bool
	children []*node
	clusters []uint32
	up       *node
}

// volume is what both kinds of file system have.
type volume interface {
	format()                     // writes what is at the volume's beginning
	slots(n *node) int           // entries that a file or folder has
	head(dir *node) int          // entries that a folder has before those
	entries(dir *node) []byte    // of a folder, whose children all have clusters
	link(c uint32, value uint32) // sets an entry of the table; last for the last one
	finish(used map[uint32]bool) // writes what depends on all else
}

const last = 0x0FFFFFFF

// builder lays a volume out.
type builder struct {
	m    *Image
	v    volume
	next uint32
	used map[uint32]bool
}

// Make makes an image. It panics if the plan cannot be.
func Make(p Plan) *Image {
	if p.Sector == 0 {
		p.Sector = 512
	}
	if p.Cluster == 0 {
		p.Cluster = 1
	}
	if p.Room == 0 {
		p.Room = map[FS]int{FAT12: 1500, FAT16: 4200, FAT32: 65600, ExFAT: max(2200, 2<<20/p.Sector/p.Cluster)}[p.FS]
	}
	m := &Image{Plan: p, pages: map[int64]*[page]byte{}, Clusters: uint32(p.Room), places: map[string]Place{}}
	if p.Table != Bare && p.Table != "" {
		m.Base = 64 * int64(p.Sector)
	}
	var v volume
	if p.FS == ExFAT {
		v = newExFAT(m)
	} else {
		v = newFAT(m)
	}
	partition(m)
	v.format()
	b := &builder{m, v, 2, map[uint32]bool{}}
	root := &node{folder: true}
	for _, f := range p.Files {
		add(root, f)
	}
	if x, ok := v.(*exfat); ok {
		x.tables(b)
	}
	b.place(root, m.rootSlots())
	v.finish(b.used)
	return m
}

// rootSlots is how many entries a root folder has that does not grow; 0 if it does.
func (m *Image) rootSlots() int {
	if m.Plan.FS == FAT12 || m.Plan.FS == FAT16 {
		return fixedRoot
	}
	return 0
}

// add puts a file below dir.
func add(dir *node, f File) {
	names := strings.Split(f.Path, "/")
	for i, name := range names {
		leaf := i == len(names)-1
		at := slices.IndexFunc(dir.children, func(n *node) bool { return n.name == name && n.folder && !leaf })
		if at < 0 {
			n := &node{name: name, path: strings.Join(names[:i+1], "/"), folder: !leaf, up: dir}
			if leaf {
				n.data = f.Data
			}
			dir.children = append(dir.children, n)
			at = len(dir.children) - 1
		}
		dir = dir.children[at]
	}
}

// take gives n clusters and chains them.
func (b *builder) take(n int, scatter bool) []uint32 {
	var got []uint32
	for range n {
		got = append(got, b.next)
		if b.next++; scatter {
			b.next++
		}
	}
	if b.next >= b.m.Clusters+2 {
		panic(fmt.Sprintf("the plan's files do not fit into %d clusters", b.m.Clusters))
	}
	if scatter {
		slices.Reverse(got)
	}
	for i, c := range got {
		b.used[c] = true
		to := uint32(last)
		if i+1 < len(got) {
			to = got[i+1]
		}
		b.v.link(c, to)
	}
	return got
}

// put writes data into clusters.
func (b *builder) put(data []byte, clusters []uint32) {
	size := b.m.Plan.Sector * b.m.Plan.Cluster
	for _, c := range clusters {
		n := min(len(data), size)
		b.m.WriteAt(data[:n], b.m.Cluster(c))
		data = data[n:]
	}
}

// place writes a folder and all in it. fixed is the number of entries of one that is not in
// the heap.
func (b *builder) place(dir *node, fixed int) {
	size := b.m.Plan.Sector * b.m.Plan.Cluster
	clusters := func(bytes int) int { return (bytes + size - 1) / size }
	n := b.v.head(dir) + 1 // and the end
	for _, c := range dir.children {
		n += b.v.slots(c)
	}
	if fixed == 0 {
		dir.clusters = b.take(clusters(n*32), false)
	} else if n > fixed {
		panic("the plan's root folder has too many entries")
	}
	for _, c := range dir.children {
		if c.folder {
			b.place(c, 0)
		} else {
			c.clusters = b.take(clusters(len(c.data)), b.m.Plan.Scatter)
			b.put(c.data, c.clusters)
		}
	}
	at := func(slot int) int64 {
		if fixed > 0 {
			return b.m.Root + int64(slot)*32
		}
		off := slot * 32
		return b.m.Cluster(dir.clusters[off/size]) + int64(off%size)
	}
	text := b.v.entries(dir)
	for i := 0; i < len(text); i += 32 {
		b.m.WriteAt(text[i:i+32], at(i/32))
	}
	if dir.up == nil && fixed == 0 {
		b.m.Root = at(0)
	}
	slot := b.v.head(dir)
	for _, c := range dir.children {
		k := b.v.slots(c)
		entry := slot + k - 1
		if b.m.Plan.FS == ExFAT {
			entry = slot + 1
		}
		b.m.places[c.path] = Place{at(slot), at(entry), k, c.clusters}
		slot += k
	}
}

// units is a name as both kinds of file system have it.
func units(name string) []uint16 { return utf16.Encode([]rune(name)) }
