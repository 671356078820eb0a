package pack

import "bytes"

// Ahead is an entry of an archive that is still arriving, as the header before it says.
// It is design data.
type Ahead struct{ e entry }

// String says nothing of the entry.
func (Ahead) String() string { return "entry" }

// GoString says nothing of the entry.
func (Ahead) GoString() string { return "entry" }

// FindAhead returns the first entry whose name ends in suffix, and whether there is one
// that can be read before the directory is there. data has the size of the archive, and
// upTo waits until its first n bytes have arrived.
func FindAhead(data []byte, suffix string, upTo func(n int) error) (Ahead, bool) {
	for at := int64(0); at+localSize <= int64(len(data)); {
		if upTo(int(at+localSize)) != nil || u32(data, at) != localSignature {
			break
		}
		name, extra := int64(u16(data, at+26)), int64(u16(data, at+28))
		e := entry{
			header: at, data: at + localSize + name + extra, flags: u16(data, at+6), method: u16(data, at+8),
			crc: u32(data, at+14), packed: int64(u32(data, at+18)), size: int64(u32(data, at+22)),
		}
		// What follows the data, or is too large for the header, only the directory tells.
		if e.flags&^flagsKnown != 0 || e.packed == 0 || max(e.packed, e.size) >= max32 || e.data+e.packed > int64(len(data)) || upTo(int(e.data)) != nil {
			break
		}
		if bytes.HasSuffix(data[at+localSize:][:name], []byte(suffix)) {
			return Ahead{e}, e.method == methodDeflate && e.size <= min(mostSize, mostRatio*e.packed+freeSize)
		}
		at = e.data + e.packed
	}
	return Ahead{}, false
}

// Is reports whether entry i of a, the directory of the same archive, is the one that
// was read ahead: nothing of what was believed then may be otherwise.
func (h Ahead) Is(a *Archive, i int) bool {
	e := &a.entries[i]
	return e.header == h.e.header && e.data == h.e.data && e.packed == h.e.packed && e.size == h.e.size && e.crc == h.e.crc && e.method == h.e.method
}

// mostTaken is more than the inflater takes of its input to fill its buffer, unless a
// stream is mostly headers of blocks.
const mostTaken = room*15/8 + 1<<16

// ResetAhead goes to the beginning of an entry that FindAhead has found; Read waits for
// what it needs.
func (r *Reader) ResetAhead(data []byte, h Ahead, upTo func(n int) error) {
	body := data[h.e.data:][:h.e.packed]
	*r = Reader{f: r.f, want: h.e.crc, left: h.e.size, packed: true, upTo: func(n int) error {
		return upTo(int(h.e.data) + min(n, len(body)))
	}}
	r.f.reset(body)
}

// await decompresses more of an entry that is arriving.
func (r *Reader) await() ([]byte, error) {
	there := r.f.ip + mostTaken
	if err := r.upTo(there); err != nil {
		return nil, err
	}
	b, err := r.f.next()
	if err == nil && r.f.ip > there {
		err = errDeflate // it has read what was not there
	}
	return b, err
}
