// Package sticktest makes images of USB sticks for tests: file systems, with and without
// tables of partitions, that the reader of package stick takes, and the means to wound
// them where a test wants it.
//
// Start at [Make], which lays a [Plan] out as an [Image]. An image is sparse, so that a
// FAT32 costs no more than what is in it. It says where its parts are: a test that alters
// one and wants what covers it to agree calls [Image.Seal] after. What is written is what
// the specifications that package stick names ask for, and is checked against the programs
// that others check such file systems with.
package sticktest

import (
	"fmt"
	"io"
	"maps"
	"os"
)

const page = 4096

// Image is the bytes of a stick. Its zero value is an empty stick without a size.
type Image struct {
	Size  int64
	pages map[int64]*[page]byte

	Plan     Plan
	Base     int64 // where the volume begins
	Length   int64 // bytes of the volume
	FAT      int64 // where its first table is
	Heap     int64 // where cluster 2 is
	Root     int64 // where the first entry of the root folder is
	Clusters uint32
	places   map[string]Place
}

// Place is where a file or folder lies.
type Place struct {
	Set      int64    // its first entry in its folder: a part of its long name (FAT), or its File entry (exFAT)
	Entry    int64    // its short entry (FAT), or its Stream Extension (exFAT)
	Slots    int      // entries that it has
	Clusters []uint32 // in their order
}

// At is where the file or folder of a path lies. It panics if there is none.
func (m *Image) At(path string) Place {
	p, ok := m.places[path]
	if !ok {
		panic(fmt.Sprintf("the image has no %q", path))
	}
	return p
}

// Cluster is where cluster c lies.
func (m *Image) Cluster(c uint32) int64 {
	return m.Heap + int64(c-2)*int64(m.Plan.Sector*m.Plan.Cluster)
}

// ReadAt reads like a file.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		at := off + int64(n)
		if at >= m.Size {
			return n, io.EOF
		}
		most := min(len(p)-n, int(page-at%page), int(min(m.Size-at, page)))
		if b := m.pages[at/page]; b != nil {
			copy(p[n:n+most], b[at%page:])
		} else {
			clear(p[n : n+most])
		}
		n += most
	}
	return len(p), nil
}

// WriteAt writes like a file. It panics beyond the end.
func (m *Image) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > m.Size {
		panic("writing beyond the end of an image")
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		b := m.pages[at/page]
		if b == nil {
			b = new([page]byte)
			m.pages[at/page] = b
		}
		n += copy(b[at%page:], p[n:])
	}
	return len(p), nil
}

// Bytes reads n bytes at off.
func (m *Image) Bytes(off int64, n int) []byte {
	b := make([]byte, n)
	m.ReadAt(b, off)
	return b
}

// Put writes bytes at off.
func (m *Image) Put(off int64, b ...byte) { m.WriteAt(b, off) }

// Put16 writes a number of 16 bits at off.
func (m *Image) Put16(off int64, v uint16) { m.WriteAt(le.AppendUint16(nil, v), off) }

// Put32 writes a number of 32 bits at off.
func (m *Image) Put32(off int64, v uint32) { m.WriteAt(le.AppendUint32(nil, v), off) }

// Put64 writes a number of 64 bits at off.
func (m *Image) Put64(off int64, v uint64) { m.WriteAt(le.AppendUint64(nil, v), off) }

// Clone copies an image.
func (m *Image) Clone() *Image {
	c := *m
	c.pages = maps.Clone(m.pages)
	for k, b := range c.pages {
		copied := *b
		c.pages[k] = &copied
	}
	return &c
}

// Save writes the image into a sparse file.
func (m *Image) Save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(m.Size); err != nil {
		return err
	}
	for k, b := range m.pages {
		if _, err := f.WriteAt(b[:min(page, m.Size-k*page)], k*page); err != nil {
			return err
		}
	}
	return f.Close()
}
