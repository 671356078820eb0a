package stick

import (
	"cmp"
	"encoding/binary"
	"slices"
)

var le = binary.LittleEndian

// volume is one file system: a heap of clusters, numbered from 2, and a table that chains
// them (FAT, 4; exFAT, 4).
type volume struct {
	m        medium
	bits     int    // of an entry of the table: 12, 16 or 32
	exfat    bool   //
	fat      int64  // where the table is that counts
	heap     int64  // where cluster 2 is
	cluster  int64  // bytes of one
	clusters uint32 // how many there are
	rootAt   extent // root folder of FAT12 and FAT16, which is not in the heap
	root     entry

	links  window   // on the table
	bitmap []extent // of exFAT: which clusters are in use (7.1)
	used   window   // on the bitmap
	claims []claim  // sorted
	owners int
}

// extent is n bytes from off.
type extent struct{ off, n int64 }

// run is n clusters that follow each other.
type run struct{ first, n uint32 }

// claim is a run that belongs to a folder or a file.
type claim struct {
	run
	owner int
}

// window is a piece of a table that is kept, so that its entries are not read one by one.
type window struct {
	from int64
	held int64
	buf  [4096]byte
}

// at is the n bytes at off, at most 512, good until the next call.
func (w *window) at(m medium, off, n int64) ([]byte, error) {
	if off < w.from || off+n > w.from+w.held {
		w.from = off &^ 511
		w.held = min(int64(len(w.buf)), max(m.size-w.from, 0))
		if err := m.read(w.buf[:w.held], w.from); err != nil {
			w.held = 0
			return nil, err
		}
		if off+n > w.from+w.held {
			return nil, damaged("size", "the stick is smaller than what is on it")
		}
	}
	return w.buf[off-w.from:][:n], nil
}

// holds reports whether the heap has cluster c.
func (v *volume) holds(c uint32) bool { return c >= 2 && c-2 < v.clusters }

// next is the cluster after c in its chain, and whether there is none (FAT, 4.1; exFAT,
// 4.1). What is next may be no cluster at all.
func (v *volume) next(c uint32) (next uint32, last bool, err error) {
	size, at := int64(v.bits)/8, int64(c)*int64(v.bits)/8
	if v.bits == 12 {
		size = 2
	}
	b, err := v.links.at(v.m, v.fat+at, size)
	if err != nil {
		return 0, false, err
	}
	switch {
	case v.exfat:
		next = le.Uint32(b)
		return next, next == 0xFFFFFFFF, nil
	case v.bits == 32:
		next = le.Uint32(b) & 0x0FFFFFFF // the other four bits are kept as they are
		return next, next >= 0x0FFFFFF8, nil
	case v.bits == 16:
		next = uint32(le.Uint16(b))
		return next, next >= 0xFFF8, nil
	}
	next = uint32(le.Uint16(b)) >> (4 * (c & 1)) & 0xFFF
	return next, next >= 0xFF8, nil
}

// chain follows a chain of exactly want clusters, or, if that is 0, of at most most.
func (v *volume) chain(first, want, most uint32) ([]run, error) {
	if want > 0 {
		most = want
	}
	var runs []run
	for c, n := first, uint32(1); ; n++ {
		if !v.holds(c) {
			return nil, damaged("chain", "a file's chain of clusters leads out of the stick")
		}
		if k := len(runs) - 1; k >= 0 && runs[k].first+runs[k].n == c {
			runs[k].n++
		} else if len(runs) == mostRuns {
			return nil, &Error{"limit", "a file on the stick is in too many pieces: format the stick, and copy the jobs again"}
		} else {
			runs = append(runs, run{c, 1})
		}
		next, last, err := v.next(c)
		switch {
		case err != nil:
			return nil, err
		case last && n < want:
			return nil, damaged("chain", "a file's chain of clusters ends before the file")
		case last:
			return runs, nil
		case n == most:
			return nil, damaged("chain", "a chain of clusters does not end where its file ends, or never")
		}
		c = next
	}
}

// folder is where a folder lies.
func (v *volume) folder(e entry) ([]extent, error) {
	if e.first == 0 && v.rootAt.n > 0 {
		return []extent{v.rootAt}, nil
	}
	return v.locate(e)
}

// file is where a file lies.
func (v *volume) file(e entry) ([]extent, error) {
	if e.size <= 0 || e.valid != e.size {
		return nil, &Error{"size", "a file on the stick is empty, or was not written to its end: copy it again, and wait until the stick is done"}
	}
	return v.locate(e)
}

// locate finds the clusters of a folder or a file, and claims them for it.
func (v *volume) locate(e entry) ([]extent, error) {
	n := (e.size + v.cluster - 1) / v.cluster
	if n > int64(v.clusters) {
		return nil, damaged("size", "a file is larger than the stick")
	}
	var runs []run
	var err error
	if e.contiguous {
		if !v.holds(e.first) || n > int64(v.clusters)-int64(e.first-2) {
			return nil, damaged("chain", "a file's clusters lead out of the stick")
		}
		runs = []run{{e.first, uint32(n)}}
	} else if runs, err = v.chain(e.first, uint32(n), uint32(max(1, mostFolder/v.cluster))); err != nil {
		return nil, err
	}
	if err := v.claim(runs); err != nil {
		return nil, err
	}
	where := make([]extent, len(runs))
	for i, r := range runs {
		where[i] = extent{v.heap + int64(r.first-2)*v.cluster, int64(r.n) * v.cluster}
	}
	return where, nil
}

// claim notes who has the clusters of runs: no cluster may have two owners, or one twice.
func (v *volume) claim(runs []run) error {
	if len(v.claims)+len(runs) > mostRuns {
		return &Error{"limit", "what is on the stick is in too many pieces: format the stick, and copy the jobs again"}
	}
	if err := v.inUse(runs); err != nil {
		return err
	}
	v.owners++
	for _, r := range runs {
		v.claims = append(v.claims, claim{r, v.owners})
	}
	slices.SortFunc(v.claims, func(a, b claim) int { return cmp.Compare(a.first, b.first) })
	for i, c := range v.claims[1:] {
		if p := v.claims[i]; c.first-p.first < p.n {
			v.claims = slices.DeleteFunc(v.claims, func(c claim) bool { return c.owner == v.owners })
			return damaged("crossed", "a cluster of the stick belongs to two files")
		}
	}
	return nil
}

// inUse holds runs against the bitmap of exFAT, where there is one.
func (v *volume) inUse(runs []run) error {
	if v.bitmap == nil {
		return nil
	}
	for _, r := range runs {
		for c := r.first - 2; c < r.first-2+r.n; c++ {
			at := int64(c / 8)
			i := 0
			for ; i < len(v.bitmap)-1 && at >= v.bitmap[i].n; i++ {
				at -= v.bitmap[i].n
			}
			b, err := v.used.at(v.m, v.bitmap[i].off+at, 1)
			if err != nil {
				return err
			}
			if b[0]>>(c%8)&1 == 0 {
				return damaged("crossed", "a file on the stick lies in clusters that are free")
			}
		}
	}
	return nil
}
