package stick

import (
	"bytes"
	"math"
)

// exfatName is what tells an exFAT (exFAT, 3.1.2).
const exfatName = "EXFAT   "

// openExFAT reads the header of an exFAT (exFAT, 3), of which b is the first sector.
func openExFAT(m medium, b []byte) (*volume, error) {
	shift, per := b[108], b[109]
	switch {
	case !bytes.Equal(b[:3], []byte{0xEB, 0x76, 0x90}) || len(bytes.Trim(b[11:64], "\x00")) > 0:
		return nil, broken("start")
	case shift < 9 || shift > 12 || per > 25-shift:
		return nil, broken("sizes of sectors and clusters")
	case b[105] != 1 || b[104] > 99:
		return nil, broken("version")
	case b[110] != 1: // two are for TexFAT
		return nil, broken("number of tables")
	case le.Uint16(b[106:])&1 != 0:
		return nil, broken("table that counts")
	}
	length := le.Uint64(b[72:])
	fat, each := int64(le.Uint32(b[80:])), int64(le.Uint32(b[84:]))
	heap, n := int64(le.Uint32(b[88:])), int64(le.Uint32(b[92:]))
	if length > uint64(m.size>>shift) {
		return nil, errTooLarge
	}
	total := int64(length)
	switch {
	case total < 1<<20>>shift || fat < 24 || heap < fat+each || heap >= total:
		return nil, broken("places of its parts")
	case n == 0 || n > math.MaxUint32-10 || n > (total-heap)>>per || (n+2)*4 > each<<shift:
		return nil, broken("number of clusters")
	}
	v := &volume{m: m, bits: 32, exfat: true, fat: fat << shift, heap: heap << shift, cluster: 1 << (shift + per), clusters: uint32(n)}
	if v.root = (entry{folder: true, first: le.Uint32(b[96:])}); !v.holds(v.root.first) {
		return nil, broken("root folder")
	}
	head, err := v.links.at(m, v.fat, 8)
	if err != nil {
		return nil, err
	}
	if le.Uint32(head) != 0xFFFFFFF8 || le.Uint32(head[4:]) != 0xFFFFFFFF { // exFAT, 4.1.1 and 4.1.2
		return nil, broken("first entries of its table")
	}
	return v, bootSum(m, int64(1)<<shift)
}

// bootSum holds the first eleven sectors against the twelfth (exFAT, 3.4). What changes as
// the volume is used is left out of it.
func bootSum(m medium, sector int64) error {
	var sum uint32
	b := make([]byte, 512)
	for off := int64(0); off < 12*sector; off += 512 {
		if err := m.read(b, off); err != nil {
			return err
		}
		if off < 11*sector {
			for i, c := range b {
				if off > 0 || i != 106 && i != 107 && i != 112 {
					sum = sum<<31 + sum>>1 + uint32(c)
				}
			}
			continue
		}
		for i := 0; i < len(b); i += 4 {
			if le.Uint32(b[i:]) != sum {
				return broken("checksum")
			}
		}
	}
	return nil
}

// Types of entries (exFAT, 6.2.1): in use, secondary, benign, and a code.
const (
	typeBitmap = 0x81
	typeUpcase = 0x82
	typeLabel  = 0x83
	typeFile   = 0x85
	typeStream = 0xC0
	typeName   = 0xC1

	inUse     = 0x80
	secondary = 0x40
	benign    = 0x20
)

// exfatWalk reads the entries of one folder.
type exfatWalk struct {
	folder
	found          func([]uint16, entry)
	bitmap, upcase *entry

	left    int // secondary entries of the set that have yet to come
	skip    bool
	n       int // entries of the set so far
	sum     uint16
	said    uint16 // SetChecksum
	attr    uint16
	e       entry
	hash    uint16
	length  int
	name    []uint16
	letters uint32 // checksum of the up-case table
}

// walkExFAT calls found with what is in a folder (exFAT, 6 and 7).
func (s *Stick) walkExFAT(f folder, where []extent, found func([]uint16, entry)) error {
	w := &exfatWalk{folder: f, found: found}
	cut, err := s.slots(f.v, where, w.slot)
	if err != nil {
		return err
	}
	if w.left > 0 && !cut {
		return damaged("folder", "a folder ends within an entry")
	}
	if f.depth > 0 {
		return nil
	}
	return w.system()
}

// slot takes the next entry in.
func (w *exfatWalk) slot(b []byte) (done bool, err error) {
	t := b[0]
	switch {
	case w.left > 0:
		return false, w.second(b)
	case t == 0:
		return true, nil
	case t&inUse == 0:
		return false, nil
	case t&secondary != 0:
		return false, damaged("folder", "an entry of a folder belongs to none")
	}
	switch t {
	case typeFile:
		if b[1] < 2 || b[1] > 18 {
			return false, damaged("folder", "an entry of a folder has too few parts or too many")
		}
		*w = exfatWalk{folder: w.folder, found: w.found, bitmap: w.bitmap, upcase: w.upcase, letters: w.letters,
			left: int(b[1]), said: le.Uint16(b[2:]), attr: le.Uint16(b[4:]), name: w.name[:0]}
		w.add(b, true)
	case typeBitmap, typeUpcase:
		return false, w.table(b)
	case typeLabel:
	default:
		if t&benign == 0 { // exFAT, 8.2
			return false, damaged("folder", "a folder has an entry of an unknown kind")
		}
		w.left, w.skip = int(b[1]), true
		if t == 0xA0 || t == 0xA1 || b[1] > 18 { // these have no secondary entries (7.5, 7.10)
			w.left = 0
		}
	}
	return false, nil
}

// table takes an entry that only the root has, once.
func (w *exfatWalk) table(b []byte) error {
	e := &entry{first: le.Uint32(b[20:]), size: int64(min(le.Uint64(b[24:]), math.MaxInt64))}
	e.valid = e.size
	p := &w.bitmap
	if b[0] == typeUpcase {
		p, w.letters = &w.upcase, le.Uint32(b[4:])
	}
	if w.depth > 0 || *p != nil || b[0] == typeBitmap && b[1]&1 != 0 {
		return damaged("folder", "a table of the stick is there twice, or in the wrong place")
	}
	*p = e
	return nil
}

// add counts an entry of 32 bytes into the checksum of its set (exFAT, 6.3.3).
func (w *exfatWalk) add(b []byte, first bool) {
	for i, c := range b {
		if !first || i != 2 && i != 3 {
			w.sum = w.sum<<15 + w.sum>>1 + uint16(c)
		}
	}
}

// second takes a secondary entry in.
func (w *exfatWalk) second(b []byte) error {
	if b[0]&(inUse|secondary) != inUse|secondary {
		return damaged("folder", "a folder has only a part of an entry")
	}
	w.left--
	if w.skip {
		w.skip = w.left > 0
		return nil
	}
	w.add(b, false)
	w.n++
	switch {
	case w.n == 1 && b[0] == typeStream:
		w.stream(b)
	case w.n > 1 && b[0] == typeName && len(w.name) < w.length:
		for i := 2; i < 32; i += 2 {
			w.name = append(w.name, le.Uint16(b[i:]))
		}
	case w.n > 1 && b[0]&benign != 0 && len(w.name) >= w.length:
	default:
		return damaged("folder", "an entry of a folder has parts that do not belong together")
	}
	if w.left > 0 {
		return nil
	}
	return w.whole()
}

// stream takes in where a file lies (exFAT, 7.6).
func (w *exfatWalk) stream(b []byte) {
	clip := func(n uint64) int64 { return int64(min(n, math.MaxInt64-1<<32)) }
	w.e = entry{folder: w.attr&attrFolder != 0, contiguous: b[1]&2 != 0, first: le.Uint32(b[20:]), size: clip(le.Uint64(b[24:])), valid: clip(le.Uint64(b[8:]))}
	w.length, w.hash = int(b[3]), le.Uint16(b[4:])
	if b[1]&1 == 0 { // no allocation is possible: the rest means nothing
		w.e.contiguous, w.e.first, w.e.size, w.e.valid = false, 0, 0, 0
	}
}

// whole judges a set that is complete.
func (w *exfatWalk) whole() error {
	e := w.e
	switch {
	case w.sum != w.said:
		return damaged("folder", "the checksum of an entry of a folder is wrong")
	case w.length == 0 || len(w.name) < w.length || !legal(w.name[:w.length]):
		return damaged("name", "a name on the stick is none")
	case !w.hashed():
		return damaged("name", "the checksum of a name is wrong")
	case e.valid > e.size, e.size == 0 && e.contiguous:
		return damaged("size", "a file has more in it than its size")
	case e.folder && (e.size == 0 || e.valid != e.size || e.size%w.v.cluster != 0):
		return damaged("size", "a folder has a size that cannot be")
	}
	w.found(w.name[:w.length], e)
	return nil
}

// hashed holds a name against its hash (exFAT, 7.6.4), which is taken over capital letters.
// Those of ASCII are the same on every stick (7.2.5); a name with others is not held
// against it: what counts is the checksum of the set.
func (w *exfatWalk) hashed() bool {
	var h uint16
	for _, u := range w.name[:w.length] {
		if u >= 0x80 {
			return true
		}
		if u >= 'a' && u <= 'z' {
			u -= 'a' - 'A'
		}
		h = h<<15 + h>>1 + u // its low byte
		h = h<<15 + h>>1     // and the high one, which is 0
	}
	return h == w.hash
}

// system checks the tables that the root names: which clusters are in use, and how
// letters are made capital, which is not needed but must be sound.
func (w *exfatWalk) system() error {
	v := w.v
	if w.bitmap == nil || w.upcase == nil {
		return damaged("folder", "a table of the stick is missing")
	}
	const mostUpcase = 2 << 16
	if w.bitmap.size != (int64(v.clusters)+7)/8 || w.upcase.size == 0 || w.upcase.size > mostUpcase {
		return damaged("size", "a table of the stick has a size that cannot be")
	}
	upcase, err := v.locate(*w.upcase)
	if err != nil {
		return err
	}
	bitmap, err := v.locate(*w.bitmap)
	if err != nil {
		return err
	}
	if len(bitmap) > 64 {
		return &Error{"limit", "a table of the stick is in too many pieces: format the stick, and copy the jobs again"}
	}
	v.bitmap = bitmap
	for _, c := range v.claims { // so far
		if err := v.inUse([]run{c.run}); err != nil {
			return err
		}
	}
	return w.upcaseSum(upcase)
}

// upcaseSum checks the up-case table (exFAT, 7.2.2).
func (w *exfatWalk) upcaseSum(where []extent) error {
	r := &reader{w.v.m, where, w.upcase.size}
	var sum uint32
	b := make([]byte, 512)
	for r.left > 0 {
		n, err := r.Read(b)
		if err != nil {
			return err
		}
		for _, c := range b[:n] {
			sum = sum<<31 + sum>>1 + uint32(c)
		}
	}
	if sum != w.letters {
		return broken("table of letters")
	}
	return nil
}
